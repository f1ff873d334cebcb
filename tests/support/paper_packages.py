"""Packages that are names only: a repository lists them, a file holds its own name, and a folder is a set of them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from upath import UPath

from pps.activities.packages.production import Beside
from pps.activities.ports.packages import IndexedPackage, PackageMember, TarballLimits, UnpackBudget
from pps.adapters.packages.bills import as_cyclonedx
from pps.adapters.packages.folders import PublishedFolder
from pps.domain.packages.bill import Description
from pps.domain.packages.patch import PackageRef, Repository
from pps.domain.packages.verified_index import VerifiedIndex


class PaperRepositories:
    """Every package of every repository."""

    index = VerifiedIndex("https://paper.example.org/Release", "f" * 64)

    def open(self, repository: Repository) -> PaperRepositories:
        return self

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        return tuple(
            IndexedPackage(ref, f"pool/{ref}", len(_text(ref)), hashlib.sha256(_text(ref).encode()).hexdigest())
            for ref in refs
        )

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        path = into / "package"
        path.write_text(_text(package.ref))
        return path


class PaperReader:
    """Reads them: a program each."""

    @contextmanager
    def open(self, path: Path, budget: UnpackBudget) -> Iterator[Any]:
        ref = PackageRef(*path.read_text().split())
        program = PackageMember(f"usr/bin/{ref.name}", "f", len(ref.version), executable=True)
        content = [(program, io.BytesIO(ref.version.encode()))]
        says = lambda: Description(("Apache-2.0",), "Paper mill")  # noqa: E731
        yield SimpleNamespace(ref=ref, install_script="", has_changelog=True, members=lambda: iter(content), says=says)


def beside_on_paper(pages: UPath) -> Beside:
    """What stands beside a release of such packages; its signature is a word."""
    limits = TarballLimits(1 << 30, 100_000, 1 << 29)
    decisions = lambda index: (f"policies.yaml, sha256 {'9' * 64}", f"who signs {index}: keyring, sha256 {'8' * 64}")  # noqa: E731
    return Beside(
        PublishedFolder(pages), PaperReader(), limits, as_cyclonedx, lambda text: f"signed: {text}", decisions
    )


class PaperProduction:
    """What was published where."""

    def __init__(self) -> None:
        self.places: dict[str, set[str]] = {}

    def publish(self, place: str, repository: Repository, packages: Iterable[Path], now: datetime) -> None:
        self.places.setdefault(place, set()).update(str(PackageRef(*path.read_text().split())) for path in packages)


def _text(ref: PackageRef) -> str:
    return f"{ref.name} {ref.version} {ref.arch}"
