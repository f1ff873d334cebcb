"""Waiting. A wait holds no worker slot, and asks the facts and the world, never how long ago it began itself.

A task asks a wait of `workflow.waits`; while it is not over a trigger asks again at the
policy's interval. What the trigger says only wakes the task: the task asks again itself, so a
lost, doubled or early event changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.triggers.base import BaseTrigger, TriggerEvent

from pps.config.loader import load_configuration
from pps.domain.base.errors import ServiceError
from pps.orchestration import labels
from pps.orchestration.halts import note_going_on
from pps.orchestration.runtime import asking_again, office
from pps.workflow.waits import WAITS


class ConditionTrigger(BaseTrigger):
    """Asks a condition every `every_s` seconds until it holds."""

    def __init__(self, condition: str, arguments: dict[str, Any], every_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.condition = condition
        self.arguments = arguments
        self.every_s = every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As the triggerer stores it."""
        return (
            f"{type(self).__module__}.{type(self).__name__}",
            {"condition": self.condition, "arguments": self.arguments, "every_s": self.every_s},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when the condition holds. A service that is down is asked again."""
        while True:
            try:
                if await asyncio.to_thread(asking_again, _is_over, wait=self.condition, **self.arguments):
                    break
            except ServiceError as error:
                self.log.warning("Asking %s again in %s s: %s", self.condition, self.every_s, error)
            await asyncio.sleep(self.every_s)
        yield TriggerEvent(self.condition)  # type: ignore[no-untyped-call]


def park(task: BaseOperator, wait: str, arguments: dict[str, Any]) -> NoReturn:
    """End this attempt of a task, which holds no slot from here on; its `execute` begins anew when the wait is over."""
    every = WAITS[wait].every(load_configuration().policies)
    trigger = ConditionTrigger(wait, arguments, every.total_seconds())
    task.defer(trigger=trigger, method_name="execute")
    raise AssertionError("deferring does not come back")


class WaitUntil(BaseOperator):
    """Succeeds when a wait of `workflow.waits` is over.

    ```python
    WaitUntil(task_id="wait_for_feedback", wait="feedback_is_over", arguments={"rollout": rollout})
    ```
    """

    template_fields: Sequence[str] = ("arguments",)

    def __init__(self, *, wait: str, arguments: dict[str, Any], **kwargs: Any) -> None:
        named = next((template for key, template in labels.WAITS.items() if key in arguments), None)
        kwargs.setdefault("map_index_template", named)
        super().__init__(**kwargs)
        if wait not in WAITS:
            raise ValueError(f"{wait!r} is none of {', '.join(WAITS)}")
        self.wait = wait
        self.arguments = arguments

    def execute(self, context: Context, event: Any = None) -> None:
        """Ask; defer while the answer is no."""
        if context["ti"].try_number > 1 and "rollout" in self.arguments:
            with office() as o:
                note_going_on(o.desk(self.arguments["rollout"]))
        if not self._is_over():
            park(self, self.wait, self.arguments)

    def _is_over(self) -> bool:
        """A service that is down at this moment is a reason to wait, not to fail."""
        try:
            return _is_over(self.wait, **self.arguments)
        except ServiceError as error:
            self.log.warning("%s", error)
            return False


def _is_over(wait: str, **arguments: Any) -> bool:
    known = WAITS[wait]
    with office(f"pps:{known.seen_by}") as o:
        return known.is_over(o, **arguments)
