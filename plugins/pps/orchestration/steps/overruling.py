"""Steps of the joint decision to overrule the policies (SD 4.1.3)."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from pps.activities.packages import verdicts
from pps.activities.packages.fetching import keep_packages_once, note_trust
from pps.activities.release import notes as release_notes
from pps.activities.release import overruling, release
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import PatchKind
from pps.domain.people.overruling import Urgency
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import desk, office, run_of
from pps.workflow.alarm import watched
from pps.workflow.paths import dag_of

log = logging.getLogger(__name__)


@task
def open_request() -> str:
    """Step 1. Put the request on record; refused with reasons where there is nothing to overrule."""
    context = get_current_context()
    given = context["params"]
    with office() as o:
        return overruling.open_overruling(
            o,
            o.services.patch(int(given["patch"])),
            Urgency(given["urgency"]),
            given["reason"],
            run=run_of(context),
        )


@task.branch(trigger_rule="none_failed")
def conclude(rollout: str) -> list[str]:
    """Step 3. Count the answers; without agreement the run ends here, with the reasons."""
    with desk(rollout) as d:
        reasons = overruling.conclude(d)
        d.write_bulletin()
        for reason in reasons:
            log.warning("Not overruled: %s", reason)
        if reasons:
            return []
        if d.patch.kind is PatchKind.SERVER:
            return ["keep_packages"]  # it has no preview that could release it
        high = d.rollout.opened["urgency"] == Urgency.HIGH_PRIORITY
        return ["build_tarball"] if high else ["choose_preview"]


@task(execution_timeout=LIMITS.build)
def keep_packages(rollout: str) -> int:
    """A server update: the very packages that are released. Returns how many there are."""
    with desk(rollout) as d, tempfile.TemporaryDirectory(prefix="pps-packages-") as folder:
        patch = d.patch
        note_trust(d, d.services.trust_in(patch.repository.url))
        with watched(d):
            kept = keep_packages_once(
                d,
                patch,
                repositories=d.services.repositories,
                reader=d.services.package_reader,
                artefacts=d.services.artefacts,
                limits=d.policies.tarball.to_port(),
                workdir=Path(folder),
            )
        return len(kept)


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def write_release_notes(rollout: str) -> str:
    """Straight to production: what changed, and that the policies were overruled. There was no time for feedback."""
    with desk(rollout) as d:
        # the request itself is a task before this one and counts for the trigger rule, so the rule alone is not enough
        if not overruling.goes_straight(d):
            raise AirflowSkipException("Nothing goes straight to production.")
        return release_notes.write_release_notes(d, d.services.publication_folder)


@task(execution_timeout=LIMITS.build)
def release_to_production(rollout: str) -> None:
    """Release it now, without a preview before; a patch that was rejected since ends the request with that."""
    with desk(rollout) as d:
        patch = d.patch
        if overruling.standing(d.facts, d.rollout.patch_number) is None:
            raise RefusedError(rollout, ("The policies were not overruled.",), "Look at the two answers.")
        if reasons := overruling.refused_since(d):
            for reason in reasons:
                log.warning("Not released to production: %s", reason)
            d.write_bulletin()
            return
        release_it = overruling.release_server if patch.kind is PatchKind.SERVER else release.release_to_production
        with watched(d):
            release_it(d, d.services.production)
        d.tell_tracker(d.rollout.patch_number)
        d.write_bulletin()
        d.send()


@task
def choose_preview(rollout: str) -> dict[str, Any]:
    """Step 4. Which DAG previews this patch, and the name of the run; one that is open goes on and waits no longer."""
    with desk(rollout) as d:
        patch = d.patch
        if patch.kind is PatchKind.SERVER:
            raise AirflowSkipException(
                "A server update has no preview. A pilot that is open goes on, and waits for nobody."
            )
        if d.rollout.has(FactKind.RELEASE_REFUSED):
            raise AirflowSkipException("It was not released, so there is nothing to preview.")
        path = verdicts.preview_path(d.facts.dossier(patch.number), patch)
        opened = d.facts.rollouts(open_only=True, paths=PREVIEWS, patch=patch.number)
        name = opened[0].name if opened else d.facts.next_name(path, patch.number)
        if not d.rollout.is_closed:
            overruling.close_overruled(d, "overruled")
        return {"dag": dag_of(opened[0].path if opened else path), "run": name}
