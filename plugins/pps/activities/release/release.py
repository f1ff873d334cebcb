"""The last rule of SD 4.1.1: to production without further deployment testing, or not, and why not."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pps.activities.packages.fetching import kept_packages
from pps.activities.packages.production import Production
from pps.activities.packages.repository_use import how_to_use
from pps.activities.packages.tarball import file_of, manifest_of, tarball_on_record, whole_tarball_of
from pps.activities.packages.verdicts import standing_verdict
from pps.activities.people.letters import circular
from pps.activities.people.publishing import write_whole
from pps.activities.ports.record import Facts
from pps.activities.quality.deployment_tests import newest_deployment_verdict
from pps.domain.base.errors import TamperedError
from pps.domain.base.texts import clean_text
from pps.domain.clients.updates import platforms_for_production, reasons_against_production
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people.links import release_notes_link
from pps.domain.people.overruling import overruling
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath


def decide_on_release(record: Rollout, facts: Facts, patch: Patch, now: datetime, actor: str) -> tuple[str, ...]:
    """Say why the patch does not go to production now; no reasons means that it does.

    A refusal ends the rollout: a pre-deployment test is needed, which is another path (SD 4.2.2).

    Raises:
        NotYetAllowedError: the release notes, which carry the feedback, are not written yet; or the
            preview was withdrawn.
    """
    record.need(FactKind.RELEASE_NOTES_WRITTEN, "Write the release notes first: they carry the feedback.")
    if record.has(FactKind.RELEASED_TO_PRODUCTION):
        return ()
    record.must_not_be_withdrawn()
    reasons = reasons_against_release(facts, patch)
    if not reasons and released_elsewhere(facts, record):
        facts.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", now, actor, {"outcome": "synchronised"}))
        return (f"Patch {patch.number} is in production already; this preview was synchronised with it.",)
    if reasons:
        facts.record(Fact(record.name, FactKind.RELEASE_REFUSED, "", "", now, actor, {"reasons": list(reasons)}))
        facts.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", now, actor, {"outcome": "not released"}))
    return reasons


def reasons_against_release(facts: Facts, patch: Patch) -> tuple[str, ...]:
    """Say why a patch may not go to production, with all that is on record on it; no reasons means that it may."""
    dossier = facts.dossier(patch.number)
    return reasons_against_production(
        patch,
        newest_deployment_verdict(facts, patch.number, patch),
        verdict=standing_verdict(dossier).verdict,
        overruled=overruling(dossier) is not None,
    )


def released_elsewhere(facts: Facts, record: Rollout) -> bool:
    """Tell whether another record released this patch: a joint decision (SD 4.1.3), or a release test (SD 4.2.3)."""
    others = facts.rollouts(paths=[RolloutPath.OVERRULE, RolloutPath.RELEASE_TEST], patch=record.patch_number)
    return any(facts.rollout(row.name).has(FactKind.RELEASED_TO_PRODUCTION) for row in others)


def earlier_answer(record: Rollout) -> tuple[str, ...] | None:
    """What an earlier attempt at a release came to: the reasons of a refusal, no reasons, or None without one."""
    if refused := record.the(FactKind.RELEASE_REFUSED):
        return tuple(refused.payload["reasons"])
    return () if record.has(FactKind.RELEASED_TO_PRODUCTION) else None


def release_to_production(
    record: Rollout, facts: Facts, patch: Patch, production: Production, now: datetime, actor: str
) -> None:
    """Publish tarball and packages, move the patch in the tracker, tell people, end the rollout.

    Every step looks first, so a retry continues where it broke off. What is published has, byte for byte, the
    digests on record: the tarball's of its own, each package the one that stands in MANIFEST.

    Raises:
        TamperedError: the store holds something else, or it was changed while it was copied; nothing is announced.
    """
    if record.has(FactKind.RELEASED_TO_PRODUCTION) and record.is_closed:
        return
    if not record.has(FactKind.RELEASED_TO_PRODUCTION):
        record.must_not_be_withdrawn()
    if not tarball_on_record(record).files:
        why = "has no digests of its tarball's files on record, so they cannot be published."
        raise TamperedError(record.name, why, "Start a new rollout of the patch.")
    tarball = whole_tarball_of(record, production.artefacts)
    packages = manifest_of(tarball, production.artefacts).packages
    production.add_packages(patch, [package.sha256 for package in packages], now)
    folder = production.repository / "tarballs" / tarball.name
    for file, sha256 in sorted(tarball.files.items()):
        _publish_file(file_of(tarball, file, production.artefacts), folder / file, sha256)
    _announce_release(
        record,
        facts,
        patch,
        production,
        template="released",
        packages=[str(p.ref) for p in packages],
        more={"tarball": tarball.name},
        now=now,
        actor=actor,
    )
    facts.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", now, actor, {"outcome": "released"}))


def release_kept_packages(
    record: Rollout,
    facts: Facts,
    patch: Patch,
    production: Production,
    reasons: tuple[str, ...],
    *,
    template: str,
    more: Mapping[str, str | int],
    now: datetime,
    actor: str,
) -> tuple[str, ...]:
    """Release the very packages that sites have tried, unless there are reasons against it; returns these.

    Args:
        reasons: against the release; they are put on record.
        template: of the mail, without its ending.
        more: what the mail shows and the fact keeps beside platforms and packages.
    """
    if reasons:
        facts.record(Fact(record.name, FactKind.RELEASE_REFUSED, "", "", now, actor, {"reasons": list(reasons)}))
        return reasons
    kept = kept_packages(record)
    production.add_packages(patch, [sha256 for _, sha256 in kept], now)
    packages = [name for name, _ in kept]
    _announce_release(
        record, facts, patch, production, template=template, packages=packages, more=more, now=now, actor=actor
    )
    return ()


def _announce_release(
    record: Rollout,
    facts: Facts,
    patch: Patch,
    production: Production,
    *,
    template: str,
    packages: Sequence[str],
    more: Mapping[str, str | int],
    now: datetime,
    actor: str,
) -> None:
    """Move a patch whose packages are published to `In production`, put that on record, tell people."""
    tracker = production.tracker
    deployment = newest_deployment_verdict(facts, patch.number, patch)
    overruled = overruling(facts.dossier(patch.number))
    platforms = [str(p) for p in platforms_for_production(patch, deployment, overruled=overruled is not None)]
    comment = f"Released to production by rollout {record.name} for {', '.join(platforms)}."
    if overruled and patch.state is PatchState.IN_CERTIFICATION:
        # the tracker knows no way past certification; its history says who took it
        comment = f"{comment} EMT and PPS coordination overruled the policies together (SD 4.1.3)."
        tracker.set_state(patch.number, PatchState.CERTIFIED, comment)
        tracker.set_state(patch.number, PatchState.READY_FOR_PRODUCTION, comment)
    elif patch.state is PatchState.CERTIFIED:
        tracker.set_state(patch.number, PatchState.READY_FOR_PRODUCTION, comment)
    tracker.set_state(patch.number, PatchState.IN_PRODUCTION, comment)
    view = {
        "rollout": record.name,
        "opened": record.opened,
        "platforms": platforms,
        "packages": packages,
        "overruled": overruled,
        "repository": (source := production.source(patch)),
        "how_to_use": how_to_use(source, "pps-production", production.keys, production.templates),
        "notes_link": _notes_link(record, facts, production.keys.public_url),
        "release_notes": clean_text(patch.release_notes).strip(),
        **more,
    }
    mails = circular(
        production.templates,
        template,
        view,
        key=f"{record.name}/released",
        to=production.recipients,
        subject=f"In production: {patch.metapackage} {patch.version} (patch {patch.number})",
    )
    payload = {"platforms": platforms, "packages": len(packages), **more}
    released = Fact(record.name, FactKind.RELEASED_TO_PRODUCTION, "", "", now, actor, payload)
    facts.record(released, mails=mails)


def _notes_link(record: Rollout, facts: Facts, public_url: str) -> str:
    """The release notes of this release, or of the patch's newest rollout that has written some; "" without any."""
    if record.has(FactKind.RELEASE_NOTES_WRITTEN):
        return release_notes_link(public_url, record.name)
    rows = facts.rollouts(patch=record.patch_number)
    written = (row.name for row in rows if facts.has(row.name, FactKind.RELEASE_NOTES_WRITTEN))
    name = next(written, None)
    return release_notes_link(public_url, name) if name else ""


def _publish_file(source: pathlib.Path, target: Any, sha256: str) -> None:
    """Publish a copy of our own that has the digest on record; readers get the old file or the new one, whole.

    A file that is there already and is another one is replaced: only what is on record is published. Two attempts
    may be at it at once.
    """
    if target.exists() and _sha256(target) == sha256:
        return
    with tempfile.TemporaryDirectory(prefix="pps-publish-") as name:
        copy = pathlib.Path(name) / "copy"
        shutil.copyfile(source, copy)
        if _sha256(copy) != sha256:
            raise TamperedError(source.name, "was changed while it was published.", "Find out who changed it.")
        with copy.open("rb") as file:
            write_whole(target, iter(lambda: file.read(1 << 20), b""))


def _sha256(path: Any) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
