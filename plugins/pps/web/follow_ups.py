"""Feedback on one preview for those who work with it: all answers, and what those in charge say to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field

from pps.activities.people.follow_ups import LONGEST_TEXT
from pps.activities.people.said import feedback_view
from pps.domain.base.errors import RolloutError
from pps.domain.people.feedback import answers, summary
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact
from pps.services import Services
from pps.web.closed import masked
from pps.web.doors import Body, WebDoor
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.public import rollout_or_404
from pps.web.shell import page
from pps.workflow.desk import FrontDesk
from pps.workflow.release.follow_ups import Followed, follow_up


class FollowUpBody(Body):
    """What those in charge say to an answer."""

    text: Annotated[str, Field(max_length=2 * LONGEST_TEXT)]


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, door = APIRouter(), WebDoor(services, now)

    @api.post("/api/v1/rollouts/{name}/feedback/{answer}/follow-up")
    async def follow(name: str, answer: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Follow up an answer; it is published."""
        notes = ""

        def act(d: FrontDesk, body: FollowUpBody, who: str, mine: frozenset[str]) -> Fact:
            nonlocal notes
            followed = follow_up(d, answer, body.text, who, mine)
            notes = followed.notes
            return followed.fact

        def said(fact: Fact) -> Mapping[str, Any]:
            return {"vo": fact.subject, "text": fact.payload["text"], "release_notes": notes}

        return await door.answered(request, FollowUpBody, name, user, act, said)

    @api.get("/rollouts/{name}/feedback")
    def shown(name: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """What was said, with the texts; not who wrote it."""
        return _page(services(), name, Person.of(user))

    @api.post("/rollouts/{name}/feedback")
    async def send(name: str, request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Follow up an answer; what was typed comes back with the reason when it cannot be taken."""
        person, typed = Person.of(user), dict[str, str]()
        try:
            typed = await sent_form(request, services())
            office = office_of(services(), person, now())

            def act() -> Followed:
                record = rollout_or_404(services().facts, name)
                answer, text = typed.get("answer", ""), typed.get("text", "")
                return follow_up(office.desk(record), answer, text, person.name, person.identities)

            followed = await run_in_threadpool(act)
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            return await run_in_threadpool(_page, services(), name, person, typed, why, status)
        if followed.missing:
            return await run_in_threadpool(_page, services(), name, person, typed, followed.notes, 200)
        return RedirectResponse(f"{request.scope.get('root_path', '')}/rollouts/{quote(name)}/feedback", 303)

    return api


def _page(
    services: Services,
    name: str,
    person: Person,
    typed: Mapping[str, str] | None = None,
    why: str = "",
    status: int = 200,
) -> HTMLResponse:
    record = rollout_or_404(services.facts, name)
    said = summary(record)
    view = {
        "rollout": record.name,
        "answers": answers(record),
        "feedback": feedback_view(record),
        "silent": said.silent,
        "may_follow_up": person.holds(Role.RELEASE_MANAGER, Role.PPS_COORDINATOR),
        "typed": {"answer": "", "text": "", **(typed or {})},
        "why": masked(why),
        "longest": LONGEST_TEXT,
    }
    return page(services.templates, "rollout_feedback.html", view, f"rollouts/{name}/feedback", status=status)
