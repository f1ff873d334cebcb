"""What every page has in common: its address among the others, the stylesheet, the headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, Response

from pps.activities.ports.people import Templates

STATIC = Path(__file__).resolve().parents[3] / "include" / "templates" / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: Where the pages are, in the order of reading: place below /pps/ -> what it is called.
PLACES = (
    ("home", "Home"),
    ("map", "Map"),
    ("bulletin", "Bulletin"),
    ("tasks", "My tasks"),
    ("following", "Following"),
    ("credits", "Credits"),
    ("keys", "Keys"),
    ("provider", "Releases"),
    ("quality", "Quality"),
    ("health", "Health"),
)
HEADERS = {
    "Content-Security-Policy": (
        # 'self' as ancestor: Airflow shows our pages in a frame of its own
        "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'; object-src 'none'"
    ),
    # With "no-referrer" a browser would send `Origin: null` with a form, which we refuse.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@cache
def _version() -> str:
    """Changes with the files, so that browsers may keep them for ever."""
    return hashlib.sha256(b"".join(f.read_bytes() for f in sorted(STATIC.iterdir()))).hexdigest()[:12]


def page(
    templates: Templates,
    template: str,
    view: Mapping[str, Any],
    place: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """A page as an answer; see `rendered`."""
    return HTMLResponse(rendered(templates, template, view, place), status, {**HEADERS, **(headers or {})})


def rendered(templates: Templates, template: str, view: Mapping[str, Any], place: str) -> str:
    """A page, with the way to all others.

    Args:
        place: its own below /pps/, e.g. `sites/PIC`; all links are relative, as Airflow may be served below any path.
    """
    root = "../" * place.count("/") or "./"
    here = place.partition("/")[0]
    return templates.render(
        template, {**view, "live": {"root": root, "here": here, "places": PLACES, "version": _version()}}
    )


def router() -> APIRouter:
    """The files that pages load."""
    api = APIRouter()

    @api.get("/static/{file}")
    def static(file: str) -> Response:
        """A stylesheet, a script, an outline of the map."""
        known = {f.name: f for f in STATIC.iterdir()}
        if file not in known:
            raise HTTPException(404, "There is no such file.")
        headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
        return Response(known[file].read_bytes(), media_type=_KINDS[known[file].suffix], headers=headers)

    return api
