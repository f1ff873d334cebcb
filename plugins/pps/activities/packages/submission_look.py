"""A look at a release: everything that can be found out before anybody tries it. It records nothing.

Each package is fetched once, and read in the confined child; what is found is judged in `domain.packages.submission`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pps.activities.packages.classification import Classification, examine
from pps.activities.packages.fetching import check_identity, empty_folder
from pps.activities.ports.packages import (
    DependencySolver,
    IndexedPackage,
    Linters,
    PackageReader,
    PackageRepositories,
    PackageRepository,
    ProductionRepositories,
    TarballLimits,
    UnpackBudget,
)
from pps.domain.base.errors import HostileArchiveError, PackageError, PatchNotFoundError, RolloutError
from pps.domain.clients.updates import ClientVerdict, asks_for_an_intervention
from pps.domain.packages import submission, submitted_packages
from pps.domain.packages.findings import Finding, fault, hint, in_order
from pps.domain.packages.patch import PackageRef, Patch, PatchKind, PatchState, Repository
from pps.domain.packages.repository_trust import Trust
from pps.domain.packages.submission import Release
from pps.domain.packages.verified_index import VerifiedIndex
from pps.domain.packages.yaim import ChangeKind

#: What is only perhaps new is a hint; a person must tell (ADR 19).
_NEW = (
    ChangeKind.NEW_MANDATORY,
    ChangeKind.NEW_MANDATORY_WITH_DEFAULT,
    ChangeKind.NEW_OPTIONAL,
)
_CHANGELOG = "/changelog"


@dataclass(frozen=True)
class Bench:
    """What a look needs."""

    repositories: PackageRepositories
    production: ProductionRepositories
    reader: PackageReader
    limits: TarballLimits
    workdir: Path
    trust_in: Callable[[str], Trust]
    patch_of: Callable[[int], Patch]
    solver: DependencySolver
    linters: Linters
    platforms: Mapping[str, Sequence[Repository]] = field(default_factory=dict)
    """platform -> what it has by itself"""
    listed_at_most: int = 10_000
    """packages of a repository whose whole list is read to say which ones are missing"""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look has found."""

    findings: tuple[Finding, ...]
    """faults first"""
    classification: Classification | None
    """None: its packages could not all be read"""


def look(release: Release, bench: Bench) -> Looked:
    """Everything that can be found in a release."""
    found = [*submission.of_the_document(release), *submission.of_other_patches(_states(release, bench))]
    with empty_folder(bench.workdir) as work:
        mine = _Look(release.patch, bench, work)
        found += mine.findings()
    return Looked(in_order(found), mine.classification)


def _states(release: Release, bench: Bench) -> dict[int, PatchState | None]:
    states: dict[int, PatchState | None] = {}
    for number in release.depends_on:
        try:
            states[number] = bench.patch_of(number).state
        except PatchNotFoundError:
            states[number] = None
    return states


@dataclass
class _Fetched:
    """The provider's repository, with what has been fetched from it: other activities need not fetch it again."""

    index: VerifiedIndex
    packages: dict[PackageRef, tuple[IndexedPackage, Path]]

    def open(self, repository: Repository) -> _Fetched:
        return self

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        return tuple(self.packages[ref][0] for ref in refs)

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        return tuple(package for package, _ in self.packages.values())

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        path = self.packages[package.ref][1]
        (into / path.name).hardlink_to(path)
        return into / path.name

    def save_index(self, arch: str, into: Path) -> tuple[Path, ...]:
        return ()

    def save_file_list(self, into: Path) -> Path | None:
        return None


@dataclass
class _Look:
    patch: Patch
    bench: Bench
    work: Path
    classification: Classification | None = None

    def findings(self) -> Iterator[Finding]:
        try:
            if reason := self.bench.trust_in(self.patch.repository.url).unsigned:
                yield submitted_packages.of_unsigned(self.patch.repository, reason)
            repository = self.bench.repositories.open(self.patch.repository)
            indexed, missing = self._resolved(repository)
        except RolloutError as error:
            yield submitted_packages.of_repository_error(error)
            return
        yield from map(submitted_packages.of_missing, missing)
        if (total := sum(p.size for p in indexed)) > (most := self.bench.limits.package_bytes_at_most):
            sentence = f"Its packages have {total} bytes together; {most} are taken."
            yield fault("too-large", "", sentence, "Split it into several releases.", may_be_waived=False)
            return
        good: dict[PackageRef, tuple[IndexedPackage, Path]] = {}
        for package in indexed:
            try:
                path, has_changelog = self._read(repository, package)
            except RolloutError as error:
                yield submitted_packages.of_package_error(package.ref, error)
                continue
            good[package.ref] = (package, path)
            if not has_changelog:
                yield submitted_packages.of_changelog(package.ref)
            # what a release brings along is for others to mend
            for line in self.bench.linters.hints(path) if package.ref in self.patch.packages else ():
                yield hint("lint", package.ref, line)
        yield from self._of_production(good)
        if len(good) == len(indexed):
            yield from self._of_configuration(repository.index, good)
        yield from self._of_dependencies(repository, tuple(good))

    def _resolved(self, repository: PackageRepository) -> tuple[tuple[IndexedPackage, ...], list[PackageRef]]:
        """The packages that the index has, and those that it has not."""
        refs = tuple(dict.fromkeys((*self.patch.packages, *self.patch.externals)))
        try:
            return repository.resolve(refs), []
        except PackageError:
            there = {package.ref for package in repository.listing(self.bench.listed_at_most)}
            missing = [ref for ref in refs if ref not in there]
            if not missing:
                raise
            return repository.resolve(ref for ref in refs if ref in there), missing

    def _read(self, repository: PackageRepository, package: IndexedPackage) -> tuple[Path, bool]:
        """Fetch a package and read it to its end: where it lies, and whether it has a changelog."""
        folder = self.work / package.sha256
        folder.mkdir(exist_ok=True)
        path = repository.fetch(package, folder)
        limits = self.bench.limits
        budget = UnpackBudget(limits.unpacked_bytes_at_most, limits.files_at_most)
        with self.bench.reader.open(path, budget) as opened:
            check_identity(package, opened)
            logs = [m.path for m, _ in opened.members() if m.path.startswith("usr/share/doc/") and _CHANGELOG in m.path]
            return path, opened.has_changelog or bool(logs)

    def _of_production(self, good: Mapping[PackageRef, tuple[IndexedPackage, Path]]) -> Iterator[Finding]:
        kind = self.patch.repository.kind
        for ref, theirs in self.bench.production.open(kind).newest(good).items():
            yield from submitted_packages.of_production(kind, ref, good[ref][0].sha256, theirs.ref, theirs.sha256)

    def _of_configuration(
        self, index: VerifiedIndex, good: dict[PackageRef, tuple[IndexedPackage, Path]]
    ) -> Iterator[Finding]:
        # what is missing is said already; the rest of the release is compared with production
        packages, externals = (
            tuple(r for r in refs if r in good) for refs in (self.patch.packages, self.patch.externals)
        )
        patch = replace(self.patch, packages=packages, externals=externals)
        try:
            found = examine(
                patch,
                repositories=_Fetched(index, good),
                production=self.bench.production,
                reader=self.bench.reader,
                limits=self.bench.limits,
                workdir=self.work,
            )
        except HostileArchiveError as error:
            yield fault("hostile", "", error.why, "Build the packages again, smaller.", may_be_waived=False)
            return
        except PackageError as error:
            yield fault("configuration-unreadable", error.subject, error.why, "Correct that file.")
            return
        if len(good) == len({*self.patch.packages, *self.patch.externals}):
            self.classification = found
        yield from _of_changes(found, patch)

    def _of_dependencies(self, repository: PackageRepository, refs: Sequence[PackageRef]) -> Iterator[Finding]:
        for platform in self.patch.platforms:
            mine = [ref for ref in refs if submission.fits(ref.arch, platform.arch)]
            if not mine:
                continue
            try:
                theirs = [self.bench.repositories.open(r) for r in self.bench.platforms.get(str(platform), ())]
                kind = self.patch.repository.kind
                solved = self.bench.solver.solve(kind, platform.arch, mine, repository, theirs, self.work)
            except RolloutError as error:
                yield submitted_packages.of_unsolved(platform, f"{error.subject}: {error.why}")
                continue
            if solved.unsolved:
                yield submitted_packages.of_unsolved(platform, solved.unsolved)
                continue
            for package, sentence in solved.problems:
                yield submitted_packages.of_problem(platform, package, sentence)
            for package, sentence in solved.unknown:
                yield submitted_packages.of_unknown_files(platform, package, sentence)
            for ref in mine:
                if ref.name in solved.of_platform:
                    yield from submitted_packages.of_distribution(kind, platform, ref, solved.of_platform[ref.name])


def _of_changes(found: Classification, patch: Patch) -> Iterator[Finding]:
    """BC or not, each variable with its file; and whether the notes name the new ones."""
    if patch.kind is PatchKind.CLIENT:
        if found.verdict is ClientVerdict.BC:
            yield hint("bc", "", "It is backward compatible (BC): sites have nothing to configure (SD 4.1.1).")
        else:
            why = " ".join(found.reasons)
            yield hint("non-bc", "", f"It is not backward compatible (non-BC), so sites configure it (SD 4.1.2): {why}")
    for change in found.changes:
        yield hint(
            "intervention" if asks_for_an_intervention(change) else "configuration", change.name, change.sentence
        )
    new = {change.name: change.place for change in found.changes if change.kind in _NEW}
    yield from submitted_packages.of_variables(patch, new, {change.name for change in found.changes})
