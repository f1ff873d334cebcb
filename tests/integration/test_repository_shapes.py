"""Repositories as they are met: addresses and names, forms of indexes, servers that give less than they list."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import zstandard
from tests.support.apt_client import apt_options
from tests.support.http_folder import HttpFolder, http_folder, serving  # noqa: F401
from tests.support.mirrors import Mirroring
from tests.support.provider import Provider

from pps.adapters.packages.repositories import ProviderRepositories
from pps.domain.base.errors import PackageError, ServiceError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.sandbox.provider.package_formats import SamplePackage, write_deb

FOO, BAR = PackageRef("foo", "1", "amd64"), PackageRef("bar", "1", "amd64")


def stanza(name: str = "foo", place: str = "pool/foo.deb", data: bytes = b"x", algorithm: str = "SHA256") -> str:
    digest = hashlib.new(algorithm.lower(), data).hexdigest()
    return (
        f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"
        f"Filename: {place}\nSize: {len(data)}\n{algorithm}: {digest}\n"
    )


@dataclass
class Apt:
    """An APT repository, file by file."""

    http: HttpFolder
    place: str = ""
    """below the server, decoded"""
    suite: str = "preview"
    components: tuple[str, ...] = ("main",)
    listed: dict[str, bytes] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"{self.place}/{'' if self.suite.endswith('/') else 'dists/'}{self.suite}".rstrip("/")

    def put(self, path: str, data: bytes) -> None:
        target = self.http.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def publish(
        self,
        *forms: str,
        text: str = "",
        served: tuple[str, ...] | None = None,
        more: str = "",
        algorithm: str = "sha256",
    ) -> None:
        """An index in some forms, of which some are served, and its Release file; InRelease is not there."""
        stem = "main/binary-amd64/Packages" if self.components else "Packages"
        for form in forms:
            name, data = stem + (f".{form}" if form else ""), PACKED[form]((text or stanza()).encode())
            self.listed[name] = data
            if served is None or form in served:
                self.put(f"{self.folder}/{name}", data)
        lines = "".join(f" {hashlib.new(algorithm, d).hexdigest()} {len(d)} {n}\n" for n, d in self.listed.items())
        suite = "" if self.suite.endswith("/") else f"Suite: {self.suite}\n"
        self.put(f"{self.folder}/Release", f"{suite}{more}{algorithm.upper()}:\n{lines}".encode())

    def open(self, url: str = ""):
        url = url or self.http.url + self.place
        repositories = ProviderRepositories(unsigned={self.http.url: "It is made by this test."})
        return repositories.open(Repository(RepositoryKind.APT, url, self.suite, self.components))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
    "lz4": lambda data: b"\x04\x22\x4d\x18" + data,
    "br": lambda data: data,
}


@pytest.fixture
def apt(http_folder: HttpFolder) -> Apt:
    return Apt(http_folder)


# --- forms of the index ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["", "gz", "xz", "bz2", "lzma", "zst"])
def test_an_index_in_one_form_is_read(form: str, apt: Apt) -> None:
    apt.publish(form)
    assert apt.open().resolve([FOO])[0].ref == FOO


def test_an_index_in_forms_that_are_not_read_is_named_and_the_patch_is_not_blamed(apt: Apt) -> None:
    apt.publish("lz4", "br")
    for ask in (lambda: apt.open().resolve([FOO]), lambda: apt.open().listing(10)):
        with pytest.raises(PackageError) as caught:
            ask()
        assert "Packages.br, main/binary-amd64/Packages.lz4, in a form that is not read here" in str(caught.value)
        assert "does not have" not in str(caught.value)
        assert "patch" not in str(caught.value)


def test_a_component_without_an_index_is_named(apt: Apt) -> None:
    apt.publish("gz")
    with pytest.raises(PackageError, match=r"no index of the component contrib. It has main"):
        replace(apt, components=("contrib",)).open().resolve([FOO])


def test_of_the_listed_forms_the_next_one_is_taken_and_in_the_end_all_that_were_tried_are_named(apt: Apt) -> None:
    by_hash = "Acquire-By-Hash: yes\n"
    apt.publish("xz", "gz", "", served=("gz",), more=by_hash)
    assert apt.open().resolve([FOO])
    digest = hashlib.sha256(apt.listed["main/binary-amd64/Packages.xz"]).hexdigest()
    assert apt.http.requests[2:] == [
        f"/dists/preview/main/binary-amd64/by-hash/SHA256/{digest}", "/dists/preview/main/binary-amd64/Packages.xz",
        f"/dists/preview/main/binary-amd64/by-hash/SHA256/{hashlib.sha256(apt.listed['main/binary-amd64/Packages.gz']).hexdigest()}",
        "/dists/preview/main/binary-amd64/Packages.gz",
    ]  # fmt: skip
    apt.http.statuses["/dists/preview/main/binary-amd64/Packages.gz"] = 403
    with pytest.raises(PackageError) as caught:
        apt.open().resolve([FOO])
    for word in (f"by-hash/SHA256/{digest} (404)", "Packages.xz (404)", "Packages.gz (403)", "Packages (404)"):
        assert word in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 500])
def test_whatever_a_server_answers_for_inrelease_release_is_tried(status: int, apt: Apt) -> None:
    apt.publish("gz")
    apt.http.statuses["/dists/preview/InRelease"] = status
    assert apt.open().resolve([FOO])
    apt.http.statuses["/dists/preview/Release"] = 403
    with pytest.raises(PackageError, match=rf"no Release file: InRelease \(.*{status}.*\), Release \(403\)"):
        apt.open()
    apt.http.statuses["/dists/preview/Release"] = 503  # then it is the server
    with pytest.raises(ServiceError, match="503"):
        apt.open()


# --- stanzas ---------------------------------------------------------------------------------

SHAPES = {
    "CR LF": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "trailing blanks": lambda text: text.replace("Version: 1", "Version: 1  \t"),
    "comments": lambda text: "# made by hand\n" + text.replace("Version", "# by: x\nVersion"),
    "folded": lambda text: text.replace("Version: 1", "Version:\n 1").replace("Filename: ", "Filename:\n\t"),
    "many blank lines": lambda text: "\n\n" + text.replace("\n\n", "\n\n\n"),
    "other letters": lambda text: text.replace("Package:", "PACKAGE:").replace("Size:", "size:"),
    "no end of line": lambda text: text.rstrip("\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_stanzas_are_read_as_apt_reads_them(shape: str, apt: Apt) -> None:
    apt.publish("gz", text=SHAPES[shape](f"{stanza()}\n{stanza('bar', 'pool/bar.deb')}"))
    assert [p.ref for p in apt.open().resolve([BAR, FOO])] == [BAR, FOO]
    assert len(apt.open().listing(10)) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (stanza() + "Version: 2\n", "Version twice"),
        (stanza() + "package: openssl\n", "Package twice"),
        (stanza() + "Depends: a\nDEPENDS: b\n", "'depends' twice"),
        (stanza() + "  \n" + stanza("bar"), "a line of blanks does not end a stanza"),
        (stanza().replace("foo.deb", "foo.deb\n evil.deb"), "no file name"),
        ("<html>not here</html>\n", "no index of APT"),
        (stanza(algorithm="SHA1"), "sha1 only, which can be forged"),
        (stanza(algorithm="MD5").replace("MD5:", "MD5sum:"), "md5 only, which can be forged"),
    ],
)
def test_a_stanza_that_can_be_read_in_two_ways_is_refused(text: str, words: str, apt: Apt) -> None:
    apt.publish("gz", text=text)
    with pytest.raises(PackageError, match=words):
        apt.open().resolve([FOO])


@pytest.mark.parametrize("algorithm", ["sha512", "sha384", "sha1", "md5"])
def test_strong_digests_are_taken_and_weak_ones_named(algorithm: str, apt: Apt, tmp_path: Path) -> None:
    strong = algorithm in ("sha512", "sha384")
    apt.put("pool/foo.deb", b"x")
    apt.publish("gz", text=stanza(algorithm=algorithm.upper() if strong else "SHA256"), algorithm=algorithm)
    if algorithm in ("sha1", "md5"):
        name = {"md5": "MD5Sum:", "sha1": "SHA1:"}[algorithm]
        release = apt.http.folder / "dists/preview/Release"
        release.write_text(release.read_text().replace(f"{algorithm.upper()}:", name))
        with pytest.raises(PackageError, match=rf"named by {algorithm} only, which can be forged"):
            apt.open()
        return
    (found,) = apt.open().resolve([FOO])
    assert found.sha256 == hashlib.sha256(b"x").hexdigest()
    assert apt.open().fetch(found, tmp_path).read_bytes() == b"x"
    apt.put("pool/foo.deb", b"y")
    with pytest.raises(PackageError, match=f"its {algorithm} is"):
        apt.open().resolve([FOO])


HOSTILE = {
    "one stanza without end": (b"Filename:\n" + b" x\n" * (1 << 20), "a stanza of more than"),
    "one line without end": (b"x" * (2 << 20), "a line of more than"),
    "more fields than letters": (b"".join(b"f%d:\n" % n for n in range(2000)), "1000 fields"),
    "one field for ever": (b"f:\n" * 2000, "1000 fields"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_index_ends_at_a_bound(case: str, apt: Apt) -> None:
    text, words = HOSTILE[case]
    apt.listed["main/binary-amd64/Packages.gz"] = packed = gzip.compress(text, 1)
    apt.put("dists/preview/main/binary-amd64/Packages.gz", packed)
    apt.publish()
    with pytest.raises(PackageError, match=words):
        apt.open().resolve([FOO])


# --- addresses and names ---------------------------------------------------------------------


@pytest.mark.needs("apt")
def test_odd_names_are_sent_as_apt_sends_them(apt: Apt, tmp_path: Path) -> None:
    place = "pool/a+b~c:d@e%20 f.deb"
    apt = replace(apt, place="/home:/u+1@x~y")
    apt.publish("gz", "", text=stanza(place=place), more="Architectures: amd64\nComponents: main\n")
    apt.put(f"{apt.place}/{place}", b"x")
    (found,) = apt.open().resolve([FOO])
    apt.open().fetch(found, tmp_path)
    ours = {r.partition("/pool/")[2] for r in apt.http.requests}
    assert all("+" not in r and "~" not in r and " " not in r for r in apt.http.requests)
    apt.http.requests.clear()
    options = apt_options(f"deb [trusted=yes arch=amd64] {apt.http.url}{apt.place} preview main", tmp_path / "apt")
    for words in (["update"], ["download", "foo"]):
        done = subprocess.run(
            ["apt-get", *options, *words], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert {r.lower() for r in ours} == {r.partition("/pool/")[2].lower() for r in apt.http.requests}
    for spelling in ("/home:/u%2B1%40x~y/", "/home%3A/u+1@x%7Ey"):
        assert apt.open(apt.http.url + spelling).resolve([FOO])


@pytest.mark.parametrize("suite", ["./", "/", "sub/folder/"])
def test_a_flat_repository_is_read_and_mirrored(suite: str, http_folder: HttpFolder, tmp_path: Path) -> None:
    flat = Apt(http_folder, suite=suite, components=())
    ref = PackageRef("foo", "1", "all")
    made = write_deb(SamplePackage(ref, {"usr/bin/foo": (0o755, "foo")}), tmp_path)
    where = suite.strip("./")
    place = f"{where}/foo.deb" if where else "./foo.deb"
    flat.put(place, made.read_bytes())
    flat.publish("gz", text=stanza(place=place, data=made.read_bytes()).replace("amd64", "all"))
    assert flat.open().resolve([ref])[0].filename == place.removeprefix("./")
    provider = Provider(RepositoryKind.APT, tmp_path, http_folder)
    source = Repository(RepositoryKind.APT, http_folder.url, suite, ())
    mirroring_of = Mirroring(provider, tmp_path / "mirrors")
    fact = mirroring_of.make(replace(provider.patch((ref,)), repository=source))
    assert fact.payload["packages"] == 1
    assert mirroring_of.verify().sound
    assert (mirroring_of.place / "dists" / fact.payload["suite"] / "Release").exists()


def test_a_suite_without_components_is_no_flat_repository(apt: Apt) -> None:
    apt.publish("gz")
    for suite, components in (("preview", ()), ("./", ("main",)), ("", ())):
        with pytest.raises(PackageError, match="suite or components are missing"):
            replace(apt, suite=suite, components=components).open()


def test_a_login_of_this_machine_is_not_sent_to_a_provider(
    apt: Apt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    apt.publish("gz")
    assert apt.open().resolve([FOO])
    assert not any("Authorization" in headers for headers in apt.http.headers)
