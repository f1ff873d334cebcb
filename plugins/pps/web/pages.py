"""The public pages on the facts of this moment: home, live map, a site (SD 4.1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response

from pps.activities.clients import bulletin_pages
from pps.domain.base.names import is_name
from pps.web import site_map
from pps.web.live import Live
from pps.web.site_map import Wanted

_PAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+~-]{0,63})\.html")
_LATEST = 5


def router(live: Live) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    @api.get("/")
    @api.get("/home")
    def home(request: Request) -> Response:
        """What is in preview now, and what changed last."""
        if same := live.unchanged(request):
            return same
        edition = live.edition()
        found = live.rollouts(edition)
        view = {
            "open": [r for r in found if r["closed_at"] is None],
            "ended": [r for r in found if r["closed_at"] is not None][:_LATEST],
            "updated_at": edition.content["updated_at"] and datetime.fromisoformat(edition.content["updated_at"]),
            "states": bulletin_pages.STATES,
            "sites": sum(1 for s in edition.sites.values() if s.accepts_previews),
            "read_at": edition.read_at,
        }
        place = "home" if request.url.path.endswith("/home") else ""
        return live.page("home.html", view, place, edition)

    @api.get("/map")
    def map_page(request: Request, wanted: Annotated[Wanted, Depends()], at: str = "") -> Response:
        """The live map: which version is at which site."""
        as_of = live.moment(at)
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        return live.page("map.html", site_map.view(edition, wanted), "map", edition)

    @api.get("/api/v1/map")
    def map_data(request: Request, at: str = "") -> Response:
        """The data set of the live map."""
        as_of = live.moment(at)
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        return live.json(site_map.data(edition), edition)

    @api.get("/sites/{name}")
    def site(name: str, request: Request) -> Response:
        """Every preview that is shown, at one site."""
        if same := live.unchanged(request):
            return same
        edition = live.edition()
        known = {s["site"]: s for s in site_map.data(edition)["sites"]}
        if not is_name(name) or name not in known:
            raise HTTPException(404, "There is no such site here.")
        view = {
            "site": known[name],
            "previews": _at_site(known[name], live.rollouts(edition)),
            "read_at": edition.read_at,
        }
        return live.page("site.html", view, f"sites/{name}", edition)

    return api


def _at_site(site: Mapping[str, Any], rollouts: Any) -> list[tuple[Mapping[str, Any], str, datetime | None]]:
    """Each preview with its state at a site, and since when."""
    found = []
    for rollout in rollouts:
        if seen := site["states"].get(rollout["rollout"]):
            found.append((rollout, seen["state"], seen["since"] and datetime.fromisoformat(seen["since"])))
    return found
