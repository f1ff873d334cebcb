"""The executor: LocalExecutor without the resume race of Airflow 3.3 (docs/adr/0001-executor-drops-success-events.md).

Configured by `AIRFLOW__CORE__EXECUTOR=pps.orchestration.executor.SafeLocalExecutor`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.net import get_hostname
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select


class SafeLocalExecutor(LocalExecutor):
    """Keeps to itself that a worker process ended well.

    A task that parks (human tasks) or defers ends its worker process, and the executor reports
    SUCCESS for it. When the task resumes before the scheduler reads that event, the scheduler finds
    the task queued or running, takes the SUCCESS for a state mismatch and fails the task
    (`SchedulerJobRunner.process_executor_events`; apache/airflow#67287, #71580, #72716). It excuses
    only a task that is SCHEDULED again and has a `next_method`; one that a fast scheduler has queued
    or started meanwhile, and every answered human task, is failed.

    Nothing needs the event where the worker has reported the task's state itself through the execution
    API. A task process that was killed (`kill -9`, out of memory) has not: its supervisor takes the retry for
    reported and says nothing, so the task stays RUNNING until its heartbeat is missed, minutes later.
    For such a task, RUNNING on this host with a process that is gone, the event is passed on, and the
    scheduler retries it at once. A task that has resumed is RUNNING, too, but its process lives.
    """

    def get_event_buffer(self, dag_ids: list[str] | None = None) -> dict[Any, Any]:
        """The events since the last call, without the successes of tasks; except where the process was killed."""
        events = super().get_event_buffer(dag_ids)
        ended = {
            key for key, (state, _) in events.items()
            if state == TaskInstanceState.SUCCESS and isinstance(key, TaskInstanceKey)
        }  # fmt: skip
        hidden = ended - _killed(ended) if ended else ended
        return {key: event for key, event in events.items() if key not in hidden}

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Return the tasks of a dead scheduler that have to begin anew."""
        return [ti for ti in tis if not _goes_on(ti)]


def _goes_on(ti: TaskInstance) -> bool:
    """Tell whether an orphaned task goes on as it is; one that was about to resume is scheduled for that again."""
    if ti.state == TaskInstanceState.RUNNING:
        if ti.hostname != get_hostname():  # type: ignore[no-untyped-call]
            return False
        if ti.pid and _is_alive(ti.pid):
            return True  # it reports its state itself; if it does not, its heartbeat is missed
    if not ti.next_method:
        return False
    ti.state = TaskInstanceState.SCHEDULED
    return True


def _killed(keys: set[TaskInstanceKey]) -> set[TaskInstanceKey]:
    """Those tasks that the database holds for running here although their process is gone."""
    among_these = TaskInstance.filter_for_tis(keys)
    if among_these is None:
        return set()
    here = TaskInstance.hostname == get_hostname()  # type: ignore[no-untyped-call]
    with create_session() as session:
        running = select(TaskInstance).where(among_these, here, TaskInstance.state == TaskInstanceState.RUNNING)
        tasks = session.scalars(running)
        return {ti.key for ti in tasks if ti.key in keys and ti.pid and not _is_alive(ti.pid)}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
