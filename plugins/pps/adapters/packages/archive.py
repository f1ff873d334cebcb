"""The gate: what comes out of a package's archive, and what never does.

`CappedStream` inflates with a cap before any parser sees a byte, so that a bomb, or a header that claims eight
exbibytes, ends in a sentence. Archives are walked here, with a bound for every header, and never by an archive
library: these have been led past their filters (CVE-2025-4517), and kept busy for hours (CVE-2024-6232,
CVE-2025-8194). What may come out of an archive is decided in unpacking.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol, cast

import zstandard

from pps.activities.ports.packages import UnpackBudget
from pps.domain.base.errors import HostileArchiveError, PackageError

_CHUNK = 1 << 16
_HEADER_BYTES = 1 << 20
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW = 128 << 20
_BROKEN = (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, OSError, ValueError, MemoryError)

#: What to do about an archive that is refused.
NEXT = "Nothing was unpacked. Ask the provider of the package."


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _XzReader(io.RawIOBase):
    """xz and lzma with a memory limit, which `lzma.LZMAFile` does not have."""

    def __init__(self, source: _Readable, form: int) -> None:
        self._source = source
        self._xz = lzma.LZMADecompressor(format=form, memlimit=_XZ_MEMORY)

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
        return io.BufferedReader(_XzReader(source, lzma.FORMAT_XZ if compression == "xz" else lzma.FORMAT_ALONE))
    if compression == "zst":
        return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
            cast(BinaryIO, source), read_across_frames=True
        )
    if compression == "gz":
        return gzip.GzipFile(fileobj=cast(BinaryIO, source), mode="rb")
    if compression == "bz2":
        return bz2.BZ2File(cast(BinaryIO, source))
    raise PackageError(
        f"compression {compression[:20]!r}", "is not known here.", "Those known are gz, xz, zst, bz2, lzma."
    )


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
        return self.take(size)

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
        return HostileArchiveError(self.subject, why, NEXT)


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


# --- tar: ustar, the GNU format's long names, and of POSIX's extended headers path, linkpath and size ---------------

_BLOCK = 512
#: Names of members are at most some kilobytes; Python's tarfile spends minutes on a mebibyte of such headers.
_EXTENDED_BYTES = 1 << 16
_TAR_KINDS: dict[bytes, Literal["d", "f", "l", "h"]] = {
    b"0": "f",
    b"\0": "f",
    b"7": "f",
    b"1": "h",
    b"2": "l",
    b"5": "d",
}
_TAR_REFUSED = {b"3": "a character device", b"4": "a block device", b"6": "a fifo"}
_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ")
_EXTENDED = {b"L": "path", b"K": "linkpath", b"x": "pax", b"X": "pax", b"g": "global"}
_SPARSE = "uses sparse files, which packages do not need."


def tar_members(stream: CappedStream) -> Iterator[RawMember]:
    """The members of a tar archive, not yet vetted. `tarfile` sees none of it."""
    extended: dict[str, bytes] = {}
    room = _EXTENDED_BYTES
    while True:
        stream.header_bytes_left = _HEADER_BYTES
        block = stream.read(_BLOCK)
        if len(block) == _BLOCK and not block.strip(b"\0"):
            break
        if len(block) < _BLOCK:
            raise stream.hostile("ends without the mark that ends an archive.")
        stated = block[148:156].partition(b"\0")[0].strip(b" ")
        if not re.fullmatch(rb"[0-7]+", stated) or int(stated, 8) not in _checksums(block):
            raise stream.hostile("is not a sound tar archive: a header's checksum is wrong.")
        kind, size = block[156:157], _number(stream, block[124:136])
        if kind in _EXTENDED:
            room -= size
            if room < 0:
                raise stream.hostile(f"has a header of more than {_EXTENDED_BYTES} bytes.")
            data = stream.read(size)
            if len(data) < size:
                raise stream.hostile("ends in the middle of a header.")
            stream.seek(_up(stream.tell()))
            extended.update(_extension(stream, _EXTENDED[kind], data))
            continue
        raw = _tar_member(stream, block, kind, size, extended)
        start = stream.tell()
        yield raw
        if raw.kind == "f":
            stream.seek(_up(start + raw.size))
        extended, room = {}, _EXTENDED_BYTES
    if extended:
        raise stream.hostile("is not a sound tar archive: a long name without its member.")
    stream.only_zeros_follow()


def _tar_member(stream: CappedStream, block: bytes, kind: bytes, size: int, extended: dict[str, bytes]) -> RawMember:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    name = extended.get("path", name)
    target = extended.get("linkpath", block[157:257].partition(b"\0")[0])
    if _TAR_KINDS.get(kind) == "f" and name.endswith(b"/"):
        kind = b"5"  # as tar before POSIX wrote folders
    text = name.decode("utf-8", "surrogateescape")
    if (known := _TAR_KINDS.get(kind)) is None:
        if kind == b"S":
            raise stream.hostile(_SPARSE)
        return RawMember(text, "refused", what=_TAR_REFUSED.get(kind, "of a kind that packages do not have"))
    if known == "f":
        size = _pax_size(stream, extended["size"]) if "size" in extended else size
    elif size:
        raise stream.hostile("has a folder or a link with content.")
    mode = _number(stream, block[100:108])
    return RawMember(
        text, known, mode, size, target.decode("utf-8", "surrogateescape"), content=member_content(stream, size)
    )


def _number(stream: CappedStream, field: bytes) -> int:
    """Octal digits, or after a first bit the number itself (GNU)."""
    if field[:1] in (b"\x80", b"\xff"):
        value = int.from_bytes(field[1:], "big")
        if field[0] == 0xFF or value >= 1 << 62:
            raise stream.hostile("has a member of negative size, or larger than any disk.")
        return value
    digits = field.partition(b"\0")[0].strip(b" ")
    if not re.fullmatch(rb"[0-7]{0,12}", digits):
        raise stream.hostile("is not a sound tar archive: a header holds no number where one belongs.")
    return int(digits or b"0", 8)


def _checksums(block: bytes) -> tuple[int, int]:
    plain = block[:148] + b" " * 8 + block[156:]
    # some old programs added signed bytes up
    return sum(plain), sum(plain) - 256 * sum(byte > 127 for byte in plain)


def _extension(stream: CappedStream, what: str, data: bytes) -> dict[str, bytes]:
    """What a header says of the member after it."""
    if what not in ("pax", "global"):
        return {what: data.partition(b"\0")[0]}
    found = _pax(stream, data)
    if what == "global" and found:  # git archive notes a commit in one, which is none of our business
        raise stream.hostile("has a global header that says of all members what only each one can say.")
    return found


def _pax(stream: CappedStream, data: bytes) -> dict[str, bytes]:
    """The records `<length> <key>=<value>\\n` that matter here; the walk is linear, and each record must be whole."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        match = _RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        key, equals, value = data[match.end() : end - 1].partition(b"=") if match else (b"", b"", b"")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise stream.hostile("is not a sound tar archive: an extended header is broken.")
        if key.startswith(b"GNU.sparse"):
            raise stream.hostile(_SPARSE)
        if key in (b"path", b"linkpath", b"size"):
            if key.decode() in found:
                raise stream.hostile(f"gives a member's {key.decode()} twice.")
            found[key.decode()] = value
        at = end
    return found


def _pax_size(stream: CappedStream, value: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", value):
        raise stream.hostile("is not a sound tar archive: an extended header holds no size where one belongs.")
    return int(value)


def _up(at: int) -> int:
    return (at + _BLOCK - 1) // _BLOCK * _BLOCK
