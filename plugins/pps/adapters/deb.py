"""Debian packages: an `ar` archive of `control.tar.*` and `data.tar.*` (deb(5)), read without dpkg."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pps.activities.ports import PackageMember, UnpackBudget
from pps.adapters.archive import CappedStream, FileSlice, inflating, tar_members, vetted
from pps.domain.errors import PackageError, RolloutError
from pps.domain.patches import PackageRef

MAGIC = b"!<arch>\n"
_NEXT = "Ask the provider of the package."
#: Control archives hold a few kilobytes; the longest script that we have seen has 60 KiB.
_CONTROL_BYTES = 16 << 20
_CONTROL_MEMBERS = 100
_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class DebPackage:
    """An open .deb; see `ports.OpenedPackage`."""

    ref: PackageRef
    control: str
    """the stanza, as an APT index repeats it"""
    install_script: str
    subject: str
    _file: BinaryIO
    _data: tuple[str, int, int]
    _budget: UnpackBudget

    def members(self) -> Iterator[tuple[PackageMember, BinaryIO]]:
        """The vetted members of data.tar."""
        compression, start, size = self._data
        stream = CappedStream(self.subject, inflating(FileSlice(self._file, start, size), compression), self._budget)
        return vetted(self.subject, tar_members(stream), self._budget)


def open_deb(path: Path, file: BinaryIO, budget: UnpackBudget) -> DebPackage:
    """Read the control part of an open .deb; `PackageError` if it is none."""
    parts = dict(_ar_members(path, file))
    control = next((p for p in parts.items() if p[0].startswith("control.tar")), None)
    data = next((p for p in parts.items() if p[0].startswith("data.tar")), None)
    if "debian-binary" not in parts or control is None or data is None:
        raise PackageError(
            path.name, "is not a Debian package: debian-binary, control.tar or data.tar is missing.", _NEXT
        )
    files = _control_files(path, file, control)
    fields = stanza_fields(files.get("control", ""))
    try:
        ref = PackageRef(fields["package"], fields["version"], fields["architecture"])
    except (KeyError, RolloutError) as error:
        raise PackageError(path.name, f"does not say which package it is ({error}).", _NEXT) from error
    return DebPackage(
        ref, files["control"], files.get("postinst", ""), path.name, file, (_compression(data[0]), *data[1]), budget
    )


def stanza_fields(stanza: str) -> dict[str, str]:
    """First lines of the fields of one control stanza, by lower-case name."""
    fields: dict[str, str] = {}
    for line in stanza.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "\t")):
            fields.setdefault(name.lower(), value.strip())
    return fields


def _compression(name: str) -> str:
    return name.partition(".tar")[2].removeprefix(".")


def _control_files(path: Path, file: BinaryIO, control: tuple[str, tuple[int, int]]) -> dict[str, str]:
    subject = f"{path.name} (control)"
    budget = UnpackBudget(_CONTROL_BYTES, _CONTROL_MEMBERS)
    stream = CappedStream(subject, inflating(FileSlice(file, *control[1]), _compression(control[0])), budget)
    return {
        member.path: content.read(_TEXT_BYTES).decode(errors="replace")
        for member, content in vetted(subject, tar_members(stream), budget)
        if member.path in ("control", "postinst") and member.kind == "f"
    }


def _ar_members(path: Path, file: BinaryIO) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name -> (start, size) of each member of the outer archive."""
    end = file.seek(0, 2)
    at = len(MAGIC)
    seen: set[str] = set()
    while at < end:
        file.seek(at)
        header = file.read(60)
        name = header[:16].decode(errors="replace").rstrip(" /")
        digits = header[48:58].decode(errors="replace").strip()
        if (
            len(header) < 60
            or header[58:] != b"`\n"
            or not (digits.isascii() and digits.isdigit())
            or name in seen
            or len(seen) > 20
        ):
            raise PackageError(path.name, "is not a sound Debian package: its outer archive is broken.", _NEXT)
        size = int(digits)
        if at + 60 + size > end:
            raise PackageError(path.name, "ends in the middle.", "Download it again.")
        seen.add(name)
        yield name, (at + 60, size)
        at += 60 + size + size % 2
