"""A patch: why is it still here? Every condition between it and production, for its provider, for sites and VOs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from pps.activities.clients import bulletin_pages
from pps.activities.release.timeline import timeline
from pps.domain.base.errors import PatchNotFoundError
from pps.services import Services
from pps.web.guards import RateLimit, check_rate
from pps.web.live import Live
from pps.web.past import stops
from pps.web.tracked import Tracked
from pps.workflow.why import names_of, public_view, why, why_then

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


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is shown: now, or a moment before it."""

    read_at: datetime
    past: datetime | None


def router(live: Live, services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()
    tracked, strange = Tracked(services), RateLimit(_STRANGE_AT_ONCE, _STRANGE_PER_S)

    def asked(request: Request, text: str, at_text: str) -> tuple[str, Callable[[], Mapping[str, Any]], _Moment]:
        """Name of the edition, what makes it, and the moment that it shows; 404 for a patch that nobody knows."""
        if not _NUMBER.fullmatch(text):
            raise HTTPException(404, "There is no such patch: its number in the tracker is wanted, e.g. patches/4711.")
        number, s, at, past = int(text), services(), now(), live.past(request, at_text)
        records = names_of(s.facts, number)
        if len(records) == 1 and not s.facts.dossier(number).facts:
            check_rate(request, strange)
        moment = _Moment(at, past if past and past < at else None)
        told = tracked.patch(number) if moment.past is None else None

        def made() -> Mapping[str, Any]:
            policies, then = s.config.policies, moment.past
            try:
                found = (
                    why(s.facts, number, told, policies, at)
                    if told
                    else why_then(s.facts, number, policies, then or at)
                )
                return public_view(found)
            except PatchNotFoundError as error:
                known = (
                    "Neither the tracker nor the record knows"
                    if told
                    else f"at: at {at_text[:40]!r} the record did not know"
                )
                raise HTTPException(404, f"{known} patch {number}.") from error

        return live.name_of(records, repr(told), text, repr(moment.past)), made, moment

    def page_of(number: str, content: Mapping[str, Any], moment: _Moment) -> Mapping[str, Any]:
        events = timeline(services().facts.standing(names_of(services().facts, int(number))).values())
        return {**_view(content, moment.read_at), "past": moment.past, "moments": stops(e.at for e in events)}

    @api.get("/patches/{number}")
    def patch_page(number: str, request: Request, at: str = "") -> Response:
        """Why a patch is still where it is, or was at a moment."""
        name, made, moment = asked(request, number, at)
        place = f"patches/{number}"
        return live.own_page(request, name, "patch.html", place, lambda: page_of(number, made(), moment))

    @api.get("/api/v1/patches/{number}")
    def patch_data(number: str, request: Request, at: str = "") -> Response:
        """Why a patch is still where it is, or was at a moment: every condition between it and production."""
        name, made, _ = asked(request, number, at)
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
