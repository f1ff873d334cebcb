"""The way out of SD 4.1.3: EMT and PPS coordination together may overrule the policies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pps.domain.base.texts import one_line
from pps.domain.people.questions import Answer
from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout


class Urgency(StrEnum):
    """How fast an overruled update goes. Stored: never rename."""

    URGENT = "urgent"
    """a disclosed vulnerability: to preview and production together"""
    HIGH_PRIORITY = "high priority"
    """a broken service: straight to production, the preview is synchronised afterwards. A server update has no
    preview: either way it goes straight to production, and its pilot is synchronised."""


#: Step of the question -> role that is asked.
ROLES = {"overrule-emt": Role.EMT.value, "overrule-coordination": Role.PPS_COORDINATOR.value}
AGREE, REFUSE = "Agree", "Refuse"


@dataclass(frozen=True, slots=True)
class Overruling:
    """A joint decision that stands."""

    urgency: Urgency
    reason: str
    by: tuple[tuple[str, str], ...]
    """(role, user)"""
    at: datetime
    state: str
    """of the patch at that time: use of software that is not certified is justified and recorded (SD 4.1.3)"""


def overruling(dossier: Rollout) -> Overruling | None:
    """The newest joint decision on a patch, or None: the policies hold."""
    fact = dossier.the(FactKind.POLICIES_OVERRULED)
    if fact is None:
        return None
    given = fact.payload
    by = tuple(sorted(given["by"].items()))
    return Overruling(Urgency(given["urgency"]), given["reason"], by, fact.at, given["state"])


def waiver(found: Overruling, what: str) -> str:
    """Say that something need not hold, by whose decision, and why; it names roles, no users.

    Args:
        what: need not hold, as the beginning of a sentence.
    """
    roles = " and ".join(role for role, _ in found.by)
    return f"{what}: {roles} have overruled the policies together. {one_line(found.reason, 300)}"


def reasons_against_overruling(answers: dict[str, Answer | None]) -> tuple[str, ...]:
    """Say why a joint decision has not come about; no reasons means that it has.

    Source: SD 4.1.3: "the aforesaid policies may be overruled by joint decision of the EMT and PPS
    coordination". Joint: two roles, and two people, since one person with two hats decides alone.

    Args:
        answers: step of `ROLES` -> the answer that decides, None for silence.
    """
    reasons = []
    for step, role in ROLES.items():
        answer = answers.get(step)
        if answer is None:
            reasons.append(f"{role} has not answered in time.")
        elif answer.choice != AGREE:
            remarks = str(answer.form.get("remarks") or "no reason given").rstrip(".")
            reasons.append(f"{role} refuses ({answer.user}): {remarks}.")
    users = [answer.user for answer in answers.values() if answer is not None]
    if not reasons and len(set(users)) < len(ROLES):
        reasons.append(f"{users[0]} has answered for both; a joint decision takes two people.")
    return tuple(reasons)
