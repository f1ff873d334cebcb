"""Where sites that fetch by themselves say what they have (docs/kit.md).

They cannot sign in; each has a token of its own, which lets it say how things are there, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from pps.activities.clients.reports import read_report, take_report
from pps.activities.people.tokens import is_site_token
from pps.domain.sites.site import Site
from pps.services import Services
from pps.web.guards import RateLimit, check_rate, check_type, read_text
from pps.workflow.desk import FrontOffice

#: Of one address: a relay's or a translator's may be that of many sites.
_AT_ONCE, _PER_S = 60, 1.0


def router(services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """One route; it has its line in `app.PUBLIC`."""
    api = APIRouter()
    limit = RateLimit(_AT_ONCE, _PER_S)

    @api.post("/api/v1/sites/{name}/receipts")
    async def receipts(name: str, request: Request) -> JSONResponse:
        """What a site's kit reports, as text; 201 for news, 200 for none, 401 without the site's token."""
        check_rate(request, limit)
        s = services()
        site = s.config.sites.get(name)
        _must_be(site, s, request.headers.get("authorization", ""))
        check_type(request, "text/plain")
        text = await read_text(request)

        def work() -> int:
            assert site is not None  # noqa: S101 (else it had no token)
            report = read_report(site.name, text)
            office = FrontOffice.of(s, now, f"site {site.name}")
            new = take_report(office, site, report)
            office.facts.keep_report(site.name, text, office.now)  # after it: what broke off is told again
            return len(new)

        new = await run_in_threadpool(work)
        return JSONResponse({"site": name, "new": new}, 201 if new else 200)

    return api


def _must_be(site: Site | None, s: Services, said: str) -> None:
    """401 unless the token is this site's; the same for a site that there is not, or that has no kit."""
    scheme, _, token = said.partition(" ")
    known = site if site and site.kit else None
    name, number = (known.name, known.token) if known else ("", 0)
    good = is_site_token(s.feedback_secret, name, number, token.strip())
    if not (known and good and scheme.lower() == "bearer"):
        why = "This is not the token of this site. Whoever coordinates gives it out: pps sites token SITE."
        raise HTTPException(401, why, {"WWW-Authenticate": "Bearer"})
