"""The release notes of a pilot: what changed, how it ran, and what users said, or that nobody did (SD 4.1.3)."""

from __future__ import annotations

import hashlib
from typing import Any

from pps.activities.desk import Desk
from pps.activities.packages.advice import must_not_be_secret
from pps.activities.packages.production import NOTES
from pps.activities.pilots.set_up import justification
from pps.activities.pilots.wrap_up import needed_decision, results
from pps.activities.ports.publication import PublicationFolder
from pps.activities.quality import deployment_tests
from pps.activities.release.overruling import view as overruling_view
from pps.domain.base.texts import shown_to_the_public
from pps.domain.clients.updates import platforms_for_production
from pps.domain.packages.patch import Severity
from pps.domain.people.overruling import overruling
from pps.domain.people.users import users_in
from pps.domain.pilots.pilot import Pilot
from pps.domain.pilots.success import words_of_vos
from pps.domain.quality.scenarios import deployment_verdict
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

_SEVERITIES = list(Severity)


def write_pilot_notes(desk: Desk, folder: PublicationFolder, because: str = "") -> str:
    """Write `release-notes/<pilot>.html` and `.txt` below `folder`; returns the digest of their content.

    Written again from the same facts and patch they are the same, and so is the record.

    Args:
        because: why they are written anew; it is on record with them.

    Raises:
        NotYetAllowedError: the wrap-up has not decided; until then nobody knows whether users are heard. Or the
            patch is under embargo: notes are public.
    """
    patch = desk.patch
    must_not_be_secret(desk, patch.number)
    test = deployment_tests.newest_deployment_test(desk.facts, patch.number, ended_only=True)
    users = users_in(
        desk.rollout, desk.facts.dossier(patch.number), *earlier_rounds(desk), *([test] if test is not None else [])
    )
    view = shown_to_the_public(notes(desk), users)
    files = {
        f"{NOTES}/{desk.name}.{kind}": desk.templates.render(f"pilot_notes.{kind}", view) for kind in ("html", "txt")
    }
    digest = hashlib.sha256("\0".join(files.values()).encode()).hexdigest()[:16]
    for name, text in files.items():
        folder.publish(name, text)
    payload = {"files": sorted(files), "digest": digest} | ({"because": because} if because else {})
    desk.record(desk.fact(FactKind.RELEASE_NOTES_WRITTEN, "", digest, payload))
    return digest


def notes(desk: Desk) -> dict[str, Any]:
    """The view of the templates `pilot_notes.*`. It holds no clock time of its own, so it is repeatable."""
    record = desk.rollout
    patch = desk.patch
    pilot, decided = Pilot(record), needed_decision(record)
    dossier = desk.facts.dossier(patch.number)
    test = deployment_tests.newest_deployment_test(desk.facts, patch.number, ended_only=True)
    tested = platforms_for_production(patch, deployment_verdict(test) if test else None)
    judged = record.the(FactKind.PILOT_JUDGED)
    return {
        "rollout": record.name,
        "patch": patch,
        "judged": judged.payload if judged else None,
        "round": pilot.round,
        "major": pilot.is_major,
        "since": pilot.running_since,
        "until": pilot.run_ended_at,
        "bugs": sorted(patch.bugs, key=lambda b: (_SEVERITIES.index(b.severity), b.number)),
        "results": results(record, decided.at),
        "decided": decided.payload,
        "inconclusive": decided.payload.get("inconclusive", []),
        "words": words_of_vos(pilot),
        "earlier": [_round(before) for before in earlier_rounds(desk)],
        "committed": pilot.agreement.vos if pilot.agreement else (),
        "deployment": deployment_tests.results_for_people(test) if test else None,
        "overruled": overruling_view(overruling(dossier)),
        "tested_platforms": [str(p) for p in tested],
        "justification": _justification(record),
    }


def _justification(record: Rollout) -> str:
    """SD 4.1.3: the use of software that is not certified "has however to be justified, documented and recorded"."""
    if (allowed := justification(record)) is not None:
        return str(allowed.payload["reason"])
    return "" if record.opened["certified"] else str(record.opened["justification"])


def earlier_rounds(desk: Desk) -> tuple[Rollout, ...]:
    """The rounds that the wrap-ups before this one have prolonged, the first one first."""
    found: list[Rollout] = []
    while before := _round_before(found[0] if found else desk.rollout):
        found.insert(0, desk.facts.rollout(before))
    return tuple(found)


def _round_before(record: Rollout) -> str:
    selected = record.the(FactKind.SITES_SELECTED)
    return str(selected.payload.get("taken_over", "")) if selected else ""


def _round(record: Rollout) -> dict[str, Any]:
    """What users said in an earlier round, and why it was not the last one: whoever reads the notes must know."""
    pilot, wrapped = Pilot(record), record.the(FactKind.WRAPPED_UP)
    return {
        "round": pilot.round,
        "words": words_of_vos(pilot),
        "reason": str(wrapped.payload["reason"]) if wrapped else "",
    }
