"""Release testing: what sites say of an update before it goes public, and what may follow (SD 4.2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pps.domain.base.texts import clean_text
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people import questions
from pps.domain.people.questions import Answer, Question
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

#: Steps of the two questions: to each site, and to the Release Manager.
STEP, DECISION = "release-test", "release-decision"
MANAGER = "Release Manager"
ACCEPT, REJECT, CANNOT = "Accept", "Reject", "Cannot apply it"
ANSWERS = (ACCEPT, REJECT, CANNOT)
RELEASE, HOLD = "Release", "Hold"
DECISIONS = (RELEASE, HOLD)


def reasons_against_release_test(patch: Patch) -> tuple[str, ...]:
    """Say why an update may not be delivered to pools of sites; no reasons means that it may.

    Source: SD 4.2.3: "Before the middleware updates are released to the public": so certified, and not yet out.
    """
    reasons = []
    if patch.state not in (PatchState.CERTIFIED, PatchState.READY_FOR_PRODUCTION):
        reasons.append(
            f'The patch is "{patch.state}", neither "{PatchState.CERTIFIED}" nor "{PatchState.READY_FOR_PRODUCTION}".'
        )
    if not patch.packages:
        reasons.append("It names no packages.")
    if not patch.platforms:
        reasons.append("It names no platform.")
    return tuple(reasons)


def has_applied(choice: str) -> bool:
    """Tell whether a site that says this has applied the update, which earns the credit (SD 4.2.3, table)."""
    return choice in (ACCEPT, REJECT)


def field(form: Mapping[str, Any], name: str) -> str:
    """A text of a form as it is kept; "" where nothing was entered."""
    return clean_text(str(form.get(name) or "")).strip()


def reasons_against_answer(choice: str, form: Mapping[str, Any]) -> tuple[str, ...]:
    """Say why a site's answer cannot be taken; no reasons means that it can.

    Source: SD 4.2.3: "The sites apply the update to one or more of their grid services and provide feedback to the
    release managers": an acceptance says to which services, and whoever does not accept says why.
    """
    if choice not in ANSWERS:
        return (f"{choice[:40]!r} is no answer; it is one of {', '.join(ANSWERS)}.",)
    reasons = []
    if choice == ACCEPT and not field(form, "services"):
        reasons.append("The answer does not say to which services the update was applied.")
    if choice != ACCEPT and not field(form, "report"):
        reasons.append("The report does not say why.")
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class SiteStanding:
    """What one site of the plan has said."""

    site: str
    pool: str
    question: Question | None
    """None: nothing could be put to it, or not yet"""
    answer: Answer | None
    """the one that counts: the first in time"""
    others: tuple[Answer, ...]
    """late, or after the first: kept and shown, but they count for nothing"""

    @property
    def word(self) -> str:
        """`accept`, `reject`, `cannot apply it`, or `silent`, for tables."""
        return self.answer.choice.lower() if self.answer else "silent"


def standings(record: Rollout) -> tuple[SiteStanding, ...]:
    """What every site of the plan has said, in the plan's order."""
    plan = record.the(FactKind.PLAN_AGREED)
    if plan is None:
        return ()
    found = []
    for pool, names in plan.payload["batches"].items():
        for name in names:
            counts = questions.decisive(record, STEP, name)
            others = tuple(a for a in questions.answers(record, STEP, name) if a != counts)
            found.append(SiteStanding(name, pool, questions.question(record, STEP, name), counts, others))
    return tuple(found)


def doubts(record: Rollout) -> tuple[str, ...]:
    """Why a release needs a reason: a site rejects the update, or no site has applied it in time."""
    rejecting = [s.site for s in standings(record) if s.answer and s.answer.choice == REJECT]
    found = [f"{', '.join(rejecting)} {'rejects' if len(rejecting) == 1 else 'reject'} it."] if rejecting else []
    if not any(s.answer and has_applied(s.answer.choice) for s in standings(record)):
        found.append("No site has applied it in time.")
    return tuple(found)


def reasons_against_decision(record: Rollout, choice: str, form: Mapping[str, Any]) -> tuple[str, ...]:
    """Say why a decision cannot be taken as it is; no reasons means that it can."""
    if choice not in DECISIONS:
        return (f"{choice[:40]!r} is no decision; it is one of {', '.join(DECISIONS)}.",)
    if field(form, "reason"):
        return ()
    if choice == HOLD:
        return ("An update that is held needs a reason: its provider and the sites will ask for it.",)
    return tuple(f"{doubt} So a release needs a reason." for doubt in doubts(record))


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on the update."""

    choice: str
    reason: str
    user: str
    """"" where nobody decided in time"""
    at: datetime


def decision(record: Rollout) -> Decision | None:
    """The decision on record, or None. Airflow's task states are no decision."""
    for fact in record.facts:
        if fact.kind is FactKind.DECIDED and fact.occasion == DECISION:
            given = fact.payload
            return Decision(given["decision"], given["reason"], given["user"], fact.at)
    return None
