"""Human tasks and deferred tasks that resume at once, by the hundred (docs/adr/0001)."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.airflow import RunningAirflow, airflow  # noqa: F401
from tests.support.airflow_waits import wait_for_run

pytestmark = pytest.mark.e2e

ANSWERS, WAITS = 100, 60


def test_a_hundred_human_tasks_answered_as_soon_as_they_ask_all_succeed(airflow: RunningAirflow) -> None:
    admin = airflow.client()
    clients = [airflow.client() for _ in range(4)]
    run = admin.trigger("soak_answers", {"count": ANSWERS})
    answered: set[int] = set()
    deadline = time.monotonic() + 600
    with ThreadPoolExecutor(len(clients)) as pool:
        while len(answered) < ANSWERS:
            assert time.monotonic() < deadline, f"{len(answered)} of {ANSWERS} asked"
            asked = admin.questions("soak_answers", run)
            list(pool.map(lambda n_q: clients[n_q[0] % len(clients)].answer(n_q[1], ["Yes"]), enumerate(asked)))
            answered |= {question.map_index for question in asked}
            time.sleep(0.2)
    state = wait_for_run(admin, "soak_answers", run, 300)
    assert Counter((t.state, t.try_number) for t in admin.tasks("soak_answers", run) if t.task == "ask") == {
        ("success", 1): ANSWERS
    }
    assert state == "success"


def test_deferred_tasks_whose_moment_has_passed_all_succeed(airflow: RunningAirflow) -> None:
    admin = airflow.client()
    run = admin.trigger("soak_waits", {"count": WAITS})
    state = wait_for_run(admin, "soak_waits", run, 300)
    assert Counter((t.state, t.try_number) for t in admin.tasks("soak_waits", run) if t.task == "wait") == {
        ("success", 1): WAITS
    }
    assert state == "success"
