"""The executor: LocalExecutor without the resume race of Airflow 3.3 (docs/adr/0001-executor-drops-success-events.md).

Configured by `AIRFLOW__CORE__EXECUTOR=pps.orchestration.executor.SafeLocalExecutor`.
"""

from __future__ import annotations

from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState


class SafeLocalExecutor(LocalExecutor):
    """Keeps to itself that a worker process ended well.

    A task that parks (human tasks) or defers ends its worker process, and the executor reports
    SUCCESS for it. When the task resumes before the scheduler reads that event, the scheduler finds
    the task queued or running, takes the SUCCESS for a state mismatch and fails the task
    (`SchedulerJobRunner.process_executor_events`; apache/airflow#67287, #71580, #72716). It excuses
    only a task that is SCHEDULED again and has a `next_method`; one that a fast scheduler has queued
    or started meanwhile, and every answered human task, is failed.

    Nothing needs the event: the worker reports the task's state itself through the execution API
    before it ends, and a worker that dies without doing so reports FAILED, which we pass on; a dead
    supervisor is found by its missing heartbeat.
    """

    def get_event_buffer(self, dag_ids: list[str] | None = None) -> dict[Any, Any]:
        """The events since the last call, without the successes of tasks."""
        events = super().get_event_buffer(dag_ids)
        return {key: event for key, event in events.items() if event[0] != TaskInstanceState.SUCCESS}
