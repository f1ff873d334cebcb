"""A rollout that does not go on: a task of its run has failed for good, and somebody has to look.

Airflow alone would know. Whoever asks why a rollout stands still asks its record, so it is told there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pps.domain.base.conditions import moment
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

NEXT_STEP = "Correct the cause, then have an Admin of Airflow clear that task."


@dataclass(frozen=True, slots=True)
class Halt:
    """The failure that keeps a rollout from going on."""

    run: str
    """`<DAG>/<run>`"""
    task: str
    reason: str
    """for those who work on it; it may quote a site"""
    at: datetime

    @property
    def headline(self) -> str:
        """What anybody may know: no word of a site or a service."""
        return f"Its run has failed on {moment(self.at)}, at the task {self.task}."

    @property
    def sentence(self) -> str:
        """The whole, for those who work on it."""
        return f"{self.headline} {self.reason} {NEXT_STEP}"


def failures(record: Rollout) -> tuple[Fact, ...]:
    """The failures that keep it now, oldest first: not those of a task that was tried again, nor of what is over."""
    asked = record.the(FactKind.WITHDRAWAL_ASKED)
    if record.withdrawal_is_finished or (record.is_over and asked is None):
        return ()
    ended = {(f.subject, f.occasion) for f in record.facts if f.kind is FactKind.TASK_WENT_ON}
    found = (f for f in record.facts if f.kind is FactKind.TASK_FAILED and (f.subject, f.occasion) not in ended)
    return tuple(f for f in found if asked is None or f.at >= asked.at)


def halt_of(record: Rollout) -> Halt | None:
    """What keeps it, the first of it if there is more: the rest follows from that; None while it goes on."""
    if not (standing := failures(record)):
        return None
    first = standing[0]
    return Halt(first.subject, str(first.payload["task"]), str(first.payload["reason"]), first.at)
