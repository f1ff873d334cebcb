"""What is sent to a site: one tar.gz, built once for each pair of versions, however many sites wait for it.

```text
PPS-PAYLOAD 2 <bytes of what follows> <bytes of MANIFEST>
```

and then the tar.gz itself:

```text
.pps-new/MANIFEST
.pps-new/bin/tool          file that the site does not have
.pps-new/lib/libnew.so     symbolic link
```

Nothing else: the receiver knows from MANIFEST which folders to make, and which files to link from the preview that the
site holds (those that were not sent). So no member can reach out of the new tree.

Nothing is believed on the way: each part of the tarball must have the digest on record, each file in it the digest
of MANIFEST, and a payload that was built before is read again before it is sent.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import logging
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from pps.activities.packages.tarball import file_of
from pps.activities.ports.packages import Artefacts, Tarball
from pps.domain.base.errors import PackageError
from pps.domain.packages.manifest import Manifest, ManifestEntry

log = logging.getLogger(__name__)

MANIFEST = "MANIFEST"
_TREE = ".pps-new/"
_LEVEL = 6
_HEAD = "PPS-PAYLOAD 2 {packed:12d} {manifest:8d}\n"
_WORTH_A_PROCESS = 65536


def links_into(manifest: Manifest, base: Manifest) -> dict[str, str]:
    """Files that need not be sent: path -> path in the base of a file with the same content and mode."""
    held = {(e.sha256, e.mode): path for path, e in base.files.items() if not _may_have_changed(path)}
    same = {(path, e.sha256, e.mode) for path, e in base.files.items() if not _may_have_changed(path)}
    found = {
        path: path if (path, e.sha256, e.mode) in same else held[e.sha256, e.mode]
        for path, e in manifest.files.items()
        if (e.sha256, e.mode) in held
    }
    # A file with another name costs the site a process, so a small one is sent.
    return {
        path: source
        for path, source in found.items()
        if posixpath.basename(path) == posixpath.basename(source) or manifest.files[path].size >= _WORTH_A_PROCESS
    }


def _may_have_changed(path: str) -> bool:
    """Byte code that was shipped: Python writes it anew when the preview is used (scripts/manifest_check.sh)."""
    return path.endswith((".pyc", ".pyo"))


def prepare_payload(
    tarball: Tarball, manifest: Manifest, base: Manifest | None, artefacts: Artefacts, cache: Path
) -> Path:
    """Build what a site needs, or return what was built before and is still that; the same bytes on every machine.

    Memory does not grow with the tarball. Two processes may call this at once: one builds.

    Args:
        tarball: as it is on record.
        base: the preview that the site holds, or None to send everything.

    Raises:
        TamperedError: a part in the store does not have the digest on record.
        PackageError: the parts in the store do not hold what MANIFEST says.
    """
    path = cache / f"{tarball.name}.{f'from-{base.digest[:12]}' if base else 'full'}.payload"
    links = links_into(manifest, base) if base else {}
    if is_sound(path, manifest, links):
        return path
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    # no link that somebody has put there is followed
    lock = os.open(cache / f".{path.name}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_sound(path, manifest, links):
            aside = cache / f".{path.name}.part"
            parts = [file_of(tarball, name, artefacts) for name in sorted(tarball.files) if name != MANIFEST]
            aside.unlink(missing_ok=True)
            text = manifest.text.encode()
            with aside.open("xb") as file:
                file.write(_head(0, text))
                begin = file.tell()
                _write(file, manifest, text, links, parts)
                packed = file.tell() - begin
                file.seek(0)
                file.write(_head(packed, text))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
    finally:
        os.close(lock)
    return path


def _head(packed: int, manifest: bytes) -> bytes:
    return _HEAD.format(packed=packed, manifest=len(manifest)).encode()


def is_sound(path: Path, manifest: Manifest, links: Mapping[str, str]) -> bool:
    """Tell whether a payload in the cache is there, and holds what MANIFEST says and nothing else."""
    text = manifest.text.encode()
    try:
        with path.open("rb") as file:
            size = len(_head(0, text))
            if file.read(size) != _head(path.stat().st_size - size, text):
                raise ValueError("it begins with another line")
            with gzip.open(file) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as source:
                _must_hold(source, manifest, links)
                # what follows the archive's end must be sound, too: gzip's own checksum is there
                while unpacked.read(1 << 20).strip(b"\0"):
                    raise ValueError("something follows the archive")
    except FileNotFoundError:
        return False
    except (tarfile.TarError, EOFError, OSError, zlib.error, KeyError, ValueError) as error:
        log.warning("%s is not what was built (%s); it is built again", path, error)
        return False
    return True


def _must_hold(source: tarfile.TarFile, manifest: Manifest, links: Mapping[str, str]) -> None:
    entries = {entry.path: entry for entry in manifest.entries}
    seen: set[str] = set()
    for member in source:
        source.members = []  # type: ignore[attr-defined]  # else it remembers every one
        path = member.name.removeprefix(_TREE)
        entry = ManifestEntry(MANIFEST, "f", 0o644) if path == MANIFEST else entries[path]
        sha256 = manifest.digest if path == MANIFEST else entry.sha256
        if path in seen or path in links or member.mode != entry.mode:
            raise ValueError(f"{path} is there twice, or with another mode, or should not be")
        seen.add(path)
        if member.isreg():
            content = _Hashing(source.extractfile(member))
            while content.read(1 << 20):
                pass
            same = entry.kind == "f" and content.digest.hexdigest() == sha256
        else:
            same = entry.kind == "l" and member.issym() and member.linkname == entry.target
        if not same:
            raise ValueError(f"{path} differs")
    symbolic = {entry.path for entry in manifest.entries if entry.kind == "l"}
    if missing := {MANIFEST, *manifest.files, *symbolic} - links.keys() - seen:
        raise ValueError(f"{min(missing)} is missing")


def _write(file: IO[bytes], manifest: Manifest, text: bytes, links: Mapping[str, str], parts: Iterable[Path]) -> None:
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as out,
    ):
        out.addfile(_info(ManifestEntry(MANIFEST, "f", 0o644, len(text))), io.BytesIO(text))
        missing = manifest.files.keys() - links.keys()
        for part in parts:
            missing -= _copy(part, out, {p: manifest.files[p] for p in missing})
        if missing:
            raise PackageError(
                manifest.name, f"lacks {len(missing)} files of its MANIFEST, e.g. {min(missing)!r}.", "Build it again."
            )
        for entry in manifest.entries:
            if entry.kind == "l":
                info = _info(entry, tarfile.SYMTYPE)
                info.linkname = entry.target
                _add(out, info)


def _copy(part: Path, out: tarfile.TarFile, wanted: dict[str, ManifestEntry]) -> set[str]:
    """Copy the wanted files of one part, each checked against MANIFEST; return their paths."""
    copied: set[str] = set()
    try:
        # Not "r|gz": that inflates a whole block at once, a thousandfold if it is of zeros.
        with gzip.open(part) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as source:
            for member in source:
                source.members = []  # type: ignore[attr-defined]  # else it remembers every one
                path = member.name.removeprefix("./")
                entry = wanted.get(path)
                if entry is None or path in copied or not member.isreg():
                    continue
                content = _Hashing(source.extractfile(member))
                info = _info(entry)
                info.mtime = member.mtime
                if member.size != entry.size:
                    raise PackageError(
                        f"{path} in {part.name}", "has another size than MANIFEST says.", "Build the tarball again."
                    )
                _add(out, info, content)
                if content.digest.hexdigest() != entry.sha256:
                    raise PackageError(
                        f"{path} in {part.name}", "has another content than MANIFEST says.", "Build the tarball again."
                    )
                copied.add(path)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PackageError(part.name, f"cannot be read ({error}).", "Build the tarball again.") from error
    return copied


def _info(entry: ManifestEntry, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(_TREE + entry.path)
    info.type, info.mode, info.size = kind, entry.mode, entry.size if kind == tarfile.REGTYPE else 0
    info.mtime = 946684800  # 2000-01-01: any fixed time; tar grumbles about 1970
    return info


def _add(out: tarfile.TarFile, info: tarfile.TarInfo, content: IO[bytes] | _Hashing | None = None) -> None:
    out.addfile(info, content)
    out.members = []  # type: ignore[attr-defined]  # else it remembers every one


class _Hashing:
    """Reads a file and computes the digest of what was read."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size) if self._file is not None else b""
        self.digest.update(data)
        return data
