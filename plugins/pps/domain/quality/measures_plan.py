"""Plan, check, act: targets of a product, what was agreed on to reach them, and the reviews that looked at both.

One record for all products (docs/adr/0036); of a target, what was set last counts, for releases that begin from then
on: nobody is judged by what was planned afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from pps.domain.base.names import is_name
from pps.domain.base.texts import reasons_against_reason
from pps.domain.quality.measures import MEASURES, Value, ValueState, in_unit
from pps.domain.quality.measures_of_release import Release
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath

#: Name of the record, which is never closed.
RECORD = RolloutPath.QUALITY.value
MOST_ACTIONS = 50
"""open ones of a product; more are no plan"""
_LONGEST_PLAN = timedelta(days=3650)


class TargetVerdict(StrEnum):
    """A number beside its target. Shown to programs: never rename."""

    MET = "met"
    MISSED = "missed"
    WAITING = "waiting"
    NOT_MEASURED = "not measured"
    NO_TARGET = "no target then"
    """none had been set when the release began"""


@dataclass(frozen=True, slots=True)
class Target:
    """What was planned for a measure of a product."""

    measure: str
    target: float
    reason: str
    user: str
    role: str
    since: datetime

    @property
    def words(self) -> str:
        """For people: `at most 5 days`."""
        found = MEASURES[self.measure]
        return f"at {'most' if found.better == 'less' else 'least'} {in_unit(found, self.target)}"


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody is to do, and whether it was done."""

    number: int
    text: str
    owner: str
    due: date
    measure: str
    """that it is to make better; "" for none in particular"""
    user: str
    role: str
    agreed_at: datetime
    ended_at: datetime | None = None
    done: bool = False
    said: str = ""
    """what was done, or why it will not be"""

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether its day has passed, in UTC, and nobody has said how it ended."""
        return self.ended_at is None and now.astimezone(UTC).date() > self.due

    def state(self, now: datetime) -> str:
        """In a word: open, overdue, done or not done."""
        if self.ended_at is not None:
            return "done" if self.done else "not done"
        return "overdue" if self.is_overdue(now) else "open"


@dataclass(frozen=True, slots=True)
class Review:
    """A look at a product, with the numbers as they were."""

    number: int
    at: datetime
    user: str
    role: str
    text: str
    saw: Mapping[str, Any]
    """`releases`, `together`, `actions`: see `activities.quality.reviews`"""


@dataclass(frozen=True)
class Plan:
    """All that was said of one product."""

    product: str
    history: tuple[Fact, ...]
    """of its targets, oldest first"""
    actions: tuple[Action, ...]
    reviews: tuple[Review, ...]

    def target(self, measure: str, at: datetime | None = None) -> Target | None:
        """The target that stood at a moment, or stands now; None where there is none."""
        newest = [f for f in self.history if f.payload["measure"] == measure and (at is None or f.at <= at)]
        if not newest or newest[-1].payload["target"] is None:
            return None
        fact, says = newest[-1], newest[-1].payload
        return Target(measure, float(says["target"]), says["reason"], says["user"], says["role"], fact.at)

    def judged(self, release: Release, measure: str) -> TargetVerdict:
        """A release's number beside the target that stood when it began."""
        planned = self.target(measure, release.begun_at)
        return NO_TARGET if planned is None else verdict(release.values[measure], planned.target)


NO_TARGET = TargetVerdict.NO_TARGET


def verdict(value: Value, target: float) -> TargetVerdict:
    """What waits has not failed, and what is not measured has neither met nor missed anything."""
    if value.state is ValueState.WAITING:
        return TargetVerdict.WAITING
    if value.number is None:
        return TargetVerdict.NOT_MEASURED
    return TargetVerdict.MET if value.measure.meets(value.number, target) else TargetVerdict.MISSED


def plan_of(product: str, facts: Iterable[Fact]) -> Plan:
    """What the facts of the record say of one product."""
    mine = [f for f in facts if f.subject == product]
    ends = {f.occasion: f for f in mine if f.kind is FactKind.QUALITY_ACTION_ENDED}
    return Plan(
        product,
        tuple(f for f in mine if f.kind is FactKind.QUALITY_TARGET_SET and f.payload["measure"] in MEASURES),
        tuple(_action(f, ends.get(f.occasion)) for f in mine if f.kind is FactKind.QUALITY_ACTION_AGREED),
        tuple(_review(f) for f in mine if f.kind is FactKind.QUALITY_REVIEWED),
    )


def _action(fact: Fact, end: Fact | None) -> Action:
    says, number = fact.payload, int(fact.occasion)
    due = date.fromisoformat(says["due"])
    agreed = (number, says["text"], says["owner"], due, says["measure"], says["user"], says["role"], fact.at)
    return Action(*agreed, end.at, bool(end.payload["done"]), end.payload["text"]) if end else Action(*agreed)


def _review(fact: Fact) -> Review:
    says = fact.payload
    saw = {key: says[key] for key in ("releases", "together", "actions")}
    return Review(int(fact.occasion), fact.at, says["user"], says["role"], says["text"], saw)


def reasons_against_action(
    text: str, owner: str, due: date, measure: str, plan: Plan, now: datetime
) -> tuple[str, ...]:
    """Say why something is no action that others can hold somebody to; no reasons means that it is one."""
    reasons = [why.replace("The reason", "The action") for why in reasons_against_reason(text)]
    if not is_name(owner):
        reasons.append(f"{owner[:60]!r} is no user name: an action has one owner.")
    today = now.astimezone(UTC).date()
    if not today <= due <= today + _LONGEST_PLAN:
        reasons.append(f"{due} is no day to come: an action is due on {today} or later.")
    if measure and measure not in MEASURES:
        reasons.append(f"There is no measure {measure[:60]!r}; there are: {', '.join(MEASURES)}.")
    if sum(a.ended_at is None for a in plan.actions) >= MOST_ACTIONS:
        reasons.append(f"{MOST_ACTIONS} actions are open already: end some first.")
    return tuple(reasons)
