"""How a product does, as a report to keep and to print: one document of HTML, and the same as PDF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, Response

from pps.activities.quality.measures import LAST, Ledger, Period
from pps.adapters.services.pdf import as_pdf
from pps.services import Services
from pps.web.closed import masked
from pps.web.forms import Person
from pps.web.public import DOCUMENT_HEADERS
from pps.web.quality import PRIVATE, Quality, drawn


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime], ledger: Ledger
) -> APIRouter:
    """Documents for Airflow users; `create_app` puts the question for the user in front of each."""
    api, quality = APIRouter(), Quality(services, now, ledger)

    def report(product: str, since: str, until: str, user: Any) -> str:
        s, person = services(), Person.of(user)
        quality.product(product, person)
        plan, releases, found = quality.of(product, Period.read(since, until))
        shown: Mapping[str, Any] = masked(found)
        base = f"{s.config.service.public_url.rstrip('/')}/pps/quality/{quote(product, safe='')}"
        more = {"trends": drawn(plan, releases), "last": LAST, "now": now(), "person": person.name, "base": base}
        return s.templates.render("quality_report.html", {**shown, **more})

    @api.get("/quality/{product}/report.html")
    def report_html(
        product: str,
        since: str = "",
        until: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> HTMLResponse:
        """Its targets, numbers, trend, actions and reviews, as one document."""
        return HTMLResponse(report(product, since, until, user), headers={**DOCUMENT_HEADERS, **PRIVATE})

    @api.get("/quality/{product}/report.pdf")
    def report_pdf(
        product: str,
        since: str = "",
        until: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> Response:
        """The same as PDF."""
        made = as_pdf(report(product, since, until, user))
        headers = {**PRIVATE, "Content-Disposition": f'inline; filename="quality-{product}.pdf"'}
        return Response(made, media_type="application/pdf", headers=headers)

    return api
