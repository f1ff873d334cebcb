"""What has happened to a patch, as sentences for anybody: its rollouts, tests and decisions, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pps.domain.base.conditions import moment
from pps.domain.base.texts import one_line
from pps.domain.people.roles import Role
from pps.domain.quality.release_tests import DECISION
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath

#: How the paths are called.
PATHS = {
    RolloutPath.BC_CLIENT: "Preview",
    RolloutPath.NON_BC_CLIENT: "Preview with local configuration",
    RolloutPath.PRE_DEPLOYMENT: "Deployment test",
    RolloutPath.RELEASE_TEST: "Release test",
    RolloutPath.MINOR_PILOT: "Minor pilot",
    RolloutPath.MAJOR_PILOT: "Major pilot",
    RolloutPath.OVERRULE: "Request to overrule the policies",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    at: datetime
    what: str
    rollout: str
    """whose record tells it; "" for the patch itself"""
    is_decision: bool
    """people in charge have decided something; the sentence says in which role, and why"""


_Payload = Mapping[str, Any]


def _reason(given: _Payload) -> str:
    return one_line(str(given.get("reason") or ""), 300)


def _said(sentence: str) -> Callable[[_Payload], str]:
    return lambda given: sentence


_EVENTS: Mapping[FactKind, Callable[[_Payload], str]] = {
    FactKind.ROLLOUT_OPENED: lambda p: f"{PATHS[RolloutPath(p['path'])]}: it begins.",
    FactKind.TARBALL_BUILT: _said("The tarball is built."),
    FactKind.GATE_PASSED: _said("The first sites are healthy: all others follow."),
    FactKind.FEEDBACK_DATE_AGREED: lambda p: f"VOs are asked until {moment(datetime.fromisoformat(p['due']))}.",
    FactKind.FEEDBACK_DATE_MOVED: lambda p: (
        f"VOs are asked for longer, until {moment(datetime.fromisoformat(p['due']))}. {_reason(p)}".rstrip()
    ),
    FactKind.FEEDBACK_ENDED: _said("The VOs are asked no longer."),
    FactKind.RELEASE_NOTES_WRITTEN: lambda p: (
        f"The release notes are written anew, for {p['because']}."
        if p.get("because")
        else "The release notes are written."
    ),
    FactKind.CERTIFICATION_ENDED: lambda p: f"Certification has ended as far as this rollout waits: {p['outcome']}.",
    FactKind.RELEASE_REFUSED: _said("The rules for production do not allow it."),
    FactKind.RELEASED_TO_PRODUCTION: _said("It is released to production."),
    FactKind.ROLLOUT_STOPPED: _said("It is stopped."),
    FactKind.ROLLOUT_CLOSED: lambda p: f"It ends: {p.get('outcome', 'closed')}.",
    FactKind.CLASSIFIED: lambda p: f"The program classifies it: “{p['verdict']}”.",
    FactKind.RUN_ENDED: lambda p: f"The run ends: {p['outcome']}.",
    FactKind.KICK_OFF_AGREED: _said("The kick-off agrees on its dates."),
    FactKind.SCENARIOS_PLANNED: lambda p: f"Its scenarios are planned: {', '.join(s['name'] for s in p['scenarios'])}.",
}
_DECISIONS: Mapping[FactKind, Callable[[_Payload], str]] = {
    FactKind.WITHDRAWAL_ASKED: lambda p: f"The preview is withdrawn. {_reason(p)}",
    FactKind.CLASSIFICATION_OVERRULED: lambda p: (
        f"The {Role.RELEASE_MANAGER} decides that it is “{p['verdict']}”, whatever the program found. {_reason(p)}"
    ),
    FactKind.POLICIES_OVERRULED: lambda p: (
        f"{' and '.join(sorted(p['by']))} overrule the policies together ({p['urgency']}). {_reason(p)}"
    ),
    FactKind.FINDING_WAIVED: lambda p: (
        f"The {p['role']} waives what was found when it was submitted: {one_line(p['sentence'], 300)} {_reason(p)}"
    ),
    FactKind.SITES_SELECTED: lambda p: f"The {Role.PPS_COORDINATOR} selects {', '.join(p['sites'])}.",
    FactKind.WRAPPED_UP: lambda p: f"The wrap-up of the pilot decides: {p['decision']}. {_reason(p)}",
}


def timeline(records: Iterable[Rollout]) -> tuple[Event, ...]:
    """The events of these rollouts, and of the patch's dossier, oldest first.

    What another round of a pilot has taken over from the one before is told once.
    """
    found: dict[tuple[datetime, str], Event] = {}
    for record in records:
        for fact in record.facts:
            if (event := _event(fact)) is not None and "taken_over" not in fact.payload:
                found.setdefault((event.at, event.what), event)
    return tuple(sorted(found.values(), key=lambda e: e.at))


def _event(fact: Fact) -> Event | None:
    about = "" if fact.rollout.startswith(f"{RolloutPath.DOSSIER}-") else fact.rollout
    if fact.kind in _EVENTS and (about or fact.kind is not FactKind.ROLLOUT_OPENED):
        return Event(fact.at, _EVENTS[fact.kind](fact.payload), about, is_decision=False)
    if fact.kind is FactKind.SCENARIO_ENDED:
        return Event(fact.at, f"Scenario {fact.subject}: {fact.payload['result']}.", about, is_decision=False)
    if fact.kind is FactKind.DECIDED:
        sentence = _decided(fact)
    else:
        sentence = _DECISIONS[fact.kind](fact.payload) if fact.kind in _DECISIONS else ""
    return Event(fact.at, sentence.rstrip(), about, is_decision=True) if sentence else None


def _decided(fact: Fact) -> str:
    """Decisions of single roles; that of EMT and coordination has a fact of its own in the patch's dossier."""
    decision, reason = fact.payload["decision"], _reason(fact.payload)
    if fact.occasion == "overrule":
        return "The policies are not overruled." if decision == "not overruled" else ""
    if fact.occasion == DECISION:
        who = f"The {Role.RELEASE_MANAGER} decides" if fact.payload.get("user") else "It is decided by silence"
        return f"{who}: {decision.lower()}. {reason}"
    if fact.occasion == "pilot-acceptance":
        who = f"The {Role.PPS_COORDINATOR} decides" if fact.payload.get("user") else "It is decided by silence"
        return f"{who} on the request: {decision}. {reason}"
    return f"Software that is not certified may be used. {reason}"
