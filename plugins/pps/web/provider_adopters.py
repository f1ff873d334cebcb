"""Early adopters: slots are offered here, releases accepted with a date, and reported on.

Everybody who has signed in sees who tries what; each site and each VO speaks for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field

from pps.activities.packages.submission import all_releases
from pps.activities.packages.tracker_states import as_on_record
from pps.activities.people import adopters
from pps.activities.people.adopters import Speaker
from pps.domain.base.errors import RefusedError, RolloutError
from pps.domain.packages.patch import PatchState
from pps.domain.people.adopters import Adopters, Adoption, Outcome, Party, PartyKind, too_few
from pps.services import Services
from pps.web.closed import masked
from pps.web.doors import Body, checked
from pps.web.forms import Person, office_of, sent_form, status_and_reason
from pps.web.guards import check_origin, check_type, read_text, strict_json
from pps.web.shell import page
from pps.web.tracked import Tracked
from pps.workflow.why import GONE

_ENDED = (PatchState.IN_PRODUCTION, PatchState.REJECTED, PatchState.OBSOLETE)
_MOST = 50
"""releases that are shown, the newest first"""
_USUAL = timedelta(days=7)
"""the date that the form proposes"""


class Do(StrEnum):
    """What an early adopter can say. Part of addresses and of the CLI: never rename."""

    OFFER = "offer"
    ACCEPT = "accept"
    REPORT = "report"


class AdopterBody(Body):
    """What a site or a VO says as an early adopter; which fields count depends on what is said."""

    do: Annotated[Do, Field(strict=False)]
    party: Annotated[str, Field(max_length=80)]
    """`site:PIC`, `vo:atlas`"""
    product: Annotated[str, Field(max_length=64)] = ""
    slots: Annotated[int, Field(ge=0, le=99)] = 0
    patch: Annotated[int, Field(ge=0, lt=10**9)] = 0
    until: Annotated[str, Field(max_length=10)] = ""
    """a date, e.g. 2026-03-08"""
    outcome: Annotated[str, Field(max_length=10)] = ""
    """`works`, `problem`"""
    text: Annotated[str, Field(max_length=adopters.LONGEST_TEXT)] = ""


@dataclass(frozen=True)
class _Table:
    """What pages and programs have in common."""

    services: Callable[[], Services]
    now: Callable[[], datetime]
    tracked: Tracked

    def speaker(self, person: Person) -> Speaker:
        config = self.services().config
        vos = {vo.name: vo.representatives for vo in config.people.vos}
        return Speaker(person.name, person.identities, config.sites, vos)

    def products(self) -> list[str]:
        return sorted(product for p in self.services().config.providers for product in p.products)

    def releases(self) -> dict[int, tuple[str, str]]:
        """Patch -> product and version of each release that can be tried."""
        facts = self.services().facts
        newest = sorted(((r.patch, r) for r in all_releases(facts).values() if r.patch), key=lambda pair: -pair[0])
        told = {number: self.tracked.patch(number) for number, _ in newest[:_MOST]}
        patches = as_on_record(facts, *(t.patch for t in told.values() if t.patch))
        over = {p.number for p in patches if p.state in _ENDED} | {n for n, t in told.items() if t.note == GONE}
        return {number: (r.product, r.version) for number, r in newest[:_MOST] if number not in over}

    def done(self, person: Person, said: AdopterBody) -> None:
        """Do what was said, by the rules of the activity."""
        by, office = self.speaker(person), office_of(self.services(), person, self.now())
        try:
            party = Party.read(said.party)
        except ValueError as error:
            raise RefusedError("early adopter", ("party: site:<site> or vo:<VO> is wanted.",)) from error
        if said.do is Do.OFFER:
            adopters.offer(office, by, party, said.product, said.slots, self.products())
            return
        if said.do is Do.REPORT:
            if said.outcome not in set(Outcome):
                raise RefusedError("early adopter", (f"outcome: one of {', '.join(Outcome)} is wanted.",))
            adopters.report(office, by, party, said.patch, Outcome(said.outcome), said.text)
            return
        known = self.releases().get(said.patch)
        if known is None:
            raise RefusedError("early adopter", (f"Patch {said.patch} is no release that can be tried now.",))
        try:
            until = date.fromisoformat(said.until)
        except ValueError as error:
            raise RefusedError("early adopter", ("until: a date is wanted, e.g. 2026-03-08.",)) from error
        adopters.accept(office, by, party, said.patch, known[0], until)

    def view(self, person: Person) -> dict[str, Any]:
        """Everything, with what this person can do."""
        s, at = self.services(), self.now()
        now, mine = adopters.all_adopters(s.facts), self.speaker(person).parties
        at_least = s.config.policies.submission.adopters_at_least
        return {
            "format": 1,
            "at_least": at_least,
            "releases": [
                {
                    "patch": patch,
                    "product": product,
                    "version": version,
                    "too_few": too_few(now, patch, product, at_least, at.date()),
                    "adopters": [_adoption(a, at) for a in now.of_patch(patch)],
                    "could_take": [party.key for party in now.could_take(patch, product)],
                }
                for patch, (product, version) in self.releases().items()
            ],
            "offers": [
                {"party": party.key, "product": product, "slots": slots, "free": now.free(party, product)}
                for (party, product), slots in sorted(now.slots.items())
            ],
            "mine": [party.key for party in mine],
            "waiting": self._waiting(now, mine, at),
        }

    def _waiting(self, now: Adopters, mine: tuple[Party, ...], at: datetime) -> list[dict[str, Any]]:
        """Reports that these parties still owe, each with what is on record."""
        facts = self.services().facts
        open_ones = [a for a in now.adoptions if a.is_open and a.party in mine]
        return [{**_adoption(a, at), "seen": list(adopters.seen_of(facts, a.party, a.patch))} for a in open_ones]


def _adoption(adoption: Adoption, at: datetime) -> dict[str, Any]:
    return {
        "party": adoption.party.key,
        "patch": adoption.patch,
        "product": adoption.product,
        "until": adoption.until.isoformat(),
        "late": adoption.is_late(at.date()),
        "outcome": adoption.outcome.value if adoption.outcome else None,
        "text": adoption.text,
        "seen": list(adoption.seen),
    }


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime]
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, table = APIRouter(), _Table(services, now, Tracked(services))

    def shown(person: Person, typed: Mapping[str, str], why: str = "") -> HTMLResponse:
        at = now()
        view = {
            **masked(table.view(person)),
            "products": table.products(),
            "proposed": (at.date() + _USUAL).isoformat(),
            "typed": {**dict.fromkeys(AdopterBody.model_fields, ""), **typed},
            "why": why,
            "site": PartyKind.SITE.value,
            "read_at": at,
        }
        return page(services().templates, "provider_adopters.html", view, "provider/adopters")

    @api.get("/provider/adopters")
    def adopters_page(user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """Who tries which release early, and who could."""
        return shown(Person.of(user), {})

    @api.post("/provider/adopters")
    async def say(request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Offer, accept or report. What cannot be taken comes back with the reasons, and with what was typed."""
        person, typed = Person.of(user), dict[str, str]()
        try:
            typed = await sent_form(request, services())
            numbers = {n: int(typed[n]) for n in ("slots", "patch") if typed.get(n, "").isdecimal()}
            await run_in_threadpool(table.done, person, checked(AdopterBody, {**typed, **numbers}))
        except (HTTPException, RolloutError) as error:
            status, why = status_and_reason(error)
            answer = await run_in_threadpool(shown, person, typed, why)
            answer.status_code = status
            return answer
        return RedirectResponse(f"{request.scope.get('root_path', '')}/provider/adopters", 303)

    @api.get("/api/v1/provider/adopters")
    def adopters_data(user: Any = Depends(current_user)) -> dict[str, Any]:  # noqa: B008
        """Who tries which release early, who could, and what whoever asks may speak for."""
        found: dict[str, Any] = masked(table.view(Person.of(user)))
        return found

    @api.post("/api/v1/provider/adopters")
    async def say_by_program(request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Offer slots, accept a release with a date, or report on it; the answer is how it stands then."""
        check_origin(request, services().config.service.public_url)
        check_type(request, "application/json")
        said, person = checked(AdopterBody, strict_json(await read_text(request))), Person.of(user)
        await run_in_threadpool(table.done, person, said)
        return JSONResponse(await run_in_threadpool(lambda: masked(table.view(person))))

    return api
