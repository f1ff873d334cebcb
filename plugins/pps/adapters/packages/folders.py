"""Folders in which we publish, on a disk or in an object store: the one place that knows the difference.

A local file (also on NFS) is written aside, under a name of its own in the same folder, and renamed: readers see the
old file or the new one, and of two writers the later one wins, whole. An object store has no rename, and needs none:
an object is there when all of it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from pps.domain.base.errors import RolloutError, ServiceError, TamperedError

CHUNK = 1 << 20


def on_disk(place: UPath | Path) -> Path | None:
    """The same place as a path of this machine, if it is one."""
    if isinstance(place, Path):
        return place
    return Path(place.path) if place.protocol in ("", "file", "local") else None


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A new name beside `path` to write under; what was written replaces `path` when the context ends well."""
    part = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def blocks_of(path: UPath | Path) -> Iterator[bytes]:
    """A file's content, in pieces."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")


def sha256_of(file: BinaryIO) -> str:
    """Digest of the rest of an open file."""
    digest = hashlib.sha256()
    while data := file.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def write_whole(target: UPath | Path, content: Iterable[bytes]) -> None:
    """Write a file as a whole. Whatever ends the content early leaves nothing on a disk.

    For an object store the content must have been checked before.
    """
    path = on_disk(target)
    if path is None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for data in content:
                file.write(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside(path) as part:
        with part.open("xb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)  # whoever serves the folder reads it, whatever our umask is


def publish(folder: UPath | Path, name: str, content: str | bytes) -> bool:
    """Write `folder/name` unless it holds this very content; tell whether it was written."""
    data = content.encode() if isinstance(content, str) else content
    target = folder / name
    try:
        if target.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_whole(target, [data])
    return True


@dataclass(frozen=True)
class PublishedFolder:
    """Implements `ports.publication.PublicationFolder`."""

    root: UPath
    what: str = "publication folder"

    def publish(self, name: str, content: str | bytes) -> bool:
        """See the port."""
        with self._answering("written"):
            return publish(self.root, name, content)

    def publish_file(self, name: str, file: Path, sha256: str) -> None:
        """See the port; what is published is a copy of our own, so that nobody changes it meanwhile."""
        target = self.root / name
        with self._answering("written"):
            if _has(target, sha256):
                return
            with tempfile.TemporaryDirectory(prefix="pps-publish-") as folder:
                copy = Path(folder) / "copy"
                shutil.copyfile(file, copy)
                if not _has(copy, sha256):
                    raise TamperedError(file.name, "was changed while it was published.", "Find out who changed it.")
                write_whole(target, blocks_of(copy))

    def read(self, name: str) -> bytes | None:
        """See the port."""
        with self._answering("read"):
            if (root := on_disk(self.root)) is not None:
                root = root.resolve()
                if (root / name).resolve() != root / name:
                    return None
            try:
                return bytes((self.root / name).read_bytes())
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None

    def address(self, name: str) -> str:
        """See the port."""
        return str((self.root / name).as_uri())

    def __str__(self) -> str:
        return str(self.root)

    @contextlib.contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        """Turn whatever a store's driver throws into `ServiceError`."""
        try:
            yield
        except RolloutError:
            raise
        except Exception as error:
            why = f"cannot be {what} ({type(error).__name__})."
            raise ServiceError(self.what, why, "Look at: pps doctor") from error


def _has(path: UPath | Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return sha256_of(file) == sha256
    except FileNotFoundError:
        return False
