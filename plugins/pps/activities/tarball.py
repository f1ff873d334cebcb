"""SD 4.1.1, step 1: creation of the tarball.

The packages that the patch names become one relocatable client in two parts, middleware and
external, with a MANIFEST that names every file. Equal packages give equal bytes, on any day and
under any account: entries are sorted, times fixed, owners and modes plain.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from pps.activities.client_tree import ClientTree, Part
from pps.activities.layout import NEVER_BUNDLED_PACKAGES
from pps.activities.packages import check_identity, empty_folder, find_packages
from pps.activities.ports import (
    Artefacts,
    Facts,
    PackageReader,
    PackageRepositories,
    Tarball,
    TarballLimits,
    UnpackBudget,
)
from pps.domain.errors import NotYetAllowedError, PackageError
from pps.domain.facts import Fact, FactKind
from pps.domain.manifest import Entry, Manifest, ManifestPackage
from pps.domain.patches import Patch
from pps.domain.rollouts import Rollout
from pps.domain.texts import one_line

#: Any fixed time would do; zero makes GNU tar complain of an implausibly old one.
_MTIME = 1_000_000_000
_REMARKS_AT_MOST = 50


def ensure_tarball(
    rollout: Rollout,
    patch: Patch,
    *,
    facts: Facts,
    repositories: PackageRepositories,
    reader: PackageReader,
    artefacts: Artefacts,
    limits: TarballLimits,
    workdir: Path,
    now: datetime,
    actor: str,
) -> Tarball:
    """Build the tarball of a rollout once, and record it; a retry finds it in the store.

    A tarball that the store has lost is built again, and must then be the same: sites may have it.
    """
    built = rollout.the(FactKind.TARBALL_BUILT)
    if built is not None and (kept := artefacts.find(built.payload["name"])) is not None:
        return kept
    remarks: list[str] = []
    tarball = build_tarball(
        patch,
        repositories=repositories,
        reader=reader,
        artefacts=artefacts,
        limits=limits,
        workdir=workdir,
        remarks=remarks,
    )
    if built is not None and built.payload["digest"] != tarball.digest:
        raise PackageError(
            patch.subject,
            f"gives {tarball.name} now, but {built.payload['name']} was built before: packages or layout have changed.",
            "Give the change a new version, and start a new rollout.",
        )
    payload = {
        "name": tarball.name,
        "digest": tarball.digest,
        "files": dict(tarball.files),
        "size": tarball.size,
        "packages": list(tarball.packages),
        "remarks": [one_line(remark, 1000) for remark in remarks[:_REMARKS_AT_MOST]],
    }
    facts.record(Fact(rollout.name, FactKind.TARBALL_BUILT, "", "", now, actor, payload))
    return tarball


def tarball_of(rollout: Rollout, artefacts: Artefacts) -> Tarball:
    """The tarball that was built for a rollout; `NotYetAllowedError` while there is none, or the store lost it."""
    name = rollout.need(FactKind.TARBALL_BUILT, "Build the tarball first.").payload["name"]
    kept = artefacts.find(name)
    if kept is None:
        raise NotYetAllowedError(rollout.name, f"{name} is not in the artefact store.", "Clear the task build_tarball.")
    return kept


def build_tarball(
    patch: Patch,
    *,
    repositories: PackageRepositories,
    reader: PackageReader,
    artefacts: Artefacts,
    limits: TarballLimits,
    workdir: Path,
    remarks: list[str] | None = None,
) -> Tarball:
    """Download, verify, lay out, pack and keep; needs room for the packages and the tree below `workdir`.

    Args:
        remarks: what people should know of the client is added here.

    Raises `PackageError` (`HostileArchiveError`) with a sentence; nothing is kept in the store then.
    """
    _refuse_libc(patch)
    repository, indexed = find_packages(patch, repositories, limits)
    with empty_folder(workdir) as work:
        middleware = {p.ref for p in indexed[: len(patch.packages)]}
        # not the patch's order: the same set of packages must give the same tree
        ordered = sorted(indexed, key=lambda p: (p.ref not in middleware, p.ref.name, p.ref.version, p.ref.arch))
        tree = ClientTree(work / "files", UnpackBudget(limits.unpacked_bytes_at_most, limits.files_at_most))
        kept: list[tuple[Path, str]] = []
        packages: list[ManifestPackage] = []
        for package in ordered:
            part: Part = "middleware" if package.ref in middleware else "external"
            folder = work / "packages" / package.sha256
            folder.mkdir(parents=True)
            path = repository.fetch(package, folder)
            with reader.open(path, tree.budget) as opened:
                check_identity(package, opened)
                tree.lay_out(opened, part)
            packages.append(ManifestPackage(part, package.ref, package.sha256))
            kept.append((path, package.sha256))
        tree.finish()
        if remarks is not None:
            remarks += tree.remarks
        manifest = Manifest(patch.metapackage, patch.version, tuple(packages), tuple(tree.entries()))
        tarball = _pack(manifest, tree, work / "tarball")
        for path, sha256 in kept:
            artefacts.keep_package(path, sha256)
        artefacts.keep(tarball, work / "tarball")
    return artefacts.find(tarball.name) or tarball


def _refuse_libc(patch: Patch) -> None:
    if found := sorted({r.name for r in (*patch.packages, *patch.externals)} & NEVER_BUNDLED_PACKAGES):
        raise PackageError(
            patch.subject,
            f"would bundle {', '.join(found)}: the C library is the site's own.",
            "Take it out of the patch.",
        )


def _pack(manifest: Manifest, tree: ClientTree, folder: Path) -> Tarball:
    """Write MANIFEST and both parts into a folder."""
    folder.mkdir()
    (folder / "MANIFEST").write_bytes(manifest.text.encode())
    stem = f"{manifest.metapackage}-PPS-{manifest.version}"
    parts: dict[str, Part] = {f"{stem}.tar.gz": "middleware", f"{stem}-external.tar.gz": "external"}
    files = {"MANIFEST": manifest.digest}
    for name, part in parts.items():
        entries = (e for e in manifest.entries if part in tree.parts_of(e.path))
        files[name] = _write_part(folder / name, entries, tree)
    size = sum((folder / name).stat().st_size for name in parts)
    return Tarball(manifest.name, manifest.digest, files, size, tuple(str(p.ref) for p in manifest.packages))


class _Hashing(io.RawIOBase):
    """A file to write to that knows the digest of what went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        """Write and hash."""
        view = bytes(data)  # type: ignore[call-overload]
        self.digest.update(view)
        return self._file.write(view)


def _write_part(path: Path, entries: Iterator[Entry], tree: ClientTree) -> str:
    """Write one canonical .tar.gz; returns its sha256.

    GNU format, since every tar at a site knows its long names; ustar where names are short.
    """
    with path.open("wb") as file:
        out = _Hashing(file)
        with (
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive,
        ):
            for entry in entries:
                info = tarfile.TarInfo(entry.path)
                info.mode, info.mtime = entry.mode, _MTIME
                if entry.kind == "f":
                    info.size = entry.size
                    with tree.content(entry.sha256) as content:
                        archive.addfile(info, content)
                    continue
                info.type, info.linkname = (
                    (tarfile.DIRTYPE, "") if entry.kind == "d" else (tarfile.SYMTYPE, entry.target)
                )
                archive.addfile(info)
    return out.digest.hexdigest()
