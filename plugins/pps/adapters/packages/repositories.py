"""Implements `ports.PackageRepositories`: opens APT and YUM repositories over HTTP, each as it is to be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pps.activities.ports.packages import IndexedPackage, PackageRepository
from pps.adapters.packages.apt import AptRepository
from pps.adapters.packages.download import Downloader
from pps.adapters.packages.yum import YumRepository
from pps.domain.base.errors import PackageError, TamperedError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.packages.repository_trust import Address, Trust, trust_in
from pps.domain.packages.verified_index import VerifiedIndex


def _now() -> datetime:
    return datetime.now(UTC)


def open_repository(repository: Repository, trust: Trust, now: datetime) -> PackageRepository:
    """Fetch the index and verify it: with `Trust(keyring)` its signature, dates and suite must be right."""
    download = Downloader(Address.parse(repository.url).url)
    kind = AptRepository if repository.kind is RepositoryKind.APT else YumRepository
    return kind.open(repository, download, trust, now)


@dataclass(frozen=True)
class ProviderRepositories:
    """All repositories that a patch may name.

    `keyrings` and `unsigned` are `package_keys` of service.yaml: address -> keyring file, and address -> why what
    lies there is believed without a signature. What neither covers is refused.
    """

    keyrings: Mapping[str, Path] = field(default_factory=dict)
    unsigned: Mapping[str, str] = field(default_factory=dict)
    now: Callable[[], datetime] = _now

    def open(self, repository: Repository) -> PackageRepository:
        """Fetch and verify the index."""
        return open_repository(repository, self.trust_in(repository.url), self.now())

    def trust_in(self, url: str) -> Trust:
        """Who must have signed a repository; `ConfigurationError` where nobody has decided."""
        return trust_in(url, self.keyrings, self.unsigned)


@dataclass(frozen=True)
class OwnRepositories:
    """Repositories that we publish ourselves, wherever an address of `package_keys` may point.

    No provider is to blame for what is wrong with one: somebody has changed it, which is a `TamperedError`.
    """

    trust: Trust
    now: Callable[[], datetime] = _now

    def open(self, repository: Repository) -> PackageRepository:
        """Fetch and verify the index."""
        with _ours():
            return _OwnRepository(open_repository(repository, self.trust, self.now()))


@dataclass(frozen=True)
class _OwnRepository:
    opened: PackageRepository

    @property
    def index(self) -> VerifiedIndex:
        return self.opened.index

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        with _ours():
            return self.opened.resolve(refs)

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        with _ours():
            return self.opened.listing(at_most)

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        with _ours():
            return self.opened.fetch(package, into)

    def save_index(self, arch: str, into: Path) -> tuple[Path, ...]:
        with _ours():
            return self.opened.save_index(arch, into)

    def save_file_list(self, into: Path) -> Path | None:
        with _ours():
            return self.opened.save_file_list(into)


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except TamperedError:
        raise
    except PackageError as error:
        raise TamperedError(
            error.subject, error.why, "It is ours: find out who changed it, and restore it from the backup."
        ) from error
