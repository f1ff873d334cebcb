"""What has to be so before something may happen, as answers for people: its state, who can act, until when.

A rule raises, or gives reasons; a condition says the same while there is still time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from pps.domain.base.errors import NotYetAllowedError


class ConditionState(StrEnum):
    """How a condition stands. Shown to programs: never rename."""

    MET = "met"
    WAITING = "waiting"
    """somebody, or time, has still to act: not failed"""
    NOT_YET = "not yet"
    """its turn has not come, or nobody has begun it: not passed"""
    FAILED = "failed"
    WAIVED = "waived"
    """those in charge have decided that it need not hold, or that it counts as met; the sentence says who, and why"""
    UNKNOWN = "unknown"
    """the tracker, which alone could tell, tells nothing of it now"""


DONE = (ConditionState.MET, ConditionState.WAIVED)


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them. Its words name no user, and hold no words of a site."""

    name: str
    """as people call it, without an article: `certification`, `first sites`"""
    source: str
    """section of the service description (SD)"""
    state: ConditionState
    sentence: str
    who: tuple[str, ...] = ()
    """who can act: roles, VOs, sites; nobody where it changes by itself, or not at all"""
    until: datetime | None = None
    """when it changes by itself at the latest; None: not by time alone"""
    rollout: str = ""
    """whose record tells it; "" for the patch itself"""

    @property
    def is_done(self) -> bool:
        """Tell whether it is in nobody's way any more."""
        return self.state in DONE


def in_order(chain: Iterable[Condition], *, over: bool) -> tuple[Condition, ...]:
    """Conditions of which each has its turn after the one before: what comes after an open one is not awaited yet.

    One that has failed keeps nothing from its turn: a pilot that was rolled back is still reported on, and decided on.

    Args:
        over: the rollout has ended, so that nothing of it is awaited any more.
    """
    found: list[Condition] = []
    before: Condition | None = None
    for condition in chain:
        if before is not None and condition.state is ConditionState.WAITING:
            why = f"It comes after: {before.name}."
            found.append(replace(condition, state=ConditionState.NOT_YET, sentence=why, who=(), until=None))
            continue
        if before is None and condition.state in (ConditionState.WAITING, ConditionState.NOT_YET):
            before = condition
        found.append(condition)
    return tuple(never_came(c) if over else c for c in found)


def never_came(condition: Condition) -> Condition:
    """The same where the rollout has ended: what was awaited is awaited no longer."""
    if condition.state not in (ConditionState.WAITING, ConditionState.NOT_YET):
        return condition
    why = "The rollout ended before."
    return replace(condition, state=ConditionState.NOT_YET, sentence=why, who=(), until=None)


def why_not(rule: Callable[[], object]) -> str:
    """Why a rule that raises does not allow something now; "" if it does."""
    try:
        rule()
    except NotYetAllowedError as error:
        return error.why
    return ""


def without_words_of(reasons: Sequence[str], subjects: Collection[str]) -> tuple[str, ...]:
    """Those of our reasons that tell of no single one of these (sites, platforms): such a reason may quote others."""
    return tuple(r for r in reasons if not any(r.startswith(f"{subject}: ") for subject in subjects))


#: What a condition says that only the tracker could tell.
NOT_TOLD = "What the tracker says of the patch is not known here, so nobody can tell"


def moment(at: datetime) -> str:
    """A moment as sentences name it, e.g. `Thu 12 Mar 2026, 12:00 UTC`."""
    at = at.astimezone(UTC)
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M} UTC"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
