"""The steps of the quality services (SD 4.2) as Airflow tasks: each validates, calls one activity, returns identifiers.

Shared by all: `rollout` is a deployment test's name, `scenario` the name of a scenario of its plan.
"""

from __future__ import annotations

import logging

from airflow.sdk import TriggerRule, get_current_context, task

from pps.activities.people import outbox
from pps.activities.quality import deployment_tests
from pps.domain.quality.scenarios import planned_scenarios
from pps.domain.record.rollouts import Rollout
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import actor, now, run_of, services
from pps.services import Services

log = logging.getLogger(__name__)

#: Each takes a processor and some hundred megabytes of disk.
SCENARIOS_AT_ONCE = 2


def _plan(s: Services, rollout: str) -> Rollout:
    record = s.facts.rollout(rollout)
    patch = s.tracker.patch(record.patch_number)
    deployment_tests.plan_scenarios(record, s.facts, patch, s.config.scenarios, now(), actor())
    return s.facts.rollout(rollout)


@task.short_circuit(ignore_downstream_trigger_rules=False)
def deployment_test_is_missing(rollout: str) -> bool:
    """Whether a deployment test of the patch as it is now has to be started; `rollout` is that which will need it."""
    with services() as s:
        patch = s.tracker.patch(s.facts.rollout(rollout).patch_number)
        return deployment_tests.needs_deployment_test(s.facts, patch)


@task
def open_deployment_test() -> str:
    """Register the test; refused with reasons where the patch's state or the lack of scenarios forbids it."""
    context = get_current_context()
    with services() as s:
        return deployment_tests.open_deployment_test(
            s.facts,
            s.tracker.patch(int(context["params"]["patch"])),
            s.config.scenarios,
            run=run_of(context),
            now=now(),
            actor=actor(),
        )


@task
def plan_scenarios(rollout: str) -> list[str]:
    """Step 1. Agree on the scenarios, once. Returns those of the automatic runner."""
    with services() as s:
        return deployment_tests.names_of(planned_scenarios(_plan(s, rollout)), automatic=True)


@task
def scenarios_of_member_sites(rollout: str) -> list[str]:
    """The scenarios of the same plan that PPS member sites run."""
    with services() as s:
        return deployment_tests.names_of(planned_scenarios(_plan(s, rollout)), automatic=False)


@task(
    map_index_template="{{ scenario_name }}",
    max_active_tis_per_dagrun=SCENARIOS_AT_ONCE,
    execution_timeout=LIMITS.scenario,
)
def run_scenario(rollout: str, scenario: str) -> str:
    """Step 2. Install, configure and probe in a clean root. Returns the result."""
    get_current_context()["scenario_name"] = scenario  # type: ignore[typeddict-unknown-key]
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        result = deployment_tests.run_scenario(
            record,
            s.facts,
            scenario,
            patch,
            s.clean_roots,
            s.repositories,
            publication=s.publication_folder,
            keyring=s.trust_in(patch.repository.url).keyring,
            step_within=s.config.policies.deployment_test.step_within,
            now=now,
            actor=actor(),
        )
        log.info("Scenario %s: %s", scenario, result)
        return result.value


@task(trigger_rule=TriggerRule.NONE_FAILED)
def tell_provider(rollout: str) -> int:
    """Step 3. Failed scenarios go back to the provider, each with its log. Returns how many mails are new."""
    with services() as s:
        record = s.facts.rollout(rollout)
        new = deployment_tests.tell_provider(
            record,
            s.facts,
            s.tracker.patch(record.patch_number),
            s.tracker,
            s.templates,
            publication=s.publication_folder,
            fall_back=s.config.service.reply_to,
            now=now(),
            actor=actor(),
        )
        outbox.empty_outbox(s.facts, s.mailer, now)
        return new


@task(trigger_rule=TriggerRule.NONE_FAILED)
def publish_results(rollout: str) -> str:
    """Step 4. Results for each scenario; the verdict limits the platforms of the release. Returns the outcome."""
    with services() as s:
        record = s.facts.rollout(rollout)
        gone = "No question could be put to its site, which is no longer in the registry."
        s.facts.record(
            *(
                fact
                for scenario in planned_scenarios(record)
                if not scenario.is_automatic
                for fact in deployment_tests.nobody_ran(record, scenario.name, gone, now(), actor())
            )
        )
        verdict = deployment_tests.close_deployment_test(
            s.facts.rollout(rollout), s.facts, publication=s.publication_folder, now=now(), actor=actor()
        )
        for reason in verdict.reasons:
            log.warning("%s", reason)
        return verdict.outcome.value
