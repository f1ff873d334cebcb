"""Implements `ports.ProductionRepositories`: reads what repository_writer.py wrote (file://, s3://, ...)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from upath import UPath

from pps.activities.packages.production import SUITE
from pps.activities.ports.packages import IndexedPackage
from pps.adapters.packages.deb import stanza_fields
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.adapters.packages.repository_writer import known_packages, unsigned_index
from pps.domain.base.errors import ConfigurationError, RolloutError, ServiceError
from pps.domain.packages.manifest import checked_tree_path
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.packages.versions import age

_CHUNK = 1 << 20
_NEXT = "Check production_repository in service.yaml."
_FOR_ALL = ("all", "noarch")
_COMMON = "{http://linux.duke.edu/metadata/common}"


@dataclass(frozen=True)
class ProductionFolder:
    """The folder of production packages: `apt/` and `yum/` below it."""

    root: UPath
    seal: RepositorySeal | None = field(kw_only=True)
    """must have signed the indexes; None: they are somebody else's"""

    def open(self, kind: RepositoryKind) -> ProductionIndex:
        """See `ports.ProductionRepositories`."""
        folder = self.root / kind.value
        try:
            listed = tuple(listed_packages(folder, Repository(kind, "", SUITE), self.seal))
        except (ServiceError, ConfigurationError):
            raise
        except (OSError, ElementTree.ParseError, EOFError, KeyError, ValueError, RolloutError) as error:
            why = f"cannot be read ({type(error).__name__}: {error})."
            raise ServiceError(f"repository {folder}", why, _NEXT) from error
        by_name: dict[str, list[IndexedPackage]] = {}
        for package in listed:
            by_name.setdefault(package.ref.name, []).append(package)
        return ProductionIndex(folder, kind, by_name)


@dataclass(frozen=True)
class ProductionIndex:
    """An index that has been read."""

    folder: UPath
    kind: RepositoryKind
    by_name: Mapping[str, list[IndexedPackage]] = field(repr=False)

    def newest(self, refs: Iterable[PackageRef]) -> Mapping[PackageRef, IndexedPackage]:
        """See `ports.ProductionPackages`."""
        return {ref: found for ref in refs if (found := self._newest(ref)) is not None}

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """See `ports.ProductionPackages`."""
        target = into / package.filename.rpartition("/")[2]
        digest, size = hashlib.sha256(), 0
        try:
            with (self.folder / package.filename).open("rb") as source, target.open("wb") as to:
                while data := source.read(_CHUNK):
                    digest.update(data)
                    size += len(data)
                    to.write(data)
        except OSError as error:
            raise ServiceError(f"repository {self.folder}", f"lacks {package.filename} ({error}).", _NEXT) from error
        if (digest.hexdigest(), size) != (package.sha256, package.size):
            target.unlink()
            raise ServiceError(
                f"repository {self.folder}",
                f"holds {package.filename}, but with another content than its index says.",
                _NEXT,
            )
        return target

    def _newest(self, ref: PackageRef) -> IndexedPackage | None:
        same_name = self.by_name.get(ref.name, [])
        if (same := next((p for p in same_name if p.ref == ref), None)) is not None:
            return same
        # a package may turn from one for an architecture into one for all, and back
        fitting = [p for p in same_name if ref.arch in _FOR_ALL or p.ref.arch == ref.arch or p.ref.arch in _FOR_ALL]
        key = age(self.kind)
        return max(fitting, key=lambda p: (key(p.ref.version), p.ref.arch), default=None)


def listed_packages(folder: UPath, repository: Repository, seal: RepositorySeal | None) -> Iterator[IndexedPackage]:
    """Every package that the index of a repository of ours names; none where there is no index."""
    if repository.kind is RepositoryKind.APT:
        return _apt(folder / "dists" / repository.suite, seal)
    return _yum(folder, seal)


def _apt(suite: UPath, seal: RepositorySeal | None) -> Iterator[IndexedPackage]:
    index = unsigned_index(suite) if seal is None else seal.apt_index(suite, fresh=True) or {}
    seen: set[str] = set()
    for name, data in index.items():
        if not name.endswith("/Packages"):
            continue
        for stanza in data.decode(errors="replace").split("\n\n"):
            fields = stanza_fields(stanza)
            if not fields or fields.get("filename", "") in seen:
                continue  # packages for all architectures stand in the index of each
            seen.add(fields["filename"])
            yield _package(
                (fields["package"], fields["version"], fields["architecture"]),
                fields["filename"],
                fields["size"],
                fields["sha256"],
            )


def _yum(folder: UPath, seal: RepositorySeal | None) -> Iterator[IndexedPackage]:
    for element in known_packages(folder, folder / "repodata" / "repomd.xml", seal):
        parts = {child.tag.removeprefix(_COMMON): child for child in element}
        version = parts["version"].attrib
        full = f"{version['ver']}-{version['rel']}"
        if version.get("epoch", "0") not in ("", "0"):
            full = f"{version['epoch']}:{full}"
        yield _package(
            (parts["name"].text or "", full, parts["arch"].text or ""),
            parts["location"].attrib["href"],
            parts["size"].attrib["package"],
            parts["checksum"].text or "",
        )


def _package(ref: tuple[str, str, str], filename: str, size: str, sha256: str) -> IndexedPackage:
    return IndexedPackage(PackageRef(*ref), checked_tree_path(filename), int(size), sha256)
