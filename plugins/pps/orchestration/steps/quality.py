"""The steps of the quality services (SD 4.2) as Airflow tasks: each validates, calls one activity, returns identifiers.

Shared by all: `rollout` is a deployment test's name, `scenario` the name of a scenario of its plan.
"""

from __future__ import annotations

import logging

from airflow.sdk import TriggerRule, get_current_context, task

from pps.activities.quality import deployment_tests
from pps.domain.quality.scenarios import planned_scenarios
from pps.orchestration import labels
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk, office, run_of

log = logging.getLogger(__name__)

#: Each takes a processor and some hundred megabytes of disk.
SCENARIOS_AT_ONCE = 2


@task.short_circuit(ignore_downstream_trigger_rules=False)
def deployment_test_is_missing(rollout: str) -> bool:
    """Whether a deployment test of the patch as it is now has to be started; `rollout` is the one that needs it."""
    with desk(rollout) as d:
        return deployment_tests.needs_deployment_test(d.facts, d.patch)


@task
def open_deployment_test() -> str:
    """Register the test; refused with reasons where the patch's state or the lack of scenarios forbids it."""
    context = get_current_context()
    with office() as o:
        return deployment_tests.open_deployment_test(
            o, o.services.tracker.patch(int(context["params"]["patch"])), o.config.scenarios, run=run_of(context)
        )


@task
def plan_scenarios(rollout: str) -> list[str]:
    """Step 1. Agree on the scenarios, once. Returns those of the automatic runner."""
    with desk(rollout) as d:
        return deployment_tests.names_of(deployment_tests.plan_scenarios(d, d.config.scenarios), automatic=True)


@task
def scenarios_of_member_sites(rollout: str) -> list[str]:
    """The scenarios of the same plan that PPS member sites run."""
    with desk(rollout) as d:
        return deployment_tests.names_of(deployment_tests.plan_scenarios(d, d.config.scenarios), automatic=False)


@task(
    map_index_template=labels.SCENARIO,
    max_active_tis_per_dagrun=SCENARIOS_AT_ONCE,
    execution_timeout=LIMITS.scenario,
)
def run_scenario(rollout: str, scenario: str) -> str:
    """Step 2. Install, configure and probe in a clean root. Returns the result."""
    with desk(rollout) as d:
        result = deployment_tests.run_scenario(
            d,
            scenario,
            d.services.clean_roots,
            d.services.repositories,
            publication=d.services.publication_folder,
            keyring=d.services.trust_in(d.patch.repository.url).keyring,
            step_within=d.policies.deployment_test.step_within,
        )
        log.info("Scenario %s: %s", scenario, result)
        return result.value


@task(trigger_rule=TriggerRule.NONE_FAILED)
def tell_provider(rollout: str) -> int:
    """Step 3. Failed scenarios go back to the provider, each with its log. Returns how many mails are new."""
    with desk(rollout) as d:
        new = deployment_tests.tell_provider(
            d, d.services.tracker, publication=d.services.publication_folder, fall_back=d.config.service.reply_to
        )
        d.send()
        return new


@task(trigger_rule=TriggerRule.NONE_FAILED)
def publish_results(rollout: str) -> str:
    """Step 4. Results for each scenario; the verdict limits the platforms of the release. Returns the outcome."""
    with desk(rollout) as d:
        gone = "No question could be put to its site, which is no longer in the registry."
        d.record(
            *(
                fact
                for scenario in planned_scenarios(d.rollout)
                if not scenario.is_automatic
                for fact in deployment_tests.nobody_ran(d, scenario.name, gone)
            )
        )
        verdict = deployment_tests.close_deployment_test(d, publication=d.services.publication_folder)
        d.tell_tracker(d.rollout.patch_number)
        log.info("The outcome is: %s", verdict.in_words)
        for reason in verdict.reasons:
            log.warning("%s", reason)
        return verdict.outcome.value
