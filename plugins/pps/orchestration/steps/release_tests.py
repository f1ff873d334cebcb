"""The steps of a release test (SD 4.2.3) as Airflow tasks; `rollout` is the test's name."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from airflow.sdk import TriggerRule, get_current_context, task

from pps.activities.packages.fetching import note_trust
from pps.activities.quality import release_testing
from pps.activities.release import decision as release_decision
from pps.domain.quality.release_tests import RELEASE
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk, office, run_of
from pps.workflow.alarm import watched

log = logging.getLogger(__name__)


@task
def open_release_test() -> str:
    """Register the test; refused with reasons if the patch is not certified, is out, or no site can take part."""
    context = get_current_context()
    with office() as o:
        return release_testing.open_release_test(
            o,
            o.services.patch(int(context["params"]["patch"])),
            o.config.pools,
            o.config.sites,
            context["params"].get("pools"),
            run=run_of(context),
        )


@task
def plan_sites(rollout: str) -> int:
    """Step 1. Agree on the sites, once; those left out are on record. Returns how many take part."""
    with desk(rollout) as d:
        return len(release_testing.plan(d, d.config.pools, d.config.sites))


@task(execution_timeout=LIMITS.build)
def deliver_update(rollout: str) -> list[str]:
    """Step 2. The packages into a repository for these sites alone. Returns the sites."""
    with desk(rollout) as d, tempfile.TemporaryDirectory(prefix="pps-release-test-") as folder:
        patch = d.patch
        note_trust(d, d.services.trust_in(patch.repository.url))
        outlet = release_testing.Outlet(
            d.services.production_folder, d.services.publish_in_production, d.config.service.release_test_url or ""
        )
        with watched(d):
            return list(
                release_testing.deliver(
                    d,
                    d.config.sites,
                    outlet,
                    repositories=d.services.repositories,
                    reader=d.services.package_reader,
                    artefacts=d.services.artefacts,
                    limits=d.policies.tarball.to_port(),
                    workdir=Path(folder),
                )
            )


@task.branch(trigger_rule=TriggerRule.NONE_FAILED)
def follow_decision(rollout: str) -> str:
    """What the Release Manager decided, as the facts tell it; fails where nobody did."""
    with desk(rollout) as d:
        decided = release_decision.needed_decision(d.rollout)
        log.info("%s: %s", decided.choice, decided.reason)
        return "release_update" if decided.choice == RELEASE else "hold_update"


@task(execution_timeout=LIMITS.build)
def release_update(rollout: str) -> bool:
    """The packages that were tried into production, unless the rules for production say no."""
    with desk(rollout) as d:
        with watched(d):
            reasons = release_decision.release_update(d, d.services.production)
        for reason in reasons:
            log.warning("Not released to production: %s", reason)
        d.tell_tracker(d.rollout.patch_number)
        return not reasons


@task
def hold_update(rollout: str) -> str:
    """The tracker is told why; the patch stays in its state."""
    with desk(rollout) as d:
        return release_decision.hold_update(d.rollout, d.patch, d.services.tracker)


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def close_release_test(rollout: str) -> str:
    """The end: bulletin, mails, and the outcome on record, which is returned."""
    with desk(rollout) as d:
        outcome = release_decision.close_release_test(d)
        d.write_bulletin()
        d.send()
        return outcome
