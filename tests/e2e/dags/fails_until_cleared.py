"""For tests: a task that needs a person first, as ours do, and a rollout that this run has opened."""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from pps.domain.base.errors import NotYetAllowedError
from pps.domain.record.facts import FactKind
from pps.orchestration import retries
from pps.orchestration.runtime import desk


@dag(schedule=None, default_args=retries.ROLLOUT, params={"rollout": Param(type="string")})
def fails_until_cleared() -> None:
    @task
    def needs_somebody(rollout: str) -> None:
        with desk(rollout) as d:
            if not d.rollout.has(FactKind.PATCH_ADMITTED):
                raise NotYetAllowedError(rollout, "nobody has admitted it.", "Admit it.")

    needs_somebody("{{ params.rollout }}")


fails_until_cleared()
