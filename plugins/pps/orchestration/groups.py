"""Groups of steps that more than one path shares."""

from __future__ import annotations

from airflow.sdk import task_group

from pps.orchestration import steps
from pps.orchestration.sensors import TagSensor


@task_group
def preview(rollout: str, batch: str) -> None:
    """Distribution, local testing and tag at one batch of sites (SD 4.1.1, steps 2 to 4).

    A bad site leaves the batch, never stops it.
    """
    distributed = steps.distribute_client(rollout, batch)
    tested = steps.run_probe_tests(rollout, batch)
    published = steps.publish_tag(rollout, batch)
    seen = TagSensor(task_id="wait_for_tag", rollout=rollout, batch=batch)
    distributed >> tested >> published >> seen
