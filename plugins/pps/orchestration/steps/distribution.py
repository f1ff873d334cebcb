"""Step 2 of a preview as an Airflow task: one batch of sites, unless the rollout is paused (SD 4.1.1, 4.1.2)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow.sdk import BaseOperator, Context

from pps.activities.clients import distribution, gates
from pps.activities.packages import tarball
from pps.domain.base.errors import NotYetAllowedError, PackageError
from pps.domain.clients.batches import ends_without_late_sites
from pps.domain.clients.control import pause_of, said_of_pause
from pps.domain.record.rollouts import occasion_of
from pps.orchestration import labels
from pps.orchestration.in_time import awaited
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk
from pps.orchestration.sensors import park
from pps.orchestration.steps.clients import _door, _sites, _stop
from pps.workflow.alarm import raise_alarm, watched

log = logging.getLogger(__name__)

#: The failure budget is looked at before each batch, so no more than these are under way when it is used up.
BATCHES_AT_ONCE = 2
#: For `partial`, which makes a task without asking its class.
OF_EACH: dict[str, Any] = {
    "max_active_tis_per_dagrun": BATCHES_AT_ONCE,
    "execution_timeout": LIMITS.at_sites,
    "map_index_template": labels.BATCH_OF_OPERATOR,
}


class DistributeClient(BaseOperator):
    """One batch of sites, concurrently, one connection each. Returns how many sites ended how.

    A batch of the agreed plan waits while the rollout is paused, and holds no worker meanwhile. One of a night, or of
    another try, is left alone then: it is planned anew when the rollout goes on.

    ```python
    DistributeClient(task_id="distribute_client", rollout=rollout, batch=batch)
    ```
    """

    template_fields: Sequence[str] = ("rollout", "batch")

    def __init__(self, *, rollout: str, batch: str, **kwargs: Any) -> None:
        super().__init__(**OF_EACH | kwargs)
        self.rollout = rollout
        self.batch = batch

    def execute(self, context: Context, event: Any = None) -> dict[str, int]:
        """Do it, or park until the rollout goes on."""
        done = bring_to_sites(self.rollout, self.batch)
        if done is None:
            park(self, "may_go_on", {"rollout": self.rollout})
        return done


def bring_to_sites(rollout: str, batch: str) -> dict[str, int] | None:
    """Bring the preview to a batch of sites; None if the batch has to wait until the rollout goes on."""
    with desk(rollout) as d:
        gates.must_go_on(d.rollout)
        if pause := pause_of(d.rollout):
            log.warning("%s: %s", rollout, said_of_pause(pause))
            if d.rollout.is_planned(batch):
                return None
            labels.say_how_it_went(rollout, batch, {"reached": 0, "left alone: it is paused": len(_sites(d, batch))})
            return {}
        if reasons := gates.budget_reasons(d.rollout, d.policies.distribution.to_domain()):
            _stop(d, reasons)
            raise NotYetAllowedError(
                rollout, " ".join(reasons), "Look at the sites' reasons, then start a new rollout."
            )
        sites = _sites(d, batch)
        door = _door(d, sites, occasion_of(batch))
        if ends_without_late_sites(d.rollout, batch):
            door = replace(door, places=replace(door.places, patience=d.policies.distribution.patience_with_late_sites))
        with watched(d, also=PackageError):
            outcomes = awaited(
                distribution.distribute(
                    d,
                    tarball.tarball_of(d.rollout, d.services.artefacts),
                    sites,
                    door,
                    artefacts=d.services.artefacts,
                    cache=d.services.payload_cache,
                    progress=lambda outcome: log.info("%s", outcome.text),
                    alarm=lambda error: raise_alarm(d, error),
                )
            )
        ended = Counter(o.word for o in outcomes)
        not_there = {word: ended[word] for word in ("failed", "put off", "not yet")}
        labels.say_how_it_went(rollout, batch, {"reached": ended.total() - sum(not_there.values()), **not_there})
        return dict(ended)
