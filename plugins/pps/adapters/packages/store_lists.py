"""What lies in a folder of ours, on a disk or in an object store, as lines `sha256 size name`: a list of a backup."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from pps.adapters.packages.folders import blocks_of
from pps.domain.base.errors import ConfigurationError, ServiceError


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a store."""

    name: str
    """below the store's folder"""
    size: int
    sha256: str

    @property
    def line(self) -> str:
        """Its line in a list."""
        return f"{self.sha256} {self.size} {self.name}"


def names_in(root: UPath) -> list[str]:
    """All files below a folder, sorted; none, if it is not there.

    What is just being written has a name that begins with a dot, and is no file yet.
    """
    try:
        if not root.exists():
            return []
        top = root.path.rstrip("/")
        found = [str(path.path)[len(top) + 1 :] for path in root.rglob("*") if path.is_file()]
    except Exception as error:
        why = f"cannot be read ({type(error).__name__})."
        raise ServiceError(str(root), why, "Look at: pps doctor") from error
    return sorted(name for name in found if not any(part.startswith(".") for part in name.split("/")))


def listed(root: UPath, told: Callable[[int, int, str], None] = lambda *_: None) -> Iterator[StoredFile]:
    """Read every file; one that goes meanwhile (a mirror whose pilot has ended) is left out."""
    names = names_in(root)
    for number, name in enumerate(names, 1):
        digest, size = hashlib.sha256(), 0
        try:
            for block in blocks_of(root / name):
                digest.update(block)
                size += len(block)
        except FileNotFoundError:
            continue
        except Exception as error:
            raise ServiceError(f"{root}/{name}", f"cannot be read ({type(error).__name__}).") from error
        told(number, len(names), name)
        yield StoredFile(name, size, digest.hexdigest())


def read_list(file: Path) -> dict[str, StoredFile]:
    """Read such a list."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        sha256, _, rest = line.partition(" ")
        size, _, name = rest.partition(" ")
        if len(sha256) != 64 or not size.isdigit() or not name:
            raise ConfigurationError(str(file), f"has a line that is none ({line[:80]!r}).", "Take another copy.")
        found[name] = StoredFile(name, int(size), sha256)
    return found


def compared(root: UPath, wanted: Mapping[str, StoredFile], there: Iterable[StoredFile]) -> list[str]:
    """What a store lacks of a list, or has otherwise: sentences. What came after the backup is no matter."""
    found = {file.name: file for file in there if file.name in wanted}
    problems = []
    for name, file in wanted.items():
        if name not in found:
            problems.append(f"{root}/{name} is missing.")
        elif found[name] != file and not _is_renewed(name):
            problems.append(f"{root}/{name} is not the one of the backup.")
    return problems


def _is_renewed(name: str) -> bool:
    """Indexes and their signatures are written anew; what they name is not."""
    return name.rsplit("/", 1)[-1] in {"Release", "InRelease", "Release.gpg", "repomd.xml", "repomd.xml.asc"} or (
        name.rsplit("/", 1)[-1].partition(".")[0] in {"Packages", "primary", "MIRROR"} or "/repodata/" in f"/{name}"
    )
