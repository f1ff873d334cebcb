"""What people decide on a pilot beside Airflow's forms: a VO takes part, a meeting moves, software is justified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from pps.activities.pilots import kick_off as pilot_kick_off
from pps.activities.pilots import meetings as pilot_meetings
from pps.activities.pilots import screening as pilot_screening
from pps.activities.pilots import set_up as pilot_setup
from pps.activities.pilots import wrap_up as pilot_wrap_up
from pps.domain.base.durations import parse_moment
from pps.domain.people import questions
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.domain.record.rollouts import Rollout
from pps.services import Services
from pps.web.doors import Body, Name, Reason, WebDoor

#: Meeting -> the question for its outcome, and what it is about.
_MEETINGS = {
    pilot_meetings.KICK_OFF: (pilot_kick_off.STEP, pilot_kick_off.AGENDA),
    pilot_meetings.WRAP_UP: (pilot_wrap_up.STEP, pilot_wrap_up.AGENDA),
}


class InterestBody(Body):
    """A VO wants to take part."""

    vo: Name
    text: Annotated[str, Field(max_length=2 * pilot_screening.LONGEST_INTEREST)]


class MoveBody(Body):
    """Another date for a meeting."""

    to: Annotated[str, Field(max_length=64)]
    """when it begins: date, time and zone"""
    reason: Reason = ""


class JustificationBody(Body):
    """Why software that is not certified is used."""

    reason: Reason


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """The routes; `current_user` is the dependency that `create_app` was given."""
    api, door = APIRouter(prefix="/api/v1"), WebDoor(services, now)

    @api.post("/rollouts/{name}/interest")
    async def interest(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Say that a VO takes part in a major pilot (SD 4.1.3, 2)."""

        def act(s: Services, record: Rollout, body: InterestBody, who: str, mine: frozenset[str], at: datetime) -> Fact:
            vos = {vo.name: vo.representatives for vo in s.config.people.vos}
            to = s.coordination.address
            return pilot_screening.show_interest(
                record, s.facts, s.templates, body.vo, body.text, who, mine, vos, to, at
            )

        return await door.answered(request, InterestBody, name, user, act, lambda fact: {"vo": fact.subject})

    @api.post("/rollouts/{name}/meetings/{what}")
    async def move(name: str, what: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Move the kick-off or the wrap-up in everybody's calendar (SD 4.1.3, 4 and 10)."""
        if what not in _MEETINGS:
            raise HTTPException(404, f"A pilot has these meetings: {', '.join(_MEETINGS)}.")
        step, agenda = _MEETINGS[what]

        def act(s: Services, record: Rollout, body: MoveBody, who: str, mine: frozenset[str], at: datetime) -> Fact:
            try:
                starts = parse_moment(body.to)
            except ValueError as error:
                raise HTTPException(422, f"to: {error}") from error
            asked = questions.question(record, step, Role.PPS_COORDINATOR)
            return pilot_meetings.move_meeting(
                record,
                s.facts,
                what,
                starts,
                body.reason,
                who,
                mine,
                lambda: s.participants(record, what),
                agenda,
                asked.due if asked else None,
                s.templates,
                organizer=s.config.service.reply_to,
                public_url=s.config.service.public_url,
                now=at,
            )

        return await door.answered(request, MoveBody, name, user, act, _meeting)

    @api.post("/rollouts/{name}/justification")
    async def justify(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Put on record why a pilot runs software that is not certified (SD 4.1.3, "General policies")."""

        def act(
            s: Services, record: Rollout, body: JustificationBody, who: str, mine: frozenset[str], at: datetime
        ) -> Fact:
            patch = s.tracker.patch(record.patch_number)
            return pilot_setup.justify_software(record, s.facts, patch, body.reason, who, mine, at)

        return await door.answered(
            request, JustificationBody, name, user, act, lambda fact: {"reason": fact.payload["reason"]}
        )

    return api


def _meeting(fact: Fact) -> Mapping[str, Any]:
    return {"meeting": fact.occasion.partition("/")[0], "starts": fact.payload["starts"]}
