"""The release bulletin as it is now, made from the facts (SD 4.1.1, 5); its files are copies for other web servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from pps.activities.clients import bulletin_pages
from pps.web.live import Edition, Live

_PAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+~-]{0,63})\.html")


def router(live: Live) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    @api.get("/bulletin.json")
    @api.get("/api/v1/bulletin")
    def bulletin_json(request: Request, at: str = "") -> Response:
        """The bulletin as it is now, or was."""
        return live.json(request, lambda edition: edition.content, at)

    def front(edition: Edition) -> Mapping[str, Any]:
        view = bulletin_pages.front_view(edition.content["updated_at"], live.rollouts(edition))
        return {**view, "past": edition.as_of}

    @api.get("/bulletin")
    @api.get("/bulletin.html")
    def bulletin_page(request: Request, at: str = "") -> Response:
        """The bulletin as it is now, or was, for people."""
        return live.page(request, "bulletin.html", "bulletin", front, at)

    @api.get(f"/{bulletin_pages.FOLDER}/{{file}}")
    def bulletin_of_sites(file: str, request: Request) -> Response:
        """All sites of one preview, `<rollout>.html`, or of all, `sites.html`."""
        named, place = _PAGE.fullmatch(file), f"{bulletin_pages.FOLDER}/{file}"
        if named is None:
            raise HTTPException(404, "There is no such page.")
        if place == bulletin_pages.MAP:
            view = lambda edition: bulletin_pages.map_view(live.rollouts(edition))  # noqa: E731
            return live.page(request, "bulletin_sites.html", place, view)

        def one(edition: Edition) -> Mapping[str, Any]:
            found = next((r for r in live.rollouts(edition) if r["page"] == place and r["sites"]), None)
            if found is None:
                why = f"The bulletin tells of no preview {named[1]}; it has ended long ago, or never was."
                raise HTTPException(404, why)
            return bulletin_pages.with_sites(found)

        return live.page(request, "bulletin_rollout.html", place, one)

    return api
