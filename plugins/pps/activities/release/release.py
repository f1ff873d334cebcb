"""The last rule of SD 4.1.1: to production without further deployment testing, or not, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pps.activities.clients import control
from pps.activities.desk import Desk
from pps.activities.packages.advice import must_not_be_secret
from pps.activities.packages.fetching import kept_packages
from pps.activities.packages.production import BESIDE, Production
from pps.activities.packages.repository_use import how_to_use
from pps.activities.packages.tarball import file_of, manifest_of, tarball_on_record, whole_tarball_of
from pps.activities.packages.verdicts import standing_verdict
from pps.activities.ports.record import Facts
from pps.activities.quality.deployment_tests import newest_deployment_verdict
from pps.activities.release.beside import write_beside
from pps.domain.base.errors import RefusedError, ServiceError, TamperedError
from pps.domain.base.texts import clean_text
from pps.domain.clients.updates import platforms_for_production, reasons_against_production
from pps.domain.packages.bill import Carried
from pps.domain.packages.patch import Patch, PatchState, Repository, RepositoryKind
from pps.domain.people.links import document_link, release_notes_link
from pps.domain.people.overruling import overruling
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath

#: So long after a decision it is carried out although the tracker does not answer; later it is asked once more first,
#: as the patch may have been rejected meanwhile.
_DECISION_STANDS = timedelta(days=1)


def decide_on_release(desk: Desk) -> tuple[str, ...]:
    """Say why the patch does not go to production now; no reasons means that it does.

    A refusal ends the rollout: a pre-deployment test is needed, which is another path (SD 4.2.2).

    Raises:
        NotYetAllowedError: the release notes, which carry the feedback, are not written yet; or the
            preview was withdrawn.
    """
    record = desk.rollout
    patch = desk.patch
    record.need(FactKind.RELEASE_NOTES_WRITTEN, "Write the release notes first: they carry the feedback.")
    if record.has(FactKind.RELEASED_TO_PRODUCTION):
        return ()
    record.must_not_be_withdrawn()
    control.must_not_be_paused(record)
    must_not_be_secret(desk, patch.number)
    reasons = reasons_against_release(desk.facts, patch)
    if not reasons and released_elsewhere(desk):
        desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": "synchronised"}))
        return (f"Patch {patch.number} is in production already; this preview was synchronised with it.",)
    if reasons:
        desk.record(desk.fact(FactKind.RELEASE_REFUSED, "", "", {"reasons": list(reasons)}))
        desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": "not released"}))
        return reasons
    _decided(desk, patch)
    return ()


def reasons_against_release(facts: Facts, patch: Patch) -> tuple[str, ...]:
    """Say why a patch may not go to production, with all that is on record about it; no reasons means that it may."""
    dossier = facts.dossier(patch.number)
    return reasons_against_production(
        patch,
        newest_deployment_verdict(facts, patch.number, patch),
        verdict=standing_verdict(dossier).verdict,
        overruled=overruling(dossier) is not None,
    )


def released_elsewhere(desk: Desk) -> bool:
    """Tell whether another record released this patch: a joint decision (SD 4.1.3), or a release test (SD 4.2.3)."""
    others = desk.facts.rollouts(
        paths=[RolloutPath.OVERRULE, RolloutPath.RELEASE_TEST], patch=desk.rollout.patch_number
    )
    return any(desk.facts.rollout(row.name).has(FactKind.RELEASED_TO_PRODUCTION) for row in others)


def earlier_answer(record: Rollout) -> tuple[str, ...] | None:
    """What an earlier attempt at a release came to: the reasons of a refusal, no reasons, or None without one."""
    if refused := record.the(FactKind.RELEASE_REFUSED):
        return tuple(refused.payload["reasons"])
    return () if record.has(FactKind.RELEASED_TO_PRODUCTION) else None


def release_to_production(desk: Desk, production: Production) -> None:
    """Publish tarball and packages, tell people, end the rollout; the tracker is told by `tracker_states`.

    Every step looks first, so a retry continues where it broke off. What is published has, byte for byte, the
    digests on record: the tarball's files their own, each package the one in MANIFEST. A tracker that is away holds
    up nothing that was decided shortly before.

    Raises:
        RefusedError: the tracker says by now what the rules do not allow to go to production.
        ServiceError: it does not answer, and the decision is old, or was none of this rollout's.
        TamperedError: the store holds something else, or it was changed while it was copied; nothing is announced.
    """
    record = desk.rollout
    if record.has(FactKind.RELEASED_TO_PRODUCTION) and record.is_closed:
        return
    if not record.has(FactKind.RELEASED_TO_PRODUCTION):
        record.must_not_be_withdrawn()
    released, notes = _still_decided(desk)
    if not tarball_on_record(record).files:
        why = "has no digests of its tarball's files on record, so they cannot be published."
        raise TamperedError(record.name, why, "Start a new rollout of the patch.")
    tarball = whole_tarball_of(record, production.artefacts)
    packages = manifest_of(tarball, production.artefacts).packages
    carried = production.add_packages(released.repository, [package.sha256 for package in packages], desk.now)
    place = f"tarballs/{tarball.name}"
    for file, sha256 in sorted(tarball.files.items()):
        production.folder.publish_file(f"{place}/{file}", file_of(tarball, file, production.artefacts), sha256)
    more = {"tarball": tarball.name}
    _announce_release(desk, production, released, template="released", carried=carried, notes=notes, more=more)
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": "released"}))


def release_kept_packages(
    desk: Desk, production: Production, reasons: tuple[str, ...], *, template: str, more: Mapping[str, str | int]
) -> tuple[str, ...]:
    """Release the very packages that sites have tried, unless there are reasons against it; returns those reasons.

    Args:
        reasons: against the release; they are put on record.
        template: of the mail, without its ending.
        more: what the mail shows and the fact keeps beside platforms and packages.
    """
    if reasons:
        desk.record(desk.fact(FactKind.RELEASE_REFUSED, "", "", {"reasons": list(reasons)}))
        return reasons
    must_not_be_secret(desk, desk.rollout.patch_number)
    kept, released = kept_packages(desk.rollout), _Released.of(desk, desk.patch)
    carried = production.add_packages(released.repository, [sha256 for _, sha256 in kept], desk.now)
    notes = desk.patch.release_notes
    _announce_release(desk, production, released, template=template, carried=carried, notes=notes, more=more)
    return ()


@dataclass(frozen=True, slots=True)
class _Released:
    """What was decided to be released."""

    state: str
    """of the patch in the tracker, when it was decided"""
    platforms: tuple[str, ...]
    repository: Repository
    """of which kind it is, and which components it has"""

    @classmethod
    def of(cls, desk: Desk, patch: Patch) -> _Released:
        deployment = newest_deployment_verdict(desk.facts, patch.number, patch)
        overruled = overruling(desk.facts.dossier(patch.number)) is not None
        platforms = platforms_for_production(patch, deployment, overruled=overruled)
        return cls(patch.state.value, tuple(map(str, platforms)), patch.repository)

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> _Released:
        where = said["repository"]
        repository = Repository(RepositoryKind(where["kind"]), where["url"], where["suite"], tuple(where["components"]))
        return cls(said["state"], tuple(said["platforms"]), repository)

    def written(self) -> dict[str, Any]:
        where = self.repository
        known = {"kind": where.kind.value, "url": where.url, "suite": where.suite, "components": list(where.components)}
        return {"state": self.state, "platforms": list(self.platforms), "repository": known}


def _decided(desk: Desk, patch: Patch) -> None:
    """Put on record what is to be released, so that the release itself does not depend on the tracker."""
    said = _Released.of(desk, patch).written()
    before = [fact for fact in desk.rollout.facts if fact.kind is FactKind.RELEASE_DECIDED]
    if not before or before[-1].payload != said:
        desk.record(desk.fact(FactKind.RELEASE_DECIDED, "", str(len(before) + 1), said))


def _still_decided(desk: Desk) -> tuple[_Released, str]:
    """What is to be released, and its notes where the tracker answers."""
    record = desk.rollout
    decided = [fact for fact in record.facts if fact.kind is FactKind.RELEASE_DECIDED]
    try:
        patch = desk.patch
    except ServiceError:
        if not decided or desk.now - decided[-1].at > _DECISION_STANDS:
            raise
        return _Released.read(decided[-1].payload), ""
    if not record.has(FactKind.RELEASED_TO_PRODUCTION) and (reasons := reasons_against_release(desk.facts, patch)):
        raise RefusedError(record.name, reasons, "Look at the patch in the tracker.")
    released = _Released.read(decided[-1].payload) if decided else _Released.of(desk, patch)
    return released, patch.release_notes


def _announce_release(
    desk: Desk,
    production: Production,
    released: _Released,
    *,
    template: str,
    carried: Sequence[Carried],
    notes: str,
    more: Mapping[str, str | int],
) -> None:
    """Put on record that a patch whose packages are published is in production, and tell people; once."""
    if desk.rollout.has(FactKind.RELEASED_TO_PRODUCTION):
        return
    opened, number = desk.rollout.opened, desk.rollout.patch_number
    overruled = overruling(desk.facts.dossier(number))
    platforms = list(released.platforms)
    comment = f"Released to production by rollout {desk.name} for {', '.join(platforms)}."
    if overruled and released.state == PatchState.IN_CERTIFICATION:
        # the tracker knows no way past certification; its history says who took it
        comment = f"{comment} EMT and PPS coordination overruled the policies together (SD 4.1.3)."
    beside = write_beside(desk, production, released.repository.kind, carried)
    view = {
        "rollout": desk.name,
        "opened": desk.rollout.opened,
        "platforms": platforms,
        "packages": [str(it.ref) for it in carried],
        "overruled": overruled,
        "repository": (source := production.source(released.repository)),
        "how_to_use": how_to_use(source, "pps-production", production.keys, production.templates),
        "notes_link": _notes_link(desk, production.keys.public_url),
        **{
            f"{what}_link": document_link(production.keys.public_url, beside[what]["file"]) if what in beside else ""
            for what in BESIDE
        },
        "release_notes": clean_text(notes).strip(),
        **more,
    }
    mails = desk.circular(
        template,
        view,
        key=f"{desk.name}/released",
        to=production.recipients,
        subject=f"In production: {opened['metapackage']} {opened['version']} (patch {number})",
    )
    told = {"patch": number, "state": released.state, "comment": comment}
    payload = {"platforms": platforms, "packages": len(carried), **beside, **told, **more}
    desk.record(desk.fact(FactKind.RELEASED_TO_PRODUCTION, "", "", payload), mails=mails)


def _notes_link(desk: Desk, public_url: str) -> str:
    """The release notes of this release, or of the patch's newest rollout that has written some; "" without any."""
    if desk.rollout.has(FactKind.RELEASE_NOTES_WRITTEN):
        return release_notes_link(public_url, desk.name)
    rows = desk.facts.rollouts(patch=desk.rollout.patch_number)
    written = (row.name for row in rows if desk.facts.has(row.name, FactKind.RELEASE_NOTES_WRITTEN))
    name = next(written, None)
    return release_notes_link(public_url, name) if name else ""
