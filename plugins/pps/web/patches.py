"""A patch: why is it still here? Every condition between it and production, for its provider, for sites and VOs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from pps.activities.clients import bulletin_pages
from pps.domain.base.errors import PatchNotFoundError
from pps.services import Services
from pps.web.guards import RateLimit, check_rate
from pps.web.live import Live
from pps.web.tracked import Tracked
from pps.workflow.why import names_of, public_view, why

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
#: Numbers that are not on record are looked up in the tracker, which is not ours: so many of one reader.
_STRANGE_AT_ONCE, _STRANGE_PER_S = 30, 0.5
#: States of conditions -> the class of their chip.
STATES = {
    "met": "available",
    "waived": "tagged",
    "waiting": "tested",
    "not yet": "planned",
    "failed": "failed",
    "unknown": "left-out",
}


def router(live: Live, services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()
    tracked, strange = Tracked(services), RateLimit(_STRANGE_AT_ONCE, _STRANGE_PER_S)

    def asked(request: Request, text: str) -> tuple[str, Callable[[], Mapping[str, Any]], datetime]:
        """Name of the edition of now, what makes it, and this moment; 404 for a patch that nobody knows."""
        if not _NUMBER.fullmatch(text):
            raise HTTPException(404, "There is no such patch: its number in the tracker is wanted, e.g. patches/4711.")
        number, s, at = int(text), services(), now()
        records = names_of(s.facts, number)
        if len(records) == 1 and not s.facts.dossier(number).facts:
            check_rate(request, strange)
        told = tracked.patch(number)

        def made() -> Mapping[str, Any]:
            try:
                return public_view(why(s.facts, number, told, s.config.policies, at))
            except PatchNotFoundError as error:
                raise HTTPException(404, f"Neither the tracker nor the record knows patch {number}.") from error

        return live.name_of(records, repr(told), text), made, at

    @api.get("/patches/{number}")
    def patch_page(number: str, request: Request) -> Response:
        """Why a patch is still where it is."""
        name, made, at = asked(request, number)
        return live.own_page(request, name, "patch.html", f"patches/{number}", lambda: _view(made(), at))

    @api.get("/api/v1/patches/{number}")
    def patch_data(number: str, request: Request) -> Response:
        """Why a patch is still where it is: every condition between it and production."""
        name, made, _ = asked(request, number)
        return live.own_json(request, name, made)

    return api


def _view(content: Mapping[str, Any], read_at: datetime) -> Mapping[str, Any]:
    """What the page shows: the same, with moments as moments."""
    conditions = [{**c, "until": _moment(c["until"])} for c in content["conditions"]]
    events = [{**e, "at": _moment(e["at"])} for e in content["events"]]
    return {
        **content,
        "conditions": conditions,
        "chips": STATES,
        "states": bulletin_pages.STATES,
        "certification": next(c for c in conditions if c["name"] == "certification"),
        "rollouts": [
            {**r, "opened_at": _moment(r["opened_at"]), "closed_at": _moment(r["closed_at"])}
            for r in content["rollouts"]
        ],
        "decisions": [e for e in events if e["is_decision"]],
        "events": events[::-1],
        "read_at": read_at,
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
