"""Implements `ports.PackageReader`: tells .deb from .rpm by their first bytes, not by their names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pps.activities.ports import OpenedPackage, UnpackBudget
from pps.adapters import deb, rpm
from pps.domain.errors import PackageError


class PackageFiles:
    """Package files on the local disk."""

    @contextmanager
    def open(self, path: Path, budget: UnpackBudget) -> Iterator[OpenedPackage]:
        """Open a package for reading; it is closed with the context."""
        try:
            file = path.open("rb")
        except OSError as error:
            raise PackageError(path.name, f"cannot be read ({error.strerror}).") from error
        with file:
            magic = file.read(8)
            if magic == deb.MAGIC:
                yield deb.open_deb(path, file, budget)
            elif magic[:4] == rpm.MAGIC:
                yield rpm.open_rpm(path, file, budget)
            else:
                raise PackageError(path.name, "is neither a .deb nor an .rpm.", "Ask the provider of the package.")
