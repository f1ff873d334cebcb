"""Compares the files of our own repositories with their signed index: what was released is what is there.

A file that was read once is read again only if something about it has changed: size, times, or the mark that an object
store gives each content. On a disk that includes the time of the last change of its entry, which nobody can set.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from upath import UPath

from pps.activities.ports.packages import IndexedPackage, Tarball
from pps.activities.release.signing import Misfit, OwnIndex
from pps.adapters.packages.folders import on_disk, publish, sha256_of
from pps.adapters.packages.production_packages import listed_packages
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.domain.base.errors import ConfigurationError, RolloutError, ServiceError

#: What object stores call the mark of a content, or the time of its last change.
_MARKS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")


@dataclass
class Seen:
    """Files that had the digest of their index when they were read; kept from night to night."""

    file: Path
    before: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    """sha256 of every package that an index of production names"""

    @classmethod
    def read(cls, file: Path) -> Seen:
        """What is known; nothing, if the file is not what was written."""
        try:
            known = json.loads(file.read_bytes())
            return cls(file, {str(place): str(mark) for place, mark in known.items()})
        except (OSError, ValueError, AttributeError):
            return cls(file)

    def keep(self) -> None:
        """Keep what is published now, and nothing of what was."""
        publish(self.file.parent, self.file.name, json.dumps(self.now, sort_keys=True))


def misfits(own: OwnIndex, seal: RepositorySeal, seen: Seen) -> Iterator[Misfit]:
    """Every file that a signed index names and that is missing or has changed; and an index that is not ours.

    Raises:
        ServiceError: the folder cannot be read, so nothing is known.
    """
    try:
        packages: Iterable[IndexedPackage] = tuple(listed_packages(own.root, own.repository, seal))
    except ConfigurationError:
        raise
    except RolloutError as error:
        if isinstance(error.__cause__, OSError):
            raise
        yield Misfit(str(own.root), f"{error.subject}: {error.why}", "")
        return
    for package in packages:
        if not own.rollout:
            seen.named.add(package.sha256)
        target = own.root / package.filename
        if why := _why_other(target, package.sha256, seen):
            yield Misfit(str(target), why, package.sha256)


def tarball_misfits(root: UPath, released: Iterable[tuple[str, Tarball]], seen: Seen) -> Iterator[Misfit]:
    """Every file of a released client's tarball that is missing or is not the one on record."""
    for rollout, tarball in released:
        for name, sha256 in sorted(tarball.files.items()):
            target = root / tarball.name / name
            if why := _why_other(target, sha256, seen):
                yield Misfit(str(target), why, sha256, rollout)


def _why_other(target: UPath, sha256: str, seen: Seen) -> str:
    place = f"{target} {sha256}"
    try:
        mark = _mark(target)
        if mark == "":
            return "is no plain file."
        if mark and seen.before.get(place) == mark:
            seen.now[place] = mark
            return ""
        with target.open("rb") as file:
            digest = sha256_of(file)
    except (FileNotFoundError, NotADirectoryError):
        return "is missing, though it was published."
    except Exception as error:
        why = f"cannot be read ({type(error).__name__})."
        raise ServiceError(f"repository file {target}", why, "Look at: pps doctor") from error
    if digest != sha256:
        return f"is another one than was published: its sha256 is {digest}, not {sha256}."
    if mark is not None:
        seen.now[place] = mark
    return ""


def _mark(target: UPath) -> str | None:
    """What changes with a file's content; None: nothing is known; "": it is no plain file."""
    if (path := on_disk(target)) is not None:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return ""
        return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    info = target.fs.info(target.path)
    marks = [f"{name}={info[name]}" for name in _MARKS if info.get(name)]
    return f"{info.get('size')} {' '.join(marks)}" if marks else None
