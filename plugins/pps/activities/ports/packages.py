"""Packages: where they come from, how they are read, and where what is built from them is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from pps.domain.packages.bill import Bill, Description
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.packages.verified_index import VerifiedIndex


@dataclass(frozen=True, slots=True)
class IndexedPackage:
    """A package as a repository's (verified) index lists it."""

    ref: PackageRef
    filename: str
    """path below the repository's URL"""
    size: int
    sha256: str
    base: str = ""
    """address that the path is below, where the index names another one on the same server (`xml:base`)"""


class PackageRepository(Protocol):
    """One APT or YUM repository of the provider."""

    @property
    def index(self) -> VerifiedIndex:
        """What was checked when it was opened."""

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        """Look packages up in the index, in the given order; `PackageError` names every missing one.

        The index's own digests (and its signature, when a key is configured) are checked first.
        """

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        """Every binary package of the (verified) index, each once; `PackageError` if there are more than `at_most`."""

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """Download one package into a folder; `PackageError` unless size and digest match the index."""

    def save_index(self, arch: str, into: Path) -> tuple[Path, ...]:
        """Write the (verified) index files for an architecture into a folder, as their solvers read them."""

    def save_file_list(self, into: Path) -> Path | None:
        """Write the (verified) list of all files in its packages into a folder; None where the index has none."""


class PackageRepositories(Protocol):
    """Opens repositories."""

    def open(self, repository: Repository) -> PackageRepository:
        """Fetch and verify the index."""


class ProductionPackages(Protocol):
    """One APT or YUM repository of ours, with what is in production."""

    def newest(self, refs: Iterable[PackageRef]) -> Mapping[PackageRef, IndexedPackage]:
        """For each package the one of the same name that a site in production has now; a missing one has none.

        That is the very same version where production has it, else the newest, for the same
        architecture or for all.
        """

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """Copy one package into a folder; `ServiceError` unless size and digest match the index."""


class ProductionRepositories(Protocol):
    """Opens the repositories of the folder that the release to production writes."""

    def open(self, kind: RepositoryKind) -> ProductionPackages:
        """Read the index; there may be none yet."""


@dataclass(frozen=True, slots=True)
class TarballLimits:
    """What a client tarball may become (config/policies.yaml, `tarball`)."""

    unpacked_bytes_at_most: int
    files_at_most: int
    package_bytes_at_most: int
    """all its packages together, as downloaded"""


@dataclass(slots=True)
class UnpackBudget:
    """What may still be unpacked; the packages of one tarball spend from the same budget."""

    bytes_left: int
    members_left: int


@dataclass(frozen=True, slots=True)
class PackageMember:
    """One vetted member of a package: a plain relative path that stays in the tree."""

    path: str
    """from the root of the file system, without the leading slash: `usr/bin/gfal-ls`"""
    kind: Literal["d", "f", "l", "h"]
    """directory, file, symbolic link, or another name (hard link) of an earlier file of this package"""
    size: int = 0
    executable: bool = False
    target: str = ""
    """of a link: where it leads, as a path like `path`"""


class OpenedPackage(Protocol):
    """A package file that is being read."""

    @property
    def ref(self) -> PackageRef:
        """What the package says that it is."""

    @property
    def install_script(self) -> str:
        """Its script that runs after the installation; only ever read, never run."""

    @property
    def has_changelog(self) -> bool:
        """Its header has a changelog; that of a .deb is one of its files."""

    def says(self) -> Description:
        """Its licences, and who made it; a .deb is read until its copyright file, and has no licences beyond the
        budget."""

    def members(self) -> Iterator[tuple[PackageMember, BinaryIO]]:
        """Each member with its content, which must be read before the next one is asked for.

        `HostileArchiveError` at the first member that may not be unpacked.
        """


#: A bill of materials as others' programs read it: the same bill is the same text.
BillWriter = Callable[[Bill], str]


class PackageReader(Protocol):
    """Reads .deb and .rpm files without their tools and without root."""

    def open(self, path: Path, budget: UnpackBudget) -> AbstractContextManager[OpenedPackage]:
        """Open a package; `PackageError` if it is none, `HostileArchiveError` beyond the budget."""


@dataclass(frozen=True, slots=True)
class Solved:
    """What a solver says of some packages on one platform."""

    problems: tuple[tuple[str, str], ...] = ()
    """(package, sentence)"""
    of_platform: Mapping[str, str] = field(default_factory=dict)
    """name of a package -> the newest version that the platform itself has of it"""
    unsolved: str = ""
    """why nobody knows; then the rest says nothing"""
    unknown: tuple[tuple[str, str], ...] = ()
    """(package, sentence): there is this problem, unless a package has a file that no index lists"""


class DependencySolver(Protocol):
    """What installs packages at sites, asked without installing anything: libsolv for YUM, apt itself for APT."""

    def solve(
        self,
        kind: RepositoryKind,
        arch: str,
        refs: Sequence[PackageRef],
        release: PackageRepository,
        platform: Sequence[PackageRepository],
        workdir: Path,
    ) -> Solved:
        """Whether each package can be installed from these repositories on a platform that has nothing yet.

        Args:
            arch: of the platform, as its packages call it.
        """


class Linters(Protocol):
    """`lintian` and `rpmlint`, where they are installed."""

    def hints(self, package: Path) -> tuple[str, ...]:
        """What the program for this kind of package says of it, a line each; none without such a program."""


@dataclass(frozen=True, slots=True)
class Tarball:
    """A built client, named by content. `name` is `<metapackage>-<version>-PPS-<first 12 of digest>`."""

    name: str
    digest: str
    """sha256 of the MANIFEST, which holds the digest of every file"""
    files: Mapping[str, str]
    """file name in the store's folder of this tarball -> sha256; the parts, and MANIFEST"""
    size: int
    """bytes of the parts together"""
    packages: tuple[str, ...]


class Artefacts(Protocol):
    """Where tarballs and packages are kept: content-addressed, write-once (file://, s3://, ...)."""

    def find(self, name: str) -> Tarball | None:
        """The tarball of this name, or None."""

    def keep(self, tarball: Tarball, folder: Path) -> None:
        """Store a tarball's files from a local folder, once: uploaded aside, renamed when complete."""

    def local(self, name: str, file: str) -> Path:
        """A local, verified copy of one file of a tarball (cached; a file:// store is read in place)."""

    def open(self, name: str, file: str) -> BinaryIO:
        """Read one file of a tarball."""

    def keep_package(self, path: Path, sha256: str) -> None:
        """Store a package file, so that the release to production publishes the very bytes that were tested."""

    def local_package(self, sha256: str) -> Path:
        """A local, verified copy of a package file, under its own name."""
