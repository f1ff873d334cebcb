"""Whose turn it is at the scheduler: a run in which something has changed comes first (docs/adr/0040).

Airflow's scheduler looks at running DAG runs in turn, so many a loop, whoever was looked at longest ago first. A run
that waits for people for weeks costs it 20 to 30 ms of CPU each time, and a run that has something to do waits for its
turn behind all of these.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.executors.base_executor import BaseExecutor
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, State, TaskInstanceState
from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

#: Of the event that says no more than that a run has changed. Airflow's scheduler does nothing about such a state, but
#: does not sleep before its next loop, in which that run is the first.
CHANGED = "changed"
#: How often a run is looked at in which a task is to be tried again: nobody says when that is due.
_RETRIES_EVERY = timedelta(seconds=5)


class ChangedRunsFirst(BaseExecutor):
    """Puts running DAG runs in which something has changed before all others; the scheduler asks once in each loop.

    Changed is a run in which, since the scheduler has looked at it, a task has ended or was cleared, marked or skipped,
    by whomever. A task that resumes needs no look at its run. So few runs have to be looked at in each loop
    (`[scheduler] max_dagruns_per_loop_to_schedule`): whichever wait are looked at in turn, at leisure.
    """

    def get_event_buffer(self, dag_ids: list[str] | None = None) -> dict[Any, Any]:
        """The events since the last call, and one more as long as there are runs that have changed."""
        events: dict[Any, Any] = super().get_event_buffer(dag_ids)
        for dag, run in changed_runs_first(datetime.now(UTC), DagRun.DEFAULT_DAGRUNS_TO_EXAMINE)[:1]:
            events.setdefault(TaskInstanceKey(dag, CHANGED, run), (CHANGED, None))
        return events


def changed_runs_first(now: datetime, in_a_loop: int) -> list[tuple[str, str]]:
    """DAG and run of each that has changed, whichever was looked at longest ago first; the next loop looks at those.

    They are put first as Airflow does it with a run that was cleared: as if it had never been looked at. Of these
    Airflow takes the oldest runs; so there are never more of them than it looks at in one loop, else a young run would
    wait until the old ones have nothing to do. A run that another scheduler looks at just now is left to it.
    """
    looked_at = DagRun.last_scheduling_decision
    # what has changed "later than now" was marked by a machine whose clock is ahead; it comes when that time has come
    changed = and_(
        or_(TaskInstance.state.is_(None), TaskInstance.state.in_(State.finished)),
        TaskInstance.updated_at.between(looked_at, now),
    )
    to_be_retried = and_(TaskInstance.state == TaskInstanceState.UP_FOR_RETRY, looked_at < now - _RETRIES_EVERY)
    of_run = and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id)
    asleep = exists().where(DagModel.dag_id == DagRun.dag_id, or_(DagModel.is_paused, DagModel.is_stale))
    awake = and_(DagRun.state == DagRunState.RUNNING, ~asleep)
    never = select(func.count(DagRun.id)).where(awake, looked_at.is_(None))
    these = (
        select(DagRun.id, DagRun.dag_id, DagRun.run_id)
        .where(awake, exists().where(of_run, or_(changed, to_be_retried)))
        .order_by(looked_at)
        .with_for_update(of=DagRun, skip_locked=True)
    )
    try:
        with create_session() as session:
            found = session.execute(these).all()
            room = max(in_a_loop - (session.scalar(never) or 0), 0) if found else 0
            if room:
                first = update(DagRun).where(DagRun.id.in_([row.id for row in found[:room]]))
                session.execute(first.values(last_scheduling_decision=None))
            return [(row.dag_id, row.run_id) for row in found]
    except SQLAlchemyError as error:  # they have their turn all the same, only later
        log.warning("Which runs have changed could not be asked: %s", error)
        return []
