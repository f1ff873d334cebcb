"""Waiting: what a sensor does when the answer is no, yes, or none at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import TaskDeferred
from tests.support.front import CONFIG

from pps.config.loader import Configuration
from pps.domain.base.errors import NotYetAllowedError, ServiceError
from pps.orchestration import sensors
from pps.orchestration.sensors import ConditionTrigger, WaitUntil
from pps.workflow.waits import WAITS, Wait

Answer = bool | Exception
#: Of a task at its first try.
FIRST = Context(ti=SimpleNamespace(try_number=1))  # type: ignore[typeddict-item]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The condition answers this, one after the other; returns the list of those who asked."""

    def prepare(*given: Answer) -> list[str]:
        asked: list[str] = []
        left: Iterator[Answer] = iter(given)

        def condition(rollout: str) -> bool:
            asked.append(rollout)
            answer = next(left)
            if isinstance(answer, Exception):
                raise answer
            return answer

        every = timedelta(milliseconds=10)
        monkeypatch.setitem(WAITS, "feedback_is_over", Wait(condition, lambda policies: every))
        monkeypatch.setattr(Wait, "is_over", lambda self, office, **arguments: self.holds(**arguments))
        monkeypatch.setattr(sensors, "office", lambda acts: nullcontext())
        monkeypatch.setattr(sensors, "load_configuration", lambda: Configuration(CONFIG))
        return asked

    return prepare


def sensor() -> WaitUntil:
    return WaitUntil(task_id="wait_for_feedback", wait="feedback_is_over", arguments={"rollout": "bc-client-4711-1"})


def test_it_holds_no_worker_while_the_answer_is_no(answers: Callable[..., list[str]]) -> None:
    asked = answers(False)
    with pytest.raises(TaskDeferred) as deferred:
        sensor().execute(FIRST)
    assert asked == ["bc-client-4711-1"]
    _, stored = deferred.value.trigger.serialize()
    assert stored == {"condition": "feedback_is_over", "arguments": {"rollout": "bc-client-4711-1"}, "every_s": 0.01}


def test_a_service_that_is_down_is_a_reason_to_wait_and_a_broken_rule_is_not(answers: Callable[..., list[str]]) -> None:
    answers(ServiceError("store", "does not answer"), NotYetAllowedError("bc-client-4711-1", "is not on record"))
    with pytest.raises(TaskDeferred):
        sensor().execute(FIRST)
    with pytest.raises(NotYetAllowedError):
        sensor().execute(FIRST)


def test_the_task_asks_again_when_it_is_woken_so_a_wrong_event_changes_nothing(
    answers: Callable[..., list[str]],
) -> None:
    answers(False, True)
    with pytest.raises(TaskDeferred):
        sensor().execute(FIRST, event="feedback_is_over")
    sensor().execute(FIRST, event="something else")


def test_the_trigger_asks_until_the_answer_is_yes_also_over_an_outage(answers: Callable[..., list[str]]) -> None:
    asked = answers(False, ServiceError("store", "does not answer"), False, True)

    async def events() -> list[object]:
        trigger = ConditionTrigger("feedback_is_over", {"rollout": "r"}, 0.01)
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(events()) == ["feedback_is_over"]
    assert asked == ["r"] * 4
