"""What people decide on a pilot beside Airflow's forms: a VO takes part, a meeting moves, software is justified."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from pps.activities.pilots import kick_off, meetings, screening, set_up, wrap_up
from pps.domain.base.durations import parse_moment
from pps.domain.people import questions
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.services import Services
from pps.web.doors import Body, Name, Reason, WebDoor
from pps.workflow.desk import FrontDesk
from pps.workflow.pilots.meetings import participants

#: Meeting -> the question for its outcome, and what it is about.
MEETINGS = {
    meetings.KICK_OFF: (kick_off.STEP, kick_off.AGENDA),
    meetings.WRAP_UP: (wrap_up.STEP, wrap_up.AGENDA),
}


class InterestBody(Body):
    """A VO wants to take part."""

    vo: Name
    text: Annotated[str, Field(max_length=2 * screening.LONGEST_INTEREST)]


class MoveBody(Body):
    """Another date for a meeting."""

    to: Annotated[str, Field(max_length=64)]
    """when it begins: date, time and zone"""
    reason: Reason = ""


class JustificationBody(Body):
    """Why software that is not certified is used."""

    reason: Reason


def interest_at(d: FrontDesk, body: InterestBody, who: str, mine: Collection[str]) -> Fact:
    """Say that a VO takes part in a major pilot (SD 4.1.3, 2)."""
    vos = {vo.name: vo.representatives for vo in d.config.people.vos}
    return screening.show_interest(d, body.vo, body.text, who, mine, vos, d.services.coordination.address)


def move_at(d: FrontDesk, what: str, body: MoveBody, who: str, mine: Collection[str]) -> Fact:
    """Move one of `MEETINGS` in everybody's calendar (SD 4.1.3, 4 and 10)."""
    try:
        starts = parse_moment(body.to)
    except ValueError as error:
        raise HTTPException(422, f"to: {error}") from error
    step, agenda = MEETINGS[what]
    asked = questions.question(d.rollout, step, Role.PPS_COORDINATOR)
    host = meetings.Host(d.config.service.reply_to, d.config.service.public_url)
    why = meetings.Move(body.reason, who, mine)
    due = asked.due if asked else None
    return meetings.move_meeting(d, what, starts, why, lambda: participants(d, what), agenda, host, due=due)


def justify_at(d: FrontDesk, body: JustificationBody, who: str, mine: Collection[str]) -> Fact:
    """Put on record why a pilot runs software that is not certified (SD 4.1.3, "General policies")."""
    return set_up.justify_software(d, body.reason, who, mine)


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """The routes; `current_user` is the dependency that `create_app` was given."""
    api, door = APIRouter(prefix="/api/v1"), WebDoor(services, now)

    @api.post("/rollouts/{name}/interest")
    async def interest(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Say that a VO takes part in a major pilot (SD 4.1.3, 2)."""
        return await door.answered(request, InterestBody, name, user, interest_at, lambda fact: {"vo": fact.subject})

    @api.post("/rollouts/{name}/meetings/{what}")
    async def move(name: str, what: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Move the kick-off or the wrap-up in everybody's calendar (SD 4.1.3, 4 and 10)."""
        if what not in MEETINGS:
            raise HTTPException(404, f"A pilot has these meetings: {', '.join(MEETINGS)}.")

        def act(d: FrontDesk, body: MoveBody, who: str, mine: frozenset[str]) -> Fact:
            return move_at(d, what, body, who, mine)

        return await door.answered(request, MoveBody, name, user, act, _meeting)

    @api.post("/rollouts/{name}/justification")
    async def justify(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Put on record why a pilot runs software that is not certified (SD 4.1.3, "General policies")."""
        return await door.answered(
            request, JustificationBody, name, user, justify_at, lambda fact: {"reason": fact.payload["reason"]}
        )

    return api


def _meeting(fact: Fact) -> Mapping[str, Any]:
    return {"meeting": fact.occasion.partition("/")[0], "starts": fact.payload["starts"]}
