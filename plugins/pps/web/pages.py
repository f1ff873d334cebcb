"""The public pages on the facts of this moment: home and live map (SD 4.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from pps.activities.clients import bulletin_pages
from pps.web import site_map
from pps.web.live import Edition, Live
from pps.web.site_map import Wanted

_LATEST = 5


def router(live: Live) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    def home_view(edition: Edition) -> Mapping[str, Any]:
        found = live.rollouts(edition)
        changed = edition.content["updated_at"]
        drawn = site_map.view(edition, Wanted())
        return {
            "open": [r for r in found if r["closed_at"] is None],
            "ended": [r for r in found if r["closed_at"] is not None][:_LATEST],
            "updated_at": changed and datetime.fromisoformat(changed),
            "states": bulletin_pages.STATES,
            "sites": sum(1 for s in edition.sites.values() if s.accepts_previews),
            "read_at": edition.read_at,
            "small_map": drawn["maps"][0],
            "shown": drawn["chosen"],
        }

    @api.get("/")
    @api.get("/home")
    def home(request: Request) -> Response:
        """What is in preview now, and what changed last."""
        place = "home" if request.url.path.endswith("/home") else ""
        return live.page(request, "home.html", place, home_view)

    @api.get("/map")
    def map_page(request: Request, wanted: Annotated[Wanted, Depends()], at: str = "") -> Response:
        """The live map: which version is at which site."""
        return live.page(request, "map.html", "map", lambda edition: site_map.view(edition, wanted), at)

    @api.get("/api/v1/map")
    def map_data(request: Request, at: str = "") -> Response:
        """The data set of the live map."""
        return live.json(request, site_map.data, at)

    return api
