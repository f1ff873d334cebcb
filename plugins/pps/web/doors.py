"""How a closed door takes what people say: Airflow says who calls, the activities say what they may say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.background import BackgroundTask

from pps.activities.packages.embargo import whole
from pps.activities.people.outbox import empty_outbox
from pps.domain.base.errors import RolloutError
from pps.domain.record.facts import Fact
from pps.domain.sites.site import Site
from pps.services import Services
from pps.web.forms import Person, office_of
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.public import rollout_or_404
from pps.workflow.desk import FrontDesk

log = logging.getLogger(__name__)

Reason = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=64)]


class Body(BaseModel):
    """What is said: exactly these fields, as JSON of exactly these types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


B = TypeVar("B", bound=Body)
M = TypeVar("M", bound=BaseModel)


def site_of(d: FrontDesk, name: str) -> Site:
    """A site of the registry; 404 otherwise."""
    if (site := d.site(name)) is None:
        raise HTTPException(404, "The site registry has no such site.")
    return site


def _about_site(fact: Fact) -> Mapping[str, Any]:
    return {"site": fact.subject}


@dataclass(frozen=True, slots=True)
class WebDoor:
    """Checks request and body, lets an activity act, and answers with the fact that stands."""

    services: Callable[[], Services]
    now: Callable[[], datetime]

    async def answered(
        self,
        request: Request,
        kind: type[B],
        name: str,
        user: Any,
        act: Callable[..., Fact],
        said: Callable[[Fact], Mapping[str, Any]] = _about_site,
    ) -> JSONResponse:
        """201 for what is new, 200 for what was on record already.

        Args:
            act: called with the desk, body, user name, and all identities.
            said: what the answer says of the fact, beside rollout, time, user, and whether it is new.
        """
        check_origin(request, self.services().config.service.public_url)
        check_type(request, "application/json")
        body = checked(kind, strict_json(await read_text(request)))
        person, at = Person.of(user), self.now()

        def work() -> Fact:
            office = office_of(self.services(), person, at)
            return act(office.desk(rollout_or_404(office.facts, name)), body, person.name, person.identities)

        fact = await run_in_threadpool(work)
        known = {"rollout": name, **said(fact), "at": fact.at.isoformat(), "user": fact.payload.get("user", "")}
        new = fact.at == at
        # people hear of it now: while a pilot waits for an answer, nothing else may send for an hour
        sending = BackgroundTask(self.send) if new else None
        return JSONResponse({**known, "new": new}, 201 if new else 200, background=sending)

    def send(self) -> None:
        """Send what waits in the outbox; what cannot be sent now stays in it."""
        s = self.services()
        try:
            empty_outbox(whole(s.facts), s.mailer, self.now, channels=s.channels, insiders=s.insiders)
        except RolloutError as error:  # the hourly sweep sends them
            log.warning("Mails stay in the outbox: %s", error)


def checked(kind: type[M], data: Any) -> M:
    """What was said, if it is of this form; 422 otherwise."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise HTTPException(
            422, "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:5])
        ) from error
