"""What a scheduler that was killed has left behind is adopted where it would be lost otherwise (docs/adr/0015)."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.net import get_hostname
from airflow.utils.state import TaskInstanceState
from sqlalchemy.orm import sessionmaker

from pps.orchestration import executor
from pps.orchestration.executor import SafeLocalExecutor

KEY = TaskInstanceKey("minor_server_pilot", "invite_to_wrap_up", "run", 1, -1)

QUEUED, RUNNING, SCHEDULED = TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.SCHEDULED


def left(state: TaskInstanceState, *, pid: int | None = None, host: str = "", next_method: str = "") -> Any:
    return SimpleNamespace(
        state=state, pid=pid, hostname=host or get_hostname(), next_method=next_method or None, key=KEY
    )


@pytest.fixture(scope="module")
def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def adopts(task: Any) -> bool:
    return SafeLocalExecutor(parallelism=1).try_adopt_task_instances([task]) == []


def test_an_answered_question_that_was_about_to_resume_resumes_with_its_answer(gone: int) -> None:
    for task in (
        left(QUEUED, next_method="execute_complete"),
        left(RUNNING, pid=gone, next_method="execute_complete"),
    ):
        assert adopts(task)
        assert task.state is SCHEDULED
        assert task.next_method == "execute_complete"


def test_a_task_that_lives_on_is_left_alone() -> None:
    task = left(RUNNING, pid=os.getpid())
    assert adopts(task)
    assert task.state is RUNNING


def test_a_task_that_lived_on_and_dies_afterwards_is_retried_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        left_behind = SafeLocalExecutor(parallelism=1)
        monkeypatch.setattr(executor, "_running", lambda keys: dict.fromkeys(keys, process.pid))
        assert left_behind.try_adopt_task_instances([left(RUNNING, pid=process.pid)]) == []
        assert left_behind.get_event_buffer() == {}
        process.kill()
        process.wait()
        assert set(left_behind.get_event_buffer()) == {KEY}
        assert left_behind.get_event_buffer() == {}, "once"


def test_a_task_that_lived_on_and_ended_is_watched_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind = SafeLocalExecutor(parallelism=1)
    assert left_behind.try_adopt_task_instances([left(RUNNING, pid=os.getpid())]) == []
    monkeypatch.setattr(executor, "_running", lambda keys: {})
    assert left_behind.get_event_buffer() == {}
    monkeypatch.setattr(executor, "_running", lambda keys: pytest.fail("it is asked for again"))
    assert left_behind.get_event_buffer() == {}


def test_every_other_task_begins_anew(gone: int) -> None:
    for task in (left(QUEUED), left(RUNNING, pid=gone), left(RUNNING, pid=os.getpid(), host="elsewhere.example.org")):
        before = task.state
        assert not adopts(task)
        assert task.state is before


def test_a_task_that_was_to_resume_and_could_not_begin_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    resumes, fails = KEY, KEY._replace(task_id="end_pilot")
    workers = SafeLocalExecutor(parallelism=1)
    for key in (resumes, fails):
        workers.fail(key)
    asked: list[dict[TaskInstanceKey, bool]] = []
    monkeypatch.setattr(executor, "_scheduled_again", lambda keys: asked.append(keys) or {resumes})
    assert set(workers.get_event_buffer()) == {fails}
    assert asked == [{resumes: False, fails: False}]


def test_what_it_was_to_resume_with_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import_all_models()
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    Base.metadata.create_all(engine)
    monkeypatch.setattr(executor, "create_session", sessionmaker(engine).begin)
    now = datetime.now(UTC)
    run = {"dag_id": KEY.dag_id, "run_id": KEY.run_id}
    about_run = {"run_type": "manual", "run_after": now, "conf": {}, "span_status": "not_started", "log_template_id": 1}
    task = {"map_index": -1, "try_number": 1, "pool": "p", "pool_slots": 1, "queue": "q", "span_status": "not_started"}
    states = {
        "resumes": ("queued", "execute_complete"),
        "begins": ("queued", None),
        "unheard": ("queued", None),
        "runs": ("running", "next"),
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(DagRun.__table__).values(**run, **about_run, clear_number=0))
        for name, (state, resumed_at) in states.items():
            known = {"id": uuid.uuid4(), "task_id": name, "state": state, "next_method": resumed_at}
            connection.execute(sa.insert(TaskInstance.__table__).values(**run, **task, **known))

    found = executor._scheduled_again({KEY._replace(task_id=name): name in ("unheard", "runs") for name in states})

    assert {key.task_id for key in found} == {"resumes", "unheard"}
    with engine.begin() as connection:
        table = TaskInstance.__table__.c
        rows = connection.execute(sa.select(table.task_id, table.state, table.next_method)).all()
    assert {name: (state, resumed_at) for name, state, resumed_at in rows} == {
        **states,
        "resumes": ("scheduled", "execute_complete"),
        "unheard": ("scheduled", None),
    }


LEFT_TO_TASKS = """
import runpy, sys
from pathlib import Path
from airflow.executors.local_executor import LocalExecutor
from pps.orchestration.executor import SafeLocalExecutor

LocalExecutor.start = lambda self: None
SafeLocalExecutor(parallelism=1).start()
before = set(sys.modules)
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    runpy.run_path(str(path))
print(*(name for name in set(sys.modules) - before if name.startswith("pps.")))
"""


@pytest.mark.slow
def test_what_a_dag_imports_of_ours_no_task_imports_anew() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", LEFT_TO_TASKS, str(root / "dags")]
    environment = {**os.environ, "PYTHONPATH": str(root / "plugins")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("\n")[-2] == ""
