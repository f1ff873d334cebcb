"""Reads the configuration files (YAIM) out of packages, without unpacking anything else of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pps.activities.ports.packages import IndexedPackage, PackageMember, PackageReader, TarballLimits, UnpackBudget
from pps.domain.base.errors import PackageError
from pps.domain.base.texts import one_line
from pps.domain.packages.yaim import FILE_BYTES_AT_MOST, TREE_BYTES_AT_MOST, role_of


@dataclass
class ConfigurationFiles:
    """The YAIM files of some packages, read from one package after the other."""

    reader: PackageReader
    limits: TarballLimits
    folder: Path
    """for one package at a time; it is removed again"""
    texts: dict[str, str] = field(default_factory=dict)
    """path -> text"""
    budget: UnpackBudget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = UnpackBudget(self.limits.unpacked_bytes_at_most, self.limits.files_at_most)

    def add(self, package: IndexedPackage, fetch: Callable[[IndexedPackage, Path], Path]) -> Mapping[str, str]:
        """Fetch a package, read its YAIM files, and drop it again; returns these files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.reader.open(fetch(package, self.folder), self.budget) as opened:
                if opened.ref != package.ref:
                    raise PackageError(
                        str(package.ref),
                        f"is listed in the index, but the file says that it is {opened.ref}.",
                        "Ask the provider of the repository.",
                    )
                found = _yaim_files(str(package.ref), opened.members())
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.take(found)
        return found

    def take(self, found: Mapping[str, str]) -> None:
        """Add files that were read before."""
        for path, text in found.items():
            # the same package for two architectures: what either says counts
            known = self.texts.setdefault(path, text)
            if text not in known:
                self.texts[path] = f"{known}\n{text}"


def _yaim_files(subject: str, members: Iterator[tuple[PackageMember, BinaryIO]]) -> dict[str, str]:
    found: dict[str, str] = {}
    links: dict[str, str] = {}
    total = 0
    for member, content in members:
        if member.kind == "d" or role_of(member.path) is None:
            continue
        if member.kind != "f":
            links[member.path] = member.target
            continue
        data = content.read(FILE_BYTES_AT_MOST + 1)
        total += len(data)
        if len(data) > FILE_BYTES_AT_MOST or total > TREE_BYTES_AT_MOST:
            raise PackageError(
                f"{subject}, {one_line(member.path, 120)}",
                "is larger than configuration files may be.",
                "Ask the provider of the package.",
            )
        found[member.path] = data.decode(errors="replace")
    return found | {path: found[target] for path, target in links.items() if target in found}
