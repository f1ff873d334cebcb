"""Which credits follow from which completed step of a pilot (SD 4.1.3, table; what each is worth: activities.yaml).

One place for all of it: whatever completed a step (form, task, command), the credits are read off the facts, so each is
counted once, and one that a crash prevented comes with the next look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind

WEEK = timedelta(weeks=1)
COORDINATOR, SITE, VO, KEEPER = "PPS Coordinator", "Gold Site", "VO", "PPS Repository Manager"
#: Occasion of the fact `TOLD` that a site has got its instructions (SD 4.1.3, 3).
INSTRUCTION = "instruction"

#: Step -> the activities that it completes, and who has the credit for each. Everything else here only says who they
#: are in one pilot. The weekly ones, `pilot-service-manager` (the site) and `pilot-service-expert` (who the kick-off
#: names), follow from the run's length.
TABLE: Mapping[FactKind, tuple[tuple[str, tuple[str, ...]], ...]] = {
    FactKind.SITES_SELECTED: (("pilot-pre-screening", (COORDINATOR,)),),
    FactKind.TOLD: (("pilot-instruction", (COORDINATOR,)),),
    FactKind.KICK_OFF_AGREED: (
        ("pilot-kickoff-organisation", (COORDINATOR,)),
        ("pilot-kickoff-participation", (COORDINATOR, SITE, VO)),
    ),
    FactKind.MIRROR_MADE: (("pilot-mirror", (KEEPER,)),),
    FactKind.SERVICE_SET_UP: (("pilot-setup", (SITE,)),),
    FactKind.REPORT_WRITTEN: (("pilot-post-mortem", (SITE,)),),
    FactKind.WRAPPED_UP: (("pilot-wrap-up", (COORDINATOR, SITE, VO)),),
}
#: Meetings, in which others may take part as well: the fact's payload names them (`participants`).
_MEETINGS = ("pilot-kickoff-participation", "pilot-wrap-up")


@dataclass(frozen=True, slots=True)
class Due:
    """One credit that somebody has earned."""

    activity: str
    who: str
    """site, VO or user"""
    role: str
    occasion: str
    at: datetime
    is_site: bool
    person: str = ""


def credits_due(pilot: Pilot, now: datetime) -> tuple[Due, ...]:
    """Every credit that a pilot's facts have earned until now, in their order; the same facts give the same ones."""
    found = [due for fact in pilot.record.facts for due in _of_step(pilot, fact)]
    return tuple({(d.activity, d.who, d.occasion): d for d in (*found, *_of_weeks(pilot, now))}.values())


def _of_step(pilot: Pilot, fact: Fact) -> Iterator[Due]:
    says = fact.payload
    # what a later round takes over has earned its credits in the first one
    if says.get("taken_over") or says.get("skipped") or (fact.kind is FactKind.TOLD and fact.occasion != INSTRUCTION):
        return
    for activity, roles in TABLE.get(fact.kind, ()):
        for role in roles:
            for who in _people(pilot, fact, role):
                # at a site's own step who did it there; a meeting names only those who have entered its outcome
                person = str(says.get("by") or says.get("user") or "") if role == SITE and fact.subject else ""
                yield Due(activity, who, role, "", fact.at, role == SITE, person)
        if activity in _MEETINGS:
            yield from (Due(activity, p["who"], p["role"], "", fact.at, False) for p in _named(says, "participants"))


def _people(pilot: Pilot, fact: Fact, role: str) -> Iterable[str]:
    if role == SITE:
        return (fact.subject,) if fact.subject else pilot.sites
    if role == VO:
        return pilot.agreement.vos if pilot.agreement else ()
    user = _user(fact)
    return (user,) if user else ()


def _user(fact: Fact) -> str:
    """Who completed the step: as the payload names them, else the actor where that is a user."""
    return str(fact.payload.get("user") or "") or (
        fact.actor.removeprefix("user ") if fact.actor.startswith("user ") else ""
    )


def _named(says: Mapping[str, Any], key: str) -> list[Mapping[str, str]]:
    return [one for one in says.get(key, ()) if one.get("who") and one.get("role")]


def _of_weeks(pilot: Pilot, now: datetime) -> Iterator[Due]:
    agreed = pilot.record.the(FactKind.KICK_OFF_AGREED)
    for site in pilot.sites:
        for n, at in _weeks(pilot, site, now):
            yield Due("pilot-service-manager", site, SITE, f"week-{n}", at, True)
    for expert in _named(agreed.payload, "experts") if agreed else ():
        for n, at in _weeks(pilot, "", now):
            of_site = expert["role"] == SITE
            yield Due("pilot-service-expert", expert["who"], expert["role"], f"week-{n}", at, of_site)


def _weeks(pilot: Pilot, site: str, now: datetime) -> Iterator[tuple[int, datetime]]:
    """The weeks of support that are completed: full ones, and, of a run that has ended, a last one of half or more."""
    begun, ended = pilot.running_since, pilot.run_ended_at
    if begun is None:
        return
    if rolled := pilot.rolled_back(site):
        ended = min(rolled.at, ended) if ended else rolled.at
    weeks = (ended - begun + WEEK / 2) // WEEK if ended else (now - begun) // WEEK
    for n in range(1, weeks + 1):
        at = begun + n * WEEK
        yield n, min(at, ended) if ended else at
