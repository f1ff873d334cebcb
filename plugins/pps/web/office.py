"""What those in charge put on record beside Airflow's forms: a word against the program's, SAM tasks, candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field

from pps.activities.packages import mirroring, verdicts
from pps.activities.packages.verdicts import standing_verdict
from pps.activities.pilots import screening
from pps.activities.quality import sam_tasks
from pps.activities.quality.sam_tasks import SamTask
from pps.domain.base.errors import PatchNotFoundError
from pps.domain.clients.updates import ClientVerdict
from pps.domain.people.roles import Role
from pps.services import Services
from pps.web.doors import B, Body, Name, Reason, checked
from pps.web.forms import Person, office_of
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.public import rollout_or_404
from pps.workflow.desk import FrontOffice

_COORDINATION = (Role.PPS_COORDINATOR, Role.RELEASE_MANAGER)
Names = Annotated[list[Name], Field(max_length=200)]


class OverrulingBody(Body):
    """The Release Manager's verdict on a patch, against the program's."""

    verdict: Annotated[ClientVerdict, Field(strict=False)]
    reason: Reason


class SamTaskBody(Body):
    """A task for the monitoring, and who does it."""

    task: Name
    """its key in activities.yaml"""
    user: Name
    what: Annotated[str, Field(max_length=300)] = ""
    week: Annotated[str, Field(max_length=8)] = ""


class SamDoneBody(Body):
    """What was done."""

    text: Reason


class NoMirrorBody(Body):
    """Why a pilot needs no mirror."""

    reason: Reason


class CandidatesBody(Body):
    """Who volunteers, and who is in downtime, when the sites of a pilot are ranked."""

    volunteers: Names = Field(default_factory=list)
    in_downtime: Names = Field(default_factory=list)


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter(prefix="/api/v1")

    async def said(
        request: Request,
        kind: type[B],
        user: Any,
        allowed: Sequence[Role],
        what: str,
        act: Callable[[FrontOffice, Person, B], tuple[dict[str, Any], bool]],
    ) -> JSONResponse:
        """201 for what is new, 200 for what was on record already; 403 for those who are not `allowed` (all: empty)."""
        s = services()
        check_origin(request, s.config.service.public_url)
        check_type(request, "application/json")
        body, person = checked(kind, strict_json(await read_text(request))), Person.of(user)
        if allowed and not person.holds(*allowed):
            raise HTTPException(403, f"Only the {' and the '.join(allowed)} may {what}.")
        answer, new = await run_in_threadpool(lambda: act(office_of(s, person, now()), person, body))
        return JSONResponse({**answer, "new": new}, 201 if new else 200)

    @api.post("/patches/{number}/overruling")
    async def overruling(number: int, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Overrule how a patch was classified (SD 4.1.1, 4.1.2); it will stand in the release notes."""

        def act(office: FrontOffice, _: Person, body: OverrulingBody) -> tuple[dict[str, Any], bool]:
            try:
                patch = office.services.patch(number)
            except PatchNotFoundError as error:
                raise HTTPException(404, f"patch {number} {error.why}") from error
            new = verdicts.overrule(office, patch, body.verdict, body.reason)
            standing = standing_verdict(office.facts.dossier(number))
            return {"patch": number, "verdict": str(standing.verdict), "reason": standing.reason}, bool(new)

        return await said(request, OverrulingBody, user, (Role.RELEASE_MANAGER,), "overrule the program", act)

    @api.post("/sam-tasks")
    async def assign(request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Assign a task for the monitoring (SD 4.2.2) to somebody; the same one twice counts once."""

        def act(office: FrontOffice, person: Person, body: SamTaskBody) -> tuple[dict[str, Any], bool]:
            known = {task.number for task in sam_tasks.tasks(office.facts)}
            found = sam_tasks.assign(
                office.facts,
                office.config.activities,
                body.task,
                body.user,
                person.name,
                office.now,
                what=body.what,
                week=body.week,
            )
            return _task(found), found.number not in known

        return await said(request, SamTaskBody, user, _COORDINATION, "assign tasks", act)

    @api.post("/sam-tasks/{number}/done")
    async def done(number: int, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Say that a task is done: by whoever it is assigned to, who is credited once."""

        def act(office: FrontOffice, person: Person, body: SamDoneBody) -> tuple[dict[str, Any], bool]:
            activities = office.config.activities
            found, new = sam_tasks.done(office.facts, activities, number, person.name, body.text, office.now)
            return _task(found), new

        return await said(request, SamDoneBody, user, (), "", act)

    @api.post("/rollouts/{name}/no-mirror")
    async def no_mirror(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Put on record why a pilot needs no mirror (SD 4.1.3, 6)."""

        def act(office: FrontOffice, _: Person, body: NoMirrorBody) -> tuple[dict[str, Any], bool]:
            fact = mirroring.skip_mirror(office.desk(rollout_or_404(office.facts, name)), body.reason)
            return {"rollout": name, "reason": fact.payload["skipped"]}, fact.at == office.now

        return await said(request, NoMirrorBody, user, _COORDINATION, "decide that a pilot needs no mirror", act)

    @api.post("/rollouts/{name}/candidates")
    async def candidates(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Rank the sites that could run a pilot, and put the ranking on record (SD 4.1.3, 2)."""

        def act(office: FrontOffice, _: Person, body: CandidatesBody) -> tuple[dict[str, Any], bool]:
            desk = office.desk(rollout_or_404(office.facts, name))
            for site in (*body.volunteers, *body.in_downtime):
                if desk.site(site) is None:
                    raise HTTPException(422, f"The site registry has no site {site!r}.")
            before = len(desk.rollout.facts)
            ranking = screening.rank_candidates(
                desk,
                office.config.sites.values(),
                office.policies.pilots.open_pilots_at_most,
                volunteers=body.volunteers,
                in_downtime=body.in_downtime,
            )
            found = {"candidates": [asdict(c) for c in ranking.candidates], "excluded": dict(ranking.excluded)}
            return {"rollout": name, **found}, len(desk.look_again().facts) > before

        return await said(request, CandidatesBody, user, _COORDINATION, "rank the sites of a pilot", act)

    return api


def _task(task: SamTask) -> dict[str, Any]:
    return {
        **asdict(task),
        "assigned_at": task.assigned_at.isoformat(),
        "done_at": task.done_at.isoformat() if task.done_at else None,
    }
