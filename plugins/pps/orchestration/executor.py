"""The executor: LocalExecutor without the resume race of Airflow 3.3 (docs/adr/0001-executor-drops-success-events.md).

Configured by `AIRFLOW__CORE__EXECUTOR=pps.orchestration.executor.SafeLocalExecutor`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from airflow.executors.local_executor import LocalExecutor
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.net import get_hostname
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

from pps.orchestration.turns import ChangedRunsFirst

#: What DAGs and nearly all tasks use: a third of a second of the processor, half of what a short task takes.
_WHAT_TASKS_IMPORT = (
    "pps.orchestration.groups",
    "pps.orchestration.groups_pilot",
    "pps.orchestration.sensors",
    "pps.orchestration.steps.overruling",
    "pps.orchestration.steps.quality",
    "pps.orchestration.steps.release_notes",
    "pps.orchestration.steps.release_tests",
    "pps.services",
    "pps.adapters.record.store",
    "pps.adapters.services.bdii",
    "pps.adapters.services.mail",
    "pps.adapters.services.templates",
    "pps.adapters.trackers.roundup",
    "pps.adapters.sites.ssh_openssh",
)

_LONGEST_TEXT = 1000
_AWAY = frozenset({502, 503, 504})  # what proxies say of a server that does not answer them


class WorkerError(Exception):
    """What a worker says of a workload that failed: one text, so that it can be unpickled whatever has happened."""


class NotBegunError(WorkerError):
    """The worker could not say that its task begins, since the execution API did not answer it."""


class _Results:
    """The queue on which workers report. What went wrong crosses it as text.

    Airflow puts the exception itself there, and pickles it. One that takes more than its message to be made, such as
    the `HTTPStatusError` of a proxy that answers 502 while the api-server starts, ends the scheduler when it is read.
    """

    def __init__(self, queue: Any) -> None:
        self.get, self.empty, self.close = queue.get, queue.empty, queue.close
        self._queue = queue

    def put(self, result: tuple[Any, Any, BaseException | None]) -> None:
        key, state, error = result
        self._queue.put((key, state, None if error is None else _in_text(error)))


def _in_text(error: BaseException) -> WorkerError:
    if isinstance(error, httpx.HTTPStatusError):
        away = error.response.status_code in _AWAY
    else:
        away = isinstance(error, httpx.TransportError)
    return (NotBegunError if away else WorkerError)(f"{type(error).__name__}: {error}"[:_LONGEST_TEXT])


class SafeLocalExecutor(ChangedRunsFirst, LocalExecutor):
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

    A task that could not begin, since the execution API did not answer (after a power cut the api-server may be up
    later than the scheduler), is scheduled once more: Airflow would count a try as failed that has not begun. So is one
    that was to resume, whatever kept it from that: Airflow would forget what it was resumed with.

    And it adopts what a scheduler that was killed has left behind (docs/adr/0015-answers-outlive-the-scheduler.md).
    Airflow would reset such tasks: a process that lives on would get a double, and what a task was resumed with would
    be forgotten, which for a human task is the answer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._adopted: set[TaskInstanceKey] = set()

    def start(self) -> None:
        """Start the workers. Tasks are forks of these: what they have imported already, no task imports anew."""
        for module in _WHAT_TASKS_IMPORT:
            importlib.import_module(module)
        super().start()

    def _spawn_worker(self) -> None:
        if not isinstance(self.result_queue, _Results):
            self.result_queue = _Results(self.result_queue)  # type: ignore[assignment]
        super()._spawn_worker()  # type: ignore[no-untyped-call]

    def _read_results(self) -> None:
        while not self.result_queue.empty():
            key, state, error = self.result_queue.get()
            self.change_state(key, state, error)

    def get_event_buffer(self, dag_ids: list[str] | None = None) -> dict[Any, Any]:
        """The events since the last call, without the successes of tasks; except where the process was killed."""
        events = super().get_event_buffer(dag_ids)
        if self._adopted:
            running = _running(self._adopted)
            gone = {key for key, pid in running.items() if not _is_alive(pid)}
            self._adopted = running.keys() - gone
            return self._without_what_is_hidden(events) | dict.fromkeys(gone, (TaskInstanceState.SUCCESS, None))
        return self._without_what_is_hidden(events)

    def _without_what_is_hidden(self, events: dict[Any, Any]) -> dict[Any, Any]:
        failed = {
            key: isinstance(why, NotBegunError) for key, (state, why) in events.items()
            if state == TaskInstanceState.FAILED and isinstance(key, TaskInstanceKey) and key not in self.running
        }  # fmt: skip
        begin_again = _scheduled_again(failed) if failed else set()
        return self._without_successes({key: event for key, event in events.items() if key not in begin_again})

    def _without_successes(self, events: dict[Any, Any]) -> dict[Any, Any]:
        ended = {
            key for key, (state, _) in events.items()
            if state == TaskInstanceState.SUCCESS and isinstance(key, TaskInstanceKey)
        }  # fmt: skip
        hidden = ended - _killed(ended) if ended else ended
        return {key: event for key, event in events.items() if key not in hidden}

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Return the tasks of a dead scheduler that have to begin anew; processes that live on are watched."""
        begin_anew = [ti for ti in tis if not _goes_on(ti)]
        again = {id(ti) for ti in begin_anew}
        self._adopted |= {ti.key for ti in tis if id(ti) not in again and ti.state == TaskInstanceState.RUNNING}
        return begin_anew


def _goes_on(ti: TaskInstance) -> bool:
    """Tell whether an orphaned task goes on as it is; one that was about to resume is scheduled for that again."""
    if ti.state == TaskInstanceState.RUNNING:
        if ti.hostname != get_hostname():  # type: ignore[no-untyped-call]
            return False
        if ti.pid and _is_alive(ti.pid):
            return True  # it reports its state itself; if it dies before, that is an event of the executor
    if not ti.next_method:
        return False
    ti.state = TaskInstanceState.SCHEDULED
    return True


def _scheduled_again(failed: Mapping[TaskInstanceKey, bool]) -> set[TaskInstanceKey]:
    """Those tasks that have not begun and are to: those that were to resume, with what they had, and those marked."""
    among_these = TaskInstance.filter_for_tis(failed)
    if among_these is None:
        return set()
    queued = select(TaskInstance).where(among_these, TaskInstance.state == TaskInstanceState.QUEUED)
    with create_session() as session:
        tasks = [ti for ti in session.scalars(queued) if ti.key in failed and (ti.next_method or failed[ti.key])]
        for ti in tasks:
            ti.state = TaskInstanceState.SCHEDULED
        return {ti.key for ti in tasks}


def _killed(keys: set[TaskInstanceKey]) -> set[TaskInstanceKey]:
    """Those tasks that the database takes for running here although their process is gone."""
    return {key for key, pid in _running(keys).items() if not _is_alive(pid)}


def _running(keys: set[TaskInstanceKey]) -> dict[TaskInstanceKey, int]:
    """Those tasks that the database takes for running here, with their process id."""
    among_these = TaskInstance.filter_for_tis(keys)
    if among_these is None:
        return {}
    here = TaskInstance.hostname == get_hostname()  # type: ignore[no-untyped-call]
    with create_session() as session:
        running = select(TaskInstance).where(among_these, here, TaskInstance.state == TaskInstanceState.RUNNING)
        tasks = session.scalars(running)
        return {ti.key: ti.pid for ti in tasks if ti.key in keys and ti.pid}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
