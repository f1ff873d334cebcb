"""The gate: what comes out of a package's archive, and what never does.

Two walls. `CappedStream` inflates with a cap before any parser sees a byte, so that a bomb, or a
header that claims eight exbibytes, ends in a sentence. `vetted` lets plain directories, files and links
pass whose names are plain relative paths inside the tree. Nothing is ever extracted by an archive
library: its filters have been passed before (CVE-2025-4517).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import tarfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol, cast

import zstandard

from pps.activities.ports import PackageMember, UnpackBudget
from pps.domain.errors import HostileArchiveError, PackageError
from pps.domain.manifest import checked_tree_path

_CHUNK = 1 << 16
_DEEPEST = 40
_HEADER_BYTES = 1 << 20
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW = 128 << 20
_BROKEN = (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, OSError, ValueError, MemoryError)

_NEXT = "Nothing was unpacked. Ask the provider of the package."


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _XzReader(io.RawIOBase):
    """xz and lzma with a memory limit, which `lzma.LZMAFile` does not have."""

    def __init__(self, source: _Readable) -> None:
        self._source = source
        self._xz = lzma.LZMADecompressor(format=lzma.FORMAT_AUTO, memlimit=_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._xz.eof:
            data = self._source.read(_CHUNK) if self._xz.needs_input else b""
            if self._xz.needs_input and not data:
                raise EOFError("the compressed data ends early")
            if out := self._xz.decompress(data, max_length=len(buffer)):
                buffer[: len(out)] = out
                return len(out)
        if self._xz.unused_data or self._source.read(1):
            raise ValueError("something follows the compressed data")
        return 0


def inflating(source: _Readable, compression: str) -> _Readable:
    """A reader of the inflated bytes; compression is `gz`, `xz`, `lzma`, `zst`, `bz2` or empty."""
    if compression == "":
        return source
    if compression in ("xz", "lzma"):
        return io.BufferedReader(_XzReader(source))
    if compression == "zst":
        return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
            cast(BinaryIO, source), read_across_frames=True
        )
    if compression == "gz":
        return gzip.GzipFile(fileobj=cast(BinaryIO, source), mode="rb")
    if compression == "bz2":
        return bz2.BZ2File(cast(BinaryIO, source))
    raise PackageError(f"compression {compression[:20]!r}", "is not known here.", "Known are gz, xz, zst, bz2.")


class FileSlice:
    """Part of an open file, from `start`, `size` bytes; several may share one file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._at, self._end = file, start, start + size

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes; all that is left if negative."""
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


class CappedStream:
    """Forward-only bytes out of a decompressor; each one is taken from the budget.

    `header_bytes_left` bounds what an archive's parser may read between two members: the extended
    headers of tar would otherwise be kept in memory whatever their size.
    """

    def __init__(self, subject: str, source: _Readable, budget: UnpackBudget) -> None:
        self.subject = subject
        self._source = source
        self._budget = budget
        self._at = 0
        self.header_bytes_left = _HEADER_BYTES
        self.last = b""

    def tell(self) -> int:
        """Bytes read so far."""
        return self._at

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the stream."""
        parts = []
        try:
            while size > 0 and (data := self._source.read(min(size, _CHUNK))):
                parts.append(data)
                size -= len(data)
                self._at += len(data)
                self._budget.bytes_left -= len(data)
                if self._budget.bytes_left < 0:
                    raise self.hostile("unpacks to more bytes than a client tarball may have (a decompression bomb?).")
        except _BROKEN as error:
            raise self.hostile(f"cannot be decompressed: {error}.") from error
        return b"".join(parts)

    def read(self, size: int) -> bytes:
        """Read for a parser: headers, not content."""
        self.header_bytes_left -= size
        if size < 0 or self.header_bytes_left < 0:
            raise self.hostile(f"has a header of more than {_HEADER_BYTES} bytes.")
        self.last = self.take(size)
        return self.last

    def seek(self, to: int) -> int:
        """Skip forward."""
        if to < self._at:
            raise self.hostile("has a member of negative size.")
        while self._at < to:
            if not self.take(min(_CHUNK, to - self._at)):
                raise self.hostile("ends in the middle of a member.")
        return self._at

    def only_zeros_follow(self) -> None:
        """Read to the end; anything but padding is something that another reader might unpack."""
        while data := self.take(_CHUNK):
            if data.strip(b"\0"):
                raise self.hostile("goes on after the end of its archive.")

    def hostile(self, why: str) -> HostileArchiveError:
        """The error to raise about this archive."""
        return HostileArchiveError(self.subject, why, _NEXT)


class _Content(io.RawIOBase):
    """The bytes of one member; short is an error, not an end."""

    def __init__(self, stream: CappedStream, size: int) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.take(min(len(buffer), self._left))
        if not data and self._left and len(buffer):
            raise self._stream.hostile("ends in the middle of a member.")
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


@dataclass(frozen=True, slots=True)
class RawMember:
    """A member as the archive states it, before the gate."""

    name: str
    """undecodable bytes as surrogates"""
    kind: Literal["d", "f", "l", "h", "refused"]
    mode: int = 0
    size: int = 0
    target: str = ""
    what: str = ""
    """of a refused kind: what it is, e.g. `a character device`"""
    content: BinaryIO = field(default_factory=io.BytesIO)


def member_content(stream: CappedStream, size: int) -> BinaryIO:
    """The next `size` bytes of the stream as a file."""
    return cast(BinaryIO, _Content(stream, size))


_TAR_KINDS: dict[bytes, Literal["d", "f", "l", "h"]] = {
    tarfile.REGTYPE: "f",
    tarfile.AREGTYPE: "f",
    tarfile.DIRTYPE: "d",
    tarfile.SYMTYPE: "l",
    tarfile.LNKTYPE: "h",
}
_TAR_REFUSED = {tarfile.CHRTYPE: "a character device", tarfile.BLKTYPE: "a block device", tarfile.FIFOTYPE: "a fifo"}


def tar_members(stream: CappedStream) -> Iterator[RawMember]:
    """The members of a tar archive, not yet vetted."""
    archive: tarfile.TarFile | None = None
    while True:
        stream.header_bytes_left = _HEADER_BYTES
        stream.last = b""
        try:
            if archive is None:
                archive = tarfile.TarFile(
                    fileobj=cast(BinaryIO, stream), mode="r", encoding="utf-8", errors="surrogateescape"
                )
            info = archive.next()
        except (tarfile.TarError, RecursionError, *_BROKEN) as error:
            raise stream.hostile(f"is not a sound tar archive: {error}.") from error
        archive.members.clear()  # type: ignore[attr-defined]  # else tarfile remembers every one
        if info is None:
            break
        if archive.pax_headers or info.sparse is not None or any(k.startswith("GNU.sparse") for k in info.pax_headers):
            raise stream.hostile("uses sparse files or global headers, which packages do not need.")
        if info.size < 0:
            raise stream.hostile("has a member of negative size.")
        if (kind := _TAR_KINDS.get(info.type)) is None:
            yield RawMember(
                info.name, "refused", what=_TAR_REFUSED.get(info.type, "of a kind that packages do not have")
            )
            continue
        size = info.size if kind == "f" else 0
        yield RawMember(info.name, kind, info.mode, size, info.linkname, content=member_content(stream, size))
    # tarfile ends at a broken header as quietly as at the end
    if len(stream.last) != tarfile.BLOCKSIZE or stream.last.strip(b"\0"):
        raise stream.hostile("ends without the end of its archive.")
    stream.only_zeros_follow()


def vetted(
    subject: str, members: Iterable[RawMember], budget: UnpackBudget
) -> Iterator[tuple[PackageMember, BinaryIO]]:
    """Let through what may be unpacked; raise `HostileArchiveError` at the first member that may not.

    Set-user-id, set-group-id and sticky bits, and all modes but "executable", are dropped: the tree
    belongs to an account without rights, and equal packages must give equal trees.
    """

    def hostile(name: str, why: str) -> HostileArchiveError:
        return HostileArchiveError(subject, f"member {name[:80]!r} {why}.", _NEXT)

    kinds: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for raw in members:
        budget.members_left -= 1
        if budget.members_left < 0:
            raise HostileArchiveError(subject, "holds more members than a client tarball may have.", _NEXT)
        path = _inside(subject, raw.name)
        if path == "":
            continue
        if raw.kind == "refused":
            raise hostile(raw.name, f"is {raw.what}")
        if spelling.setdefault(unicodedata.normalize("NFC", path), path) != path:
            raise hostile(raw.name, "differs from another one only in the spelling of its letters")
        parent = posixpath.dirname(path)
        while parent:
            if kinds.setdefault(parent, "d") != "d":
                raise hostile(raw.name, f"stands below {parent[:80]!r}, which is no directory")
            parent = posixpath.dirname(parent)
        if kinds.get(path, raw.kind) != raw.kind or (path in kinds and raw.kind != "d"):
            raise hostile(raw.name, "stands twice in the archive")
        kinds[path] = raw.kind
        target = ""
        if raw.kind == "l":
            target = _link_target(subject, path, raw.target)
        elif raw.kind == "h":
            target = _inside(subject, raw.target)
            if kinds.get(target) not in ("f", "h") or target == path:
                raise hostile(
                    raw.name, f"is a hard link to {raw.target[:80]!r}, which is no earlier file of the package"
                )
        yield PackageMember(path, raw.kind, raw.size, raw.kind == "f" and bool(raw.mode & 0o111), target), raw.content


def _inside(subject: str, name: str) -> str:
    """The plain relative path that a member's name stands for; empty for the root."""
    path = name.removeprefix("./").rstrip("/") if name not in (".", "./") else ""
    try:
        if path:
            checked_tree_path(path)
    except PackageError as error:
        raise HostileArchiveError(
            subject, f"member {name[:80]!r} is not a plain path inside the tree.", _NEXT
        ) from error
    parts = path.split("/")
    if len(parts) > _DEEPEST or any(part.startswith("-") for part in parts):
        raise HostileArchiveError(subject, f"member {name[:80]!r} lies too deep, or begins like an option.", _NEXT)
    return path


def _link_target(subject: str, path: str, target: str) -> str:
    """Where a symbolic link leads; an absolute target means the root that the package is unpacked to."""
    if not target:
        raise HostileArchiveError(subject, f"link {path[:80]!r} leads nowhere.", _NEXT)
    steps = [] if target.startswith("/") else path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not steps:
                raise HostileArchiveError(
                    subject, f"link {path[:80]!r} leads out of the tree ({target[:80]!r}).", _NEXT
                )
            steps.pop()
        elif part not in ("", "."):
            steps.append(part)
    return _inside(subject, "/".join(steps))
