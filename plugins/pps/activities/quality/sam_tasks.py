"""Tasks of SD 4.2.2 for the monitoring (SAM): assigned to somebody, done once, credited once.

They belong to no patch: a week of support goes on whatever is being released. So they have a record of their own,
which is no rollout and is never closed; its patch is number 0, which no tracker has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.names import is_name
from pps.domain.base.texts import one_line
from pps.domain.people.effort import Activity, Doer, credit_fact, iso_week_of
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath

#: Name of the record.
RECORD = "sam"
#: How their keys in activities.yaml begin.
KEYS = "sam-"
_WEEK = re.compile(r"\d{4}-W(0[1-9]|[1-4]\d|5[0-3])")


@dataclass(frozen=True, slots=True)
class SamTask:
    """One task, as it was assigned."""

    number: int
    activity: str
    user: str
    what: str
    """which sensor or display; "" for a week"""
    week: str
    """`2026-W10`; "" for what is not done by the week"""
    assigned_at: datetime
    assigned_by: str
    done_at: datetime | None
    text: str
    """what was done"""


def tasks(facts: Facts) -> tuple[SamTask, ...]:
    """All tasks, oldest first."""
    kinds = (FactKind.TASK_ASSIGNED, FactKind.TASK_DONE)
    found = [f for f in facts.facts_of_kind(kinds) if f.rollout == RECORD]
    done = {f.occasion: f for f in found if f.kind is FactKind.TASK_DONE}
    return tuple(_task(f, done.get(f.occasion)) for f in found if f.kind is FactKind.TASK_ASSIGNED)


def _task(assigned: Fact, done: Fact | None) -> SamTask:
    says = assigned.payload
    return SamTask(
        int(assigned.occasion),
        says["activity"],
        says["user"],
        says["what"],
        says["week"],
        assigned.at,
        assigned.actor.removeprefix("user "),
        done.at if done else None,
        str(done.payload["text"]) if done else "",
    )


def sam_activities(activities: Mapping[str, Activity]) -> dict[str, Activity]:
    """The activities of SD 4.2.2 that can be assigned."""
    return {key: activity for key, activity in activities.items() if key.startswith(KEYS)}


def assign(
    facts: Facts,
    activities: Mapping[str, Activity],
    key: str,
    user: str,
    by: str,
    now: datetime,
    *,
    what: str = "",
    week: str = "",
) -> SamTask:
    """Assign a task to a user; the same one again (what or week) is the one that is on record.

    Raises:
        RefusedError: there is no such task, or it is not said for which week, or for what, it is done.
    """
    known = sam_activities(activities)
    what = one_line(what)
    reasons = []
    if key not in known:
        reasons.append(f"{key[:60]!r} is no SAM task; there are {', '.join(known)}.")
    if not is_name(user):
        reasons.append(f"{user[:60]!r} is no user name.")
    weekly = key in known and known[key].per == "week"
    if weekly and not _WEEK.fullmatch(week):
        reasons.append(f"It is done for a week; name it, e.g. {iso_week_of(now)}.")
    if key in known and not weekly and (week or not what):
        reasons.append("It is not done by the week; say instead which sensor or display it is.")
    if reasons:
        raise RefusedError("SAM task", tuple(reasons), "Nothing was assigned.")
    opening = Fact(
        RECORD, FactKind.ROLLOUT_OPENED, "", "", now, f"user {by}", {"path": RolloutPath.SAM.value, "patch": 0}
    )
    facts.open(RolloutPath.SAM, 0, opening, RECORD)
    while True:
        known_tasks = tasks(facts)
        for task in known_tasks:
            if (task.activity, task.what, task.week) == (key, "" if weekly else what, week):
                if task.user != user:
                    raise RefusedError("SAM task", (f"{task.user} has it already, as number {task.number}.",))
                return task
        number = max((task.number for task in known_tasks), default=0) + 1
        payload = {"activity": key, "user": user, "what": "" if weekly else what, "week": week}
        # of two who assign at once, one gets this number, the other looks again
        if new := facts.record(Fact(RECORD, FactKind.TASK_ASSIGNED, "", str(number), now, f"user {by}", payload)):
            return _task(new[0], None)


def done(
    facts: Facts, activities: Mapping[str, Activity], number: int, user: str, text: str, now: datetime
) -> tuple[SamTask, bool]:
    """Note that a task is done, and credit it to whoever did it; returns the task, and whether that is new.

    Raises:
        NotYetAllowedError: there is no such task.
        RefusedError: it is another's, the text says nothing, or the week has not begun.
    """
    task = next((t for t in tasks(facts) if t.number == number), None)
    if task is None:
        raise NotYetAllowedError(f"SAM task {number}", "is not assigned to anybody.", "See: pps sam list")
    if task.done_at is not None:
        return task, False
    said = one_line(text, 1000)
    reasons = []
    if task.user != user:
        reasons.append(f"It is assigned to {task.user}, not to {user}.")
    if not said:
        reasons.append("The text does not say what was done.")
    if task.week and iso_week_of(now) < task.week:
        reasons.append(f"{task.week} has not begun yet.")
    if reasons:
        raise RefusedError(f"SAM task {number}", tuple(reasons), "Nothing was credited.")
    actor = f"user {user}"
    record = Rollout(RECORD)
    ended = Fact(RECORD, FactKind.TASK_DONE, "", str(number), now, actor, {"text": said})
    credit = credit_fact(record, activities[task.activity], Doer(user, person=user), str(number), now, actor)
    new = facts.record(ended, credit)
    return next(t for t in tasks(facts) if t.number == number), bool(new)
