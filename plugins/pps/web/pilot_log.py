"""What people say of a running pilot, beside Airflow's forms: journal, roll-back, success (SD 4.1.3, 8).

Airflow says who calls; the registry and the roles say whether they may speak for a site.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pps.activities import pilot_journal, pilot_roll_back
from pps.domain.facts import Fact
from pps.domain.roles import identities
from pps.domain.rollouts import Rollout
from pps.domain.sites import Site
from pps.services import Services
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.public import rollout_or_404

_SiteName = Annotated[str, Field(max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EntryBody(_Body):
    """One entry of the journal."""

    site: _SiteName
    text: Annotated[str, Field(max_length=pilot_journal.LONGEST_TEXT)]
    call_expert: bool = False
    """the provider of the packages gets a copy: service experts join on request"""


class RollBackBody(_Body):
    """A roll-back that is asked for."""

    site: _SiteName
    reason: Annotated[str, Field(max_length=2000)]


class SuccessBody(_Body):
    """The run ends before its time."""

    reason: Annotated[str, Field(max_length=2000)]


_B = TypeVar("_B", bound=_Body)


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """The routes; `current_user` is the dependency that `create_app` was given."""
    api = APIRouter(prefix="/api/v1")

    def site_of(s: Services, name: str) -> Site:
        if name not in s.config.sites:
            raise HTTPException(404, "The site registry has no such site.")
        return s.config.sites[name]

    async def answered(
        request: Request, kind: type[_B], name: str, user: Any, act: Callable[..., Fact]
    ) -> JSONResponse:
        """201 for what is new, 200 for what was on record already."""
        check_origin(request, services().config.service.public_url)
        check_type(request, "application/json")
        body = _checked(kind, strict_json(await read_text(request)))
        who = user.get_name()
        mine = identities(user.get_id(), who, (role.name for role in getattr(user, "roles", ())))
        at = now()

        def work() -> Fact:
            s = services()
            return act(s, rollout_or_404(s.facts, name), body, who, mine, at)

        fact = await run_in_threadpool(work)
        said = {"rollout": name, "site": fact.subject, "at": fact.at.isoformat(), "user": fact.payload.get("user", "")}
        new = fact.at == at
        return JSONResponse({**said, "new": new}, 201 if new else 200)

    @api.post("/rollouts/{name}/journal")
    async def log(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Keep an entry for a site, and send it to the support list."""

        def act(s: Services, record: Rollout, body: EntryBody, who: str, mine: frozenset[str], at: datetime) -> Fact:
            expert = s.tracker.patch(record.patch_number).provider if body.call_expert else ""
            if body.call_expert and not expert:
                raise HTTPException(409, "The patch names no provider; write to the support list, it calls an expert.")
            to = [s.config.service.reply_to, *([expert] if expert else [])]
            site = site_of(s, body.site)
            return pilot_journal.log_entry(record, s.facts, s.templates, site, body.text, who, mine, to, at)

        return await answered(request, EntryBody, name, user, act)

    @api.post("/rollouts/{name}/roll-back")
    async def roll_back(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Ask a site to take its pilot service back."""

        def act(s: Services, record: Rollout, body: RollBackBody, who: str, mine: frozenset[str], at: datetime) -> Fact:
            site, support = site_of(s, body.site), s.config.service.reply_to
            return pilot_roll_back.ask_roll_back(
                record, s.facts, s.templates, site, body.reason, who, mine, support, at
            )

        return await answered(request, RollBackBody, name, user, act)

    @api.post("/rollouts/{name}/success")
    async def success(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """End the run before its time."""

        def act(s: Services, record: Rollout, body: SuccessBody, who: str, mine: frozenset[str], at: datetime) -> Fact:
            return pilot_journal.declare_success(record, s.facts, body.reason, who, mine, at)

        return await answered(request, SuccessBody, name, user, act)

    return api


def _checked(kind: type[_B], data: Any) -> _B:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise HTTPException(
            422, "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:5])
        ) from error
