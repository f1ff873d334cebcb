"""How products do, for programs; the rules are those of the pages (`web.quality`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field

from pps.activities.quality.measures import Ledger, Period
from pps.domain.record.facts import Fact
from pps.services import Services
from pps.web.closed import masked
from pps.web.doors import Body, Name, Reason, checked
from pps.web.forms import Person
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.quality import Quality

_Key = Annotated[str, Field(max_length=40)]


class TargetBody(Body):
    """A target that is set, or lifted."""

    measure: _Key
    """e.g. `time-to-production`"""
    target: float | None
    """in the measure's unit; null lifts it"""
    reason: Reason


class ActionBody(Body):
    """Something that somebody is to do."""

    text: Reason
    owner: Name
    """user name"""
    due: Annotated[str, Field(max_length=10)]
    """day, e.g. `2026-03-01`"""
    measure: _Key = ""


class ActionEndBody(Body):
    """How an action ended."""

    done: bool
    text: Reason
    """what was done, or why it will not be"""


class ReviewBody(Body):
    """The conclusion of a review; the numbers are put beside it."""

    text: Reason


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime], ledger: Ledger
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, quality = APIRouter(prefix="/api/v1/quality"), Quality(services, now, ledger)

    async def said(
        request: Request, kind: type[Any], product: str, user: Any, act: Callable[[Person, Any], Fact]
    ) -> JSONResponse:
        """201 for what is new, 200 for what was on record already."""
        check_origin(request, services().config.service.public_url)
        check_type(request, "application/json")
        body, person = checked(kind, strict_json(await read_text(request))), Person.of(user)

        def work() -> tuple[Fact, bool]:
            quality.product(product, person)
            before = now()
            fact = act(person, body)
            return fact, fact.at >= before

        fact, new = await run_in_threadpool(work)
        about = {"product": product, "kind": fact.kind.value, "number": int(fact.occasion), "new": new}
        return JSONResponse({**about, "at": fact.at.isoformat(), "user": fact.payload["user"]}, 201 if new else 200)

    @api.get("")
    def all_data(
        since: str = "",
        until: str = "",
        provider: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> Any:
        """Every product that whoever asks may see, in a period (all time without one), and by provider."""
        found = quality.all(Person.of(user), Period.read(since, until), provider.strip())
        return masked({"format": 1, **found})

    @api.get("/{product}")
    def product_data(
        product: str,
        since: str = "",
        until: str = "",
        user: Any = Depends(current_user),  # noqa: B008
    ) -> Any:
        """One product: its measures beside their targets, its last releases or those of a period, actions, reviews."""
        quality.product(product, Person.of(user))
        return masked({"format": 1, **quality.of(product, Period.read(since, until))[2]})

    @api.get("/{product}/releases/{patch}")
    def release_data(product: str, patch: int, user: Any = Depends(current_user)) -> Any:  # noqa: B008
        """One release: each number with the facts that it counts."""
        quality.product(product, Person.of(user))
        return masked({"format": 1, **quality.release(product, patch)})

    @api.get("/{product}/reviews/{number}")
    def review_data(product: str, number: int, user: Any = Depends(current_user)) -> Any:  # noqa: B008
        """One review, with the numbers as they were."""
        quality.product(product, Person.of(user))
        return masked({"format": 1, **quality.review(product, number)})

    @api.post("/{product}/targets")
    async def set_target(product: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Set a target, or lift it."""

        def act(person: Person, body: TargetBody) -> Fact:
            return quality.set_target(person, product, body.measure, body.target, body.reason)

        return await said(request, TargetBody, product, user, act)

    @api.post("/{product}/actions")
    async def agree(product: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Agree on something that somebody is to do."""

        def act(person: Person, body: ActionBody) -> Fact:
            return quality.agree(person, product, body.text, body.owner, body.due, body.measure)

        return await said(request, ActionBody, product, user, act)

    @api.post("/{product}/actions/{number}")
    async def end(product: str, number: int, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Say that an action was done, or will not be."""

        def act(person: Person, body: ActionEndBody) -> Fact:
            return quality.end(person, product, number, body.text, done=body.done)

        return await said(request, ActionEndBody, product, user, act)

    @api.post("/{product}/reviews")
    async def review(product: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Hold a review: the numbers of now are kept, with a conclusion."""

        def act(person: Person, body: ReviewBody) -> Fact:
            return quality.hold_review(person, product, body.text)

        return await said(request, ReviewBody, product, user, act)

    return api
