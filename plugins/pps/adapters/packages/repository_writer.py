"""Publishes packages in a folder as an APT or YUM repository: pool first, then indexes, the root of the chain last.

A reader in the middle of it sees the old index or the new one: what an index names is there before
the index is, and older files stay. On a local disk each file is written aside and renamed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from upath import UPath

from pps.adapters.packages.confined import Confined
from pps.adapters.packages.deb import stanza_fields
from pps.adapters.packages.folders import blocks_of, write_whole
from pps.adapters.packages.package_files import described
from pps.adapters.packages.repository_seal import RepositorySeal, alone, index_files
from pps.domain.base.errors import ConfigurationError, PackageError, ServiceError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.packages.repository_seals import ORIGIN

_COMMON = "http://linux.duke.edu/metadata/common"
_RPM = "http://linux.duke.edu/metadata/rpm"
_REPO = "http://linux.duke.edu/metadata/repo"
_CHUNK = 1 << 20


def publish_packages(
    root: UPath,
    repository: Repository,
    packages: Iterable[Path],
    now: datetime,
    *,
    seal: RepositorySeal | None = None,
    confined: Confined | None = None,
) -> None:
    """Add packages to the repository below `root`; those that are in it already change nothing.

    Every package is read once, in the given order, and is not needed after that.

    Args:
        repository: kind, and for APT the suite and its first component.
        now: goes into the index as its date.
        seal: signs the index, and what is in it already is taken only if it is signed; None: somebody else's repository
            (a provider's), whose signature is his affair.
        confined: the child that reads the packages.
    """
    try:
        with alone(root, seal.turns if seal else None, make=True):
            if repository.kind is RepositoryKind.APT:
                _publish_apt(root, repository, packages, now, seal, confined or Confined())
            else:
                _publish_yum(root, packages, now, seal, confined or Confined())
    except OSError as error:
        raise ServiceError(
            f"repository {root}", f"cannot be written ({error}).", "Check that folder in service.yaml."
        ) from error


# --- both ------------------------------------------------------------------------------------


def _said(confined: Confined, path: Path, form: str) -> tuple[PackageRef, Any]:
    """Which package a file is, and what an index of its kind says of it."""
    ref, more = described(confined, path)
    if form not in more:
        raise PackageError(path.name, f"is no .{form}, which is what this repository holds.", "Correct the patch.")
    return ref, more[form]


def _digest_and_size(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            size += len(data)
    return digest.hexdigest(), size


def _is_there(target: UPath, sha256: str, size: int) -> bool:
    if not target.exists():
        return False
    digest, got = hashlib.sha256(), 0
    with target.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            got += len(data)
    if (digest.hexdigest(), got) == (sha256, size):
        return True
    raise PackageError(
        target.name, "is published already, with other content.", "Give the changed package a new version."
    )


def _zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as file:
        file.write(data)
    return out.getvalue()


def _read(target: UPath) -> bytes:
    return target.read_bytes() if target.exists() else b""


def _must_be(root: UPath, before: bytes) -> None:
    """The last look before an index is written: whoever has lost his turn (the database broke) stops here."""
    if _read(root) != before:
        why = "was changed by somebody else meanwhile."
        raise ServiceError(f"repository file {root}", why, "Nothing is lost; try again.")


# --- APT -------------------------------------------------------------------------------------


def _publish_apt(
    root: UPath,
    repository: Repository,
    packages: Iterable[Path],
    now: datetime,
    seal: RepositorySeal | None,
    confined: Confined,
) -> None:
    if not repository.suite or not repository.components:
        raise ConfigurationError(f"repository {root}", "needs a suite and a component.", "Name them in the patch.")
    suite, component = root / "dists" / repository.suite, repository.components[0]
    before = _read(suite / "InRelease")
    known = unsigned_index(suite) if seal is None else seal.apt_index(suite) or {}
    new: dict[str, list[str]] = {}
    for path in packages:
        ref, said = _said(confined, path, "deb")
        sha256, size = _digest_and_size(path)
        # the epoch is not part of a Debian file name, but two epochs must not share one
        place = f"pool/{component}/{ref.name}/{ref.name}_{ref.version.replace(':', '+epoch+')}_{ref.arch}.deb"
        if not _is_there(root / place, sha256, size):
            write_whole(root / place, blocks_of(path))
        stanza = f"{said}\nFilename: {place}\nSize: {size}\nSHA256: {sha256}\n"
        new.setdefault(ref.arch, []).append(stanza)
    listed = _apt_architectures(known, component) | {a for a in new if a != "all"}
    architectures = sorted(listed or {"all"})
    files: dict[str, bytes] = {}
    for architecture in architectures:
        # packages for all architectures stand in the index of each
        stanzas = [*new.get(architecture, []), *(new.get("all", []) if architecture != "all" else [])]
        stem = f"{component}/binary-{architecture}/Packages"
        index = known.get(stem, b"").decode()
        text = _merged(index or _all_stanzas(known, component, architectures), stanzas).encode()
        files[stem], files[f"{stem}.gz"] = text, _zipped(text)
    if all(_read(suite / name) == known.get(name) == data for name, data in files.items()):
        return
    for name, data in files.items():
        folder = name.rpartition("/")[0]
        write_whole(suite / folder / "by-hash" / "SHA256" / hashlib.sha256(data).hexdigest(), [data])
    for name, data in files.items():
        write_whole(suite / name, [data])
    lines = [f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in sorted(files.items())]
    head = [
        f"Origin: {ORIGIN}",
        f"Label: {ORIGIN}",
        f"Suite: {repository.suite}",
        f"Codename: {repository.suite}",
        f"Date: {format_datetime(now)}",
        f"Architectures: {' '.join(architectures)}",
        f"Components: {component}",
        "Acquire-By-Hash: yes",
        "SHA256:",
    ]
    release = "\n".join([*head, *lines, ""])
    if seal is None:
        write_whole(suite / "Release", [release.encode()])
    else:
        _must_be(suite / "InRelease", before)
        seal.seal_release(suite, release, now)


def unsigned_index(suite: UPath) -> Mapping[str, bytes]:
    """The index files of a suite that nobody has signed."""
    return index_files(suite, _read(suite / "Release").decode(errors="replace"))


def _apt_architectures(known: Mapping[str, bytes], component: str) -> set[str]:
    found = (re.fullmatch(rf"{re.escape(component)}/binary-([^/\s]+)/Packages", name) for name in known)
    return {match[1] for match in found if match} - {"all"}


def _all_stanzas(known: Mapping[str, bytes], component: str, architectures: Iterable[str]) -> str:
    """What an index of a new architecture begins with: the packages for all of them."""
    indexes = (known.get(f"{component}/binary-{a}/Packages", b"").decode() for a in ("all", *architectures))
    return _merged("", [s for s in "\n".join(indexes).split("\n\n") if stanza_fields(s).get("architecture") == "all"])


def _merged(old: str, new: Iterable[str]) -> str:
    stanzas = {stanza_fields(s)["filename"]: s.strip() for s in (*old.split("\n\n"), *new) if s.strip()}
    return "".join(f"{stanzas[name]}\n\n" for name in sorted(stanzas))


# --- YUM -------------------------------------------------------------------------------------


class _WithoutDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise PackageError("primary.xml", "has a document type declaration.", "Create the index anew.")


def _publish_yum(
    root: UPath, packages: Iterable[Path], now: datetime, seal: RepositorySeal | None, confined: Confined
) -> None:
    repomd = root / "repodata" / "repomd.xml"
    signed = _read(repomd)
    elements = {e.find(f"{{{_COMMON}}}location").attrib["href"]: e for e in known_packages(root, repomd, seal)}  # type: ignore[union-attr]
    before = set(elements)
    for path in packages:
        sha256, size = _digest_and_size(path)
        ref, said = _said(confined, path, "rpm")
        place = f"Packages/{ref.name}-{ref.version.replace(':', '+epoch+')}.{ref.arch}.rpm"
        if not _is_there(root / place, sha256, size):
            write_whole(root / place, blocks_of(path))
        if place not in elements:
            elements[place] = _rpm_element(ref, said, place, sha256, size)
    if set(elements) == before and repomd.exists():
        return
    ElementTree.register_namespace("", _COMMON)
    ElementTree.register_namespace("rpm", _RPM)
    metadata = ElementTree.Element(f"{{{_COMMON}}}metadata", {"packages": str(len(elements))})
    metadata.extend(elements[place] for place in sorted(elements))
    primary = ElementTree.tostring(metadata, "utf-8", xml_declaration=True)
    zipped = _zipped(primary)
    digest = hashlib.sha256(zipped).hexdigest()
    write_whole(root / "repodata" / f"{digest}-primary.xml.gz", [zipped])
    index = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="{_REPO}">\n'
        f" <revision>{int(now.timestamp())}</revision>\n"
        f' <data type="primary">\n  <checksum type="sha256">{digest}</checksum>\n'
        f'  <open-checksum type="sha256">{hashlib.sha256(primary).hexdigest()}</open-checksum>\n'
        f'  <location href="repodata/{digest}-primary.xml.gz"/>\n  <timestamp>{int(now.timestamp())}</timestamp>\n'
        f"  <size>{len(zipped)}</size>\n  <open-size>{len(primary)}</open-size>\n </data>\n</repomd>\n"
    )
    if seal is None:
        write_whole(repomd, [index.encode()])
    else:
        _must_be(repomd, signed)
        seal.seal_repomd(root, index.encode())


def known_packages(root: UPath, repomd: UPath, seal: RepositorySeal | None) -> list[ElementTree.Element]:
    """The package elements of the primary index that repomd.xml names now; none where there is no repository yet."""
    text = _read(repomd) if seal is None else seal.repomd(root) or b""
    if not text:
        return []
    match = re.search(
        rb'<data type="primary">.*?<checksum type="sha256">([0-9a-f]{64})</checksum>'
        rb'.*?<location href="(repodata/[A-Za-z0-9._-]+\.gz)"',
        text,
        re.DOTALL,
    )
    if match is None:
        raise PackageError(
            f"{repomd}",
            "is not an index of ours.",
            "Move it away; the next publication writes a new one.",
        )
    zipped = _read(root / match[2].decode())
    if hashlib.sha256(zipped).hexdigest() != match[1].decode():
        raise PackageError(match[2].decode(), "does not have the digest that repomd.xml names.", "Restore the backup.")
    data = gzip.decompress(zipped)
    parser = ElementTree.XMLParser(target=_WithoutDoctype())  # noqa: S314 (no document type, so no entities)
    parser.feed(data)
    tree: ElementTree.Element = parser.close()
    return tree.findall(f"{{{_COMMON}}}package")


def _rpm_element(ref: PackageRef, said: dict[str, Any], place: str, sha256: str, size: int) -> ElementTree.Element:
    element = ElementTree.Element(f"{{{_COMMON}}}package", {"type": "rpm"})

    def add(name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
        child = ElementTree.SubElement(element, f"{{{_COMMON}}}{name}", attributes)
        child.text = text
        return child

    add("name", ref.name)
    add("arch", ref.arch)
    add("version", epoch=said["epoch"], ver=said["ver"], rel=said["rel"])
    add("checksum", sha256, type="sha256", pkgid="YES")
    for name in ("summary", "description", "packager", "url"):
        add(name, said[name])
    add("time", file="0", build=str(said["build"]))
    add("size", package=str(size), installed=str(said["installed"]), archive="0")
    add("location", href=place)
    form = add("format")
    for name in ("license", "vendor", "group", "sourcerpm"):
        ElementTree.SubElement(form, f"{{{_RPM}}}{name}").text = said[name]
    start, end = map(str, said["range"])
    ElementTree.SubElement(form, f"{{{_RPM}}}header-range", {"start": start, "end": end})
    for name, entries in said["relations"].items():
        if entries:
            group = ElementTree.SubElement(form, f"{{{_RPM}}}{name}")
            for entry in entries:
                ElementTree.SubElement(group, f"{{{_RPM}}}entry", entry)
    for file in said["files"]:
        ElementTree.SubElement(form, f"{{{_COMMON}}}file").text = file
    return element
