"""The release notes of a preview: written when nothing is left to wait for, also where the date was moved meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context, TriggerRule

from pps.activities.release import notes
from pps.orchestration.runtime import desk
from pps.orchestration.sensors import park
from pps.workflow.waits import WAITS

_WAIT = "feedback_is_over"


class WriteReleaseNotes(BaseOperator):
    """What changed, and what the VOs said, or that nobody answered. Returns the notes' digest.

    The agreed date may have been moved after the wait for it had ended, as after an outage: then it waits once more.

    ```python
    WriteReleaseNotes(task_id="write_release_notes", rollout=rollout)
    ```
    """

    template_fields: Sequence[str] = ("rollout",)

    def __init__(self, *, rollout: str, **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.NONE_FAILED, **kwargs)
        self.rollout = rollout

    def execute(self, context: Context, event: Any = None) -> str:
        """Write them, or park until the VOs have been heard."""
        with desk(self.rollout) as d:
            if over := WAITS[_WAIT].holds(d):
                digest = notes.write_release_notes(d, d.services.publication_folder, d.policies.feedback.terms())
                d.write_bulletin()
        if not over:
            park(self, _WAIT, {"rollout": self.rollout})
        return digest
