"""An APT repository: Release -> Packages -> package, each link of the chain checked by digest.

Layout: https://wiki.debian.org/DebianRepository/Format; where that leaves room, as APT 2.6 does.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from pps.activities.ports.packages import IndexedPackage, UnpackBudget
from pps.adapters.packages.archive import CappedStream, inflating
from pps.adapters.packages.download import TOO_MANY, Downloader, NotServedError
from pps.adapters.packages.signatures import check_detached, signed_text
from pps.adapters.packages.stanzas import Stanza, stanzas
from pps.domain.base.digests import STRONG, Digest, strong_digest, why_no_digest
from pps.domain.base.errors import PackageError, RolloutError, ServiceError
from pps.domain.packages.manifest import checked_tree_path
from pps.domain.packages.patch import PackageRef, Repository
from pps.domain.packages.release_files import reasons_against_release
from pps.domain.packages.repository_trust import Trust
from pps.domain.packages.verified_index import VerifiedIndex

_NEXT = "Ask the provider of the repository."
_RELEASE_BYTES = 8 << 20
_INDEX_BYTES = 256 << 20
_INFLATED_INDEX_BYTES = 512 << 20
#: Packages whose sha256 the index does not know are read once to learn it.
_UNKNOWN_BYTES = 8 << 30
#: The best first.
_COMPRESSIONS = ("xz", "zst", "gz", "bz2", "lzma", "")
_DIGESTS = {algorithm: algorithm.upper() for algorithm in STRONG}
_RELEASE_FIELDS = frozenset(("suite", "codename", "date", "valid-until", "acquire-by-hash", "md5sum", "sha1", *STRONG))
_IDENTITY = ("package", "version", "architecture", "filename", "size", *STRONG)
_PACKAGE_FIELDS = frozenset((*_IDENTITY, "md5sum", "sha1"))


@dataclass(frozen=True)
class AptRepository:
    """An opened repository; its Release file is verified."""

    url: str
    suite: str
    components: tuple[str, ...]
    files: dict[str, tuple[Digest, int]]
    """path below the folder of Release -> (digest, size)"""
    by_hash: bool
    download: Downloader
    index: VerifiedIndex
    folder: str = ""
    """of Release, with a `/` at its end; empty where that is the repository itself"""

    @classmethod
    def open(cls, repository: Repository, download: Downloader, trust: Trust, now: datetime) -> AptRepository:
        """Fetch and verify the Release file."""
        flat = repository.suite.endswith("/")
        if not repository.suite or flat == bool(repository.components):
            raise PackageError(
                repository.url,
                "is an APT repository, but its suite or components are missing; only a flat one, whose suite ends "
                "with /, has no components.",
                "Correct the patch.",
            )
        suite = repository.suite.removeprefix("./").strip("/") if flat else repository.suite
        for name in (*((suite,) if suite else ()), *repository.components):
            checked_tree_path(name)
        folder = (f"{suite}/" if suite else "") if flat else f"dists/{suite}/"
        subject = f"{repository.url}, {repository.suite}"
        text, index = _release(download, folder, subject, trust, now)
        fields = _only_stanza(f"{subject}, Release", text)
        if reasons := reasons_against_release(
            {n: fields.one_line(n) for n in ("suite", "codename", "date", "valid-until")},
            repository.suite,
            now,
            signed=trust.keyring is not None,
        ):
            raise PackageError(subject, f"has a Release file that may not be used. {' '.join(reasons)}", _NEXT)
        files = _listed_files(subject, fields)
        if not files:
            given = [name for name in ("md5sum", "sha1") if name in fields.fields]
            raise PackageError(subject, f"has a Release file whose content {why_no_digest(given)}.", _NEXT)
        by_hash = fields.one_line("acquire-by-hash").lower() == "yes"
        return cls(repository.url, repository.suite, repository.components, files, by_hash, download, index, folder)

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`; memory does not grow with the index."""
        wanted = tuple(refs)
        indexes = self._indexes(wanted)
        found = self._found(indexes, set(wanted))
        if missing := [str(ref) for ref in wanted if ref not in found]:
            next_step = "Correct the patch, or ask the provider."
            why = f"does not have {', '.join(missing)}."
            if indexes.problems:  # then it may have them all the same
                why, next_step = f"cannot be asked for {', '.join(missing)}: {' '.join(indexes.problems)}", _NEXT
            raise PackageError(f"{self.url}, {self.suite}", why, next_step)
        return tuple(found[ref] for ref in wanted)

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`: of all components and architectures; sources are not in these indexes."""
        indexes = self._indexes(())
        if indexes.problems:
            raise PackageError(
                f"{self.url}, {self.suite}", f"cannot be taken whole: {' '.join(indexes.problems)}", _NEXT
            )
        return tuple(self._found(indexes, None, at_most).values())

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """See `ports.PackageRepository`."""
        return self.download.save(
            package.filename, into / package.filename.rpartition("/")[2], package.size, package.sha256
        )

    def save_index(self, arch: str, into: Path) -> tuple[Path, ...]:
        """See `ports.PackageRepository`."""
        saved: list[Path] = []
        for stem, forms in self._indexes((PackageRef("any", "0", arch),)).forms.items():
            with tempfile.TemporaryFile() as file:
                path = self._first_served(stem, forms, file)
                saved.append(into / f"{len(saved)}.Packages")
                inflate(f"{self.url}/{path}", file, path.rpartition("/")[2].partition(".")[2], saved[-1])
        return tuple(saved)

    def save_file_list(self, into: Path) -> Path | None:
        """See `ports.PackageRepository`; Debian's packages depend on no files."""
        return None

    def _found(
        self, indexes: _Indexes, wanted: set[PackageRef] | None, at_most: int | None = None
    ) -> dict[PackageRef, IndexedPackage]:
        """The packages wanted, or all."""
        found: dict[PackageRef, tuple[IndexedPackage, Digest]] = {}
        for stem, forms in indexes.forms.items():
            for package, digest in self._listed(stem, forms, wanted):
                other, known = found.setdefault(package.ref, (package, digest))
                if digest.algorithm == known.algorithm and digest != known:
                    raise PackageError(
                        str(package.ref), f"is listed twice with different digests ({other.filename}).", _NEXT
                    )
                if at_most is not None and len(found) > at_most:
                    raise PackageError(f"{self.url}, {self.suite}", f"has more than {at_most} packages.", TOO_MANY)
        return with_sha256(self.download, found)

    def _indexes(self, refs: tuple[PackageRef, ...]) -> _Indexes:
        """The Packages files to read: those of the architectures asked for; `all` may stand in any."""
        offered: dict[tuple[str, str], dict[str, str]] = {}
        for path in self.files:
            match = re.fullmatch(r"(?:(.+)/binary-([^/]+)/)?Packages(?:\.([^/.]+))?", path)
            if match and (match[1] is None) == (not self.components):
                offered.setdefault((match[1] or "", match[2] or ""), {})[match[3] or ""] = path
        asked = {ref.arch for ref in refs if ref.arch != "all"}
        indexes = _Indexes()
        for component in self.components or ("",):
            here = {architecture: forms for (c, architecture), forms in offered.items() if c == component}
            if not here:
                where = f"the component {component}" if component else "any package"
                has = sorted({c for c, _ in offered if c})
                also = f" It has {', '.join(has[:10])}." if has else ""
                indexes.problems.append(f"Its Release file lists no index of {where}.{also}")
            for architecture in sorted(here):
                if self.components and asked and architecture not in asked | {"all"}:
                    continue
                forms = here[architecture]
                stem = f"{component}/binary-{architecture}" if component else "Packages"
                if readable := [forms[c] for c in _COMPRESSIONS if c in forms]:
                    indexes.forms[stem] = readable
                else:
                    read = ", ".join(f".{c}" if c else "plain" for c in _COMPRESSIONS)
                    indexes.problems.append(
                        f"The index of {stem} is there only as {', '.join(sorted(forms.values()))}, in a form that is "
                        f"not read here (what is read: {read})."
                    )
        return indexes

    def _listed(
        self, stem: str, forms: list[str], wanted: set[PackageRef] | None
    ) -> Iterator[tuple[IndexedPackage, Digest]]:
        with tempfile.TemporaryFile() as file:
            path = self._first_served(stem, forms, file)
            name = path.rpartition("/")[2]
            subject = f"{self.url}/{self.folder}{path}"
            stream = CappedStream(
                subject, inflating(file, name.partition(".")[2]), UnpackBudget(_INFLATED_INDEX_BYTES, 0)
            )
            for stanza in stanzas(stream, _PACKAGE_FIELDS):
                if (package := self._package(subject, stanza, wanted)) is not None:
                    yield package

    def _first_served(self, stem: str, forms: list[str], file: BinaryIO) -> str:
        """Fetch the first form of an index that is served, by digest or by name; return its path."""
        tried = []
        for path in forms:
            digest, size = self.files[path]
            if size > _INDEX_BYTES:
                raise PackageError(f"{self.url}/{path}", f"is larger than {_INDEX_BYTES} bytes.", _NEXT)
            folder = path.rpartition("/")[0]
            hashed = f"{folder}/by-hash" if folder else "by-hash"
            places = [f"{hashed}/{_DIGESTS[digest.algorithm]}/{digest.value}"] if self.by_hash else []
            for place in (*places, path):
                file.seek(0)
                file.truncate()
                try:
                    self.download.file(f"{self.folder}{place}", file, size, digest)
                except NotServedError as error:
                    tried.append(f"{place} ({error.status})")
                else:
                    file.seek(0)
                    return path
        raise PackageError(
            f"{self.url}, {self.suite}",
            f"does not serve the index of {stem} that its Release file lists. Tried: {', '.join(tried)}.",
            _NEXT,
        )

    def _package(
        self, subject: str, stanza: Stanza, wanted: set[PackageRef] | None
    ) -> tuple[IndexedPackage, Digest] | None:
        name = stanza.one_line("package")
        if twice := [n for n in stanza.twice if n in _IDENTITY]:
            raise PackageError(
                subject,
                f"has a stanza ({name[:60] or 'without a name'}) with the field {twice[0].capitalize()} twice; a line "
                "of blanks does not end a stanza.",
                _NEXT,
            )
        try:
            ref = PackageRef(name, stanza.one_line("version"), stanza.one_line("architecture"))
        except RolloutError as error:
            if wanted is None:  # whoever wants all must hear that one cannot be had
                raise PackageError(f"{self.url}, {self.suite}", f"cannot be taken whole: {error}", _NEXT) from error
            return None  # somebody else's package with a name that we could never ask for
        if wanted is not None and ref not in wanted:
            return None
        if stanza.twice:
            raise PackageError(str(ref), f"has the field {stanza.twice[0]!r} twice in the index.", _NEXT)
        size, filename = stanza.one_line("size"), stanza.one_line("filename").removeprefix("./")
        if not re.fullmatch(r"\d{1,15}", size) or not filename:
            raise PackageError(str(ref), "has no size or no file name in the index.", _NEXT)
        given = {n: stanza.one_line(n) for n in (*STRONG, "sha1", "md5sum") if stanza.one_line(n)}
        digest = next((d for n in STRONG if n in given and (d := strong_digest(n, given[n]))), None)
        if digest is None:
            raise PackageError(str(ref), f"{why_no_digest(list(given))}.", _NEXT)
        sha256 = digest.value if digest.algorithm == "sha256" else ""
        return IndexedPackage(ref, checked_tree_path(filename), int(size), sha256), digest


def inflate(subject: str, file: BinaryIO, form: str, to: Path) -> None:
    """Write an index as its plain text."""
    stream = CappedStream(subject, inflating(file, form), UnpackBudget(_INFLATED_INDEX_BYTES, 0))
    with to.open("xb") as plain:
        plain.writelines(iter(lambda: stream.take(1 << 16), b""))


@dataclass
class _Indexes:
    """Which indexes are read, and why others are not."""

    forms: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def with_sha256(
    download: Downloader, found: dict[PackageRef, tuple[IndexedPackage, Digest]]
) -> dict[PackageRef, IndexedPackage]:
    """The packages, each with the sha256 by which we keep it: one that is named by sha512 alone is read to learn it."""
    unknown = [package for package, digest in found.values() if digest.algorithm != "sha256"]
    if sum(p.size for p in unknown) > _UNKNOWN_BYTES:
        raise PackageError(
            download.base,
            f"names packages of more than {_UNKNOWN_BYTES} bytes in all by digests other than sha256.",
            "Ask the provider for an index with sha256.",
        )
    whole = {}
    for ref, (package, digest) in found.items():
        sha256 = package.sha256 or download.file(package.filename, None, package.size, digest, base=package.base)
        whole[ref] = replace(package, sha256=sha256)
    return whole


def _release(download: Downloader, folder: str, subject: str, trust: Trust, now: datetime) -> tuple[str, VerifiedIndex]:
    """The text of the Release file; signed by a key of the keyring if there is one.

    A server that does not give InRelease, whatever it answers, is asked for Release and Release.gpg, as APT does. But
    an InRelease that is there and not rightly signed is refused.
    """
    tried: list[str] = []
    signers: tuple[str, ...] = ()
    inrelease: str | None = None
    try:
        inrelease = download.text(f"{folder}InRelease", _RELEASE_BYTES)
    except NotServedError as error:
        tried.append(f"InRelease ({error.status})")
    except ServiceError as error:  # is it this file alone, or the server?
        tried.append(f"InRelease ({error.why.rstrip('.')})")
    if inrelease is not None:
        if trust.keyring:
            text, signers = signed_text(trust.keyring, subject, inrelease, now)
        else:
            text = _unwrapped(inrelease)
        return text, verified_index(download, f"{folder}InRelease", inrelease, signers)
    try:
        release = download.text(f"{folder}Release", _RELEASE_BYTES)
    except NotServedError as error:
        raise PackageError(
            f"{download.base}/{folder}",
            f"has no Release file: {', '.join([*tried, f'Release ({error.status})'])}.",
            "Check URL and suite in the patch; for a YUM repository, change its kind there.",
        ) from error
    if trust.keyring:
        try:
            signature = download.text(f"{folder}Release.gpg", _RELEASE_BYTES)
        except NotServedError as error:
            raise PackageError(
                subject,
                "is not signed, but service.yaml asks for a signature. Tried: "
                f"{', '.join([*tried, f'Release.gpg ({error.status})'])}.",
                "Ask the provider.",
            ) from error
        signers = check_detached(trust.keyring, subject, release, signature, now)
    return release, verified_index(download, f"{folder}Release", release, signers)


def verified_index(download: Downloader, file: str, text: str, signers: tuple[str, ...]) -> VerifiedIndex:
    """What goes on record of an index file, by its place below the repository."""
    return VerifiedIndex(f"{download.base}/{file}", hashlib.sha256(text.encode()).hexdigest(), signers)


def _unwrapped(inrelease: str) -> str:
    """The text of a clear-signed file whose signature nobody asks for."""
    text = inrelease.replace("\r\n", "\n")
    if not text.startswith("-----BEGIN PGP SIGNED MESSAGE-----\n"):
        return text
    body = text.partition("\n\n")[2].partition("\n-----BEGIN PGP SIGNATURE-----")[0]
    return re.sub(r"^- ", "", body, flags=re.MULTILINE) + "\n"


def _only_stanza(subject: str, text: str) -> Stanza:
    stream = CappedStream(subject, io.BytesIO(text.encode()), UnpackBudget(_RELEASE_BYTES, 0))
    found = list(stanzas(stream, _RELEASE_FIELDS, _RELEASE_BYTES))
    if len(found) != 1 or (twice := [n for n in found[0].twice if n in _RELEASE_FIELDS]):
        why = (
            f"has the field {twice[0].capitalize()} twice"
            if len(found) == 1
            else f"has {len(found)} paragraphs, not one"
        )
        raise PackageError(subject, f"{why}.", _NEXT)
    return found[0]


def _listed_files(subject: str, release: Stanza) -> dict[str, tuple[Digest, int]]:
    files: dict[str, tuple[Digest, int]] = {}
    for algorithm in STRONG:
        for line in release.lines(algorithm):
            value, size, path = [*line.split(maxsplit=2), "", "", ""][:3]
            digest = strong_digest(algorithm, value)
            path = path.removeprefix("./")
            if digest is None or not re.fullmatch(r"\d{1,12}", size) or not path:
                continue
            known = files.setdefault(path, (digest, int(size)))
            if known[1] != int(size) or (known[0].algorithm == algorithm and known[0] != digest):
                raise PackageError(subject, f"lists {path[:80]!r} twice with different digests.", _NEXT)
    return files
