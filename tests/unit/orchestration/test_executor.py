"""What a scheduler that was killed has left behind is adopted where it would be lost otherwise (docs/adr/0015)."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.utils.net import get_hostname
from airflow.utils.state import TaskInstanceState

from pps.orchestration.executor import SafeLocalExecutor

QUEUED, RUNNING, SCHEDULED = TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.SCHEDULED


def left(state: TaskInstanceState, *, pid: int | None = None, host: str = "", next_method: str = "") -> Any:
    return SimpleNamespace(state=state, pid=pid, hostname=host or get_hostname(), next_method=next_method or None)


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


def test_every_other_task_begins_anew(gone: int) -> None:
    for task in (left(QUEUED), left(RUNNING, pid=gone), left(RUNNING, pid=os.getpid(), host="elsewhere.example.org")):
        before = task.state
        assert not adopts(task)
        assert task.state is before
