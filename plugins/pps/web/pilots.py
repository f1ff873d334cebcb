"""A pilot for those who have a part in it: steps, people, dates, probes, what it waits for, and what they can say.

It is the page of a rollout whose path is a pilot; so it is in the tabs of Airflow, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.background import BackgroundTask

from pps.activities.pilots.standing import Addresses, view
from pps.domain.base.errors import RolloutError
from pps.domain.pilots.lanes import LaneState
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.rollouts import PILOTS, Rollout
from pps.services import Services
from pps.web import pilot_forms
from pps.web.closed import masked
from pps.web.doors import WebDoor
from pps.web.drawing.lanes import Scale
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.public import rollout_or_404
from pps.web.shell import page
from pps.web.tasks import page_of

_NEWEST = 40
"""entries of the journal"""
_ROWS = 200
"""intervals in the table beside the graph; all are in the JSON"""
#: A word has room below a part of a lane that is so wide, in per cent, also on a telephone.
_ROOM = 18


@dataclass(frozen=True, slots=True)
class Moment:
    """When a pilot is looked at."""

    now: datetime
    past: datetime | None = None
    """the moment that is shown; None: now"""
    moments: Sequence[str] = ()
    """between which something has changed, for whoever goes through its past"""


def standing(services: Services, record: Rollout, now: datetime) -> Mapping[str, Any]:
    """What is to be said of a pilot, without addresses."""
    addresses = Addresses(services.config.service.public_url, services.mirror_url)
    criteria = services.config.policies.pilots.criteria
    found: Mapping[str, Any] = masked(view(services.facts, record, criteria, addresses, now))
    return found


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, door = APIRouter(), WebDoor(services, now)

    @api.post("/rollouts/{name}/pilot")
    async def say(name: str, request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Do what one of the page's forms says; what cannot be done comes back with the reason, and what was typed."""
        person, typed = Person.of(user), dict[str, str]()

        def work() -> None:
            office = office_of(services(), person, now())
            pilot_forms.done(office.desk(rollout_or_404(office.facts, name)), typed, person)

        try:
            typed = await sent_form(request, services())
            await run_in_threadpool(work)
        except (HTTPException, RolloutError) as error:
            record = await run_in_threadpool(rollout_or_404, services().facts, name)
            if record.path not in PILOTS:
                raise
            status, why = status_and_reason(error)
            answer = await run_in_threadpool(
                shown, services(), record, f"rollouts/{name}/pilot", person, Moment(now()), why=why, typed=typed
            )
            answer.status_code = status
            return answer
        to = f"{request.scope.get('root_path', '')}/rollouts/{name}#{pilot_forms.SEEN_AT[typed['do']]}"
        return RedirectResponse(to, 303, background=BackgroundTask(door.send))

    @api.get("/rollouts/{name}/pilot")
    def page_of_forms(name: str, request: Request) -> Response:
        """Where a form was refused; whoever loads its address again is led to the page."""
        record = rollout_or_404(services().facts, name)
        return RedirectResponse(f"{request.scope.get('root_path', '')}/rollouts/{record.name}", 303)

    @api.get("/api/v1/pilots/{name}")
    def data(name: str) -> Response:
        """What the page shows, for programs; as `pps pilot show --json` has it, without addresses."""
        record = rollout_or_404(services().facts, name)
        if record.path not in PILOTS:
            raise HTTPException(404, "This rollout is no pilot.")
        said = json.dumps(standing(services(), record, now()), ensure_ascii=False, default=datetime.isoformat)
        return Response(said, media_type="application/json")

    return api


def shown(
    services: Services,
    record: Rollout,
    place: str,
    person: Person,
    moment: Moment,
    *,
    why: str = "",
    typed: Mapping[str, str] = MappingProxyType({}),
) -> HTMLResponse:
    """The page as it is now, or was at a moment.

    Args:
        record: with the facts of then.
        why: why something that was asked for is not done.
        typed: what was sent with it.
    """
    at, past = moment.past or moment.now, moment.past
    opened, about = record.opened, standing(services, record, at)
    journal = about["journal"]
    forms = [] if past else pilot_forms.offered(Pilot(record), services.config, person, typed)
    return page(
        services.templates,
        "pilot.html",
        {
            **about,
            "software": f"{opened.get('metapackage', '')} {opened.get('version', '')}".strip() or record.name,
            "title": masked(str(opened.get("title", ""))),
            "run": masked(str(opened.get("run", ""))),
            "questions": [_question(q, person, at) for q in about["questions"]],
            "dates": _dates(about, at),
            "drawn": _drawn(about["graph"]),
            "journal": journal[::-1][:_NEWEST],
            "older": max(0, len(journal) - _NEWEST),
            "report_files": {site: link.partition("/pps/")[2] for site, link in about["reports"].items()},
            "rollout": record.name,
            "read_at": at,
            "past": past,
            "moments": moment.moments,
            "forms": forms,
            "refused": typed.get("do", "") if any(form.do == typed.get("do") for form in forms) else "",
            "why": why,
        },
        place,
    )


def _question(asked: Mapping[str, Any], person: Person, now: datetime) -> dict[str, Any]:
    return {
        **asked,
        "title": asked["what"] or f"{asked['step']}: {asked['who']}",
        "page": page_of(asked["link"]),
        "mine": bool(person.identities & set(asked["assigned_to"])),
        "whose": [who.partition(":")[2] for who in asked["assigned_to"]] or [asked["who"]],
        "late": now > asked["due"],
    }


def _dates(about: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """What was agreed, in the order of time."""
    agreed = about["agreed"] or {}
    known = [
        *((f"{m['meeting']} meeting{' (moved)' if m['moved'] else ''}", m["starts"]) for m in about["meetings"]),
        ("set up until", agreed.get("set_up_until")),
        ("runs since", about["running_since"]),
        ("runs until", about["runs_until"]),
        ("feedback until", agreed.get("feedback_until") if agreed.get("vos") else None),
    ]
    dates = [{"what": what, "at": at, "past": at < now} for what, at in known if at]
    return sorted(dates, key=lambda date: date["at"])


def _drawn(graph: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The graph with places on the line, and its twin for those who do not see it."""
    if graph is None:
        return None
    scale = Scale(graph["begin"], graph["end"])
    lanes, rows = [], []
    for lane in graph["lanes"]:
        parts = lane["intervals"]
        spans = scale.spans((part["begin"], part["end"]) for part in parts)
        marks = [{**told, "x": scale.x(told["began"])} for told in lane["incidents"]]
        bars = [
            {**part, **asdict(span), "worded": span.width >= _ROOM} for part, span in zip(parts, spans, strict=True)
        ]
        lanes.append({"site": lane["site"], "bars": bars, "marks": marks})
        began = {told["began"] for told in lane["incidents"]}
        rows += [{**part, "site": lane["site"], "incident": part["begin"] in began} for part in parts]
    rows = [row for row in rows if row["state"] != LaneState.TO_COME]
    oldest = sorted(row["begin"] for row in rows)[-_ROWS:][:1]
    kept = [row for row in rows if row["begin"] >= oldest[0]] if oldest else []
    return {
        **graph,
        "lanes": lanes,
        "ticks": [asdict(tick) for tick in scale.ticks()],
        "now": scale.x(graph["seen_until"]) if graph["seen_until"] < graph["end"] else None,
        "rows": kept,
        "left_out": len(rows) - len(kept),
    }
