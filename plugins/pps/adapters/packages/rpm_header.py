"""The headers of an RPM package, read strictly: lead, signature header, header.

Layout: https://rpm-software-management.github.io/rpm/manual/format_v4.html. What rpm itself refuses is refused here,
and so is what two readers could take for two different things: a tag twice, entries outside the signed region.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from pps.domain.base.errors import PackageError

MAGIC = b"\xed\xab\xee\xdb"
NEXT = "Ask the provider of the package."
_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_LEAD_BYTES = 96
#: Headers of client packages have some hundred kilobytes; rpm allows 65535 tags and 256 MiB.
_HEADER_BYTES = 16 << 20
_TAGS = 4096
_VALUES = 500_000
#: Every site reads our index: no package may make it as large as it likes.
_LINE, _PROSE = 4096, 65536
_SIGNATURES, _IMMUTABLE = 62, 63
_INT16, _INT32, _INT64, _STRING, _BIN, _ARRAY, _I18N = 3, 4, 5, 6, 7, 8, 9
_WIDTHS = {_INT16: "H", _INT32: "I", _INT64: "Q"}
#: FILEMODES, and the sizes that may be large.
_OTHER_WIDTHS = {1030: _INT16, 5008: _INT64, 5009: _INT64}
# control characters, and what XML 1.0 has no way to write
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True)
class RpmHeader:
    """A header; each value is checked when it is asked for."""

    subject: str
    entries: Mapping[int, tuple[int, int, int]]
    """tag -> (type, offset, count)"""
    store: bytes
    start: int
    end: int
    """where in the file it stands"""

    def text(self, tag: int, name: str, default: str | None = None) -> str:
        """One line of text; an error if it is missing and there is no default."""
        found = self._strings(tag, name, (_STRING,))  # of several languages, each reader would take its own
        if not found:
            if default is None:
                self._wrong(name, "is missing")
            return default
        return self._plain(found[0], name)

    def prose(self, tag: int, name: str) -> str:
        """A text of several lines for people, without what XML cannot hold: nothing depends on these letters, and old
        packages are in all kinds of character sets.
        """
        found = self._strings(tag, name, (_STRING, _I18N))
        lines = (found[0] if found else b"").decode(errors="replace").split("\n")
        return "\n".join(_NOT_TEXT.sub("", line.replace("\t", " ")) for line in lines)[:_PROSE]

    def script(self, tag: int, name: str) -> str:
        """A script; it is read, never run, and never published."""
        return b"\n".join(self._strings(tag, name, (_STRING, _ARRAY))).decode(errors="replace")

    def texts(self, tag: int, name: str) -> list[str]:
        """Several texts; empty if there are none."""
        return [self._plain(value, name) for value in self._strings(tag, name, (_STRING, _ARRAY))]

    def raw(self, tag: int, name: str) -> list[str]:
        """Several names of files, undecodable bytes as surrogates."""
        return [v.decode("utf-8", "surrogateescape") for v in self._strings(tag, name, (_STRING, _ARRAY))]

    def numbers(self, tag: int, name: str) -> tuple[int, ...]:
        """Several numbers; empty if there are none."""
        if tag not in self.entries:
            return ()
        kind, offset, count = self.entries[tag]
        letter = _WIDTHS[_OTHER_WIDTHS.get(tag, _INT32)]
        if (
            kind != _OTHER_WIDTHS.get(tag, _INT32)
            or count > _VALUES
            or offset + count * struct.calcsize(letter) > len(self.store)
        ):
            self._wrong(name, "is not of the right type or size")
        return struct.unpack_from(f"!{count}{letter}", self.store, offset)

    def number(self, tag: int, name: str, default: int | None = None) -> int | None:
        """One number."""
        found = self.numbers(tag, name)
        if len(found) > 1:
            self._wrong(name, "is there more than once")
        return found[0] if found else default

    def _strings(self, tag: int, name: str, kinds: tuple[int, ...]) -> list[bytes]:
        if tag not in self.entries:
            return []
        kind, at, count = self.entries[tag]
        if kind not in kinds or not 0 < count <= _VALUES or (kind == _STRING and count != 1):
            self._wrong(name, "is not of the right type or size")
        found = []
        for _ in range(1 if kind == _I18N else count):  # of several languages the first
            end = self.store.find(b"\0", at)
            if end < 0:
                self._wrong(name, "goes on beyond the end of the header")
            found.append(self.store[at:end])
            at = end + 1
        return found

    def _plain(self, value: bytes, name: str) -> str:
        if len(value) > _LINE:
            self._wrong(name, f"is longer than {_LINE} bytes")
        try:
            text = value.decode()
        except UnicodeDecodeError:
            self._wrong(name, "is not UTF-8")
        if _NOT_TEXT.search(text):
            self._wrong(name, "holds a control character")
        return text

    def _wrong(self, name: str, why: str) -> NoReturn:
        raise PackageError(self.subject, f"is no sound RPM package: {name} of its header {why}.", NEXT)


def read_headers(subject: str, file: BinaryIO) -> RpmHeader:
    """The main header of an open package; `PackageError` if there is none."""
    lead = _taken(subject, file, 0, _LEAD_BYTES)
    if lead[:4] != MAGIC or lead[4] not in (3, 4) or lead[78:80] != b"\0\5":
        raise PackageError(subject, "is no sound RPM package: it does not begin like one.", NEXT)
    signatures = _header(subject, file, _LEAD_BYTES, _SIGNATURES)
    found = _header(subject, file, (signatures.end + 7) & ~7, _IMMUTABLE)
    if 1106 in found.entries or 1044 not in found.entries or int.from_bytes(lead[6:8], "big") == 1:
        raise PackageError(subject, "is a source package, which installs nothing.", "Name its binary packages.")
    if (version := found.number(5114, "RPMFORMAT", 4)) not in (3, 4, 6):
        raise PackageError(subject, f"is an RPM package of format {version}, which is not known here.", NEXT)
    return found


def _header(subject: str, file: BinaryIO, at: int, region: int) -> RpmHeader:
    head = _taken(subject, file, at, 16)
    tags, size = struct.unpack("!II", head[8:])
    if head[:8] != _HEADER_MAGIC + bytes(4) or tags > _TAGS or size > _HEADER_BYTES:
        raise PackageError(subject, "is no sound RPM package: a header is broken or too large.", NEXT)
    index = _taken(subject, file, at + 16, 16 * tags)
    store = _taken(subject, file, at + 16 + len(index), size)
    entries: dict[int, tuple[int, int, int]] = {}
    for tag, kind, offset, count in struct.iter_unpack("!IIiI", index):
        if tag in entries:
            raise PackageError(subject, f"is no sound RPM package: tag {tag} stands twice in its header.", NEXT)
        if not (0 < kind <= _I18N and 0 <= offset < size and count > 0):
            raise PackageError(subject, f"is no sound RPM package: tag {tag} of its header is broken.", NEXT)
        entries[tag] = (kind, offset, count)
    kind, offset, count = entries.get(region, (0, 0, 0))
    trailer = store[offset : offset + 16]
    if next(iter(entries), 0) != region or kind != _BIN or count != 16:
        raise PackageError(
            subject, "is no sound RPM package: it does not say which part of its header is signed.", NEXT
        )
    if region == _IMMUTABLE and trailer[8:] != struct.pack("!iI", -16 * tags, 16):
        raise PackageError(subject, "is no sound RPM package: not all of its header is signed.", NEXT)
    return RpmHeader(subject, entries, store, at, at + 16 + len(index) + size)


def _taken(subject: str, file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise PackageError(subject, "is no sound RPM package: it ends in the middle.", "Download it again.")
    return data
