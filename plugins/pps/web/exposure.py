"""Which sites still have a vulnerability: a page for the Security Officer and those who decide, with CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse, Response

from pps.activities.quality.exposure import MAY_SEE, Exposure, UnknownCveError, find_exposure
from pps.domain.base.errors import InvalidNameError
from pps.domain.base.spreadsheets import csv_text
from pps.services import Services
from pps.web.forms import Person
from pps.web.shell import page

_ALONE = {"Cache-Control": "no-store"}


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter()

    def found(cve: str, user: Any) -> Exposure:
        if not Person.of(user).holds(*MAY_SEE):
            roles = ", ".join(MAY_SEE)
            raise HTTPException(403, f"Which sites have a vulnerability is seen by those with one of: {roles}.")
        s = services()
        try:
            return find_exposure(s.facts, cve, s.config.sites.values(), s.config.policies.exposure.deadlines, now())
        except InvalidNameError as error:
            raise HTTPException(422, f"{error.why} {error.next_step}") from error
        except UnknownCveError as error:
            raise HTTPException(404, f"{cve}: {error.why} {error.next_step}") from error

    @api.get("/exposure/{cve}")
    def exposure_page(cve: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """Sites that have it, sites of which nobody knows, and until when it should be gone."""
        answer = found(cve, user)
        return page(services().templates, "exposure.html", {"found": answer}, f"exposure/{cve}", headers=_ALONE)

    @api.get("/exposure/{cve}/sites.csv")
    def exposure_csv(cve: str, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """The same for spreadsheets."""
        answer = found(cve, user)
        headers = {**_ALONE, "Content-Disposition": f'attachment; filename="{answer.cve}.csv"'}
        return Response(csv_text(*answer.table()), media_type="text/csv; charset=utf-8", headers=headers)

    @api.get("/api/v1/exposure/{cve}")
    def exposure_data(cve: str, user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """Sites that have a vulnerability, sites of which nobody knows, and until when it should be gone."""
        return found(cve, user).data()

    return api
