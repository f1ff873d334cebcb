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

from pps.activities.ports.packages import IndexedPackage, PackageMember, UnpackBudget
from pps.domain.packages.patch import PackageRef, Repository


class PaperRepositories:
    """Every package of every repository."""

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
        yield SimpleNamespace(ref=ref, install_script="", has_changelog=True, members=lambda: iter(content))


class PaperProduction:
    """What was published where."""

    def __init__(self) -> None:
        self.places: dict[str, set[str]] = {}

    def publish(self, place: str, repository: Repository, packages: Iterable[Path], now: datetime) -> None:
        self.places.setdefault(place, set()).update(str(PackageRef(*path.read_text().split())) for path in packages)


def _text(ref: PackageRef) -> str:
    return f"{ref.name} {ref.version} {ref.arch}"
