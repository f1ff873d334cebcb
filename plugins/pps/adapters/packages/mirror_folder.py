"""Implements `activities.mirrors.Mirrors` on any universal path: file://, s3://, memory:// ...

```text
<root>/<rollout>/<digest>/MIRROR            written last: without it nothing is there
<root>/<rollout>/<digest>/dists, pool       APT
<root>/<rollout>/<digest>/repodata, Packages    YUM; what signs the index is renewed, and stands in no list
<root>/.aside-...                           one that is being made; no other user can read it
```

On a local disk a mirror is made aside, brought safely to the disk and renamed, so nobody ever sees half of it. Object
stores have no rename; there it is made in a local folder and sent, the index after the packages, MIRROR at the end.
What an interrupted transfer has left is no mirror; the next one completes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from pps.adapters.packages.folders import blocks_of, on_disk, write_whole
from pps.domain.base.errors import RolloutError, ServiceError, TamperedError
from pps.domain.base.names import checked_name
from pps.domain.packages.mirrors import LIST, MirrorFile, MirrorList

_CHUNK = 1 << 20
_LIST_BYTES = 256 << 20
_ASIDE = ".aside-"
#: Left by a process that was killed; a living one does not take that long.
_FORGOTTEN = timedelta(days=1)
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}/[0-9a-f]{64}")


@dataclass(frozen=True)
class MirrorFolder:
    """Mirrors below `root`; `cache` is a local folder in which those for remote stores are made."""

    root: UPath
    cache: Path

    @contextlib.contextmanager
    def aside(self, rollout: str, now: datetime) -> Iterator[Path]:
        """See `mirrors.Mirrors`."""
        checked_name(rollout, "rollout")
        base = self._disk or self.cache
        with self._answering():
            base.mkdir(parents=True, exist_ok=True)
            _sweep(base, now)
            folder = Path(tempfile.mkdtemp(dir=base, prefix=f"{_ASIDE}{rollout}-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def contents(self, folder: Path) -> tuple[MirrorFile, ...]:
        """See `mirrors.Mirrors`; the files become read-only on the way."""
        with self._answering():
            found = []
            for path, file in _walk(folder):
                with file.open("rb") as opened:
                    found.append(_read(path, opened))
                    os.fsync(opened.fileno())
                file.chmod(0o444)
            for place in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
                place.chmod(0o700 if place == folder else 0o755)
                _sync(place)
        return tuple(found)

    def keep(self, folder: Path, rollout: str, listed: MirrorList) -> str:
        """See `mirrors.Mirrors`."""
        place = f"{checked_name(rollout, 'rollout')}/{listed.digest}"
        if (there := self.listing(place)) is not None:
            return self._same(place, listed, there)
        with self._answering():
            if (disk := self._disk) is None:
                _send(folder, self.root / place, listed)
                return place
            target = disk / place
            target.parent.mkdir(parents=True, exist_ok=True)
            with (folder / LIST).open("xb") as file:
                file.write(listed.text.encode())
                file.flush()
                os.fsync(file.fileno())
            (folder / LIST).chmod(0o444)
            folder.chmod(0o755)
            _sync(folder)
            try:
                folder.rename(target)
            except OSError:  # somebody was faster; if it is the same, his will do
                return self._same(place, listed, self.listing(place))
            _sync(target.parent)
            _sync(disk)
        return place

    def listing(self, place: str) -> str | None:
        """See `mirrors.Mirrors`."""
        with self._answering():
            try:
                with (self.root / _checked(place) / LIST).open("rb") as file:
                    data: bytes = file.read(_LIST_BYTES)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return data.decode(errors="replace")

    def found(self, place: str) -> Iterator[MirrorFile]:
        """See `mirrors.Mirrors`; what is no plain file (a link, a pipe) is not opened, and has no digest."""
        folder = self.root / _checked(place)
        with self._answering():
            if self._disk is not None:
                for path, file in _walk(Path(folder.path)):
                    if not stat.S_ISREG(file.lstat().st_mode):
                        yield MirrorFile(path, 0, "")
                    elif path != LIST:
                        with file.open("rb") as opened:
                            yield _read(path, opened)
                return
            for name in sorted(folder.fs.find(folder.path)):
                path = str(name).removeprefix(f"{folder.path.rstrip('/')}/")
                if path != LIST:
                    with folder.fs.open(name, "rb") as opened:
                        yield _read(path, opened)

    @property
    def _disk(self) -> Path | None:
        """The root as a local folder, if it is one."""
        return on_disk(self.root)

    def _same(self, place: str, listed: MirrorList, there: str | None) -> str:
        if there == listed.text:
            return place
        raise TamperedError(
            f"mirror {self.root / place}",
            "is there already with another content, and a mirror is never written over.",
            "Find out who changed it, move it away, and make the mirror again.",
        )

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn whatever a store's driver throws into `ServiceError`."""
        try:
            yield
        except RolloutError:
            raise
        except Exception as error:
            raise ServiceError(
                f"mirror folder {self.root}",
                f"does not work ({type(error).__name__}: {str(error)[:200]}).",
                "Check mirror_folder in service.yaml.",
            ) from error


def _checked(place: str) -> str:
    if not _PLACE.fullmatch(place):
        raise ServiceError(f"mirror {place[:120]!r}", "is no place in the mirror folder.", "Look at: pps mirror list")
    return place


def _walk(folder: Path, above: str = "") -> Iterator[tuple[str, Path]]:
    """Everything but folders, with its path below the first one; links are not followed."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda e: e.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{above}{entry.name}/")
        else:
            yield f"{above}{entry.name}", Path(entry.path)


def _read(path: str, file: BinaryIO) -> MirrorFile:
    digest, size = hashlib.sha256(), 0
    while data := file.read(_CHUNK):
        digest.update(data)
        size += len(data)
    return MirrorFile(path, size, digest.hexdigest())


def _send(local: Path, target: UPath, listed: MirrorList) -> None:
    names = [f.path for f in sorted(listed.files, key=lambda f: (f.package is None, f.path))]
    # what signs the index, and is not listed, comes after it
    names += [path for path, _ in _walk(local) if path not in set(names)]
    for name in names:
        write_whole(target / name, blocks_of(local / name))
    write_whole(target / LIST, [listed.text.encode()])


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _sweep(base: Path, now: datetime) -> None:
    for left in base.glob(f"{_ASIDE}*"):
        with contextlib.suppress(OSError):
            if now.timestamp() - left.stat().st_mtime > _FORGOTTEN.total_seconds():
                shutil.rmtree(left, ignore_errors=True)
