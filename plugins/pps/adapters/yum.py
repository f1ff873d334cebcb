"""A YUM repository: repomd.xml -> primary.xml -> package, each link of the chain checked by sha256."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

from pps.activities.ports import IndexedPackage, UnpackBudget
from pps.adapters.archive import CappedStream, inflating
from pps.adapters.download import TOO_MANY, Downloader
from pps.adapters.signatures import check_detached
from pps.domain.errors import PackageError, RolloutError
from pps.domain.manifest import checked_tree_path
from pps.domain.patches import PackageRef, Repository

_NEXT = "Ask the provider of the repository."
_REPOMD_BYTES = 1 << 20
_INDEX_BYTES = 256 << 20
_INFLATED_INDEX_BYTES = 2 << 30
_KEPT_CHARACTERS = 4096
_DEEPEST = 30
_SOURCES = ("src", "nosrc")
_COMPRESSIONS = {"xml": "", "gz": "gz", "zst": "zst", "xz": "xz", "bz2": "bz2"}


@dataclass(frozen=True)
class YumRepository:
    """An opened repository; its repomd.xml is verified."""

    url: str
    primary: IndexedPackage
    """where primary.xml lies, its size and digest"""
    download: Downloader

    @classmethod
    def open(cls, repository: Repository, download: Downloader, keyring: Path | None) -> YumRepository:
        """Fetch and verify repomd.xml."""
        where = f"{download.base}/repodata/repomd.xml"
        text = download.text("repodata/repomd.xml", _REPOMD_BYTES)
        if text is None:
            raise PackageError(where, "is not there.", "Check the URL in the patch.")
        if keyring is not None:
            signature = download.text("repodata/repomd.xml.asc", _REPOMD_BYTES)
            if signature is None:
                raise PackageError(where, "is not signed, but service.yaml asks for a signature.", "Ask the provider.")
            check_detached(keyring, where, text, signature)
        found = _Repomd(where)
        _parse(where, [text.encode()], found)
        if found.primary is None:
            raise PackageError(where, "names no primary index with a sha256 digest and a size.", _NEXT)
        return cls(repository.url, found.primary, download)

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`; memory does not grow with the index."""
        wanted = tuple(refs)
        found = self._read(_Primary(self.url, wanted=frozenset(wanted)))
        if missing := [str(ref) for ref in wanted if ref not in found]:
            raise PackageError(
                self.url, f"does not have {', '.join(missing)}.", "Correct the patch, or ask the provider."
            )
        return tuple(found[ref] for ref in wanted)

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        """See `ports.PackageRepository`; source packages, which install nothing, are left out."""
        return tuple(self._read(_Primary(self.url, at_most=at_most)).values())

    def _read(self, listed: _Primary) -> dict[PackageRef, IndexedPackage]:
        index = self.primary
        if index.size > _INDEX_BYTES:
            raise PackageError(f"{self.url}/{index.filename}", f"is larger than {_INDEX_BYTES} bytes.", _NEXT)
        compression = _COMPRESSIONS.get(index.filename.rpartition(".")[2])
        if compression is None:
            raise PackageError(f"{self.url}/{index.filename}", "is of a format that is not known here.", _NEXT)
        with tempfile.TemporaryFile() as file:
            self.download.file(index.filename, file, index.size, index.sha256)
            file.seek(0)
            stream = CappedStream(
                f"{self.url}/{index.filename}", inflating(file, compression), UnpackBudget(_INFLATED_INDEX_BYTES, 0)
            )
            _parse(stream.subject, iter(lambda: stream.take(1 << 16), b""), listed)
        return listed.found

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        """See `ports.PackageRepository`."""
        return self.download.save(
            package.filename, into / package.filename.rpartition("/")[2], package.size, package.sha256
        )


def _parse(subject: str, chunks: Iterable[bytes], target: _Xml) -> None:
    parser = ElementTree.XMLParser(target=target)  # noqa: S314 (the target refuses document types)
    try:
        for chunk in chunks:
            parser.feed(chunk)
        parser.close()
    except ElementTree.ParseError as error:
        raise PackageError(subject, f"is not well-formed XML ({error}).", _NEXT) from error


@dataclass
class _Xml:
    """A streaming target for ElementTree's parser that keeps one text at a time.

    A document type is refused as it begins, so that no entity is ever declared (billion laughs,
    external entities).
    """

    subject: str
    path: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def doctype(self, name: str, public: str | None, system: str | None) -> NoReturn:
        raise PackageError(self.subject, "has a document type declaration, which an index does not need.", _NEXT)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.path) >= _DEEPEST:
            raise PackageError(self.subject, "is nested too deep for an index.", _NEXT)
        self.path.append(tag.rpartition("}")[2])
        self.text = []
        self.opened("/".join(self.path), attributes)

    def data(self, text: str) -> None:
        if sum(map(len, self.text)) < _KEPT_CHARACTERS:  # descriptions may be long; nothing that we ask for is
            self.text.append(text)

    def end(self, tag: str) -> None:
        self.closed("/".join(self.path), "".join(self.text).strip())
        self.path.pop()
        self.text = []

    def close(self) -> None:
        """Nothing is left to do at the end."""

    def opened(self, path: str, attributes: dict[str, str]) -> None:
        """An element has begun."""

    def closed(self, path: str, text: str) -> None:
        """An element has ended."""


@dataclass
class _Repomd(_Xml):
    """repomd.xml: where the primary index lies."""

    primary: IndexedPackage | None = None
    _type: str = ""
    _checksum_type: str = ""
    _values: dict[str, str] = field(default_factory=dict)

    def opened(self, path: str, attributes: dict[str, str]) -> None:
        if path == "repomd/data":
            self._type, self._values = attributes.get("type", ""), {}
        elif path == "repomd/data/location":
            self._values["href"] = attributes.get("href", "")
        elif path == "repomd/data/checksum":
            self._checksum_type = attributes.get("type", "")

    def closed(self, path: str, text: str) -> None:
        if path == "repomd/data/checksum" and self._checksum_type == "sha256":
            self._values["sha256"] = text
        elif path == "repomd/data/size":
            self._values["size"] = text
        elif path == "repomd/data" and self._type == "primary":
            self.primary = _indexed(PackageRef("primary", "1", "all"), self._values)


@dataclass
class _Primary(_Xml):
    """primary.xml: the packages that are wanted, or all."""

    wanted: frozenset[PackageRef] | None = None
    at_most: int | None = None
    found: dict[PackageRef, IndexedPackage] = field(default_factory=dict)
    _checksum_type: str = ""
    _values: dict[str, str] = field(default_factory=dict)

    def opened(self, path: str, attributes: dict[str, str]) -> None:
        if path == "metadata/package":
            self._values = {}
        elif path == "metadata/package/version":
            epoch, version, release = (attributes.get(a, "") for a in ("epoch", "ver", "rel"))
            self._values["version"] = f"{version}-{release}" if epoch in ("", "0") else f"{epoch}:{version}-{release}"
        elif path == "metadata/package/checksum":
            self._checksum_type = attributes.get("type", "")
        elif path == "metadata/package/size":
            self._values["size"] = attributes.get("package", "")
        elif path == "metadata/package/location":
            self._values["href"] = attributes.get("href", "")

    def closed(self, path: str, text: str) -> None:
        if path in ("metadata/package/name", "metadata/package/arch"):
            self._values[path.rpartition("/")[2]] = text
        elif path == "metadata/package/checksum" and self._checksum_type == "sha256":
            self._values["sha256"] = text
        elif path == "metadata/package":
            self._keep()

    def _keep(self) -> None:
        values = self._values
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
        package = _indexed(ref, values)
        if package is None:
            raise PackageError(str(ref), "has no size, place or sha256 in the index.", _NEXT)
        if self.found.setdefault(ref, package).sha256 != package.sha256:
            raise PackageError(str(ref), "is listed twice with different digests.", _NEXT)
        if self.at_most is not None and len(self.found) > self.at_most:
            raise PackageError(self.subject, f"has more than {self.at_most} packages.", TOO_MANY)


def _indexed(ref: PackageRef, values: dict[str, str]) -> IndexedPackage | None:
    size, sha256, href = values.get("size", ""), values.get("sha256", ""), values.get("href", "")
    if not (re.fullmatch(r"\d{1,15}", size) and re.fullmatch(r"[0-9a-f]{64}", sha256) and href):
        return None
    return IndexedPackage(ref, checked_tree_path(href), int(size), sha256)
