"""Writes small .deb and .rpm files in pure Python, for provider repositories of the sandbox.

Just enough of both formats that real tools read them; equal input gives equal bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pps.domain.packages.patch import PackageRef

_MTIME = 1_000_000_000


@dataclass(frozen=True)
class SamplePackage:
    """What goes into one package."""

    ref: PackageRef
    files: Mapping[str, tuple[int, str]]
    """path without leading slash -> (mode, text)"""
    links: Mapping[str, str] = field(default_factory=dict)
    """path -> target, as it is in the package"""
    install_script: str = ""
    summary: str = "sample of a grid client"
    requires: tuple[str, ...] = ()


def write_deb(package: SamplePackage, folder: Path) -> Path:
    """Write a binary Debian package; returns its path."""
    ref = package.ref
    control = {
        "Package": ref.name,
        "Version": ref.version,
        "Architecture": ref.arch,
        "Maintainer": "PPS Rollout sandbox <pps-support@localhost>",
        **({"Depends": ", ".join(package.requires)} if package.requires else {}),
        "Section": "misc",
        "Priority": "optional",
        "Description": package.summary,
    }
    scripts = {"control": (0o644, "".join(f"{k}: {v}\n" for k, v in control.items()))}
    if package.install_script:
        scripts["postinst"] = (0o755, package.install_script)
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _zipped(_tar(scripts, {})),
        "data.tar.gz": _zipped(_tar(package.files, package.links)),
    }
    path = folder / f"{ref.name}_{ref.version.rpartition(':')[2]}_{ref.arch}.deb"
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in members.items():
            file.write(f"{name:<16}{_MTIME:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
            file.write(data + b"\n" * (len(data) % 2))
    return path


def _tar(files: Mapping[str, tuple[int, str]], links: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in _with_folders([*files, *links]):
            info = tarfile.TarInfo(f"./{path}" if path else "./")
            info.mtime = _MTIME
            info.uname = info.gname = "root"
            if path in files:
                data = files[path][1].encode()
                info.mode, info.size = files[path][0], len(data)
                archive.addfile(info, io.BytesIO(data))
                continue
            info.type, info.linkname, info.mode = tarfile.DIRTYPE, "", 0o755
            if path in links:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, links[path], 0o777
            archive.addfile(info)
    return out.getvalue()


def _with_folders(paths: list[str]) -> list[str]:
    found = {""}
    for path in paths:
        parts = path.split("/")
        found |= {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return sorted(found)


def _zipped(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


# --- RPM: https://rpm-software-management.github.io/rpm/manual/format_v4.html -------------------

_STRING, _I18N, _ARRAY, _INT16, _INT32, _BIN = 6, 9, 8, 3, 4, 7
_IMMUTABLE, _SIGNATURES = 63, 62


def write_rpm(package: SamplePackage, folder: Path) -> Path:
    """Write a binary RPM package (version 4, gzip); returns its path."""
    ref = package.ref
    epoch, _, full = ref.version.rpartition(":")
    version, _, release = full.rpartition("-")
    paths = [*package.files, *package.links]
    names = sorted(paths)
    folders = sorted({f"/{n.rpartition('/')[0]}/" for n in names})
    contents = {n: package.files[n][1].encode() if n in package.files else package.links[n].encode() for n in names}
    modes = {n: 0o100000 | package.files[n][0] if n in package.files else 0o120777 for n in names}
    payload = _cpio(contents, modes)
    zipped = _zipped(payload)
    requires = [*package.requires, "rpmlib(CompressedFileNames)", "rpmlib(PayloadFilesHavePrefix)"]
    ours = len(package.requires)
    tags: list[tuple[int, int, list[str] | list[int] | bytes]] = [
        (100, _ARRAY, ["C"]),
        (1000, _STRING, [ref.name]),
        (1001, _STRING, [version]),
        (1002, _STRING, [release]),
        *([(1003, _INT32, [int(epoch)])] if epoch else []),
        (1004, _I18N, [package.summary]),
        (1005, _I18N, [package.summary]),
        (1006, _INT32, [_MTIME]),
        (1007, _STRING, ["localhost"]),
        (1009, _INT32, [sum(map(len, contents.values()))]),
        (1014, _STRING, ["Apache-2.0"]),
        (1016, _I18N, ["Unspecified"]),
        (1021, _STRING, ["linux"]),
        (1022, _STRING, [ref.arch]),
        *([(1024, _STRING, [package.install_script]), (1086, _STRING, ["/bin/sh"])] if package.install_script else []),
        (1028, _INT32, [len(contents[n]) for n in names]),
        (1030, _INT16, [modes[n] for n in names]),
        (1033, _INT16, [0] * len(names)),
        (1034, _INT32, [_MTIME] * len(names)),
        (1035, _ARRAY, [hashlib.sha256(contents[n]).hexdigest() if n in package.files else "" for n in names]),
        (1036, _ARRAY, [package.links.get(n, "") for n in names]),
        (1037, _INT32, [0] * len(names)),
        (1039, _ARRAY, ["root"] * len(names)),
        (1040, _ARRAY, ["root"] * len(names)),
        (1044, _STRING, [f"{ref.name}-{version}-{release}.src.rpm"]),
        (1045, _INT32, [0xFFFFFFFF] * len(names)),
        (1047, _ARRAY, [ref.name]),
        (1048, _INT32, [0] * ours + [0x100000A] * 2),
        (1049, _ARRAY, requires),
        (1050, _ARRAY, [""] * ours + ["3.0.4-1", "4.0-1"]),
        (1064, _STRING, ["4.18.0"]),
        (1095, _INT32, [1] * len(names)),
        (1096, _INT32, list(range(1, len(names) + 1))),
        (1097, _ARRAY, [""] * len(names)),
        (1112, _INT32, [8]),
        (1113, _ARRAY, [(f"{epoch}:" if epoch else "") + f"{version}-{release}"]),
        (1116, _INT32, [folders.index(f"/{n.rpartition('/')[0]}/") for n in names]),
        (1117, _ARRAY, [n.rpartition("/")[2] for n in names]),
        (1118, _ARRAY, folders),
        (1124, _STRING, ["cpio"]),
        (1125, _STRING, ["gzip"]),
        (1126, _STRING, ["6"]),
        (5011, _INT32, [8]),
        (5092, _ARRAY, [hashlib.sha256(zipped).hexdigest()]),
        (5093, _INT32, [8]),
    ]
    header = _header(tags, _IMMUTABLE)
    signature = _header(
        [
            (269, _STRING, [hashlib.sha1(header).hexdigest()]),  # noqa: S324 (the format has it)
            (273, _STRING, [hashlib.sha256(header).hexdigest()]),
            (1000, _INT32, [len(header) + len(zipped)]),
            (1004, _BIN, hashlib.md5(header + zipped).digest()),  # noqa: S324 (the format has it)
            (1007, _INT32, [len(payload)]),
        ],
        _SIGNATURES,
    )
    lead = struct.pack(
        "!4sBBhh66shh16s", b"\xed\xab\xee\xdb", 3, 0, 0, 1, f"{ref.name}-{full}".encode()[:65], 1, 5, b""
    )
    path = folder / f"{ref.name}-{full}.{ref.arch}.rpm"
    path.write_bytes(lead + signature + b"\0" * (-len(signature) % 8) + header + zipped)
    return path


def _header(tags: list[tuple[int, int, list[str] | list[int] | bytes]], region: int) -> bytes:
    entries, store = [], b""
    for tag, kind, values in sorted(tags, key=lambda t: t[0]):
        if kind in (_INT16, _INT32):
            width = 2 if kind == _INT16 else 4
            store += b"\0" * (-len(store) % width)
            data = b"".join(int(v).to_bytes(width, "big") for v in values)
        elif isinstance(values, bytes):
            data = values
        else:
            data = b"".join(str(v).encode() + b"\0" for v in values)
        entries.append(struct.pack("!iiii", tag, kind, len(store), len(values)))
        store += data
    # the region tag comes first and covers all entries; its own data, at the end, points back to it
    trailer = struct.pack("!iiii", region, _BIN, -16 * (len(entries) + 1), 16)
    entries.insert(0, struct.pack("!iiii", region, _BIN, len(store), 16))
    store += trailer
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack("!ii", len(entries), len(store)) + b"".join(entries) + store


def _cpio(contents: Mapping[str, bytes], modes: Mapping[str, int]) -> bytes:
    out = io.BytesIO()

    def add(name: str, mode: int, data: bytes, inode: int) -> None:
        encoded = name.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, _MTIME if mode else 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        out.write(b"070701" + b"".join(b"%08x" % f for f in fields) + encoded)
        out.write(b"\0" * (-out.tell() % 4) + data)
        out.write(b"\0" * (-out.tell() % 4))

    for inode, name in enumerate(sorted(contents), 1):
        add(f"./{name}", modes[name], contents[name], inode)
    add("TRAILER!!!", 0, b"", 0)
    return out.getvalue()
