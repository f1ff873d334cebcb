"""What people say of a running pilot, beside Airflow's forms: journal, roll-back, success (SD 4.1.3, 8).

Airflow says who calls; the registry and the roles say whether they may speak for a site.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from pps.activities.pilots import journal
from pps.activities.pilots import roll_back as pilot_roll_back
from pps.domain.record.facts import Fact
from pps.services import Services
from pps.web.doors import Body, Name, Reason, WebDoor, site_of
from pps.workflow.desk import FrontDesk


class EntryBody(Body):
    """One entry of the journal."""

    site: Name
    text: Annotated[str, Field(max_length=journal.LONGEST_TEXT)]
    call_expert: bool = False
    """the provider of the packages gets a copy: service experts join on request"""


class RollBackBody(Body):
    """A roll-back that is asked for."""

    site: Name
    reason: Reason


class SuccessBody(Body):
    """The run ends before its time."""

    reason: Reason


def log_at(d: FrontDesk, body: EntryBody, who: str, mine: Collection[str]) -> Fact:
    """Keep an entry for a site, and send it to the support list."""
    expert = d.patch.provider if body.call_expert else ""
    if body.call_expert and not expert:
        raise HTTPException(409, "The patch names no provider; write to the support list, which calls an expert.")
    to = [d.config.service.reply_to, *([expert] if expert else [])]
    return journal.log_entry(d, site_of(d, body.site), body.text, who, mine, to)


def roll_back_at(d: FrontDesk, body: RollBackBody, who: str, mine: Collection[str]) -> Fact:
    """Ask a site to take its pilot service back."""
    site, support = site_of(d, body.site), d.config.service.reply_to
    return pilot_roll_back.ask_roll_back(d, site, body.reason, who, mine, support)


def success_at(d: FrontDesk, body: SuccessBody, who: str, mine: Collection[str]) -> Fact:
    """End the run before its time."""
    return journal.declare_success(d, body.reason, who, mine)


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """The routes; `current_user` is the dependency that `create_app` was given."""
    api, door = APIRouter(prefix="/api/v1"), WebDoor(services, now)

    @api.post("/rollouts/{name}/journal")
    async def log(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Keep an entry for a site, and send it to the support list."""
        return await door.answered(request, EntryBody, name, user, log_at)

    @api.post("/rollouts/{name}/roll-back")
    async def roll_back(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Ask a site to take its pilot service back."""
        return await door.answered(request, RollBackBody, name, user, roll_back_at)

    @api.post("/rollouts/{name}/success")
    async def success(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """End the run before its time."""
        return await door.answered(request, SuccessBody, name, user, success_at)

    return api
