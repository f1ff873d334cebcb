"""Pre-deployment test of an update (service description, 4.2.2, 4.2.1, 4.1.2).

The update's packages, release notes and configuration are tried over the deployment scenarios of
config/scenarios.yaml that fit the patch, beside its preview and its certification, not after them.

1. The scenarios are agreed on: `plan_scenarios`, `scenarios_of_member_sites`
2. Each is run: in a clean root of our own (`run_scenario`), or by the people of a PPS member site
   (`ask_member_site`). Nobody answering in time is inconclusive, and says so.
3. What failed goes back to the provider with its log: `tell_provider`
4. The results are published, scenario by scenario: `publish_results`

`open_deployment_test` comes first. A platform goes out only if at least one of its scenarios passed
and no mandatory one failed or was inconclusive.
"""

from __future__ import annotations

from airflow.sdk import dag

from pps.orchestration import params, retries
from pps.orchestration.labels import ABOUT
from pps.orchestration.people import HumanStep
from pps.orchestration.steps import quality as steps_quality


@dag(
    schedule=None,
    params=params.of("pre_deployment_test"),
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    max_active_runs=5,
    tags=["quality", "deployment test"],
)
def pre_deployment_test() -> None:
    rollout = steps_quality.open_deployment_test()
    automatic = steps_quality.plan_scenarios(rollout)
    of_sites = steps_quality.scenarios_of_member_sites(rollout)

    run = steps_quality.run_scenario.partial(rollout=rollout).expand(scenario=automatic)
    ask = HumanStep.partial(
        task_id="ask_member_site", form="deployment-scenario", rollout=rollout, map_index_template=ABOUT
    ).expand(about=of_sites)
    told = steps_quality.tell_provider(rollout)
    results = steps_quality.publish_results(rollout)

    automatic >> of_sites
    [run, ask] >> told >> results


pre_deployment_test()
