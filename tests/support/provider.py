"""A provider who publishes sample packages over HTTP, and all that a build needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.http_folder import HttpFolder, serving
from upath import UPath

from pps.activities.packages.tarball import build_tarball
from pps.activities.ports.packages import Tarball, TarballLimits
from pps.adapters.packages.artefacts import ArtefactStore
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.repositories import ProviderRepositories
from pps.adapters.packages.repository_writer import publish_packages
from pps.domain.packages.patch import PackageRef, Patch, PatchState, Repository, RepositoryKind
from pps.domain.sites.site import Platform
from pps.sandbox.provider.packages import ProviderPackages, make_sample_packages

NOW = datetime(2007, 10, 1, 12, tzinfo=UTC)
LIMITS = TarballLimits(1 << 30, 100_000, 1 << 29)
WHY_UNSIGNED = "It is made by this test, and gone with it."


@dataclass
class Provider:
    """One repository over HTTP, empty at first."""

    kind: RepositoryKind
    root: Path
    http: HttpFolder
    keyrings: dict[str, Path] = field(default_factory=dict)

    @property
    def repositories(self) -> ProviderRepositories:
        """Opens it: with a key of the keyrings, else as it is."""
        return ProviderRepositories(self.keyrings, {self.http.url: WHY_UNSIGNED})

    @property
    def repository(self) -> Repository:
        apt = self.kind is RepositoryKind.APT
        return Repository(self.kind, self.http.url, "preview" if apt else "", ("main",) if apt else ())

    def publish(self, *files: Path) -> None:
        publish_packages(UPath(self.http.folder), self.repository, files, NOW)

    def publish_sample(self, version: str = "3.1.23") -> tuple[ProviderPackages, Patch]:
        made = make_sample_packages(self.root / f"made-{version}", version, kind=self.kind)
        self.publish(*made.files)
        return made, self.patch(made.packages, made.externals, version)

    def patch(
        self, packages: tuple[PackageRef, ...], externals: tuple[PackageRef, ...] = (), version: str = "3.1.23"
    ) -> Patch:
        platforms = (Platform("debian12", "amd64"),)
        return Patch(
            4711,
            "clients",
            PatchState.IN_CERTIFICATION,
            "glite-WN",
            version,
            platforms,
            self.repository,
            packages,
            externals,
        )

    def store(self, name: str = "store") -> ArtefactStore:
        return ArtefactStore(UPath(self.root / name), self.root / "cache")

    def build(
        self,
        patch: Patch,
        store: ArtefactStore | None = None,
        limits: TarballLimits = LIMITS,
        workdir: Path | None = None,
    ) -> Tarball:
        return build_tarball(
            patch,
            self.repositories.open(patch.repository),
            reader=PackageFiles(),
            artefacts=store or self.store(),
            limits=limits,
            workdir=workdir or self.root / "work",
        )


@pytest.fixture(params=list(RepositoryKind))
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Provider]:
    """Each test runs with an APT and with a YUM provider."""
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as http:
        yield Provider(request.param, tmp_path, http)


@pytest.fixture
def apt_provider(tmp_path: Path) -> Iterator[Provider]:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as http:
        yield Provider(RepositoryKind.APT, tmp_path, http)
