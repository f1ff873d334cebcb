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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pps.activities.desk import Desk
from pps.activities.packages.client_tree import ClientTree, Part
from pps.activities.packages.fetching import check_identity, empty_folder, find_packages
from pps.activities.packages.layout import NEVER_BUNDLED_PACKAGES
from pps.activities.ports.packages import (
    Artefacts,
    PackageReader,
    PackageRepositories,
    PackageRepository,
    Tarball,
    TarballLimits,
    UnpackBudget,
)
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, PackageError, TamperedError
from pps.domain.base.texts import one_line
from pps.domain.packages.manifest import Manifest, ManifestEntry, ManifestPackage
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout

#: Any fixed time would do; zero makes GNU tar complain of an implausibly old one.
_MTIME = 1_000_000_000
_REMARKS_AT_MOST = 50


def ensure_tarball(
    desk: Desk,
    *,
    repositories: PackageRepositories,
    reader: PackageReader,
    artefacts: Artefacts,
    limits: TarballLimits,
    workdir: Path,
) -> Tarball:
    """Build the tarball of a rollout once, and record it; a retry finds it in the store.

    A tarball that the store has lost is built again, and must then be the same: sites may have it. What the store
    holds under its name is believed only if it is what was built just now, or what is on record.

    Raises:
        TamperedError: the store holds something else under this name.
    """
    rollout = desk.rollout
    patch = desk.patch
    built = rollout.the(FactKind.TARBALL_BUILT)
    if built is not None and artefacts.find(built.payload["name"]) is not None:
        return whole_tarball_of(rollout, artefacts)
    remarks: list[str] = []
    repository = repositories.open(patch.repository)
    tarball = build_tarball(
        patch,
        repository,
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
    kept = artefacts.find(tarball.name)
    if kept is not None and kept != tarball:
        # another rollout of the same packages was first, perhaps with another zlib: the same content in other bytes
        if kept not in tarballs_on_record(desk.facts, tarball.name):
            raise TamperedError(
                tarball.name,
                "is in the artefact store already, with content that no rollout has on record.",
                "Find out who put it there; then remove that folder, and clear the task build_tarball.",
            )
        tarball = kept
    _must_be_whole(tarball, artefacts)
    if built is not None and dict(built.payload["files"]) == dict(tarball.files):
        return tarball
    payload = {
        "name": tarball.name,
        "digest": tarball.digest,
        "files": dict(tarball.files),
        "size": tarball.size,
        "packages": list(tarball.packages),
        "remarks": [one_line(remark, 1000) for remark in remarks[:_REMARKS_AT_MOST]],
        "index": repository.index.written(),
    }
    occasion = desk.next_occasion(FactKind.TARBALL_BUILT)  # built again: the same MANIFEST, packed by another zlib
    desk.record(desk.fact(FactKind.TARBALL_BUILT, "", occasion, payload))
    return tarball


# --- what is on record, and what the store holds ---------------------------------------------------------------------

_RESTORE = (
    "Find out who changed it. Restore that folder from the backup, or remove it and clear the task build_tarball."
)


def tarball_on_record(rollout: Rollout) -> Tarball:
    """The tarball that was built for a rollout, as the record describes it; nobody asks the store.

    Raises:
        NotYetAllowedError: there is none yet.
        TamperedError: the record has no digest of it, so nothing could be compared with it.
    """
    return _on_record(rollout.need(FactKind.TARBALL_BUILT, "Build the tarball first.").payload, rollout.name)


def _on_record(payload: Mapping[str, Any], rollout: str) -> Tarball:
    if not (isinstance(payload.get("digest"), str) and len(payload["digest"]) == 64):
        raise TamperedError(
            f"{rollout}, {payload.get('name')}", "has no digest on record.", "Start a new rollout of the patch."
        )
    return _as_recorded(payload)


def _as_recorded(payload: Mapping[str, Any]) -> Tarball:
    return Tarball(
        payload["name"],
        payload["digest"],
        dict(payload.get("files", {})),
        int(payload.get("size", 0)),
        tuple(payload.get("packages", ())),
    )


def tarballs_on_record(facts: Facts, name: str) -> tuple[Tarball, ...]:
    """What any rollout has on record under a tarball's name, in the order of recording."""
    found = facts.with_payload(FactKind.TARBALL_BUILT, "name", [name])
    return tuple(_on_record(fact.payload, fact.rollout) for fact in found)


def tarball_of(rollout: Rollout, artefacts: Artefacts) -> Tarball:
    """The tarball that was built for a rollout, as the record has it, after a look at what the store says of it.

    Where the record names no files (this product wrote no such record), the store's list of them is taken: each is
    still held against MANIFEST, and that against the digest on record.

    Raises:
        NotYetAllowedError: there is none yet, or the store lost it.
        TamperedError: the store describes another one.
    """
    return checked(tarball_on_record(rollout), artefacts)


def checked(recorded: Tarball, artefacts: Artefacts) -> Tarball:
    """See `tarball_of`."""
    kept = artefacts.find(recorded.name)
    if kept is None:
        why = "is not in the artefact store."
        raise NotYetAllowedError(recorded.name, why, "Clear the task build_tarball of its rollout.")
    if kept.digest != recorded.digest:
        why = f"has the digest {kept.digest[:12]} in the artefact store, {recorded.digest[:12]} on record."
        raise TamperedError(recorded.name, why, _RESTORE)
    if not recorded.files:
        return kept
    if differing := sorted(dict(kept.files).items() ^ dict(recorded.files).items()):
        names = ", ".join(dict.fromkeys(name[:80] for name, _ in differing))
        why = f"is described otherwise in the artefact store than on record ({names})."
        raise TamperedError(recorded.name, why, _RESTORE)
    return recorded


def whole_tarball_of(rollout: Rollout, artefacts: Artefacts) -> Tarball:
    """As `tarball_of`, with every byte of its files compared."""
    return _must_be_whole(tarball_of(rollout, artefacts), artefacts)


def _must_be_whole(tarball: Tarball, artefacts: Artefacts) -> Tarball:
    manifest_of(tarball, artefacts)
    for name in tarball.files:
        file_of(tarball, name, artefacts)
    return tarball


def manifest_of(tarball: Tarball, artefacts: Artefacts) -> Manifest:
    """The MANIFEST of a tarball, which must have the tarball's digest."""
    with _read(tarball, "MANIFEST"), artefacts.open(tarball.name, "MANIFEST") as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != tarball.digest:
        raise TamperedError(f"{tarball.name}, MANIFEST", "has not the digest on record.", _RESTORE)
    return Manifest.parse(data.decode())


def file_of(tarball: Tarball, name: str, artefacts: Artefacts) -> Path:
    """A local copy of one of a tarball's files, which must have the digest that is on record for it."""
    with _read(tarball, name):
        path = artefacts.local(tarball.name, name)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != tarball.files.get(name):
        raise TamperedError(f"{tarball.name}, {name}", "has not the digest on record.", _RESTORE)
    return path


@contextmanager
def _read(tarball: Tarball, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TamperedError(
            f"{tarball.name}, {name}", f"is gone, or cannot be read ({error.strerror}).", _RESTORE
        ) from error


def build_tarball(
    patch: Patch,
    repository: PackageRepository,
    *,
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
    indexed = find_packages(patch, repository, limits)
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
    return tarball


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


def _write_part(path: Path, entries: Iterator[ManifestEntry], tree: ClientTree) -> str:
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
