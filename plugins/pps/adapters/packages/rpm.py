"""RPM packages: which one it is, what an index says of it, and its cpio payload."""

from __future__ import annotations

import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

from pps.activities.ports.packages import UnpackBudget
from pps.adapters.packages.archive import CappedStream, FileSlice, RawMember, inflating, member_content
from pps.adapters.packages.rpm_header import MAGIC, NEXT, RpmHeader, read_headers
from pps.adapters.packages.unpacking import Unpacked
from pps.domain.base.errors import InvalidNameError, PackageError
from pps.domain.packages.patch import PackageRef

__all__ = ["MAGIC", "RpmPackage", "open_rpm"]

#: How payloads begin; some tools leave out what a header should say of its compression, others spell it in other ways.
_MAGICS = {
    b"\x1f\x8b": "gz",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"BZh": "bz2",
    b"\x5d\0\0": "lzma",
    b"0707": "",
}
_LONGEST_NAME = 4096
_GHOST = 64
_UNFIT = "has a list of files in its header that does not fit together."
_SENSES = {2: "LT", 4: "GT", 8: "EQ", 10: "LE", 12: "GE"}


@dataclass(frozen=True)
class RpmPackage:
    """An open .rpm."""

    ref: PackageRef
    header: RpmHeader
    subject: str
    _file: BinaryIO

    @property
    def install_script(self) -> str:
        """Its %post and %posttrans."""
        return "\n".join((self.header.script(1024, "POSTIN"), self.header.script(1151, "POSTTRANS")))

    @property
    def has_changelog(self) -> bool:
        """Its header has one; nobody reads what it says."""
        return 1082 in self.header.entries

    def unpack(self, budget: UnpackBudget, contents: BinaryIO) -> Unpacked:
        """Read the payload; its contents go one after the other into a file."""
        start = self.header.end
        payload = FileSlice(self._file, start, self._file.seek(0, 2) - start)
        if self.header.text(1124, "PAYLOADFORMAT", "cpio") != "cpio":
            raise PackageError(self.subject, "has a payload that is no cpio archive.", NEXT)
        head = FileSlice(self._file, start, 8).read()
        compression = next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)
        said = self.header.text(1125, "PAYLOADCOMPRESSOR", "nothing")
        if compression is None and said == "lzma":  # which begins with its own settings
            compression = "lzma"
        if compression is None:
            why = f"has a payload of an unknown compression (its header says {said[:20]!r}); known are gzip, xz, zstd, "
            raise PackageError(self.subject, f"{why}bzip2, lzma and none.", NEXT)
        stream = CappedStream(self.subject, inflating(payload, compression), budget)
        unpacked = Unpacked(self.subject, budget, contents)
        files = _Files(self.header)
        unpacked.add_all(files.noted(cpio_members(stream, files)))
        files.must_be_those_noted()
        return unpacked

    def says(self, _: UnpackBudget) -> dict[str, Any]:
        """What it says of itself: all of it is in its header."""
        licence = self.header.prose(1014, "LICENSE")
        supplier = self.header.prose(1011, "VENDOR") or self.header.prose(1015, "PACKAGER")
        return {"licences": [licence] if licence else [], "supplier": supplier}

    def described(self) -> dict[str, Any]:
        """What an index says of it: plain texts and numbers, all of them fit for XML."""
        header = self.header
        return {
            "epoch": str(header.number(1003, "EPOCH", 0)),
            "ver": header.text(1001, "VERSION"),
            "rel": header.text(1002, "RELEASE"),
            "summary": header.prose(1004, "SUMMARY"),
            "description": header.prose(1005, "DESCRIPTION"),
            "packager": header.prose(1015, "PACKAGER"),
            "url": header.prose(1020, "URL"),
            "build": header.number(1006, "BUILDTIME", 0),
            "installed": header.number(5009, "LONGSIZE", header.number(1009, "SIZE", 0)),
            "license": header.prose(1014, "LICENSE"),
            "vendor": header.prose(1011, "VENDOR"),
            "group": header.prose(1016, "GROUP"),
            "sourcerpm": header.text(1044, "SOURCERPM"),
            "range": [header.start, header.end],
            "relations": {
                "provides": self._relations("PROVIDE", 1047, 1113, 1112),
                "requires": [r for r in self._relations("REQUIRE", 1049, 1050, 1048) if not _is_of_rpm(r["name"])],
                "conflicts": self._relations("CONFLICT", 1054, 1055, 1053),
                "obsoletes": self._relations("OBSOLETE", 1090, 1115, 1114),
            },
            "files": self._files_to_depend_on(),
        }

    def _relations(self, kind: str, names: int, versions: int, flags: int) -> list[dict[str, str]]:
        named = self.header.texts(names, f"{kind}NAME")
        versioned = self.header.texts(versions, f"{kind}VERSION") or [""] * len(named)
        compared = self.header.numbers(flags, f"{kind}FLAGS") or (0,) * len(named)
        if not len(named) == len(versioned) == len(compared):
            raise PackageError(self.subject, f"has more or fewer {kind}VERSION or {kind}FLAGS than {kind}NAME.", NEXT)
        entries = dict.fromkeys(zip(named, versioned, compared, strict=True))
        return [_relation(*entry) for entry in entries]

    def _files_to_depend_on(self) -> list[str]:
        """Files that other packages may require by their paths; we have no filelists.xml for all the others."""
        paths = {path for path in _paths(self.header) if path.isascii() and path.isprintable()}
        return sorted(p for p in paths if p.startswith("/etc/") or "bin/" in p or p == "/usr/lib/sendmail")


def open_rpm(subject: str, file: BinaryIO) -> RpmPackage:
    """Read the headers of an open .rpm; `PackageError` if it is not one."""
    header = read_headers(subject, file)
    version, release = header.text(1001, "VERSION"), header.text(1002, "RELEASE")
    if "-" in version or "-" in release:
        # 1-2 and 3 could be taken for 1 and 2-3
        raise PackageError(subject, "has a - in its version or its release, where rpm allows none.", NEXT)
    epoch = header.number(1003, "EPOCH", 0)
    full = f"{epoch}:{version}-{release}" if epoch else f"{version}-{release}"
    try:
        ref = PackageRef(header.text(1000, "NAME"), full, header.text(1022, "ARCH"))
    except InvalidNameError as error:
        raise PackageError(subject, f"does not say which package it is ({error}).", NEXT) from error
    return RpmPackage(ref, header, subject, file)


def _is_of_rpm(name: str) -> bool:
    """A demand on rpm itself, which no package provides; createrepo leaves them out, too."""
    return name.startswith("rpmlib(")


def _relation(name: str, version: str, flags: int) -> dict[str, str]:
    comparison = _SENSES.get(flags & 14)
    if not (comparison and version):
        return {"name": name}
    epoch, _, rest = version.rpartition(":")
    ver, _, rel = rest.partition("-")
    return {"name": name, "flags": comparison, "epoch": epoch or "0", "ver": ver} | ({"rel": rel} if rel else {})


def _paths(header: RpmHeader) -> list[str]:
    folders, indexes = header.raw(1118, "DIRNAMES"), header.numbers(1116, "DIRINDEXES")
    names = header.raw(1117, "BASENAMES")
    if len(indexes) != len(names) or any(at >= len(folders) for at in indexes):
        raise PackageError(header.subject, "has files in its header without folders.", NEXT)
    if any(not name or "/" in name for name in names) or any(f[:1] + f[-1:] != "//" for f in folders):
        raise PackageError(header.subject, "has a name in its header that no file or folder can have.", NEXT)
    return [f"{folders[at]}{name}" for at, name in zip(indexes, names, strict=True)]


@dataclass(frozen=True)
class _Files:
    """The files of a header. rpm goes by them, other unpackers by the payload: both must say the same.

    Some payloads name them by number: those of rpm 6, and those with files of more than 4 GiB.
    """

    header: RpmHeader
    _noted: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def __getitem__(self, number: int) -> _Head:
        name, mode, size, group = self._all[number]
        links = self._groups[group] if stat.S_ISREG(mode) else [number]
        # of several names of one file only the last carries the content
        if number not in links:
            raise PackageError(self.header.subject, f"has {name[1:81]!r} in its payload, which is a ghost.", NEXT)
        return _Head(name, mode, len(links), size if number == links[-1] else 0, tuple(map(str, group)))

    def __len__(self) -> int:
        return len(self._all)

    def noted(self, members: Iterable[RawMember]) -> Iterator[RawMember]:
        """The members of the payload; each is noted."""
        for raw in members:
            name = _plain(raw.name)
            if raw.kind == "h":
                self._noted[name] = self._noted[_plain(raw.target)]
            else:
                self._noted[name] = _essence(raw.kind, raw.mode, raw.size, raw.target)
            yield raw

    def must_be_those_noted(self) -> None:
        """`PackageError` if rpm would install other files than those that the payload has."""
        links = self.header.raw(1036, "FILELINKTOS") or [""] * len(self)
        if len(links) != len(self):
            raise PackageError(self.header.subject, _UNFIT, NEXT)
        for number, (name, mode, size, _) in enumerate(self._all):
            if self._flags[number] & _GHOST:
                continue
            kind = "l" if stat.S_ISLNK(mode) else "d" if stat.S_ISDIR(mode) else "f"
            found = self._noted.pop(_plain(name), None)
            if found != _essence(kind, mode, size, links[number]):
                what = "does not have" if found is None else "describes in another way"
                raise PackageError(
                    self.header.subject, f"has {name[1:81]!r} in its header, which its payload {what}.", NEXT
                )
        for name in self._noted:
            raise PackageError(
                self.header.subject, f"has {name[:80]!r} in its payload, which its header does not have.", NEXT
            )

    @cached_property
    def _all(self) -> list[tuple[str, int, int, tuple[int, int]]]:
        header = self.header
        names = _paths(header)
        modes = header.numbers(1030, "FILEMODES")
        long, short = header.numbers(5008, "LONGFILESIZES"), header.numbers(1028, "FILESIZES")
        sizes = long or short
        inodes = header.numbers(1096, "FILEINODES") or tuple(range(len(names)))
        devices = header.numbers(1095, "FILEDEVICES") or (0,) * len(names)
        columns = (names, modes, sizes, inodes, devices)
        if len({len(column) for column in columns}) != 1 or (long and short and long != short):
            raise PackageError(header.subject, _UNFIT, NEXT)
        return [
            (f".{name}", mode, size, (inode, device)) for name, mode, size, inode, device in zip(*columns, strict=True)
        ]

    @cached_property
    def _groups(self) -> dict[tuple[int, int], list[int]]:
        groups = defaultdict(list)
        for number, (_, mode, _, group) in enumerate(self._all):
            if stat.S_ISREG(mode) and not self._flags[number] & _GHOST:
                groups[group].append(number)
        return groups

    @cached_property
    def _flags(self) -> tuple[int, ...]:
        flags = self.header.numbers(1037, "FILEFLAGS") or (0,) * len(self)
        if len(flags) != len(self):
            raise PackageError(self.header.subject, _UNFIT, NEXT)
        return flags


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _essence(kind: str, mode: int, size: int, target: str) -> tuple[object, ...]:
    """What counts for us in a file."""
    if kind == "f":
        return (kind, bool(mode & 0o111), size)
    return (kind, target if kind == "l" else "")


def cpio_members(stream: CappedStream, files: _Files) -> Iterator[RawMember]:
    """The members of a `newc` cpio archive, or of rpm's own form of it (07070X), not yet vetted.

    Of several names of one file (hard links) only the last carries the content: it comes out as the
    file, the others after it as links to it.
    """
    waiting: dict[tuple[str, ...], list[_Head]] = {}
    while (head := _next_head(stream, files)) is not None:
        start = stream.tell()
        if stat.S_ISREG(head.mode) and head.links > 1 and head.size == 0:
            waiting.setdefault(head.file, []).append(head)
        elif stat.S_ISREG(head.mode):
            yield RawMember(head.name, "f", head.mode, head.size, content=member_content(stream, head.size))
            for other in waiting.pop(head.file, []) if head.links > 1 else []:
                yield RawMember(other.name, "h", head.mode, target=head.name)
        elif stat.S_ISDIR(head.mode):
            yield RawMember(head.name, "d", head.mode)
        elif stat.S_ISLNK(head.mode) and head.size <= _LONGEST_NAME:
            yield RawMember(head.name, "l", head.mode, target=stream.read(head.size).decode("utf-8", "surrogateescape"))
        else:
            yield RawMember(head.name, "refused", what="a device, fifo, socket or overlong link")
        stream.seek(_aligned(start + head.size))
    for first, *others in waiting.values():  # several names of one empty file
        yield RawMember(first.name, "f", first.mode)
        for other in others:
            yield RawMember(other.name, "h", first.mode, target=first.name)
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


def _next_head(stream: CappedStream, files: _Files) -> _Head | None:
    stream.header_bytes_left = 1 << 20
    header = stream.read(14)
    if match := re.fullmatch(rb"07070X([0-9a-fA-F]{8})", header):
        number = int(match[1], 16)
        if number >= len(files):
            raise stream.hostile("has a member that is not in its header.")
        stream.seek(_aligned(stream.tell()))
        return files[number]
    header += stream.read(96)
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
