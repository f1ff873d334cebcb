"""A pilot that has been opened, and the mirror of its patch's repository."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.support import signing
from tests.support.desks import at_desk
from tests.support.examples import sqlite_store
from tests.support.provider import Provider
from upath import UPath

from pps.activities.packages import mirroring
from pps.activities.ports.mirrors import MirrorLimits
from pps.adapters.packages.mirror_folder import MirrorFolder
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.repository_writer import publish_packages
from pps.adapters.record.store import FactStore
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath, rollout_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = MirrorLimits(1 << 28, 1000)


def open_pilot(store: FactStore, patch: int = 4711, path: RolloutPath = RolloutPath.MINOR_PILOT) -> Rollout:
    """A pilot of which nothing but its opening is known."""
    name = rollout_id(path, patch, 1)
    payload = {"path": path.value, "patch": patch, "metapackage": "glite-CREAM", "version": "3.1.23"}
    store.open(path, patch, Fact(name, FactKind.ROLLOUT_OPENED, "", "", NOW, "pps", payload), run="pilot/1")
    return store.rollout(name)


@dataclass
class Mirroring:
    """Everything that `make_mirror` needs, over a provider's real HTTP."""

    provider: Provider
    folder: Path
    store: FactStore = field(default_factory=sqlite_store)
    limits: MirrorLimits = LIMITS
    told: list[tuple[int, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = open_pilot(self.store).name
        self.mirrors = MirrorFolder(UPath(self.folder), self.folder.parent / "cache")
        self.repositories = self.provider.repositories
        self.seal = signing.seal(self.folder.parent / "keys", now=lambda: NOW)

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    def make(self, patch: Patch, now: datetime = NOW) -> Fact:
        return mirroring.make_mirror(
            at_desk(self.record, self.store, patch=patch, now=now, actor="repository-manager"),
            mirrors=self.mirrors,
            repositories=self.repositories,
            reader=PackageFiles(),
            publish_packages=partial(publish_packages, seal=self.seal),
            limits=self.limits,
            workdir=self.folder.parent / "work",
            told=lambda *what: self.told.append(what),
        )

    def verify(self) -> mirroring.Verification:
        return mirroring.verify(
            self.record,
            self.mirrors,
            seal_problems=lambda place, repository: self.seal.problems(self.mirrors.root / place, repository),
        )

    @property
    def place(self) -> Path:
        """The folder of the mirror on record."""
        made = self.record.need(FactKind.MIRROR_MADE, "")
        return self.folder / made.payload["mirror"]

    @property
    def left(self) -> list[str]:
        """Whatever lies in the mirror folder and beside it, but empty folders."""
        places = (self.folder, self.folder.parent / "work", self.folder.parent / "cache")
        return sorted(str(p) for place in places for p in place.rglob("*") if not p.is_dir())
