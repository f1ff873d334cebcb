"""The steps of a release test (SD 4.2.3) as Airflow tasks; `rollout` is the test's name."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from airflow.sdk import TriggerRule, get_current_context, task

from pps.activities.packages.fetching import note_trust
from pps.activities.people import outbox
from pps.activities.quality import release_testing
from pps.activities.release import decision as release_decision
from pps.domain.quality.release_tests import RELEASE
from pps.orchestration.alarm import watched
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import actor, now, run_of, services

log = logging.getLogger(__name__)


@task
def open_release_test() -> str:
    """Register the test; refused with reasons if the patch is not certified, is out, or no site can take part."""
    context = get_current_context()
    with services() as s:
        return release_testing.open_release_test(
            s.facts,
            s.tracker.patch(int(context["params"]["patch"])),
            s.config.pools,
            s.config.sites,
            context["params"].get("pools"),
            run=run_of(context),
            now=now(),
            actor=actor(),
        )


@task
def plan_sites(rollout: str) -> int:
    """Step 1. Agree on the sites, once; who is left out is on record. Returns how many take part."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        return len(release_testing.plan(record, s.facts, patch, s.config.pools, s.config.sites, now(), actor()))


@task(execution_timeout=LIMITS.build)
def deliver_update(rollout: str) -> list[str]:
    """Step 2. The packages into a repository for these sites alone. Returns the sites."""
    with services() as s, tempfile.TemporaryDirectory(prefix="pps-release-test-") as folder:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        note_trust(record, s.facts, patch, s.trust_in(patch.repository.url), now(), actor())
        with watched(s, record):
            return list(
                release_testing.deliver(
                    record,
                    s.facts,
                    patch,
                    s.config.sites,
                    repositories=s.repositories,
                    reader=s.package_reader,
                    artefacts=s.artefacts,
                    limits=s.config.policies.tarball.to_port(),
                    production=s.production_folder,
                    publish_packages=s.publish_in_production,
                    base=s.config.service.release_test_url or "",
                    workdir=Path(folder),
                    now=now(),
                    actor=actor(),
                )
            )


@task.branch(trigger_rule=TriggerRule.NONE_FAILED)
def follow_decision(rollout: str) -> str:
    """What the Release Manager decided, as the facts tell it; fails where nobody did."""
    with services() as s:
        decided = release_decision.needed_decision(s.facts.rollout(rollout))
        log.info("%s: %s", decided.choice, decided.reason)
        return "release_update" if decided.choice == RELEASE else "hold_update"


@task(execution_timeout=LIMITS.build)
def release_update(rollout: str) -> bool:
    """The packages that were tried into production, unless the rules for production say no."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        with watched(s, record):
            reasons = release_decision.release_update(record, s.facts, patch, s.production, now(), actor())
        for reason in reasons:
            log.warning("Not released to production: %s", reason)
        return not reasons


@task
def hold_update(rollout: str) -> str:
    """The tracker is told why; the patch stays in its state."""
    with services() as s:
        record = s.facts.rollout(rollout)
        return release_decision.hold_update(record, s.tracker.patch(record.patch_number), s.tracker)


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def close_release_test(rollout: str) -> str:
    """The end: bulletin, mails, and the outcome on record, which is returned."""
    with services() as s:
        outcome = release_decision.close_release_test(s.facts.rollout(rollout), s.facts, now(), actor())
        s.write_bulletin(now())
        outbox.empty_outbox(s.facts, s.mailer, now)
        return outcome
