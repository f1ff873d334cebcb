"""An APT repository: Release -> Packages -> package, each link of the chain checked by sha256.

Layout: https://wiki.debian.org/DebianRepository/Format
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pps.activities.ports import IndexedPackage, UnpackBudget
from pps.adapters.archive import CappedStream, inflating
from pps.adapters.deb import stanza_fields
from pps.adapters.download import TOO_MANY, Downloader
from pps.adapters.signatures import can_read_clear_signed, check_detached, signed_text
from pps.domain.errors import PackageError, RolloutError
from pps.domain.manifest import checked_tree_path
from pps.domain.patches import PackageRef, Repository

_NEXT = "Ask the provider of the repository."
_RELEASE_BYTES = 8 << 20
_INDEX_BYTES = 256 << 20
_INFLATED_INDEX_BYTES = 1 << 30
_STANZA_BYTES = 1 << 20
_COMPRESSIONS = ("xz", "gz", "")


@dataclass(frozen=True)
class AptRepository:
    """An opened repository; its Release file is verified."""

    url: str
    suite: str
    components: tuple[str, ...]
    files: dict[str, tuple[str, int]]
    """path below dists/<suite>/ -> (sha256, size)"""
    by_hash: bool
    download: Downloader

    @classmethod
    def open(cls, repository: Repository, download: Downloader, keyring: Path | None) -> AptRepository:
        """Fetch and verify the Release file."""
        if not repository.suite or not repository.components:
            raise PackageError(
                repository.url, "is an APT repository, but suite or components are missing.", "Correct the patch."
            )
        for name in (repository.suite, *repository.components):
            checked_tree_path(name)
        text = _release(download, f"dists/{repository.suite}", keyring)
        fields = stanza_fields(text)
        files = {
            m[3]: (m[1], int(m[2])) for m in re.finditer(r"^ ([0-9a-f]{64}) +(\d{1,12}) +(\S+)$", text, re.MULTILINE)
        }
        if not files:
            raise PackageError(
                f"{repository.url}, {repository.suite}", "has no sha256 digests in its Release file.", _NEXT
            )
        by_hash = fields.get("acquire-by-hash", "").lower() == "yes"
        return cls(repository.url, repository.suite, repository.components, files, by_hash, download)

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`; memory does not grow with the index."""
        wanted = tuple(refs)
        found = self._found(wanted, set(wanted))
        if missing := [str(ref) for ref in wanted if ref not in found]:
            raise PackageError(
                f"{self.url}, {self.suite}",
                f"does not have {', '.join(missing)}.",
                "Correct the patch, or ask the provider.",
            )
        return tuple(found[ref] for ref in wanted)

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`: of all components and architectures; sources are not in these indexes."""
        return tuple(self._found((), None, at_most).values())

    def _found(
        self, refs: tuple[PackageRef, ...], wanted: set[PackageRef] | None, at_most: int | None = None
    ) -> dict[PackageRef, IndexedPackage]:
        """The packages wanted, or all."""
        found: dict[PackageRef, IndexedPackage] = {}
        for index in self._indexes(refs):
            for package in self._listed(index, wanted):
                if (other := found.setdefault(package.ref, package)).sha256 != package.sha256:
                    raise PackageError(
                        str(package.ref), f"is listed twice with different digests ({other.filename}).", _NEXT
                    )
                if at_most is not None and len(found) > at_most:
                    raise PackageError(f"{self.url}, {self.suite}", f"has more than {at_most} packages.", TOO_MANY)
        return found

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """See `ports.PackageRepository`."""
        return self.download.save(
            package.filename, into / package.filename.rpartition("/")[2], package.size, package.sha256
        )

    def _indexes(self, refs: tuple[PackageRef, ...]) -> Iterator[str]:
        """The Packages files to read: those of the architectures asked for; `all` may stand in any."""
        offered = {m[1] for path in self.files if (m := re.fullmatch(r".+/binary-([^/]+)/Packages(?:\.\w+)?", path))}
        asked = {ref.arch for ref in refs if ref.arch != "all"}
        architectures = sorted((asked | {"all"}) & offered) if asked else sorted(offered)
        for component in self.components:
            for architecture in architectures:
                stem = f"{component}/binary-{architecture}/Packages"
                for compression in _COMPRESSIONS:
                    name = f"{stem}.{compression}" if compression else stem
                    if name in self.files:
                        yield name
                        break

    def _listed(self, index: str, wanted: set[PackageRef] | None) -> Iterator[IndexedPackage]:
        sha256, size = self.files[index]
        if size > _INDEX_BYTES:
            raise PackageError(f"{self.url}/{index}", f"is larger than {_INDEX_BYTES} bytes.", _NEXT)
        folder, _, name = f"dists/{self.suite}/{index}".rpartition("/")
        place = f"{folder}/by-hash/SHA256/{sha256}" if self.by_hash else f"{folder}/{name}"
        with tempfile.TemporaryFile() as file:
            self.download.file(place, file, size, sha256)
            file.seek(0)
            for stanza in _stanzas(f"{self.url}/{index}", file, name.partition(".")[2]):
                if (package := self._package(stanza, wanted)) is not None:
                    yield package

    def _package(self, stanza: str, wanted: set[PackageRef] | None) -> IndexedPackage | None:
        fields = stanza_fields(stanza)
        try:
            ref = PackageRef(fields.get("package", ""), fields.get("version", ""), fields.get("architecture", ""))
        except RolloutError as error:
            if wanted is None and fields:  # whoever wants all must hear that one cannot be had
                raise PackageError(f"{self.url}, {self.suite}", f"cannot be taken whole: {error}", _NEXT) from error
            return None  # somebody else's package with a name that we could never ask for
        if wanted is not None and ref not in wanted:
            return None
        filename, size, sha256 = fields.get("filename", ""), fields.get("size", ""), fields.get("sha256", "")
        if not (re.fullmatch(r"\d{1,15}", size) and re.fullmatch(r"[0-9a-f]{64}", sha256)):
            raise PackageError(str(ref), "has no size or no sha256 in the index.", _NEXT)
        return IndexedPackage(ref, checked_tree_path(filename.removeprefix("./")), int(size), sha256)


def _release(download: Downloader, folder: str, keyring: Path | None) -> str:
    """The text of the Release file; signed by the keyring if there is one."""
    where = f"{download.base}/{folder}"
    if keyring is None or can_read_clear_signed():
        inrelease = download.text(f"{folder}/InRelease", _RELEASE_BYTES)
        if inrelease is not None:
            return signed_text(keyring, where, inrelease) if keyring else inrelease
    release = download.text(f"{folder}/Release", _RELEASE_BYTES)
    if release is None:
        raise PackageError(where, "has neither InRelease nor Release.", "Check URL and suite in the patch.")
    if keyring:
        signature = download.text(f"{folder}/Release.gpg", _RELEASE_BYTES)
        if signature is None:
            raise PackageError(where, "is not signed, but service.yaml asks for a signature.", "Ask the provider.")
        check_detached(keyring, where, release, signature)
    return release


def _stanzas(subject: str, file: BinaryIO, compression: str) -> Iterator[str]:
    stream = CappedStream(subject, inflating(file, compression), UnpackBudget(_INFLATED_INDEX_BYTES, 0))
    rest = b""
    while data := stream.take(1 << 16):
        *whole, rest = (rest + data).split(b"\n\n")
        if len(rest) > _STANZA_BYTES:
            raise PackageError(subject, "is not a Packages file.", _NEXT)
        for stanza in whole:
            yield stanza.decode(errors="replace")
    if rest.strip():
        yield rest.decode(errors="replace")
