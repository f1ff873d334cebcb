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
from pps.activities.people import outbox
from pps.activities.release import notes as release_notes
from pps.activities.release import overruling, release
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import PatchKind
from pps.domain.people.overruling import Urgency
from pps.domain.record.rollouts import PREVIEWS, RolloutPath
from pps.orchestration.alarm import watched
from pps.orchestration.retries import LIMITS
from pps.orchestration.runtime import actor, now, run_of, services

log = logging.getLogger(__name__)

#: Path of a preview -> the DAG that walks it.
DAG_OF = {RolloutPath.BC_CLIENT: "bc_client_update", RolloutPath.NON_BC_CLIENT: "non_bc_client_update"}


@task
def open_request() -> str:
    """Step 1. Put the request on record; refused with reasons where there is nothing to overrule."""
    context = get_current_context()
    given = context["params"]
    with services() as s:
        return overruling.open_overruling(
            s.facts,
            s.tracker.patch(int(given["patch"])),
            Urgency(given["urgency"]),
            given["reason"],
            run=run_of(context),
            now=now(),
            actor=actor(),
        )


@task.branch(trigger_rule="none_failed")
def conclude(rollout: str) -> list[str]:
    """Step 3. Count the answers; without agreement the run ends here, with the reasons."""
    with services() as s:
        record = s.facts.rollout(rollout)
        reasons = overruling.conclude(record, s.facts, now(), actor())
        s.write_bulletin(now())
        for reason in reasons:
            log.warning("Not overruled: %s", reason)
        if reasons:
            return []
        if s.tracker.patch(record.patch_number).kind is PatchKind.SERVER:
            return ["keep_packages"]  # it has no preview that could release it
        high = record.opened["urgency"] == Urgency.HIGH_PRIORITY
        return ["build_tarball"] if high else ["choose_preview"]


@task(execution_timeout=LIMITS.build)
def keep_packages(rollout: str) -> int:
    """A server update: the very packages that are released. Returns how many there are."""
    with services() as s, tempfile.TemporaryDirectory(prefix="pps-packages-") as folder:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        note_trust(record, s.facts, patch, s.trust_in(patch.repository.url), now(), actor())
        with watched(s, record):
            kept = keep_packages_once(
                record,
                s.facts,
                patch,
                now(),
                actor(),
                repositories=s.repositories,
                reader=s.package_reader,
                artefacts=s.artefacts,
                limits=s.config.policies.tarball.to_port(),
                workdir=Path(folder),
            )
        return len(kept)


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def write_release_notes(rollout: str) -> str:
    """Straight to production: what changed, and that the policies were overruled. There was no time for feedback."""
    with services() as s:
        record = s.facts.rollout(rollout)
        return release_notes.write_release_notes(
            record, s.facts, s.tracker.patch(record.patch_number), s.templates, s.publication_folder, now(), actor()
        )


@task(execution_timeout=LIMITS.build)
def release_to_production(rollout: str) -> None:
    """Release it now, without a preview before."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        if overruling.standing(s.facts, record.patch_number) is None:
            raise RefusedError(rollout, ("The policies were not overruled.",), "Look at the two answers.")
        release_it = overruling.release_server if patch.kind is PatchKind.SERVER else release.release_to_production
        with watched(s, record):
            release_it(record, s.facts, patch, s.production, now(), actor())
        s.write_bulletin(now())
        outbox.empty_outbox(s.facts, s.mailer, now)


@task
def choose_preview(rollout: str) -> dict[str, Any]:
    """Step 4. Which DAG previews this patch, and the name of the run; one that is open goes on and waits no longer."""
    with services() as s:
        record = s.facts.rollout(rollout)
        patch = s.tracker.patch(record.patch_number)
        if patch.kind is PatchKind.SERVER:
            raise AirflowSkipException(
                "A server update has no preview. A pilot that is open goes on, and waits for nobody."
            )
        path = verdicts.preview_path(s.facts.dossier(patch.number), patch)
        opened = s.facts.rollouts(open_only=True, paths=PREVIEWS, patch=patch.number)
        name = opened[0].name if opened else s.facts.next_name(path, patch.number)
        if not record.is_closed:
            overruling.close_overruled(record, s.facts, "overruled", now(), actor())
        return {"dag": DAG_OF[RolloutPath(opened[0].path) if opened else path], "run": name}
