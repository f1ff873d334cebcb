"""Documents of pilots and deployment tests, as they lie in the publication folder.

A file is served only if the record says that we have written it: no name in a request reaches the folder unless a fact
names it. Reports and results are public, as the release notes are that build on them. Logs want an Airflow user: they
hold what a provider's programs and a site's people said, word for word.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from pps.activities.pilots import report as pilot_report
from pps.activities.quality import deployment_tests
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.services import Services
from pps.web.public import DOCUMENT_HEADERS, published, rollout_or_404


def public_router(services: Callable[[], Services]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    @api.get(f"/{pilot_report.FOLDER}/{{name}}/{{file}}")
    def report(name: str, file: str) -> Response:
        """The post-mortem report of a site (SD 4.1.3, 9), as `<site>.html` or `<site>.txt`."""
        place = f"{pilot_report.FOLDER}/{name}/{file}"
        record = rollout_or_404(services().facts, name)
        if place not in _reports(record):
            raise HTTPException(404, "There is no such report.")
        text = published(services().publication_folder, place)
        return HTMLResponse(text, headers=DOCUMENT_HEADERS) if file.endswith(".html") else PlainTextResponse(text)

    @api.get(f"/{deployment_tests.FOLDER}/{{name}}/{deployment_tests.RESULTS}")
    def results(name: str) -> Response:
        """The results of a deployment test, for programs; they are there when the test has ended."""
        record = rollout_or_404(services().facts, name)
        if record.path is not RolloutPath.PRE_DEPLOYMENT or not record.is_closed:
            raise HTTPException(404, "There are no such results.")
        place = f"{deployment_tests.FOLDER}/{name}/{deployment_tests.RESULTS}"
        return Response(published(services().publication_folder, place), media_type="application/json")

    return api


def closed_router(services: Callable[[], Services]) -> APIRouter:
    """Routes for Airflow users; `create_app` makes each of them ask for the user first."""
    api = APIRouter()

    @api.get(f"/{deployment_tests.FOLDER}/{{name}}/{{file}}")
    def log(name: str, file: str) -> Response:
        """The log of one scenario, as `<scenario>.txt`: text and nothing else, whatever it says."""
        place = f"{deployment_tests.FOLDER}/{name}/{file}"
        record = rollout_or_404(services().facts, name)
        if not any(f.kind is FactKind.SCENARIO_ENDED and f.payload.get("log") == place for f in record.facts):
            raise HTTPException(404, "There is no such log.")
        return PlainTextResponse(published(services().publication_folder, place))

    return api


def _reports(record: Rollout) -> set[str]:
    written = (f for f in record.facts if f.kind is FactKind.REPORT_WRITTEN)
    return {str(file) for fact in written for file in fact.payload.get("files", ())}
