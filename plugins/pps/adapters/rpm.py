"""RPM packages: headers by `rpmfile`, the cpio payload read here.

`rpmfile` inflates a whole payload into memory, knows no hard links, and takes devices for files.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rpmfile.headers import get_headers

from pps.activities.ports import PackageMember, UnpackBudget
from pps.adapters.archive import CappedStream, FileSlice, RawMember, inflating, member_content, vetted
from pps.domain.errors import PackageError
from pps.domain.patches import PackageRef

MAGIC = b"\xed\xab\xee\xdb"
_NEXT = "Ask the provider of the package."
_COMPRESSIONS = {"gzip": "gz", "xz": "xz", "lzma": "lzma", "zstd": "zst", "bzip2": "bz2"}
_LONGEST_NAME = 4096
#: Headers of client packages have some hundred kilobytes; rpmfile's work grows with the square of what it is given.
_HEADER_BYTES = 16 << 20


@dataclass(frozen=True)
class RpmPackage:
    """An open .rpm; see `ports.OpenedPackage`."""

    ref: PackageRef
    headers: dict[str, Any]
    header_range: tuple[int, int]
    install_script: str
    subject: str
    _file: BinaryIO
    _budget: UnpackBudget

    def members(self) -> Iterator[tuple[PackageMember, BinaryIO]]:
        """The vetted members of the payload."""
        start = self.header_range[1]
        compression = _COMPRESSIONS.get(header_text(self.headers, "archive_compression") or "gzip")
        if compression is None or header_text(self.headers, "archive_format") not in ("cpio", ""):
            raise PackageError(self.subject, "has a payload of a format that is not known here.", _NEXT)
        payload = FileSlice(self._file, start, self._file.seek(0, 2) - start)
        stream = CappedStream(self.subject, inflating(payload, compression), self._budget)
        return vetted(self.subject, cpio_members(stream), self._budget)


def open_rpm(path: Path, file: BinaryIO, budget: UnpackBudget) -> RpmPackage:
    """Read the headers of an open .rpm; `PackageError` if it is none."""
    file.seek(0)
    try:
        header_range, headers = get_headers(FileHead(file))
        ref = PackageRef(header_text(headers, "name"), _version(headers), header_text(headers, "arch"))
    except Exception as error:  # rpmfile lets whatever its parsing meets through
        raise PackageError(path.name, f"is not a sound RPM package ({type(error).__name__}).", _NEXT) from error
    script = "\n".join(header_text(headers, name) for name in ("postin", "posttrans"))
    return RpmPackage(ref, headers, header_range, script, path.name, file, budget)


class FileHead:
    """An open file of which no more than a header's worth may be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """Read `size` bytes; short or too long is an error."""
        if size < 0 or self._file.tell() + size > _HEADER_BYTES:
            raise ValueError("header too large")
        return self._file.read(size)

    def tell(self) -> int:
        """Position in the file."""
        return self._file.tell()


def header_text(headers: dict[str, Any], name: str) -> str:
    """A header as text; empty if it is missing."""
    value = headers.get(name, b"")
    if isinstance(value, list | tuple):
        value = value[0] if value else b""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _version(headers: dict[str, Any]) -> str:
    """`[epoch:]version-release`, as `PackageRef` has it."""
    epoch = header_text(headers, "serial")
    plain = f"{header_text(headers, 'version')}-{header_text(headers, 'release')}"
    return plain if epoch in ("", "0") else f"{epoch}:{plain}"


def cpio_members(stream: CappedStream) -> Iterator[RawMember]:
    """The members of a `newc` cpio archive, not yet vetted.

    Of several names of one file (hard links) only the last carries the content: it comes out as the
    file, the others behind it as links to it.
    """
    waiting: dict[tuple[str, ...], list[str]] = {}
    while (head := _next_head(stream)) is not None:
        start = stream.tell()
        if stat.S_ISREG(head.mode) and head.links > 1 and head.size == 0:
            waiting.setdefault(head.file, []).append(head.name)
        elif stat.S_ISREG(head.mode):
            yield RawMember(head.name, "f", head.mode, head.size, content=member_content(stream, head.size))
            for other in waiting.pop(head.file, []) if head.links > 1 else []:
                yield RawMember(other, "h", head.mode, target=head.name)
        elif stat.S_ISDIR(head.mode):
            yield RawMember(head.name, "d", head.mode)
        elif stat.S_ISLNK(head.mode) and head.size <= _LONGEST_NAME:
            yield RawMember(head.name, "l", head.mode, target=stream.read(head.size).decode("utf-8", "surrogateescape"))
        else:
            yield RawMember(head.name, "refused", what="a device, fifo, socket or overlong link")
        stream.seek(_aligned(start + head.size))
    for first, *others in waiting.values():  # several names of one empty file
        yield RawMember(first, "f", 0o644)
        for other in others:
            yield RawMember(other, "h", target=first)
    stream.only_zeros_follow()


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before a member's content."""

    name: str
    mode: int
    links: int
    size: int
    file: tuple[str, ...]
    """inode and device: equal for all names of one file"""


def _next_head(stream: CappedStream) -> _Head | None:
    stream.header_bytes_left = 1 << 20
    header = stream.read(110)
    if not re.fullmatch(rb"07070[12][0-9a-fA-F]{104}", header):
        raise stream.hostile("is not a sound cpio archive.")
    fields = [header[at : at + 8].decode() for at in range(6, 110, 8)]
    name_size = int(fields[11], 16)
    if not 0 < name_size <= _LONGEST_NAME:
        raise stream.hostile("has a member whose name is too long.")
    name = stream.read(name_size)[:-1].decode("utf-8", "surrogateescape")
    stream.seek(_aligned(stream.tell()))
    if name == "TRAILER!!!":
        return None
    return _Head(name, int(fields[1], 16), int(fields[4], 16), int(fields[6], 16), (fields[0], fields[7], fields[8]))


def _aligned(at: int) -> int:
    return (at + 3) & ~3
