"""What the activities need from the world. One adapter each; tests bring their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from pps.domain.base.names import addresses_of
from pps.domain.packages.patch import PackageRef, Patch, PatchState, Repository, RepositoryKind
from pps.domain.people.feedback import Limit
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.endpoints import PublishedService

# --- sites -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SshTarget:
    """All that is needed to log in at a site: from an Airflow Connection, or the registry in the CLI.

    Never leaves the process: `private_key` (PEM text) and `key_file` are excluded from its repr.
    """

    site: str
    host: str
    port: int
    user: str
    host_key: str
    """`<type> <base64>`, pinned"""
    key_file: Path | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """Time and size limits of one conversation with a site (config/policies.yaml, `site_limits`)."""

    connect_s: float = 20.0
    """until the script at the site has said its first line: TCP, banner, keys, login, shell"""
    silence_s: float = 30.0
    """longest time in which no byte goes either way"""
    total_s: float = 900.0
    """the whole conversation"""
    output_bytes: int = 65536
    """most that a site may say; a site that says more is cut off"""


class SiteChannel(Protocol):
    """One connection to a site with one of our POSIX-sh scripts running at its other end.

    Every failure raises a `SiteError` that names the site; `SiteUnreachableError` where a later
    try can help (no connection, broken, hung), `HostKeyError` for an unknown or changed host key.
    """

    async def read_line(self) -> str | None:
        """Next line that the script printed, without its newline; None at the end of its output.

        Whatever the site's login prints before the script's first line (banners, profile noise) is
        skipped. Undecodable bytes come as U+FFFD.
        """

    async def write(self, text: str) -> None:
        """Send text to the script's standard input."""

    async def send_file(self, path: Path) -> None:
        """Send a whole file, then end the script's standard input. Memory does not grow with the file."""

    async def finish(self) -> int:
        """End standard input, read what is left unread, and return the script's exit code."""


class SiteShell(Protocol):
    """The way to a site: SSH with strict, pinned host keys."""

    def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AbstractAsyncContextManager[SiteChannel]:
        """Log in once and start `script` (POSIX sh) with `arguments`, whatever the login shell is.

        Leaving the context ends the connection and reaps every process, also after an error.
        """


# --- packages and artefacts ------------------------------------------------------------------


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

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        """Look packages up in the index, in the given order; `PackageError` names every missing one.

        The index's own digests (and its signature, when a key is configured) are checked first.
        """

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        """Every binary package of the (verified) index, each once; `PackageError` if there are more than `at_most`."""

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """Download one package into a folder; `PackageError` unless size and digest match the index."""


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

    def members(self) -> Iterator[tuple[PackageMember, BinaryIO]]:
        """Each member with its content, which must be read before the next one is asked for.

        `HostileArchiveError` at the first member that may not be unpacked.
        """


class PackageReader(Protocol):
    """Reads .deb and .rpm files without their tools and without root."""

    def open(self, path: Path, budget: UnpackBudget) -> AbstractContextManager[OpenedPackage]:
        """Open a package; `PackageError` if it is none, `HostileArchiveError` beyond the budget."""


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
        """Store a tarball's files from a local folder: uploaded aside, renamed when complete; twice is once."""

    def local(self, name: str, file: str) -> Path:
        """A local, verified copy of one file of a tarball (cached; a file:// store is read in place)."""

    def open(self, name: str, file: str) -> BinaryIO:
        """Read one file of a tarball."""

    def keep_package(self, path: Path, sha256: str) -> None:
        """Store a package file, so that the release to production publishes the very bytes that were tested."""

    def local_package(self, sha256: str) -> Path:
        """A local, verified copy of a package file, under its own name."""


# --- services of the infrastructure ----------------------------------------------------------


class InformationSystem(Protocol):
    """The BDII, as users see it."""

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """RunTimeEnvironment tags of each SubCluster, in one query; one that is not published is missing.

        `ServiceError` when the BDII does not answer in time.
        """

    def services_of(self, hosts: Iterable[str]) -> Mapping[str, tuple[PublishedService, ...]]:
        """The services whose endpoint is at each of these hosts (GlueService); a host without any has none.

        `ServiceError` as above.
        """


class Matchmaker(Protocol):
    """Matches a JDL against a computing element, as the WMS does."""

    def matches(self, requirement: str, tags: Sequence[str]) -> bool:
        """Tell whether `Requirements = ...;` holds for a CE whose SubCluster shows these tags."""


class Tracker(Protocol):
    """The patch tracker (Savannah's role)."""

    def patch(self, number: int) -> Patch:
        """Read a patch; `PatchNotFoundError`, or `ServiceError` when the tracker does not answer."""

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, newest number first, or those in one state."""

    def set_state(self, number: int, state: PatchState, comment: str) -> None:
        """Move a patch to a state with a comment; setting the state that it has changes nothing."""

    def comment(self, number: int, text: str) -> None:
        """Add a comment to a patch's history without moving it; the same text twice is one comment."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message. `key` makes it unique: the outbox keeps one of each, for each recipient."""

    key: str
    to: str
    """one address; a site's several are parted when the mail is recorded"""
    subject: str
    text: str
    html: str = ""
    attachments: tuple[tuple[str, str, str], ...] = ()
    """(file name, MIME type, text)"""
    text_sha256: str = field(default="", compare=False)
    """of the text; by the outbox, which does not keep texts that have left, or were given up"""

    def one_each(self) -> tuple[Mail, ...]:
        """The same to each of several recipients: nobody reads the others' addresses, all are told."""
        first, *others = addresses_of(self.to) or (self.to,)
        return replace(self, to=first), *(replace(self, key=f"{self.key}/{to}", to=to) for to in others)


class Mailer(Protocol):
    """Hands messages to SMTP."""

    def send(self, mails: Sequence[Mail], accepted: Callable[[str], None] = lambda key: None) -> Mapping[str, str]:
        """Send over one connection; return `key -> error` for those that were not accepted.

        `accepted` is called with a mail's key as soon as the server has taken it, before the next
        one goes out: who marks it there sends at most one mail twice when killed.
        The Message-ID derives from the key, so a duplicate after a crash can be recognised.
        `ServiceError` when the server cannot be reached at all.
        """


class Templates(Protocol):
    """Jinja2 templates of include/templates; people's text is data in them, never source."""

    def render(self, template: str, view: Mapping[str, Any]) -> str:
        """Render a template; `.html` escapes, a missing value is a `ConfigurationError`."""


# --- facts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenRollout:
    """One row of the register of rollouts."""

    name: str
    path: str
    patch: int
    opened_at: datetime
    closed_at: datetime | None


class Facts(Protocol):
    """The append-only record, and the outbox that lives in the same transactions."""

    def open(self, path: str, patch: int, opening: Fact, run: str) -> bool:
        """Register a rollout and record its opening fact in one transaction.

        True if it is new; False if this very `run` (the Airflow run, or another caller's key)
        opened it before. `AlreadyOpenError` if another run has a rollout of this patch open in the
        same line (`domain.rollouts.line_of`).
        """

    def close(self, closing: Fact) -> None:
        """Record the closing fact and free the patch for another rollout."""

    def next_name(self, path: str, patch: int, run: str = "") -> str:
        """Name of the rollout that `run` opened (also when it has ended since: a cleared task finds
        its own), else of the one that is open for this patch, else of the one that would be next.
        """

    def rollouts(
        self,
        *,
        open_only: bool = False,
        paths: Collection[str] = (),
        patch: int | None = None,
        not_cleared: bool = False,
        closed_after: datetime | None = None,
    ) -> tuple[OpenRollout, ...]:
        """The register, newest first: of these paths, else all rollouts (no dossiers); of one patch, or of all.

        Args:
            not_cleared: without those of which `mark_cleared` was said.
            closed_after: without those that had ended by then; what is open is always among them.
        """

    def mark_cleared(self, record: Rollout) -> bool:
        """Note that a rollout has ended and nothing of it is at any site: nights need not read it again.

        Undone by the next fact of that rollout. Refused (False) if there are other facts than those in `record`.
        """

    def count_turned_away(self, rollout: str, limit: Limit, now: datetime) -> None:
        """Count an answer that a limit has turned away: a number for each limit, and nothing of who it was."""

    def turned_away(self, rollout: str) -> Mapping[Limit, int]:
        """How many answers each limit has turned away."""

    def rollout(self, name: str) -> Rollout:
        """All facts of a rollout, in the order of recording; no facts: `NotYetAllowedError`."""

    def standing(self, names: Collection[str]) -> Mapping[str, Rollout]:
        """Rollouts and dossiers as they stand, in one read: without what programs once recorded of a site and newer
        facts have overtaken (`domain.rollouts.OVERTAKEN_KINDS`). Every actor and the latest moment are in it.
        A name without facts has none.
        """

    def has(self, rollout: str, kind: FactKind) -> bool:
        """Tell whether a fact of this kind is on record, at the cost of one look-up: for those who must ask often."""

    def dossier(self, patch: int) -> Rollout:
        """What is on record on a patch beside its rollouts; without facts while there is nothing."""

    def record_in_dossier(self, patch: int, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """As `record`, for facts of `domain.rollouts.dossier_name(patch)`."""

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """Record facts, and queue mails, in one transaction; return the facts that were new.

        A mail whose key is in the outbox already is not queued again.
        """

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        """Facts of this kind, of all records, whose payload has one of these texts under `key`; reads no others."""

    def facts_of_kind(
        self, kinds: Collection[FactKind], since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Fact, ...]:
        """Facts of these kinds of all rollouts and dossiers, `since <= at < until`, in the order of recording."""

    def unsent(self, limit: int, now: datetime) -> Sequence[Mail]:
        """Mails that are due for a (new) try; claimed for a while so that two senders share them out."""

    def mark_sent(self, keys: Iterable[str], now: datetime) -> None:
        """These were accepted by the server."""

    def mark_refused(self, errors: Mapping[str, str], now: datetime) -> None:
        """These were not; they are tried again later, with growing pauses, and given up after days."""

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        """Every mail of a rollout: (mail, when sent, last error). Mail keys start with `<rollout>/`.

        A mail that was sent, or given up, has lost its text, HTML and attachments.
        """
