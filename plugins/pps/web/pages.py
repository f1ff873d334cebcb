"""The public pages on the facts of this moment: home, live map, a site, release bulletin (SD 4.1.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from pps.activities.clients import bulletin_pages
from pps.domain.base.names import is_name
from pps.services import Services
from pps.web import site_map
from pps.web.live import Edition, Live, moment
from pps.web.shell import page
from pps.web.site_map import Wanted

_PAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+~-]{0,63})\.html")
_LATEST = 5


def router(services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()
    live = Live(services, now)

    def shown(template: str, view: Mapping[str, Any], place: str, edition: Edition) -> HTMLResponse:
        return page(services().templates, template, view, place, headers={"ETag": live.tag(edition.name)})

    def as_json(content: Mapping[str, Any], edition: Edition) -> Response:
        headers = {"ETag": live.tag(edition.name), "Cache-Control": "no-cache"}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        return Response(text, media_type="application/json", headers=headers)

    def rollouts(edition: Edition) -> Any:
        return bulletin_pages.as_shown(edition.content, edition.at, services().config.service.public_url)

    @api.get("/")
    @api.get("/home")
    def home(request: Request) -> Response:
        """What is in preview now, and what changed last."""
        if same := live.unchanged(request):
            return same
        edition = live.edition()
        found = rollouts(edition)
        view = {
            "open": [r for r in found if r["closed_at"] is None],
            "ended": [r for r in found if r["closed_at"] is not None][:_LATEST],
            "updated_at": edition.content["updated_at"] and datetime.fromisoformat(edition.content["updated_at"]),
            "states": bulletin_pages.STATES,
            "sites": sum(1 for s in edition.sites.values() if s.accepts_previews),
            "read_at": edition.read_at,
        }
        place = "home" if request.url.path.endswith("/home") else ""
        return shown("home.html", view, place, edition)

    @api.get("/map")
    def map_page(
        request: Request,
        view: str = "map",
        preview: str = "",
        roc: str = "",
        platform: str = "",
        state: str = "",
        vo: str = "",
        at: str = "",
    ) -> Response:
        """The live map: which version is at which site."""
        as_of = moment(at, now())
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        wanted = Wanted(view or "map", preview, roc, platform, state, vo)
        return shown("map.html", site_map.view(edition, wanted), "map", edition)

    @api.get("/api/v1/map")
    def map_data(request: Request, at: str = "") -> Response:
        """The data set of the live map."""
        as_of = moment(at, now())
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        return as_json(site_map.data(edition), edition)

    @api.get("/sites/{name}")
    def site(name: str, request: Request) -> Response:
        """Every preview that is shown, at one site."""
        if same := live.unchanged(request):
            return same
        edition = live.edition()
        known = {s["site"]: s for s in site_map.data(edition)["sites"]}
        if not is_name(name) or name not in known:
            raise HTTPException(404, "There is no such site here.")
        view = {"site": known[name], "previews": _at_site(known[name], rollouts(edition)), "read_at": edition.read_at}
        return shown("site.html", view, f"sites/{name}", edition)

    @api.get("/bulletin.json")
    @api.get("/api/v1/bulletin")
    def bulletin_json(request: Request, at: str = "") -> Response:
        """The bulletin as it is now, or was."""
        as_of = moment(at, now())
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        return as_json(edition.content, edition)

    @api.get("/bulletin")
    @api.get("/bulletin.html")
    def bulletin_page(request: Request, at: str = "") -> Response:
        """The bulletin as it is now, or was, for people."""
        as_of = moment(at, now())
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        view = bulletin_pages.front_view(edition.content["updated_at"], rollouts(edition))
        return shown("bulletin.html", {**view, "past": as_of}, "bulletin", edition)

    @api.get(f"/{bulletin_pages.FOLDER}/{{file}}")
    def bulletin_of_sites(file: str, request: Request) -> Response:
        """All sites of one preview, `<rollout>.html`, or of all, `sites.html`."""
        named = _PAGE.fullmatch(file)
        if named is None:
            raise HTTPException(404, "There is no such page.")
        if same := live.unchanged(request):
            return same
        edition = live.edition()
        found, place = rollouts(edition), f"{bulletin_pages.FOLDER}/{file}"
        if place == bulletin_pages.MAP:
            return shown("bulletin_sites.html", bulletin_pages.map_view(found), place, edition)
        one = next((r for r in found if r["page"] == place and r["sites"]), None)
        if one is None:
            raise HTTPException(404, f"The bulletin tells of no preview {named[1]}; it has ended long ago, or never was.")
        return shown("bulletin_rollout.html", bulletin_pages.with_sites(one), place, edition)

    return api


def _at_site(site: Mapping[str, Any], rollouts: Any) -> list[tuple[Mapping[str, Any], str, datetime | None]]:
    """Each preview with its state at a site, and since when."""
    found = []
    for rollout in rollouts:
        if seen := site["states"].get(rollout["rollout"]):
            found.append((rollout, seen["state"], seen["since"] and datetime.fromisoformat(seen["since"])))
    return found
