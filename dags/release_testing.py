"""Release testing of an update at selected production sites (service description, 4.2.3).

"Before the middleware updates are released to the public, they are delivered to a number of selected production
sites", in pools by region (config/pools.yaml).

1. The sites are agreed on; which are left out is on record, with the reason: `plan_sites`
2. The update is delivered to them, in a repository that no production client reads: `deliver_update`
3. Each site applies it to one or more of its services, and accepts or rejects it with a report within one working
   day of its own time zone: `ask_site`. No site waits for another.
4. The Release Manager sees all answers, and decides: `ask_release_manager`. Silence holds the update.
5. It is released to production (`release_update`) or held (`hold_update`), and people are told: `close_release_test`

`open_release_test` comes first. Answers that come late are kept and shown, but decide nothing. A site that applied
the update gets its credit. `follow_decision` reads the facts, so nobody can decide by marking a task.
"""

from __future__ import annotations

from airflow.sdk import TriggerRule, dag

from pps.domain.quality.release_tests import DECISION, MANAGER, STEP
from pps.orchestration import params, retries
from pps.orchestration.labels import ABOUT
from pps.orchestration.people import HumanStep
from pps.orchestration.steps import release_tests as steps


@dag(
    schedule=None,
    params=params.of("release_testing"),
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    max_active_runs=20,
    tags=["quality", "release test"],
)
def release_testing() -> None:
    rollout = steps.open_release_test()
    plan = steps.plan_sites(rollout)
    sites = steps.deliver_update(rollout)

    ask = HumanStep.partial(task_id="ask_site", form=STEP, rollout=rollout, map_index_template=ABOUT).expand(
        about=sites
    )
    decide = HumanStep(
        task_id="ask_release_manager",
        form=DECISION,
        rollout=rollout,
        about=MANAGER,
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,  # a site whose question broke keeps nobody waiting
    )
    decision = steps.follow_decision(rollout)
    release = steps.release_update(rollout)
    hold = steps.hold_update(rollout)
    close = steps.close_release_test(rollout)

    plan >> sites >> ask >> decide >> decision >> [release, hold] >> close


release_testing()
