"""What only tests ask of Airflow's REST API: to wait until something is so, all runs, what a task returned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from pps.adapters.services.airflow_rest import AirflowClient, TaskState

T = TypeVar("T")
_ENDED = frozenset({"success", "failed"})


def wait_for_run(client: AirflowClient, dag: str, run: str, within_s: float) -> str:
    """Wait until a run has ended, and return its state."""
    return _wait(lambda: client.run_state(dag, run), _ENDED.__contains__, f"run {run} of {dag}", within_s)


def wait_for_tasks(
    client: AirflowClient, dag: str, run: str, are_so: Callable[[Sequence[TaskState]], bool], within_s: float
) -> list[TaskState]:
    """Wait until the run's task instances are as asked, and return them."""
    return _wait(lambda: client.tasks(dag, run), are_so, f"tasks of run {run} of {dag}", within_s)


def runs_of(client: AirflowClient, dag: str) -> list[dict[str, Any]]:
    """All runs of a DAG, as Airflow describes them."""
    return list(client._pages(f"dags/{dag}/dagRuns", "dag_runs"))


def xcom(client: AirflowClient, dag: str, run: str, task: str) -> Any:
    """What a task returned."""
    where = f"dags/{dag}/dagRuns/{quote(run)}/taskInstances/{task}/xcomEntries/return_value"
    return client._call("GET", where, params={"map_index": -1})["value"]


def labels_of(client: AirflowClient, dag: str, run: str, task: str) -> dict[int, str]:
    """Map index (-1: not mapped) -> what Airflow's lists call the task; empty where it was mapped over nothing."""
    found = client._pages(f"dags/{dag}/dagRuns/{quote(run)}/taskInstances", "task_instances")
    return {t["map_index"]: t["rendered_map_index"] for t in found if t["task_id"] == task and t["rendered_map_index"]}


def note_of(client: AirflowClient, dag: str, run: str) -> str:
    """The note of a run; "" if it has none."""
    return str(client._call("GET", f"dags/{dag}/dagRuns/{quote(run)}")["note"] or "")


def write_note(client: AirflowClient, dag: str, run: str, note: str) -> None:
    """What a person enters as the note of a run, in the browser."""
    client._call("PATCH", f"dags/{dag}/dagRuns/{quote(run)}", json={"note": note})


def import_errors(client: AirflowClient) -> list[str]:
    """Why DAG files do not load, one text each."""
    return [f"{e['filename']}: {e['stack_trace']}" for e in client._pages("importErrors", "import_errors")]


def why_failed(client: AirflowClient, dag: str, run: str) -> str:
    """The failed tasks of a run, each with what its log says last; for the message of a test that fails."""
    told = []
    for task in (t for t in client.tasks(dag, run) if t.state == "failed"):
        where = f"dags/{dag}/dagRuns/{quote(run)}/taskInstances/{task.task}"
        wanted = {"map_index": task.map_index, "full_content": "true"}
        log = client.request("GET", f"{where}/logs/{task.try_number}", params=wanted).json()
        lines = [line for line in log.get("content", ()) if str(line.get("level", "info")).lower() != "info"]
        told.append(f"{task.task}[{task.map_index}], try {task.try_number}: {str(lines[-4:])[-4000:]}")
    return "\n".join(told) or "no task has failed"


def _wait(look: Callable[[], T], is_so: Callable[[T], bool], what: str, within_s: float) -> T:
    deadline = time.monotonic() + within_s
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, f"{what}: not so within {within_s:g} s; last seen: {str(seen)[:500]}"
        time.sleep(0.5)
    return seen
