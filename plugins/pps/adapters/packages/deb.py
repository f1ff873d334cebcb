"""Debian packages: an `ar` archive of `control.tar.*` and `data.tar.*` (deb(5)), read without dpkg."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from pps.activities.ports.packages import UnpackBudget
from pps.adapters.packages.archive import CappedStream, FileSlice, RawMember, inflating, tar_members
from pps.adapters.packages.control_fields import control_fields
from pps.adapters.packages.unpacking import Unpacked
from pps.domain.base.errors import PackageError, RolloutError
from pps.domain.packages.bill import licences_in
from pps.domain.packages.patch import PackageRef

MAGIC = b"!<arch>\n"
_NEXT = "Ask the provider of the package."
#: Control archives hold a few kilobytes; the longest script that we have seen has 60 KiB.
_CONTROL_BYTES = 16 << 20
_CONTROL_MEMBERS = 100
_TEXT_BYTES = 1 << 20
_DATA = "data.tar"
#: As dpkg-deb: it takes fewer compressions for the control archive, and what begins with _ is anybody's.
_PARTS = ("debian-binary", r"control\.tar(\.(gz|xz|zst))?", r"data\.tar(\.(gz|xz|zst|bz2|lzma))?")
_FORMAT = re.compile(rb"2\.[0-9]{1,9}\n")


@dataclass(frozen=True)
class DebPackage:
    """An open .deb."""

    ref: PackageRef
    fields: dict[str, str]
    """of its control file, by lower-case name"""
    install_script: str
    subject: str
    _file: BinaryIO
    _data: tuple[str, int, int]

    def unpack(self, budget: UnpackBudget, contents: BinaryIO) -> Unpacked:
        """Read data.tar; its contents go one after the other into a file."""
        unpacked = Unpacked(self.subject, budget, contents, overwrites=True)
        unpacked.add_all(self._members(budget))
        return unpacked

    def says(self, budget: UnpackBudget) -> dict[str, Any]:
        """What it says of itself; of licences only its copyright file does, and none where that cannot be read."""
        licences: list[str] = []
        wanted = f"usr/share/doc/{self.ref.name}/copyright"
        with suppress(PackageError):  # whether it can be unpacked is not what is asked here
            found = (raw for raw in self._members(budget) if raw.name.removeprefix("./") == wanted and raw.kind == "f")
            if raw := next(found, None):
                licences = licences_in(raw.content.read(_TEXT_BYTES).decode(errors="replace"))
        return {"licences": licences, "supplier": self.fields.get("maintainer", "")}

    def _members(self, budget: UnpackBudget) -> Iterator[RawMember]:
        compression, start, size = self._data
        stream = CappedStream(self.subject, inflating(FileSlice(self._file, start, size), compression), budget)
        return tar_members(stream)


def open_deb(subject: str, file: BinaryIO) -> DebPackage:
    """Read the control part of an open .deb; `PackageError` if it is not one."""
    control, data = _parts(subject, file)
    files = _control_files(subject, file, control)
    if "control" not in files:
        raise PackageError(subject, "is no Debian package: it has no control file.", _NEXT)
    fields = control_fields(subject, files["control"])
    try:
        ref = PackageRef(fields["package"], fields["version"], fields["architecture"])
    except RolloutError as error:
        raise PackageError(subject, f"does not say which package it is ({error}).", _NEXT) from error
    return DebPackage(ref, fields, files.get("postinst", b"").decode(errors="replace"), subject, file, data)


def stanza_fields(stanza: str) -> dict[str, str]:
    """First lines of the fields of one stanza of an index, by lower-case name; a line ends with a line feed only."""
    fields: dict[str, str] = {}
    for line in stanza.split("\n"):
        name, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "\t")):
            fields.setdefault(name.lower(), value.strip())
    return fields


def _parts(subject: str, file: BinaryIO) -> tuple[tuple[str, int, int], tuple[str, int, int]]:
    """Compression and place of control.tar and data.tar. Their order is fixed."""
    found = list(_ar_members(subject, file))
    rest = [(name, place) for name, place in found if not name.startswith("_")]
    if (
        len(rest) != len(_PARTS)
        or found[0] != rest[0]
        or not all(map(re.fullmatch, _PARTS, (name for name, _ in rest)))
    ):
        why = "is not a Debian package: its parts must be debian-binary, control.tar and data.tar, in this order,"
        raise PackageError(subject, f"{why} in compressions that dpkg takes for them.", _NEXT)
    version = FileSlice(file, *rest[0][1]).read(100)
    if not _FORMAT.match(version):
        raise PackageError(
            subject, f"is a Debian package of format {version[:10]!r}; only format 2 is read here.", _NEXT
        )
    control, data = ((_compression(name), *place) for name, place in rest[1:])
    return control, data


def _compression(name: str) -> str:
    return name.partition(".tar")[2].removeprefix(".")


def _control_files(subject: str, file: BinaryIO, control: tuple[str, int, int]) -> dict[str, bytes]:
    subject = f"{subject} (control)"
    budget = UnpackBudget(_CONTROL_BYTES, _CONTROL_MEMBERS)
    compression, start, size = control
    stream = CappedStream(subject, inflating(FileSlice(file, start, size), compression), budget)
    contents = io.BytesIO()
    unpacked = Unpacked(subject, budget, contents)
    unpacked.add_all(tar_members(stream))
    found = {}
    for member, at in unpacked.members():
        if member.path in ("control", "postinst"):
            if member.kind != "f" or member.size > _TEXT_BYTES:
                raise PackageError(subject, f"has a {member.path!r} that is no plain file of readable size.", _NEXT)
            found[member.path] = contents.getvalue()[at : at + member.size]
    return found


def _ar_members(subject: str, file: BinaryIO) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name -> (start, size) of each member of the outer archive; after data.tar dpkg takes anything."""
    end = file.seek(0, 2)
    at = len(MAGIC)
    seen: set[str] = set()
    while at < end:
        file.seek(at)
        header = file.read(60)
        if header[58:] != b"`\n" and any(other.startswith(_DATA) for other in seen):
            return
        name = header[:16].decode(errors="replace").rstrip(" ").removesuffix("/")
        digits = header[48:58].decode(errors="replace").strip(" ")
        if header[58:] != b"`\n" or not (digits.isascii() and digits.isdigit()) or name in seen or len(seen) > 20:
            raise PackageError(subject, "is not a sound Debian package: its outer archive is broken.", _NEXT)
        size = int(digits)
        if at + 60 + size > end:
            raise PackageError(subject, "ends in the middle.", "Download it again.")
        seen.add(name)
        yield name, (at + 60, size)
        at += 60 + size + size % 2
