"""A YUM repository: repomd.xml -> primary.xml -> package, each link of the chain checked by digest."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pps.activities.ports.packages import IndexedPackage, UnpackBudget
from pps.adapters.packages.apt import inflate, verified_index, with_sha256
from pps.adapters.packages.archive import CappedStream, inflating
from pps.adapters.packages.download import TOO_MANY, Downloader, NotServedError
from pps.adapters.packages.index_xml import IndexReader
from pps.adapters.packages.signatures import check_detached
from pps.domain.base.digests import Digest, strong_digest, why_no_digest
from pps.domain.base.errors import PackageError, RolloutError
from pps.domain.packages.manifest import checked_tree_path
from pps.domain.packages.patch import PackageRef, Repository
from pps.domain.packages.release_files import YUM_FUTURE
from pps.domain.packages.repository_trust import Trust
from pps.domain.packages.verified_index import VerifiedIndex

_NEXT = "Ask the provider of the repository."
_REPOMD_BYTES = 1 << 20
_INDEX_BYTES = 256 << 20
_INFLATED_INDEX_BYTES = 1 << 30
_SOURCES = ("src", "nosrc")
_COMPRESSIONS = {"xml": "", "gz": "gz", "zst": "zst", "xz": "xz", "bz2": "bz2", "lzma": "lzma"}


@dataclass(frozen=True)
class YumRepository:
    """An opened repository; its repomd.xml is verified."""

    url: str
    primary: _Listed
    """where primary.xml lies, its size and digest"""
    files: _Listed | None
    """the same of filelists.xml, which names every file; None where there is none, or none that could be believed"""
    download: Downloader
    index: VerifiedIndex

    @classmethod
    def open(cls, repository: Repository, download: Downloader, trust: Trust, now: datetime) -> YumRepository:
        """Fetch and verify repomd.xml."""
        where = f"{download.base}/repodata/repomd.xml"
        try:
            text = download.text("repodata/repomd.xml", _REPOMD_BYTES)
        except NotServedError as error:
            raise PackageError(
                where,
                f"is not there (the server answers {error.status}).",
                "Check the URL in the patch; it must be that of the folder with repodata/, not of a list of mirrors.",
            ) from error
        signers: tuple[str, ...] = ()
        if trust.keyring is not None:
            try:
                signature = download.text("repodata/repomd.xml.asc", _REPOMD_BYTES)
            except NotServedError as error:
                raise PackageError(
                    where,
                    f"is not signed, but service.yaml asks for a signature (repomd.xml.asc: {error.status}).",
                    "Ask the provider.",
                ) from error
            signers = check_detached(trust.keyring, where, text, signature, now)
        found = _Repomd(where)
        found.read([text.encode()])
        index = verified_index(download, "repodata/repomd.xml", text, signers)
        return cls(repository.url, found.index(now), found.file_list(now), download, index)

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`; memory does not grow with the index."""
        wanted = tuple(refs)
        found = self._read(_Primary(self.url, self.download, wanted=frozenset(wanted)))
        if missing := [str(ref) for ref in wanted if ref not in found]:
            raise PackageError(
                self.url, f"does not have {', '.join(missing)}.", "Correct the patch, or ask the provider."
            )
        return tuple(found[ref] for ref in wanted)

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`; source packages, which install nothing, are left out."""
        return tuple(self._read(_Primary(self.url, self.download, at_most=at_most)).values())

    def _read(self, listed: _Primary) -> dict[PackageRef, IndexedPackage]:
        with tempfile.TemporaryFile() as file:
            where, form = self._fetched(self.primary, file)
            listed.subject = where
            stream = CappedStream(where, inflating(file, form), UnpackBudget(_INFLATED_INDEX_BYTES, 0))
            listed.read(iter(lambda: stream.take(1 << 16), b""))
        return with_sha256(self.download, listed.found)

    def save_index(self, arch: str, into: Path) -> tuple[Path, ...]:
        """See `ports.PackageRepository`; one index has the packages of all architectures."""
        return (self._saved(self.primary, into / "primary.xml"),)

    def save_file_list(self, into: Path) -> Path | None:
        """See `ports.PackageRepository`."""
        return None if self.files is None else self._saved(self.files, into / "filelists.xml")

    def _saved(self, index: _Listed, to: Path) -> Path:
        with tempfile.TemporaryFile() as file:
            where, form = self._fetched(index, file)
            inflate(where, file, form, to)
        return to

    def _fetched(self, index: _Listed, file: BinaryIO) -> tuple[str, str]:
        """Fetch an index as it is served; where it lies, and its compression."""
        where = f"{self.url}/{index.href}"
        if index.size is not None and index.size > _INDEX_BYTES:
            raise PackageError(where, f"is larger than {_INDEX_BYTES} bytes.", _NEXT)
        form = index.href.rpartition(".")[2]
        if form not in _COMPRESSIONS:
            name = "zchunk" if form == "zck" else f".{form[:20]}"
            read = ", ".join(f".{c}" for c in _COMPRESSIONS)
            raise PackageError(
                where, f"is there only in the form {name}, which is not read here (what is read: {read}).", _NEXT
            )
        self.download.file(index.href, file, index.size, index.digest, at_most=_INDEX_BYTES, base=index.base)
        file.seek(0)
        return where, _COMPRESSIONS[form]

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """See `ports.PackageRepository`."""
        name = package.filename.rpartition("/")[2]
        return self.download.save(package.filename, into / name, package.size, package.sha256, package.base)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file that an index names."""

    href: str
    base: str
    size: int | None
    digest: Digest


@dataclass
class _Entry:
    """What an index says of a file, until all is said."""

    values: dict[str, str] = field(default_factory=dict)
    checksum_type: str = ""

    def location(self, attributes: dict[str, str]) -> None:
        """Where it lies."""
        self.values |= {"href": attributes.get("href", ""), "base": attributes.get("xml:base", "")}

    @property
    def digest(self) -> Digest | None:
        """The digest, if it is a strong one."""
        return strong_digest(self.checksum_type, self.values.get("checksum", ""))


@dataclass
class _Repomd(IndexReader):
    """repomd.xml: where the primary index lies, and the list of files."""

    _types: list[str] = field(default_factory=list, init=False)
    _entry: _Entry = field(default_factory=_Entry, init=False)
    _primary: _Entry | None = field(default=None, init=False)
    _files: list[_Entry] = field(default_factory=list, init=False)
    _revision: str = field(default="", init=False)

    def opened(self, path: str, attributes: dict[str, str]) -> None:
        if path == "repomd/data":
            self._types.append(attributes.get("type", "")[:40])
            self._entry = _Entry()
        elif path == "repomd/data/location":
            self._entry.location(attributes)
        elif path == "repomd/data/checksum":
            self._entry.checksum_type = attributes.get("type", "")

    def closed(self, path: str, text: str) -> None:
        if path in ("repomd/data/checksum", "repomd/data/size", "repomd/data/timestamp"):
            self._entry.values[path.rpartition("/")[2]] = text
        elif path == "repomd/revision":
            self._revision = text
        elif path == "repomd/data" and self._types[-1] == "primary":
            if self._primary is not None:
                self.refuse("names two primary indexes.")
            self._primary = self._entry
        elif path == "repomd/data" and self._types[-1] == "filelists":
            self._files.append(self._entry)

    def index(self, now: datetime) -> _Listed:
        """The primary index."""
        if self._primary is None:
            zchunk = "; one in the form zchunk alone is not read here" if "primary_zck" in self._types else ""
            has = ", ".join(t for t in dict.fromkeys(self._types) if t)[:200] or "nothing"
            self.refuse(f"names no primary index{zchunk}. It names {has}.")
        return self._listed(self._primary, "primary index", now)

    def file_list(self, now: datetime) -> _Listed | None:
        """The list of files; None where there is none, or none that could be believed: it is not always needed."""
        if len(self._files) != 1:
            return None
        try:
            return self._listed(self._files[0], "list of files", now)
        except PackageError:
            return None

    def _listed(self, entry: _Entry, what: str, now: datetime) -> _Listed:
        values, digest = entry.values, entry.digest
        if digest is None:
            self.refuse(f"names a {what} that {why_no_digest([entry.checksum_type])}.")
        for name, text in (("revision", self._revision), ("timestamp", values.get("timestamp", ""))):
            # a revision may be any text; createrepo's own is the time
            moment = _moment(text)
            if moment is not None and moment > now + YUM_FUTURE:
                when = f"{moment:%Y-%m-%d %H:%M} UTC"
                self.refuse(f"has the {name} {when}, which is in the future; a clock is wrong, or it is forged.")
        if not values.get("href"):
            self.refuse(f"does not say where its {what} is.")
        size = values.get("size", "")
        if size and not re.fullmatch(r"\d{1,15}", size):
            self.refuse(f"does not say how large its {what} is.")
        return _Listed(checked_tree_path(values["href"]), values.get("base", ""), int(size) if size else None, digest)


@dataclass
class _Primary(IndexReader):
    """primary.xml: the packages that are wanted, or all."""

    download: Downloader
    wanted: frozenset[PackageRef] | None = None
    at_most: int | None = None
    found: dict[PackageRef, tuple[IndexedPackage, Digest]] = field(default_factory=dict)
    _entry: _Entry = field(default_factory=_Entry, init=False)
    _seen: set[str] = field(default_factory=set, init=False)

    def opened(self, path: str, attributes: dict[str, str]) -> None:
        if path == "metadata/package":
            self._entry, self._seen = _Entry(), set()
            return
        if path not in _ONCE:
            return
        if path in self._seen:
            self.refuse(
                f"has a package ({self._entry.values.get('name', '')[:60]}) with two {path.rpartition('/')[2]}s."
            )
        self._seen.add(path)
        match path.rpartition("/")[2]:
            case "version":
                epoch, version, release = (attributes.get(a, "") for a in ("epoch", "ver", "rel"))
                full = f"{version}-{release}"
                self._entry.values["version"] = full if epoch in ("", "0") else f"{epoch}:{full}"
            case "checksum":
                self._entry.checksum_type = attributes.get("type", "")
            case "size":
                self._entry.values["size"] = attributes.get("package", "")
            case "location":
                self._entry.location(attributes)

    def closed(self, path: str, text: str) -> None:
        if path in ("metadata/package/name", "metadata/package/arch", "metadata/package/checksum"):
            self._entry.values[path.rpartition("/")[2]] = text
        elif path == "metadata/package":
            self._keep()

    def _keep(self) -> None:
        values = self._entry.values
        if self.wanted is None and values.get("arch") in _SOURCES:
            return
        try:
            ref = PackageRef(values.get("name", ""), values.get("version", ""), values.get("arch", ""))
        except RolloutError as error:
            if self.wanted is None:  # whoever wants all must hear that one cannot be had
                raise PackageError(self.subject, f"cannot be taken whole: {error}", _NEXT) from error
            return  # a name that we could never ask for
        if self.wanted is not None and ref not in self.wanted:
            return
        package, digest = self._package(ref), self._entry.digest
        if digest is None:
            raise PackageError(str(ref), f"{why_no_digest([self._entry.checksum_type])}.", _NEXT)
        if digest.algorithm == "sha256":
            package = IndexedPackage(ref, package.filename, package.size, digest.value, package.base)
        if self.found.setdefault(ref, (package, digest))[1] != digest:
            raise PackageError(str(ref), "is listed twice with different digests.", _NEXT)
        if self.at_most is not None and len(self.found) > self.at_most:
            raise PackageError(self.subject, f"has more than {self.at_most} packages.", TOO_MANY)

    def _package(self, ref: PackageRef) -> IndexedPackage:
        values = self._entry.values
        size, href, base = values.get("size", ""), values.get("href", ""), values.get("base", "")
        if not re.fullmatch(r"\d{1,15}", size) or not href:
            raise PackageError(str(ref), "has no size or no place in the index.", _NEXT)
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", href) and "//" in href:
            raise PackageError(str(ref), f"lies at an address of its own ({href[:120]}), not in the repository.", _NEXT)
        if base:
            try:
                base = self.download.address.leads_to(base).url
            except PackageError as error:
                raise PackageError(str(ref), f"lies elsewhere: its xml:base {error.why}", error.next_step) from error
        return IndexedPackage(ref, checked_tree_path(href), int(size), "", base)


_ONCE = frozenset(f"metadata/package/{n}" for n in ("name", "arch", "version", "checksum", "size", "location"))


def _moment(text: str) -> datetime | None:
    if not re.fullmatch(r"\d{9,12}(\.\d{1,9})?", text):
        return None
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.max.replace(tzinfo=UTC)
