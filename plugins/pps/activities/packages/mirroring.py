"""A mirror of the provider's repository for a pilot (SD 4.1.3, 6).

"... the repository used for the installation will be mirrored in order to decouple the production environment from
changes possibly happening in the original one provided by the developers."

A mirror holds every binary package of the suite and components that the patch names, each checked against the
provider's verified index, below an index of its own. All packages are in the first component. We sign the index, and
sign it again before the signature expires; what carries the signature or its dates is no part of the list, and so
none of the mirror's digest.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from pps.activities.desk import Desk
from pps.activities.packages.fetching import check_identity, empty_folder
from pps.activities.ports.mirrors import MirrorLimits, Mirrors
from pps.activities.ports.packages import (
    IndexedPackage,
    PackageReader,
    PackageRepositories,
    PackageRepository,
    UnpackBudget,
)
from pps.domain.base.errors import (
    NotYetAllowedError,
    PackageError,
    RefusedError,
    RolloutError,
    ServiceError,
    TamperedError,
)
from pps.domain.base.texts import one_line, reasons_against_reason
from pps.domain.packages.mirrors import (
    LIST,
    Differences,
    MirrorFile,
    MirrorList,
    SourceChanges,
    differences,
    source_changes,
)
from pps.domain.packages.patch import PackageRef, Patch, Repository, RepositoryKind
from pps.domain.packages.repository_seals import is_seal
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, Rollout

#: Writes package files and their index into a local folder. Arguments: folder, repository, files, date of the index.
Publisher = Callable[[pathlib.Path, Repository, Iterable[pathlib.Path], datetime], None]

#: Hears how far it is: how many are done, how many there are, which one was the last.
Told = Callable[[int, int, str], None]


def _silent(done: int, of: int, what: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class MirrorPlan:
    """What a mirror would hold."""

    source: Repository
    packages: tuple[IndexedPackage, ...]

    @property
    def bytes(self) -> int:
        """All packages together."""
        return sum(p.size for p in self.packages)


def reasons_against_mirror(record: Rollout) -> tuple[str, ...]:
    """Say why a rollout gets no mirror (any more); no reasons means that it may have one."""
    if record.path not in PILOTS:
        return ("It is no pilot.",)
    made = record.the(FactKind.MIRROR_MADE)
    if made is not None and "skipped" in made.payload:
        return (f"It was decided that this pilot has no mirror: {made.payload['skipped']}",)
    if made is None and record.is_over:
        return ("The pilot is over.",)
    return ()


def plan_mirror(
    patch: Patch, repositories: PackageRepositories, limits: MirrorLimits
) -> tuple[PackageRepository, MirrorPlan]:
    """Read the provider's (verified) index: every package of the suite and components that the patch names.

    `PackageError` beyond the limits, or where the patch's own packages are not among them.
    """
    repository = repositories.open(patch.repository)
    packages = repository.listing(limits.packages_at_most)
    listed = {p.ref for p in packages}
    if missing := [str(r) for r in (*patch.packages, *patch.externals) if r not in listed]:
        raise PackageError(
            patch.repository.url, f"does not have {', '.join(missing)}.", "Correct the patch, or ask the provider."
        )
    plan = MirrorPlan(patch.repository, packages)
    MirrorList(plan.source, ())  # refuses a suite that no list can name, before anything is fetched
    if not packages:
        raise PackageError(patch.repository.url, "has no packages.", "Correct the patch, or ask the provider.")
    if plan.bytes > limits.bytes_at_most:
        raise PackageError(
            patch.repository.url,
            f"has {plan.bytes} bytes of packages; {limits.bytes_at_most} are allowed in a mirror.",
            "See policies.yaml, mirror; or ask the provider for a repository of this update alone.",
        )
    return repository, plan


def make_mirror(
    desk: Desk,
    *,
    mirrors: Mirrors,
    repositories: PackageRepositories,
    reader: PackageReader,
    publish_packages: Publisher,
    limits: MirrorLimits,
    workdir: pathlib.Path,
    told: Told = _silent,
) -> Fact:
    """Make the mirror of a pilot, or find the one that it has; return the fact that stands for it.

    Nobody asks the source about a mirror that is there: what has changed since does not concern it. One that was lost
    is made again if the source still gives the very same; `RefusedError` otherwise. `TamperedError` if what is there
    is not what is on record.

    Args:
        publish_packages: writes packages and index into a local folder.
        workdir: needs room for one package.
    """
    record = desk.rollout
    if reasons := reasons_against_mirror(record):
        raise RefusedError(f"mirror of {record.name}", reasons)
    made = record.the(FactKind.MIRROR_MADE)
    if made is not None and mirrors.listing(made.payload["mirror"]) is not None:
        _, found = recorded(record, mirrors)
        if isinstance(found, str):
            raise TamperedError(f"mirror of {record.name}", found, "Find out who changed it; restore its folder.")
        return made
    repository, plan = plan_mirror(desk.patch, repositories, limits)
    # what is listed carries the date of the opening, so that a second attempt comes to the same bytes; APT's date is in
    # the Release file, which is not listed
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").at
    dated = desk.now if plan.source.kind is RepositoryKind.APT else opened
    with mirrors.aside(record.name, desk.now) as folder, empty_folder(workdir) as work:
        publish_packages(folder, _one_index(plan.source), _fetched(repository, plan, reader, work, told), dated)
        listed = _described(plan, mirrors.contents(folder))
        if made is not None and listed.digest != made.payload["digest"]:
            raise RefusedError(
                f"mirror of {record.name}",
                (
                    f"It had a mirror with the digest {made.payload['digest'][:12]}, which is lost.",
                    f"The source has changed since and gives {listed.digest[:12]}.",
                ),
                "Restore the mirror's folder from the backup.",
            )
        place = mirrors.keep(folder, record.name, listed)
    payload = {
        "mirror": place,
        "digest": listed.digest,
        "packages": len(plan.packages),
        "bytes": plan.bytes,
        "source": plan.source.url,
        "kind": plan.source.kind.value,
        "suite": _one_index(plan.source).suite,
        "components": list(_one_index(plan.source).components),
        "index": repository.index.written(),
    }
    desk.record(desk.fact(FactKind.MIRROR_MADE, "", "", payload))
    # of two that were at it at once, the first fact counts; as a rule both made the same
    stands = desk.look_again().need(FactKind.MIRROR_MADE, "Make the mirror again.")
    if stands.payload.get("digest") != listed.digest:
        raise RefusedError(f"mirror of {record.name}", ("Somebody else has decided on it at the same time.",))
    return stands


def skip_mirror(desk: Desk, reason: str) -> Fact:
    """Put on record why this pilot needs no mirror; the same decision again changes nothing.

    Source: SD 4.1.3, 6: "may be not needed in some cases".
    """
    record = desk.rollout
    reasons = list(reasons_against_reason(reason))
    made = record.the(FactKind.MIRROR_MADE)
    if made is not None and "skipped" in made.payload:
        return made
    if record.path not in PILOTS:
        reasons.append("It is no pilot.")
    if made is not None:
        reasons.append("It has a mirror, and sites may install from it.")
    elif record.is_over:
        reasons.append("The pilot is over.")
    if reasons:
        raise RefusedError(f"mirror of {record.name}", tuple(reasons), "Look at: pps mirror list")
    desk.record(desk.fact(FactKind.MIRROR_MADE, "", "", {"skipped": one_line(reason, 1000)}))
    return desk.look_again().need(FactKind.MIRROR_MADE, "Say it again.")


def mirror_repository(record: Rollout, mirror_url: str) -> Repository | None:
    """What a site installs from instead of the patch's own repository; None if the pilot has no mirror.

    Args:
        mirror_url: address at which the mirror folder is served.
    """
    made = record.the(FactKind.MIRROR_MADE)
    if made is None or "skipped" in made.payload:
        return None
    payload = made.payload
    url = f"{mirror_url.rstrip('/')}/{payload['mirror']}"
    return Repository(RepositoryKind(payload["kind"]), url, payload["suite"], tuple(payload["components"]))


# --- is it still what it was -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a mirror."""

    mirror: str
    digest: str
    files: int
    """that were compared"""
    differences: Differences
    problems: tuple[str, ...] = ()
    """sentences: of the list itself, and of what a site sees over HTTP"""

    @property
    def sound(self) -> bool:
        """Tell whether the mirror is what was put on record."""
        return not (self.differences or self.problems)


def verify(
    record: Rollout,
    mirrors: Mirrors,
    *,
    over_http: tuple[PackageRepositories, Repository, pathlib.Path] | None = None,
    seal_problems: Callable[[str, Repository], tuple[str, ...]],
    told: Told = _silent,
) -> Verification:
    """Read every file of a pilot's mirror and compare: its digest with MIRROR, and MIRROR with the digest on record.

    The index's own files are listed in MIRROR, too, so a changed index is found as well as a changed package.

    Args:
        over_http: also fetch everything as a site would: opener, `mirror_repository(...)`, folder with room for one
            file.
        seal_problems: what is wrong with the signature of the index in this place.
    """
    made, listed = recorded(record, mirrors)
    if isinstance(listed, str):
        return Verification(made.payload["mirror"], made.payload["digest"], 0, Differences(differ=(LIST,)), (listed,))
    of, found = len(listed.files), []
    known = {file.path for file in listed.files}
    for number, file in enumerate(mirrors.found(made.payload["mirror"]), 1):
        if file.path in known or not (file.sha256 and is_seal(file.path, listed.source)):
            found.append(file)
        told(min(number, of), of, file.path)
    problems = seal_problems(made.payload["mirror"], _one_index(listed.source))
    if over_http:
        problems += tuple(_seen_by_a_site(listed, *over_http, told))
    return Verification(made.payload["mirror"], listed.digest, of, differences(listed.files, found), problems)


def changes_at_source(
    record: Rollout, mirrors: Mirrors, repositories: PackageRepositories, limits: MirrorLimits
) -> SourceChanges:
    """Say what has changed in the provider's repository since the mirror was made; that is what a mirror is for."""
    _, listed = recorded(record, mirrors)
    if isinstance(listed, str):
        raise NotYetAllowedError(f"mirror of {record.name}", listed, "Restore it from the backup.")
    try:
        now = repositories.open(listed.source).listing(limits.packages_at_most)
    except RolloutError as error:
        return SourceChanges(unreadable=str(error))
    return source_changes(listed, {p.ref: p.sha256 for p in now})


def recorded(record: Rollout, mirrors: Mirrors) -> tuple[Fact, MirrorList | str]:
    """The fact of a pilot's mirror, with its list; or a sentence that says why that is not the one on record."""
    made = record.need(FactKind.MIRROR_MADE, f"Make it: pps mirror make {record.name}")
    if "skipped" in made.payload:
        raise NotYetAllowedError(f"mirror of {record.name}", f"There is none: {made.payload['skipped']}")
    text = mirrors.listing(made.payload["mirror"])
    if text is None:
        return made, f"{LIST} is missing, so that no file can be judged."
    with suppress(RolloutError):
        listed = MirrorList.parse(text)
        if listed.digest == made.payload["digest"]:
            return made, listed
    return made, f"{LIST} has not the digest on record, so that no file can be judged by it."


def _seen_by_a_site(
    listed: MirrorList, repositories: PackageRepositories, address: Repository, workdir: pathlib.Path, told: Told
) -> Iterator[str]:
    packages = listed.packages
    try:
        repository = repositories.open(address)
        seen = repository.listing(len(packages) + 1)
    except (PackageError, ServiceError) as error:
        yield f"A site cannot read its index: {error}"
        return
    if {p.ref: p.sha256 for p in seen} != {ref: file.sha256 for ref, file in packages.items()}:
        yield f"{address.url} lists other packages than the mirror has."
    with empty_folder(workdir) as work:
        for number, file in enumerate(listed.files, 1):
            wanted = IndexedPackage(file.package or PackageRef("index", "1", "all"), file.path, file.size, file.sha256)
            try:
                repository.fetch(wanted, work).unlink()
            except PackageError as error:
                yield str(error)
            except ServiceError as error:  # each further file would wait for the same answer
                yield f"The rest was not read: {error}"
                return
            told(number, len(listed.files), f"http: {file.path}")


def _one_index(source: Repository) -> Repository:
    """How the mirror is laid out: one component, also for a flat repository, which has none."""
    if source.suite.endswith("/"):
        return replace(source, suite="mirror", components=("main",))
    return replace(source, components=source.components[:1])


def _fetched(
    repository: PackageRepository, plan: MirrorPlan, reader: PackageReader, work: pathlib.Path, told: Told
) -> Iterator[pathlib.Path]:
    """Each package as a local file that is gone again when the next one is asked for."""
    for number, package in enumerate(plan.packages, 1):
        path = repository.fetch(package, work)
        with reader.open(path, UnpackBudget(0, 0)) as opened:
            check_identity(package, opened)
        yield path
        path.unlink()
        told(number, len(plan.packages), str(package.ref))


def _described(plan: MirrorPlan, files: Sequence[MirrorFile]) -> MirrorList:
    """The list of what was written; `PackageError` unless every package of the plan is there, once."""
    refs = {p.sha256: p.ref for p in plan.packages}
    lasting = (f for f in files if not is_seal(f.path, plan.source))
    listed = MirrorList(plan.source, tuple(replace(f, package=refs.get(f.sha256)) for f in lasting))
    if listed.packages.keys() != set(refs.values()) or len(refs) != len(plan.packages):
        raise PackageError(
            plan.source.url, "names the same file for several packages.", "Ask the provider of the repository."
        )
    return listed
