"""The way to production: where the tried bytes are, where they go, and who is told (SD 4.1.1, last paragraph)."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pps.activities.packages.repository_use import PublishedKeys
from pps.activities.ports.packages import Artefacts, BillWriter, PackageReader, TarballLimits, UnpackBudget
from pps.activities.ports.people import Templates
from pps.activities.ports.publication import PublicationFolder
from pps.domain.base.errors import TamperedError
from pps.domain.packages.bill import Carried
from pps.domain.packages.patch import Repository, RepositoryKind

SUITE = "production"
#: Folder of the release notes below the published pages, and how what stands beside them ends.
NOTES = "release-notes"
BILL, LICENCES, VERIFICATION = "cdx.json", "licences", "verification.asc"
#: What of it the record names with a release, and leads to.
BESIDE = ("bill", "licences", "verification")

#: Adds package files to a repository below the production folder; repeating it changes nothing.
#: Arguments: place below the folder, repository, files, now.
Publisher = Callable[[str, Repository, Sequence[pathlib.Path], datetime], None]


@dataclass(frozen=True)
class Beside:
    """With what is written that stands beside the notes of a release."""

    folder: PublicationFolder
    """with the release notes"""
    reader: PackageReader
    limits: TarballLimits
    write_bill: BillWriter
    sign: Callable[[str], str]
    """a text -> the same with the signatures of the keys that sign our repositories"""
    policy: Callable[[str], Sequence[str]]
    """address of an index -> by which decisions in force it is believed, a line each: policies.yaml, and who must sign
    what lies there"""


@dataclass(frozen=True)
class Production:
    """What every release needs, whichever path leads to it."""

    artefacts: Artefacts
    folder: PublicationFolder
    """with the repositories, and the tarballs of clients"""
    publish_packages: Publisher
    templates: Templates
    recipients: Sequence[str]
    """addresses that hear of a release"""
    url: str
    """where sites reach the folder"""
    keys: PublishedKeys
    beside: Beside

    def add_packages(self, provider: Repository, digests: Sequence[str], now: datetime) -> tuple[Carried, ...]:
        """Add kept packages to the repository, by their SHA-256; those that are in it already change nothing.

        Returns what each of them says of itself.
        """
        with verified_copies(self.artefacts, digests) as files:
            self.publish_packages(provider.kind.value, self.source(provider), files, now)
            return tuple(self._carried(file, sha256) for file, sha256 in zip(files, digests, strict=True))

    def _carried(self, file: pathlib.Path, sha256: str) -> Carried:
        budget = UnpackBudget(self.beside.limits.unpacked_bytes_at_most, self.beside.limits.files_at_most)
        with self.beside.reader.open(file, budget) as opened:
            return Carried(opened.ref, sha256, opened.says())

    def source(self, provider: Repository) -> Repository:
        """Where sites find the packages of a patch that is in production, whose provider has this repository."""
        # the provider's suite (a preview, say) is not ours; all packages are in the first component
        kind, components = provider.kind, provider.components[:1]
        suite = SUITE if kind is RepositoryKind.APT else ""
        return Repository(kind, f"{self.url.rstrip('/')}/{kind.value}", suite, components)


@contextmanager
def verified_copies(artefacts: Artefacts, digests: Sequence[str]) -> Iterator[list[pathlib.Path]]:
    """Kept packages as copies of our own, each with its SHA-256: nobody can change them while they are published.

    Raises:
        TamperedError: the store holds something else under a digest.
    """
    with tempfile.TemporaryDirectory(prefix="pps-publish-") as name:
        files = []
        for sha256 in digests:
            kept = artefacts.local_package(sha256)
            folder = pathlib.Path(name) / sha256
            folder.mkdir(exist_ok=True)
            copy = folder / kept.name
            shutil.copyfile(kept, copy)
            with copy.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    why = "has not the digest under which it was kept."
                    raise TamperedError(f"package {kept.name}", why, "Find out who changed it; restore it.")
            files.append(copy)
        yield files
