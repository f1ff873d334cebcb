"""Archives byte by byte, as a hostile provider would make them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

from pps.domain.packages.patch import PackageRef
from pps.sandbox.provider.package_formats import SamplePackage, write_rpm

REF = PackageRef("hostile", "1.0-1", "all")
CONTROL = "Package: hostile\nVersion: 1.0-1\nArchitecture: all\nDescription: x\n"


def ar(members: dict[str, bytes]) -> bytes:
    """The outer archive of a .deb."""
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def member(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", target: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    """One member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, len(data), target, mode
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT, **options) -> bytes:
    """A tar archive of these members, whatever they say."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape", **options
    ) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def deb(data: bytes, *, compression: str = "gz", control: str | bytes = CONTROL) -> bytes:
    """A .deb around a data archive that is compressed already if `compression` says so."""
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": gzip.compress(
            tar(member("./control", data=control.encode() if isinstance(control, str) else control))
        ),
    }
    return ar({**parts, f"data.tar{'.' if compression else ''}{compression}": data})


def deb_of(folder: Path, *members: tuple[tarfile.TarInfo, bytes], **options) -> Path:
    """Write a .deb with these members."""
    path = folder / "hostile_1.0-1_all.deb"
    path.write_bytes(deb(gzip.compress(tar(*members, **options))))
    return path


def cpio(*members: tuple[str, int, bytes], links: int = 1, trailer: bool = True) -> bytes:
    """A newc archive: (name, mode with type, content)."""
    out = b""
    rows = [*members, *([("TRAILER!!!", 0, b"")] if trailer else [])]
    for inode, (name, mode, data) in enumerate(rows):
        encoded = name.encode("utf-8", "surrogateescape") + b"\0"
        number = 7 if links > 1 and mode else inode
        fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        out += b"070701" + b"".join(b"%08x" % f for f in fields) + encoded
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def rpm_of(folder: Path, payload: bytes, files: Mapping[str, tuple[int, str]] | None = None) -> Path:
    """Write an .rpm whose payload is this cpio archive, and whose header has these files."""
    path = write_rpm(SamplePackage(REF, files or {"usr/bin/x": (0o755, "x")}), folder)
    whole = path.read_bytes()
    start = whole.rindex(b"\x1f\x8b\x08")
    path.write_bytes(whole[:start] + gzip.compress(payload))
    return path


def rpm_edited(
    path: Path, tag: int, *, to: int | None = None, kind: int | None = None, count: int | None = None
) -> Path:
    """Change the entry of a tag in an .rpm's header, as somebody could who signs nothing."""
    whole = bytearray(path.read_bytes())
    at, tags = header_at(whole)
    for entry in range(at + 16, at + 16 + 16 * tags, 16):
        fields = list(struct.unpack_from("!IIII", whole, entry))
        if fields[0] == tag:
            fields = [to or tag, kind or fields[1], fields[2], fields[3] if count is None else count]
            struct.pack_into("!IIII", whole, entry, *fields)
            path.write_bytes(whole)
            return path
    raise LookupError(tag)


def header_at(whole: bytes | bytearray) -> tuple[int, int]:
    """Where an .rpm's main header begins, and how many entries it has."""
    tags, size = struct.unpack_from("!II", whole, 96 + 8)
    at = (96 + 16 + 16 * tags + size + 7) & ~7
    return at, struct.unpack_from("!I", whole, at + 8)[0]
