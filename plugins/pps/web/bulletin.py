"""The release bulletin as it is now, made from the facts (SD 4.1.1, 5); its files are copies for other web servers."""

from __future__ import annotations

import re

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from pps.activities.clients import bulletin_pages
from pps.web.live import Live

_PAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+~-]{0,63})\.html")


def router(live: Live) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    @api.get("/bulletin.json")
    @api.get("/api/v1/bulletin")
    def bulletin_json(request: Request, at: str = "") -> Response:
        """The bulletin as it is now, or was."""
        as_of = live.moment(at)
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        return live.json(edition.content, edition)

    @api.get("/bulletin")
    @api.get("/bulletin.html")
    def bulletin_page(request: Request, at: str = "") -> Response:
        """The bulletin as it is now, or was, for people."""
        as_of = live.moment(at)
        if as_of is None and (same := live.unchanged(request)):
            return same
        edition = live.edition(as_of)
        view = bulletin_pages.front_view(edition.content["updated_at"], live.rollouts(edition))
        return live.page("bulletin.html", {**view, "past": as_of}, "bulletin", edition)

    @api.get(f"/{bulletin_pages.FOLDER}/{{file}}")
    def bulletin_of_sites(file: str, request: Request) -> Response:
        """All sites of one preview, `<rollout>.html`, or of all, `sites.html`."""
        named = _PAGE.fullmatch(file)
        if named is None:
            raise HTTPException(404, "There is no such page.")
        if same := live.unchanged(request):
            return same
        edition = live.edition()
        found, place = live.rollouts(edition), f"{bulletin_pages.FOLDER}/{file}"
        if place == bulletin_pages.MAP:
            return live.page("bulletin_sites.html", bulletin_pages.map_view(found), place, edition)
        one = next((r for r in found if r["page"] == place and r["sites"]), None)
        if one is None:
            raise HTTPException(
                404, f"The bulletin tells of no preview {named[1]}; it has ended long ago, or never was."
            )
        return live.page("bulletin_rollout.html", bulletin_pages.with_sites(one), place, edition)

    return api
