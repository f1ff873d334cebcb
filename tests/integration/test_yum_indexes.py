"""YUM indexes as createrepo_c writes them and as an enemy would, over real HTTP."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.http_folder import HttpFolder, http_folder, serving  # noqa: F401
from tests.support.provider import Provider

from pps.adapters.packages.index_xml import IndexReader, XmlLimits
from pps.domain.base.errors import PackageError
from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.sandbox.provider.package_formats import SamplePackage, write_rpm

FOO = PackageRef("foo", "1.0-1", "noarch")


@pytest.fixture
def yum(http_folder: HttpFolder, tmp_path: Path) -> Provider:
    return Provider(RepositoryKind.YUM, tmp_path, http_folder)


def createrepo(yum: Provider, *words: str, name: str = "foo-1.0-1.noarch.rpm") -> None:
    """A package, indexed by the tool that everybody uses."""
    folder = yum.http.folder / "Packages"
    folder.mkdir(exist_ok=True)
    write_rpm(SamplePackage(FOO, {"usr/bin/foo": (0o755, "foo")}), yum.root).rename(folder / name)
    subprocess.run(
        ["createrepo_c", "--quiet", *words, str(yum.http.folder)], check=True, capture_output=True, timeout=120
    )


def rewrite(yum: Provider, change: Callable[[str], str]) -> None:
    """Change primary.xml, and the digests above it."""
    index = yum.http.folder / "repodata/repomd.xml"
    primary = next(yum.http.folder.glob("repodata/*primary.xml.gz"))
    data = gzip.compress(change(gzip.decompress(primary.read_bytes()).decode()).encode())
    primary.write_bytes(data)
    head, middle, tail = re.split(r'(<data type="primary">.*?</data>)', index.read_text(), flags=re.DOTALL)
    middle = re.sub(r'(<checksum type="sha256">)\w+', rf"\g<1>{hashlib.sha256(data).hexdigest()}", middle)
    middle = re.sub(r"<size>\d+", f"<size>{len(data)}", middle)
    index.write_text(head + middle + tail)


@pytest.mark.needs("dnf")
@pytest.mark.parametrize(
    "words",
    ["--checksum=sha512", "--checksum=sha384", *(f"--general-compress-type={c}" for c in ("xz", "bz2"))],
)
def test_what_createrepo_writes_is_read(words: str, yum: Provider, tmp_path: Path) -> None:
    name = "foo +~:@%20^1.rpm"
    createrepo(yum, words, name=name)
    repository = yum.repositories.open(yum.repository)
    (found,) = repository.resolve([FOO])
    data = (yum.http.folder / "Packages" / name).read_bytes()
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert repository.fetch(found, tmp_path).read_bytes() == data
    assert [p.ref for p in repository.listing(5)] == [FOO]
    assert "/Packages/foo%20%2B%7E:@%2520%5E1.rpm" in yum.http.requests


@pytest.mark.needs("dnf")
@pytest.mark.parametrize(("checksum", "name"), [("sha1", "sha1"), ("md5", "md5")])
def test_weak_digests_are_refused_by_name(checksum: str, name: str, yum: Provider) -> None:
    createrepo(yum)
    index = yum.http.folder / "repodata/repomd.xml"
    text = index.read_text()
    digest = hashlib.new(checksum, next(yum.http.folder.glob("repodata/*primary.xml.gz")).read_bytes()).hexdigest()
    index.write_text(re.sub(r'type="sha256">\w+', f'type="{checksum.replace("sha1", "sha")}">{digest}', text))
    with pytest.raises(PackageError, match=f"named by {name} only, which can be forged"):
        yum.repositories.open(yum.repository)
    index.write_text(text)
    rewrite(yum, lambda xml: re.sub(r'<checksum type="sha256"', f'<checksum type="{checksum}"', xml))
    with pytest.raises(PackageError, match=f"named by {name} only, which can be forged"):
        yum.repositories.open(yum.repository).resolve([FOO])


@pytest.mark.needs("dnf")
def test_zchunk_alone_is_named_and_so_is_what_repomd_xml_has_instead(yum: Provider) -> None:
    createrepo(yum)
    index = yum.http.folder / "repodata/repomd.xml"
    text = index.read_text()
    index.write_text(text.replace('type="primary"', 'type="primary_zck"'))
    with pytest.raises(PackageError, match=r"zchunk alone is not read here. It names primary_zck, filelists"):
        yum.repositories.open(yum.repository)
    index.write_text(text.replace("primary.xml.gz", "primary.xml.zck"))
    with pytest.raises(PackageError, match="only in the form zchunk"):
        yum.repositories.open(yum.repository).resolve([FOO])


@pytest.mark.needs("dnf")
def test_xml_base_is_followed_on_the_same_server_and_nowhere_else(
    yum: Provider, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    createrepo(yum)
    plain = gzip.decompress(next(yum.http.folder.glob("repodata/*primary.xml.gz")).read_bytes()).decode()
    (yum.http.folder / "other place/Packages").mkdir(parents=True)
    data = (yum.http.folder / "Packages/foo-1.0-1.noarch.rpm").read_bytes()
    (yum.http.folder / "Packages/foo-1.0-1.noarch.rpm").rename(
        yum.http.folder / "other place/Packages/foo-1.0-1.noarch.rpm"
    )
    with serving(elsewhere) as other:
        bases = [
            f"{yum.http.url}/other%20place",
            "other%20place/",
            "/other%20place",
            "x/../other%20place/",
        ]
        for base in bases:
            rewrite(yum, lambda _, base=base: plain.replace("<location ", f'<location xml:base="{base}" '))
            repository = yum.repositories.open(yum.repository)
            (found,) = repository.resolve([FOO])
            assert repository.fetch(found, tmp_path).read_bytes() == data
        for base in (
            other.url,
            "//169.254.169.254/latest",
            "file:///etc",
            f"http://u:p@127.0.0.1:{other.url[-5:]}/",
            "ftp://x/",
        ):
            rewrite(yum, lambda _, base=base: plain.replace("<location ", f'<location xml:base="{base}" '))
            with pytest.raises(PackageError, match=r"xml:base leads to another server") as caught:
                yum.repositories.open(yum.repository).resolve([FOO])
            assert base.strip("/").split("/")[-1].removeprefix("u:p@")[:9] in str(caught.value)
            assert "u:p" not in str(caught.value), "a login is in no sentence"
        rewrite(yum, lambda _: plain.replace('href="', f'href="{other.url}/'))
        with pytest.raises(PackageError, match="an address of its own"):
            yum.repositories.open(yum.repository).resolve([FOO])
        index = yum.http.folder / "repodata/repomd.xml"
        index.write_text(index.read_text().replace("<location ", f'<location xml:base="{other.url}" '))
        with pytest.raises(PackageError, match="another server"):
            yum.repositories.open(yum.repository).resolve([FOO])
        assert other.requests == []


@pytest.mark.needs("dnf")
def test_a_package_that_says_a_thing_twice_is_refused(yum: Provider) -> None:
    createrepo(yum)
    rewrite(yum, lambda xml: xml.replace("<name>foo</name>", "<name>bar</name><name>foo</name>"))
    with pytest.raises(PackageError, match="with two names"):
        yum.repositories.open(yum.repository).resolve([FOO])


def test_a_list_of_mirrors_is_named(yum: Provider) -> None:
    for url in ("/mirrorlist", "/metalink?repo=epel-9&arch=x86_64", "/pub/epel.metalink"):
        with pytest.raises(PackageError, match="a list of mirrors"):
            yum.repositories.open(replace(yum.repository, url=yum.http.url + url))


# --- hostile XML: judged by the work that it makes, not by a clock -----------------------------


def pieces(total: int, piece: bytes, head: bytes = b"", tail: bytes = b"") -> Iterator[bytes]:
    yield head
    for _ in range(total // len(piece)):
        yield piece
    yield tail


@pytest.mark.parametrize(
    ("head", "piece", "words"),
    [
        (b"<a x='", b"y" * 65536, "a tag or comment of more than"),
        (b"<a><!--", b"y" * 65536, "a tag or comment of more than"),
        (b"<a><?p ", b"y" * 65536, "a tag or comment of more than"),
        (b"<a><", b"y" * 65536, "a tag or comment of more than"),
        (b"", b"<a>", "nested more than"),
        (b"<a>", b"<b/>", "more than 1000 elements"),
        (b"<a " + b" ".join(b"x%d=''" % n for n in range(60)) + b">", b" ", "more than 50 attributes"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>", b"&b;", "document type"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a>", b" ", "only UTF-8 is read"),
        ("<a>ä</a>".encode("utf-16"), b" ", "zero bytes"),
        (b"<a>\xff", b" ", "not well-formed XML in UTF-8"),
    ],
)
def test_hostile_xml_ends_at_the_first_bound(head: bytes, piece: bytes, words: str) -> None:
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for chunk in pieces(32 << 20, piece, head):
            taken += len(chunk)
            yield chunk

    with pytest.raises(PackageError, match=words):
        IndexReader("index", limits=XmlLimits(elements_at_most=1000)).read(counted())
    assert taken < 1 << 20


def test_long_texts_are_no_tokens_and_are_not_kept() -> None:
    seen: list[int] = []

    class Reader(IndexReader):
        def closed(self, path: str, text: str) -> None:
            seen.append(len(text))

    Reader("index").read(pieces(16 << 20, b"y" * 65536, b"<a>", b"</a>"))
    assert seen[0] <= 4096
