"""The release notes of a preview: what changed, and what the VOs said, or that nobody did (SD 4.1.1)."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from pps.activities.clients.bulletin import SHOWN_STATES
from pps.activities.desk import Desk
from pps.activities.packages import verdicts
from pps.activities.packages.advice import must_not_be_secret, note_advice
from pps.activities.packages.production import NOTES
from pps.activities.people.feedback import end_of_feedback
from pps.activities.ports.publication import PublicationFolder
from pps.activities.quality import deployment_tests
from pps.activities.release.overruling import view as overruling_view
from pps.domain.base.texts import shown_to_the_public
from pps.domain.clients.updates import platforms_for_production
from pps.domain.packages.patch import Patch, Severity
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people import feedback
from pps.domain.people.overruling import overruling
from pps.domain.people.users import users_in
from pps.domain.quality.scenarios import deployment_verdict
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

_SEVERITIES = list(Severity)


def write_release_notes(
    desk: Desk, folder: PublicationFolder, terms: feedback.Terms = feedback.AS_AGREED, because: str = ""
) -> str:
    """Write `release-notes/<rollout>.html` and `.txt` below `folder`; returns the digest of their content.

    That the asking has ended is put on record with them. Written again from the same facts and patch,
    they are the same, and so is the record; what came late changes them and is a new occasion.

    Args:
        terms: when VOs are asked no longer (policies.yaml).
        because: why they are written anew; it is on record with them.

    Raises:
        NotYetAllowedError: feedback may still come in time. Notes that said "no feedback" too
            early would be believed. Or the patch is under embargo: notes are public.
    """
    record = desk.rollout
    patch = desk.patch
    note_advice(desk, patch)
    must_not_be_secret(desk, patch.number)
    dossier = desk.facts.dossier(patch.number)
    if overruling(dossier) is None:
        ended = end_of_feedback(desk, terms)
    else:  # nobody waits for feedback then (SD 4.1.3); what has come is in the notes all the same
        outcome = {"outcome": feedback.outcome(record).value}
        ended = desk.fact(FactKind.FEEDBACK_ENDED, "", "", outcome)
    deployment = deployment_tests.newest_deployment_test(desk.facts, patch.number, ended_only=True)
    users = users_in(record, dossier, *([deployment] if deployment else []))
    content = shown_to_the_public(notes(record, patch, dossier, deployment), users)
    files = {
        f"{NOTES}/{record.name}.{kind}": desk.templates.render(f"release_notes.{kind}", content)
        for kind in ("html", "txt")
    }
    digest = hashlib.sha256("\0".join(files.values()).encode()).hexdigest()[:16]
    for name, text in files.items():
        folder.publish(name, text)
    payload = {"files": sorted(files), "digest": digest} | ({"because": because} if because else {})
    desk.record(ended, desk.fact(FactKind.RELEASE_NOTES_WRITTEN, "", digest, payload))
    return digest


def renew_release_notes(desk: Desk, folder: PublicationFolder, terms: feedback.Terms = feedback.AS_AGREED) -> None:
    """Write notes that are on record once more: what has come since must be in them before anything is released.

    Source: SD 4.1.2: the deployment test runs beside the preview, so it may end after the feedback.
    """
    if desk.rollout.has(FactKind.RELEASE_NOTES_WRITTEN):
        write_release_notes(desk, folder, terms)


def notes(
    record: Rollout, patch: Patch, dossier: Rollout | None = None, deployment: Rollout | None = None
) -> dict[str, Any]:
    """The view of the templates `release_notes.*`. It holds no clock time of its own, so it is repeatable.

    Args:
        dossier: of the patch; the notes say how the patch was classified, and what was overruled.
        deployment: its newest pre-deployment test that has ended.
    """
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.")
    progress = sorted(record.all_progress(), key=lambda p: p.site)
    counts = Counter(p.state for p in progress)
    built = record.the(FactKind.TARBALL_BUILT)
    tag = str(opened.payload.get("tag", ""))  # none where it went straight to production
    verdict = deployment_verdict(deployment) if deployment else None
    return {
        "rollout": record.name,
        "patch": patch,
        "opened_at": opened.at,
        "bugs": sorted(patch.bugs, key=lambda b: (_SEVERITIES.index(b.severity), b.number)),
        "tarball": built.payload.get("name", "") if built else "",
        "remarks": list(built.payload.get("remarks", ())) if built else [],
        "tested_platforms": [str(p) for p in platforms_for_production(patch, verdict)],
        "deployment": deployment_tests.results_for_people(deployment) if deployment else None,
        "overruled": overruling_view(overruling(dossier)) if dossier else None,
        "tag": tag,
        "jdl": jdl_requirement(tag) if tag else "",
        "progress": progress,
        "counts": [(state.value, counts[state]) for state in SHOWN_STATES if counts[state]],
        "feedback": feedback.summary(record),
        "stopped": record.is_stopped or record.is_withdrawn,
        "classification": verdicts.view(dossier),
    }
