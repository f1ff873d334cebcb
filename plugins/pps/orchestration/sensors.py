"""Waiting. A wait holds no worker slot, asks the facts and the world, and never its own clock's start.

Each sensor asks a condition of `conditions.py`; while it is false a trigger asks again at the
policy's interval. What the trigger says only wakes the task: the task asks again itself, so a
lost, doubled or early event changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.triggers.base import BaseTrigger, TriggerEvent

from pps.domain.base.errors import ServiceError
from pps.orchestration import conditions
from pps.orchestration.runtime import asking_again


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
        holds = conditions.CONDITIONS[self.condition]
        while True:
            try:
                if await asyncio.to_thread(asking_again, holds, **self.arguments):
                    break
            except ServiceError as error:
                self.log.warning("Asking %s again in %s s: %s", self.condition, self.every_s, error)
            await asyncio.sleep(self.every_s)
        yield TriggerEvent(self.condition)  # type: ignore[no-untyped-call]


class ConditionSensor(BaseOperator):
    """Succeeds when its condition holds; the subclasses name the condition."""

    template_fields: Sequence[str] = ("arguments",)
    condition: str

    def __init__(self, *, arguments: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments = arguments

    def execute(self, context: Context, event: Any = None) -> None:
        """Ask; defer while the answer is no."""
        if not self._holds():
            self.defer(
                trigger=ConditionTrigger(self.condition, self.arguments, conditions.interval_s(self.condition)),
                method_name="execute",
            )

    def _holds(self) -> bool:
        """A service that is down at this moment is a reason to wait, not to fail."""
        try:
            return conditions.CONDITIONS[self.condition](**self.arguments)
        except ServiceError as error:
            self.log.warning("%s", error)
            return False


class TagSensor(ConditionSensor):
    """Until the information system shows the tag at every tagged site of the batch, or its time is up."""

    condition = "tags_are_seen"

    def __init__(self, *, rollout: str, batch: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout, "batch": batch}, **kwargs)


class OfferedSensor(ConditionSensor):
    """Until enough sites offer the preview, or no further one can come (SD 4.1.2)."""

    condition = "preview_is_offered"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class DeploymentTestSensor(ConditionSensor):
    """Until the deployment test of the patch has ended (SD 4.1.2: "the two activities run in parallel")."""

    condition = "deployment_test_is_over"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class RenewedTestSensor(ConditionSensor):
    """Until another deployment test, of the patch as it is now, has ended."""

    condition = "deployment_test_is_renewed"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class FeedbackSensor(ConditionSensor):
    """Until the agreed date, or until every invited VO has answered (SD 4.1.1)."""

    condition = "feedback_is_over"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class CertificationSensor(ConditionSensor):
    """Until the tracker says `Certified` or `Rejected`, or the rollout was stopped."""

    condition = "certification_is_over"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class PilotSetUpSensor(ConditionSensor):
    """Until a site's pilot service is seen as it should be, or the site is left out (SD 4.1.3, 7)."""

    condition = "pilot_is_set_up"

    def __init__(self, *, rollout: str, site: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout, "site": site}, **kwargs)


class PilotRunSensor(ConditionSensor):
    """Probes the services of a pilot at each question, until the run is over (SD 4.1.3, 8)."""

    condition = "pilot_run_is_over"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class PilotRollBackSensor(ConditionSensor):
    """Until the version of before answers again at a site, and the pilot is published no more, or the time is up."""

    condition = "pilot_is_rolled_back"

    def __init__(self, *, rollout: str, site: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout, "site": site}, **kwargs)


class PilotSiteSensor(ConditionSensor):
    """Until the run is over, or a site's roll-back is asked for, whichever comes first (SD 4.1.3, 8)."""

    condition = "pilot_ends_at_site"

    def __init__(self, *, rollout: str, site: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout, "site": site}, **kwargs)


class PilotServiceSensor(ConditionSensor):
    """Until the service is set up at all sites of a pilot, so that VOs can use it (SD 4.1.3, 8)."""

    condition = "vos_may_begin"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class PilotFeedbackSensor(ConditionSensor):
    """Until the committed VOs have answered, or the agreed date has passed (SD 4.1.3)."""

    condition = "vos_are_heard"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class TagsGoneSensor(ConditionSensor):
    """Until the information system shows the tag of a withdrawn preview no longer, or its time is up."""

    condition = "tags_are_gone"

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(arguments={"rollout": rollout}, **kwargs)


class RetiredTagsSensor(ConditionSensor):
    """The same, for all previews that a night retires."""

    condition = "retired_tags_are_gone"

    def __init__(self, *, rollouts: Any, **kwargs: Any) -> None:
        super().__init__(arguments={"rollouts": rollouts}, **kwargs)
