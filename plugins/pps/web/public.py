"""The public part: release notes, and where a rollout stands (SD 4.1.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from pps.activities.clients.standing import public_view
from pps.activities.packages.production import BILL, LICENCES, NOTES, VERIFICATION
from pps.activities.ports.publication import PublicationFolder
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.names import is_name
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import NO_ROLLOUTS, Rollout
from pps.services import Services
from pps.web.readers import must_not_be_hidden

#: Of a page that we have written into the publication folder.
DOCUMENT_HEADERS = {
    # 'self': Airflow's own pages show the bulletin in a frame
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
    ),
    "Cache-Control": "no-cache",
}
_NOTES = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+~-]{0,63})\.(html|txt|cdx\.json|licences|verification\.asc)")


def rollout_or_404(facts: Facts, name: str) -> Rollout:
    """A rollout on record; 404 otherwise, and for a record that is none: what sites wish, or what somebody follows, is
    nobody else's business."""
    missing = HTTPException(404, "There is no such rollout.")
    if not is_name(name):
        raise missing
    try:
        record = facts.rollout(name)
    except NotYetAllowedError as error:
        raise missing from error
    opened = record.the(FactKind.ROLLOUT_OPENED)
    if opened is not None and opened.payload.get("path") in NO_ROLLOUTS:
        raise missing
    return record


def router(services: Callable[[], Services]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    @api.get("/release-notes/{file}")
    def release_notes(file: str) -> Response:
        """Release notes, as `<rollout>.html` or `<rollout>.txt`; beside them what a release carries (`.cdx.json`,
        `.licences`), and how it was verified (`.verification.asc`)."""
        found = _NOTES.fullmatch(file)
        if not found:
            raise HTTPException(404, "There are no such release notes.")
        must_not_be_hidden(services().facts, found[1])
        text = published(services().publication_folder, f"{NOTES}/{file}")
        if found[2] == BILL:
            return Response(text, media_type="application/vnd.cyclonedx+json; version=1.6")
        if found[2] in ("txt", LICENCES, VERIFICATION):
            return PlainTextResponse(text)
        return HTMLResponse(text, headers=DOCUMENT_HEADERS)

    @api.get("/api/v1/rollouts/{name}")
    def show_rollout(name: str) -> Mapping[str, Any]:
        """Where a rollout stands, without personal data."""
        return public_view(rollout_or_404(services().facts, name))

    return api


def published(folder: PublicationFolder, name: str) -> bytes:
    """A file of the publication folder; 404 unless it is there, and is no link to something else."""
    found = folder.read(name)
    if found is None:
        raise HTTPException(404, "This has not been written yet.")
    return found
