"""The ten steps of a pilot: which are done, by whom and when, and which is the present one (SD 4.1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pps.activities.pilots import kick_off, meetings, wrap_up
from pps.domain.base.conditions import listed, moment, why_not
from pps.domain.base.texts import one_line
from pps.domain.people import questions
from pps.domain.people.roles import Role
from pps.domain.pilots import rules
from pps.domain.pilots.credits import COORDINATOR, INSTRUCTION, KEEPER, VO
from pps.domain.pilots.pilot import ACCEPTANCE, DECLINED, REPORT, SELECTION, Pilot
from pps.domain.record.facts import Fact, FactKind

#: SD says "Gold Site"; the partners that run what is not backward compatible are of another level.
SITE = "Site"
_NOT_KNOWN = "Nothing on record says that it was done."
_NO_SERVICE = "No site has set the service up."


class StepState(StrEnum):
    """How a step stands. Shown to programs: never rename."""

    DONE = "done"
    NOW = "now"
    LATER = "later"
    SKIPPED = "skipped"
    """it was not needed, or never came; the step says why"""


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who has a part in a step."""

    role: str
    """as SD names it"""
    name: str = ""
    """of a site or a VO"""
    user: str = ""
    """who did it, where that is on record"""


@dataclass(frozen=True, slots=True)
class Step:
    """One of the ten."""

    number: int
    """in SD 4.1.3"""
    name: str
    state: StepState
    at: datetime | None
    """when it was done"""
    until: datetime | None
    """when the present one ends at the latest"""
    who: tuple[Who, ...]
    """who did it; of one that is not done, who does it"""
    told: str
    """what came of it, or why it is skipped"""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is on record of a step."""

    name: str
    who: Iterable[Who]
    at: datetime | None = None
    told: str = ""
    until: datetime | None = None
    skipped: str = ""
    begun: bool = False


def steps(pilot: Pilot) -> tuple[Step, ...]:
    """The ten steps of one round.

    What a round has taken over from the one before is skipped in it. Two can be the present ones: a site that has
    rolled back reports while the others still run the service.
    """
    seen = [look(pilot) for look in _LOOKS]
    last = max((n for n, step in enumerate(seen) if step.begun or (step.at and not step.skipped)), default=-1)
    found: list[Step] = []
    for n, step in enumerate(seen):
        waits = any(before.state is StepState.NOW for before in found)
        state, told = StepState.LATER, step.told
        if step.skipped:
            state, told = StepState.SKIPPED, step.skipped
        elif step.at:
            state = StepState.DONE
        elif pilot.record.is_over:
            state, told = StepState.SKIPPED, f"The pilot ended before: {_end(pilot)}."
        elif n < last and not step.begun:
            state, told = StepState.SKIPPED, _NOT_KNOWN
        elif step.begun or not waits:
            state = StepState.NOW
        until = step.until if state is StepState.NOW else None
        at = step.at if state is StepState.DONE else None
        found.append(Step(n + 1, step.name, state, at, until, tuple(dict.fromkeys(step.who)), told))
    return tuple(found)


def _end(pilot: Pilot) -> str:
    closed = pilot.record.the(FactKind.ROLLOUT_CLOSED)
    return str(closed.payload.get("outcome", "ended")) if closed else "withdrawn"


def _coordinator(fact: Fact | None) -> Who:
    return Who(COORDINATOR, "", str(fact.payload.get("user", "")) if fact else "")


def _due(pilot: Pilot, step: str) -> datetime | None:
    asked = questions.question(pilot.record, step, Role.PPS_COORDINATOR)
    return asked.due if asked else None


def _from_before(fact: Fact | None) -> str:
    before = str(fact.payload.get("taken_over", "")) if fact else ""
    return f"Taken over from {before}." if before else ""


def _facts(pilot: Pilot, kind: FactKind) -> list[Fact]:
    return [f for f in pilot.record.facts if f.kind is kind]


def _request(pilot: Pilot) -> _Seen:
    asked, decided = pilot.record.the(FactKind.PILOT_REQUESTED), pilot.acceptance
    who = [_coordinator(decided)]
    if asked:
        says = asked.payload
        who.insert(0, Who(str(says["role"]), str(says["vo"]), str(says["by"])))
    told = ""
    if decided:
        word = "Declined" if decided.payload["decision"] == DECLINED else "Accepted"
        told = f"{word}. {one_line(str(decided.payload['reason']), 300)}".strip()
    at = decided.at if decided else None
    return _Seen("Request", who, at, told, _due(pilot, ACCEPTANCE), _from_before(decided))


def _screening(pilot: Pilot) -> _Seen:
    chosen = pilot.record.the(FactKind.SITES_SELECTED)
    who = [_coordinator(chosen)]
    who += [Who(VO, f.subject, str(f.payload.get("user", ""))) for f in _facts(pilot, FactKind.INTEREST_SHOWN)]
    told = f"Selected: {listed(pilot.selected)}." if chosen else ""
    at = chosen.at if chosen else None
    return _Seen("Pre-screening", who, at, told, _due(pilot, SELECTION), _from_before(chosen))


def _instruction(pilot: Pilot) -> _Seen:
    told = [f for f in _facts(pilot, FactKind.TOLD) if f.occasion == INSTRUCTION]
    who = [_coordinator(told[0] if told else None), *(Who(SITE, site) for site in pilot.selected)]
    names = listed(list(dict.fromkeys(f.subject for f in told)))
    words = f"{names} {'have' if len(told) > 1 else 'has'} the instructions." if told else ""
    skipped = "" if told else _from_before(pilot.record.the(FactKind.SITES_SELECTED))
    return _Seen("Instruction of the sites", who, told[-1].at if told else None, words, skipped=skipped)


def _call(pilot: Pilot) -> _Seen:
    called = meetings.meeting(pilot.record, meetings.KICK_OFF)
    told = f"It is on {moment(datetime.fromisoformat(called.payload['starts']))}." if called else ""
    return _Seen("Kick-off is organised", [_coordinator(called)], called.at if called else None, told)


def _agreement(pilot: Pilot) -> _Seen:
    fact, agreed = pilot.record.the(FactKind.KICK_OFF_AGREED), pilot.agreement
    who = [_coordinator(fact), *(Who(SITE, site) for site in pilot.selected)]
    if fact and agreed:
        who += [Who(VO, vo) for vo in agreed.vos]
        who += [Who(p["role"], "", p["who"]) for p in fact.payload.get("participants", ())]
    told = "Its dates are agreed." if fact else ""
    return _Seen("Kick-off meeting", who, fact.at if fact else None, told, _due(pilot, kick_off.STEP))


def _mirror(pilot: Pilot) -> _Seen:
    made = pilot.record.the(FactKind.MIRROR_MADE)
    who, says = [Who(KEEPER, "", str(made.payload.get("user", "")) if made else "")], made.payload if made else {}
    told = f"{says['packages']} packages." if "packages" in says else ""
    skipped = one_line(str(says.get("skipped", "")), 500) or _from_before(made)
    return _Seen("Mirror repository", who, made.at if made else None, told, skipped=skipped)


def _set_up(pilot: Pilot) -> _Seen:
    at_sites = {site: pilot.first_set_up(site) for site in pilot.selected}
    ready = [fact for fact in at_sites.values() if fact]
    who = [Who(SITE, site, str(fact.payload.get("by", "")) if fact else "") for site, fact in at_sites.items()]
    told = f"{len(ready)} of {len(at_sites)} sites have set it up." if at_sites and pilot.agreement else ""
    taken = [_from_before(fact) for fact in ready]
    skipped = taken[0] if taken and all(taken) and not pilot.awaited else ""
    if pilot.run_ended and pilot.running_since is None:
        skipped = _NO_SERVICE if not ready else "It was never set up at every one of its sites."
    until = pilot.agreement.set_up_until if pilot.agreement else None
    return _Seen("Set-up", who, pilot.running_since, told, until, skipped)


def _run(pilot: Pilot) -> _Seen:
    ended, agreed = pilot.run_ended, pilot.record.the(FactKind.KICK_OFF_AGREED)
    who = [Who(SITE, site) for site in pilot.served or pilot.sites]
    for expert in agreed.payload.get("experts", ()) if agreed else ():
        who.append(Who(expert["role"], "", expert["who"]))
    told = ""
    if ended:
        told = f"It ended: {ended.payload['outcome']}. {one_line(str(ended.payload.get('reason', '')), 300)}".strip()
        if ended.payload.get("user"):
            who.append(_coordinator(ended))
    elif pilot.running_since:
        told = f"Since {moment(pilot.running_since)}, at {listed(pilot.serving) or 'no site any more'}."
    skipped = _NO_SERVICE if ended and not pilot.served else ""
    begun = pilot.running_since is not None or ended is not None
    return _Seen("Run", who, ended.at if ended else None, told, pilot.runs_until, skipped, begun)


def _reports(pilot: Pilot) -> _Seen:
    written = _facts(pilot, FactKind.REPORT_WRITTEN)
    asked = [q for site in pilot.missing_reports if (q := questions.question(pilot.record, REPORT, site))]
    number = f"{len(pilot.served) - len(pilot.missing_reports)} of {len(pilot.served)} sites have written theirs."
    over = pilot.run_ended is not None and bool(pilot.served)
    done = over and (pilot.record.has(FactKind.WRAPPED_UP) or not why_not(lambda: rules.may_wrap_up(pilot)))
    at = max((f.at for f in written), default=pilot.run_ended_at) if done else None
    skipped = _NO_SERVICE if pilot.run_ended and not pilot.served else ""
    begun = bool(written or asked)
    until = max((q.due for q in asked), default=None)
    who = [Who(SITE, site, _author(pilot, site)) for site in pilot.served or pilot.sites]
    return _Seen("Post-mortem reports", who, at, number if begun or done else "", until, skipped, begun)


def _author(pilot: Pilot, site: str) -> str:
    said = questions.decisive(pilot.record, REPORT, site)
    return said.user if said else ""


def _wrap_up(pilot: Pilot) -> _Seen:
    fact, agreed = pilot.record.the(FactKind.WRAPPED_UP), pilot.agreement
    called = meetings.meeting(pilot.record, meetings.WRAP_UP)
    who = [_coordinator(fact), *(Who(SITE, site) for site in pilot.sites)]
    who += [Who(VO, vo) for vo in agreed.vos] if agreed else []
    told = f"The meeting is on {moment(datetime.fromisoformat(called.payload['starts']))}." if called else ""
    if fact:
        who += [Who(p["role"], "", p["who"]) for p in fact.payload.get("participants", ())]
        told = f"Decided: {fact.payload['decision']}. {one_line(str(fact.payload.get('reason', '')), 300)}".strip()
    at = fact.at if fact else None
    return _Seen("Wrap-up meeting", who, at, told, _due(pilot, wrap_up.STEP), begun=called is not None)


#: In the order of SD 4.1.3.
_LOOKS = (_request, _screening, _instruction, _call, _agreement, _mirror, _set_up, _run, _reports, _wrap_up)
