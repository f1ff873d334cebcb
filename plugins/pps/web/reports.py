"""Where sites that fetch by themselves say what they have (docs/kit.md).

They cannot sign in; each has a token of its own, which lets it say how things are there, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from pps.activities.clients.reports import read_report, take_report
from pps.activities.people.tokens import is_site_token
from pps.domain.base.errors import ConfigurationError
from pps.domain.sites.site import Site
from pps.services import Services
from pps.web.guards import RateLimit, check_rate, check_type, read_text
from pps.workflow.desk import FrontOffice

log = logging.getLogger(__name__)

#: Of one address: a translator's may be that of many sites.
_AT_ONCE, _PER_S = 60, 1.0


def router(services: Callable[[], Services], now: Callable[[], datetime]) -> tuple[APIRouter, Callable[..., Any]]:
    """The route, and the dependency that lets in nobody but the site itself."""
    api, limit = APIRouter(), RateLimit(_AT_ONCE, _PER_S)

    def reporter(name: str, request: Request) -> Site:
        check_rate(request, limit)
        s = services()
        site = s.config.sites.get(name)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # one that there is not, and one without a kit, have no token; it takes as long to say so
        its_name, number = (site.name, site.token) if site and site.kit else ("", 0)
        try:
            good = is_site_token(s.feedback_secret, its_name, number, token.strip())
        except ConfigurationError as error:  # nobody has a token without it
            log.warning("No site can be told from anybody else: %s", error)
            good = False
        if site is None or site.kit is None or not good or scheme.lower() != "bearer":
            why = "This is not the token of this site. Whoever coordinates gives it out: pps sites token SITE."
            raise HTTPException(401, why, {"WWW-Authenticate": "Bearer"})
        return site

    @api.post("/api/v1/sites/{name}/receipts")
    async def receipts(request: Request, site: Site = Depends(reporter)) -> JSONResponse:  # noqa: B008
        """What a site has, as its kit reports it (text/plain), with the token of the site instead of one of Airflow.

        201 for news, 200 for none.
        """
        check_type(request, "text/plain")
        text = await read_text(request)

        def work() -> int:
            report = read_report(site.name, text)
            office = FrontOffice.of(services(), now, f"site {site.name}")
            new = take_report(office, site, report)
            office.facts.keep_report(site.name, text, office.now)  # after it: what broke off is told again
            return len(new)

        new = await run_in_threadpool(work)
        return JSONResponse({"site": site.name, "new": new}, 201 if new else 200)

    return api, reporter
