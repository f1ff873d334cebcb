"""Implements `ports.PackageReader`: tells .deb from .rpm by their first bytes, not by their names.

A package is read in a child process (confined.py), which puts the contents of all its files into one file, and says
what lies where. Nothing here touches a stranger's bytes but to hand them on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pps.activities.ports.packages import OpenedPackage, PackageMember, UnpackBudget
from pps.adapters.packages import deb, rpm
from pps.adapters.packages.archive import FileSlice
from pps.adapters.packages.confined import Confined
from pps.adapters.packages.control_fields import index_stanza
from pps.domain.base.errors import PackageError
from pps.domain.packages.bill import Description
from pps.domain.packages.patch import PackageRef


class PackageFiles:
    """Package files on the local disk; one child reads all that are opened by the same object."""

    def __init__(self, confined: Confined | None = None) -> None:
        self._confined = confined or Confined()

    @contextmanager
    def open(self, path: Path, budget: UnpackBudget) -> Iterator[OpenedPackage]:
        """Open a package for reading; it is closed with the context."""
        ref, more = described(self._confined, path)
        yield _Opened(ref, more["install_script"], more["has_changelog"], path, budget, self._confined)


def described(confined: Confined, path: Path) -> tuple[PackageRef, dict[str, Any]]:
    """Which package a file is, its install script, and what an index says of it: `deb` or `rpm`."""
    found = confined.call(path.name, describe, os.fspath(path.absolute()))
    return PackageRef(*found.pop("ref")), found


@dataclass(frozen=True)
class _Opened:
    """See `ports.OpenedPackage`."""

    ref: PackageRef
    install_script: str
    has_changelog: bool
    path: Path
    budget: UnpackBudget
    confined: Confined

    def says(self) -> Description:
        """See `ports.OpenedPackage`."""
        left = (self.budget.bytes_left, self.budget.members_left)
        return Description.of(**self.confined.call(self.path.name, says, os.fspath(self.path.absolute()), *left))

    def members(self) -> Iterator[tuple[PackageMember, BinaryIO]]:
        """See `ports.OpenedPackage`; the contents lie beside the package until the last one has been read."""
        beside = self.path.absolute().parent
        with tempfile.TemporaryDirectory(dir=beside if os.access(beside, os.W_OK) else None, prefix=".pps-") as folder:
            contents = Path(folder) / "contents"
            left = (self.budget.bytes_left, self.budget.members_left)
            found = self.confined.call(
                self.path.name, unpack, os.fspath(self.path.absolute()), os.fspath(contents), *left
            )
            self.budget.bytes_left, self.budget.members_left = found["left"]
            with contents.open("rb") as file:
                for *fields, at in found["members"]:
                    member = PackageMember(*fields)
                    yield member, cast(BinaryIO, FileSlice(file, at, member.size))


# --- in the child ------------------------------------------------------------------------------


def describe(path: str) -> dict[str, Any]:
    """See `described`."""
    with _opened(path) as package:
        ref = package.ref
        found: dict[str, Any] = {"ref": [ref.name, ref.version, ref.arch], "install_script": package.install_script}
        found["has_changelog"] = isinstance(package, rpm.RpmPackage) and package.has_changelog
        if isinstance(package, deb.DebPackage):
            return found | {"deb": index_stanza(package.subject, package.fields)}
        return found | {"rpm": package.described()}


def says(path: str, bytes_left: int, members_left: int) -> dict[str, Any]:
    """The arguments of `Description.of`."""
    with _opened(path) as package:
        return package.says(UnpackBudget(bytes_left, members_left))


def unpack(path: str, contents: str, bytes_left: int, members_left: int) -> dict[str, Any]:
    """Put the contents of all files into one; say which members there are, and where in it each lies."""
    budget = UnpackBudget(bytes_left, members_left)
    with _opened(path) as package, Path(contents).open("xb") as file:
        members = package.unpack(budget, file).members()
    rows = [[m.path, m.kind, m.size, m.executable, m.target, at] for m, at in members]
    return {"members": rows, "left": [budget.bytes_left, budget.members_left]}


@contextmanager
def _opened(path: str) -> Iterator[deb.DebPackage | rpm.RpmPackage]:
    place = Path(path)
    subject = place.name
    try:
        file = place.open("rb")
    except OSError as error:
        raise PackageError(subject, f"cannot be read ({error.strerror}).") from error
    with file:
        magic = file.read(8)
        if magic == deb.MAGIC:
            yield deb.open_deb(subject, file)
        elif magic[:4] == rpm.MAGIC:
            yield rpm.open_rpm(subject, file)
        else:
            raise PackageError(subject, "is neither a .deb nor an .rpm.", "Ask the provider of the package.")
