"""Sites' answers to a release test that come too late (SD 4.2.3): they are kept and shown, and decide nothing.

Airflow's own form takes an answer only while its task waits. Whoever was asked may answer here from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pps.activities.quality import release_answers
from pps.domain.base.names import is_name
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.people.roles import identities
from pps.domain.quality.release_tests import STEP
from pps.services import Services
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.public import rollout_or_404
from pps.workflow.desk import FrontOffice

Text = Annotated[str, Field(max_length=10_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AnswerForm(_Body):
    """The fields of Airflow's form."""

    services: Text | None = None
    report: Text | None = None


class AnswerBody(_Body):
    """What one answer consists of."""

    step: Literal["release-test"]
    subject: Annotated[str, Field(max_length=64)]
    """the site"""
    choice: Annotated[str, Field(max_length=40)]
    form: AnswerForm = AnswerForm()


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """The route; `current_user` is the dependency that `create_app` was given."""
    api = APIRouter(prefix="/api/v1")

    def take(name: str, body: AnswerBody, user: str, mine: frozenset[str]) -> tuple[dict[str, Any], bool]:
        s, at = services(), now()
        record = rollout_or_404(s.facts, name)
        asked = questions.question(record, STEP, body.subject) if is_name(body.subject) else None
        if asked is None:
            raise HTTPException(404, "Nobody has asked this site.")
        if not mine & set(asked.assigned_to):
            raise HTTPException(403, f"You were not asked for {body.subject}; its administrators in sites.yaml are.")
        activity = s.config.activity(release_answers.ACTIVITY)
        form = body.form.model_dump()
        answer = release_answers.keep_late_answer(
            FrontOffice.of(s, lambda: at, f"user {user}").desk(record),
            body.subject,
            Given(body.choice, form, user, at),
            activity,
        )
        said = {"rollout": name, "site": body.subject, "choice": answer.choice, "user": user, "late": answer.late}
        # an answer that was on record already carries the time of its first arrival
        return {**said, "counts": False, "at": answer.at.isoformat()}, answer.at == at

    @api.post("/rollouts/{name}/answers")
    async def give(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Keep a late answer: 201 if it is new, 200 if it was here before; 409 while Airflow's form is open."""
        check_origin(request, services().config.service.public_url)
        check_type(request, "application/json")
        body = _checked(strict_json(await read_text(request)))
        known_as = user.get_name()
        mine = identities(user.get_id(), known_as, (role.name for role in getattr(user, "roles", ())))
        said, new = await run_in_threadpool(take, name, body, known_as, mine)
        return JSONResponse(said, 201 if new else 200)

    return api


def _checked(data: Any) -> AnswerBody:
    try:
        return AnswerBody.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise HTTPException(
            422, "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:5])
        ) from error
