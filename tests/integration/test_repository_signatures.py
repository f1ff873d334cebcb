"""Signatures of providers' repositories, made by a real gpg and judged as real APT judges them."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from tests.support.apt_client import apt_update
from tests.support.http_folder import HttpFolder, http_folder  # noqa: F401
from tests.support.provider import Provider, apt_provider, provider  # noqa: F401

from pps.adapters.packages.repositories import ProviderRepositories
from pps.domain.base.errors import ConfigurationError, PackageError
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.packages.verified_index import VerifiedIndex

pytestmark = pytest.mark.needs("apt")

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = "Tue, 01 Jan 2019 00:00:00 UTC"


@dataclass
class Keys:
    """A key ring of its own, and what it exports."""

    home: Path

    def run(self, *words: str, given: bytes = b"") -> bytes:
        gpg = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--yes", "--passphrase", ""]
        done = subprocess.run(
            [*gpg, "--pinentry-mode", "loopback", "--trust-model", "always", *words],
            input=given, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        return done.stdout

    def make(self, name: str, *, at: str = "", valid: str = "never") -> None:
        time = ("--faked-system-time", at) if at else ()
        self.run(*time, "--quick-generate-key", f"{name}@localhost", "ed25519", "sign", valid)

    def fingerprint(self, name: str) -> str:
        line = self.run("--with-colons", "--list-keys", f"{name}@localhost").decode()
        return re.search(r"^fpr:+([0-9A-F]{40}):", line, re.MULTILINE)[1]

    def revoke(self, name: str) -> None:
        made = (self.home / "openpgp-revocs.d" / f"{self.fingerprint(name)}.rev").read_text()
        self.run("--import", given=made.replace(":-----BEGIN", "-----BEGIN").encode())

    def ring(self, *names: str, armoured: bool = False) -> Path:
        to = self.home / f"ring-{'-'.join(names)}-{armoured}.gpg"
        to.write_bytes(self.run(*(("--armor",) if armoured else ()), "--export", *(f"{n}@localhost" for n in names)))
        return to

    def clear(self, text: str, *names: str, more: tuple[str, ...] = ()) -> str:
        who = [word for name in names for word in ("--local-user", f"{name}@localhost")]
        return self.run(*who, *more, "--clearsign", given=text.encode()).decode()

    def detached(self, text: str, *names: str, more: tuple[str, ...] = ()) -> str:
        who = [word for name in names for word in ("--local-user", f"{name}@localhost")]
        return self.run(*who, *more, "--armor", "--detach-sign", given=text.encode()).decode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    made = Keys(tmp_path_factory.mktemp("gnupg"))
    made.home.chmod(0o700)
    for name in ("good", "other", "revoked", "stranger"):
        made.make(name, at="20200101T000000")
    made.make("expired", at="20200101T000000", valid="2020-02-01")
    # of a key that was good when it signed
    (made.home / "by-revoked").write_text(made.clear(release(), "revoked"))
    made.revoke("revoked")
    yield made
    stop = ["gpgconf", "--homedir", str(made.home), "--kill", "all"]
    subprocess.run(stop, check=False, capture_output=True, timeout=60)


PACKAGES = b"Package: foo\nVersion: 1\nArchitecture: amd64\nFilename: pool/foo.deb\nSize: 1\n" + (
    b"SHA256: " + hashlib.sha256(b"x").hexdigest().encode() + b"\n"
)


def release(suite: str = "Suite: preview\nCodename: bookworm\n", date: datetime | None = NOW, more: str = "") -> str:
    dated = f"Date: {format_datetime(date, usegmt=True)}\n" if date else ""
    digest = f" {hashlib.sha256(PACKAGES).hexdigest()} {len(PACKAGES)} main/binary-amd64/Packages\n"
    return f"{suite}{dated}{more}Architectures: amd64\nComponents: main\nSHA256:\n{digest}"


@dataclass
class Signed:
    """An APT repository over HTTP, read by us and by APT."""

    http: HttpFolder
    folder: Path

    def write(self, inrelease: str) -> None:
        dists = self.http.folder / "dists/preview"
        (dists / "main/binary-amd64").mkdir(parents=True, exist_ok=True)
        (dists / "main/binary-amd64/Packages").write_bytes(PACKAGES)
        (dists / "InRelease").write_bytes(inrelease.encode())

    def ours(self, ring: Path, suite: str = "preview", at: datetime | None = None) -> str:
        """Why we refuse it; empty if we do not."""
        repositories = ProviderRepositories({self.http.url: ring}, now=lambda: at or datetime.now(UTC))
        try:
            opened = repositories.open(Repository(RepositoryKind.APT, self.http.url, suite, ("main",)))
        except PackageError as error:
            return str(error)
        assert len(opened.listing(10)) == 1
        return ""

    def apt(self, ring: Path) -> str:
        """Why APT refuses it; empty if it does not."""
        return apt_update(f"deb [signed-by={ring} arch=amd64] {self.http.url} preview main", self.folder)


@pytest.fixture
def signed(http_folder: HttpFolder, tmp_path: Path) -> Signed:
    return Signed(http_folder, tmp_path / "apt")


#: A signature of three hours ago that held for a minute.
SHORT = ("--faked-system-time", f"{NOW - timedelta(hours=3):%Y%m%dT%H%M%S}", "--default-sig-expire", "seconds=60")
Make = Callable[[Keys], str]
GOOD: dict[str, Make] = {
    "one key": lambda k: k.clear(release(), "good"),
    "one key of two": lambda k: k.clear(release(), "stranger", "good"),
    "no date": lambda k: k.clear(release(date=None), "good"),
    "by codename": lambda k: k.clear(release("Codename: preview\n"), "good"),
    "not yet over": lambda k: k.clear(
        release(more=f"Valid-Until: {format_datetime(NOW + timedelta(days=1))}\n"), "good"
    ),
    "with CR LF": lambda k: k.clear(release(), "good").replace("\n", "\r\n"),
}
BAD: dict[str, tuple[Make, str]] = {
    "a stranger": (lambda k: k.clear(release(), "stranger"), "is not in the keyring"),
    "revoked": (lambda k: (k.home / "by-revoked").read_text(), "was revoked"),
    "key expired": (
        lambda k: k.clear(release(), "expired", more=("--faked-system-time", "20200115T000000")), "key .* has expired",
    ),
    "signature expired": (
        lambda k: k.clear(release(date=NOW - timedelta(hours=3)), "other", more=SHORT), r"signature .* has expired",
    ),
    "sha1": (lambda k: k.clear(release(), "good", more=("--digest-algo", "SHA1")), "SHA1, which can be forged"),
    "changed": (lambda k: k.clear(release(), "good").replace("s: main", "s: mein"), "not one over this text"),
    "text before": (lambda k: "Suite: preview\n" + k.clear(release(), "good"), "nothing else"),
    "text after": (lambda k: k.clear(release(), "good") + "SHA256:\n", "nothing else"),
    "two texts": (lambda k: k.clear(release(), "good") * 2, "nothing else"),
    "unsigned": (lambda k: release(), "nothing else"),
    "over": (lambda k: k.clear(release(more=f"Valid-Until: {LONG_AGO}\n"), "good"), "valid until 2019-01-01"),
    "until no date": (lambda k: k.clear(release(more="Valid-Until: for ever\n"), "good"), "Valid-Until is no date"),
    "of tomorrow": (lambda k: k.clear(release(date=NOW + timedelta(days=1)), "good"), "in the future"),
}  # fmt: skip
RINGS = ("good", "revoked", "expired", "other")


@pytest.mark.parametrize("case", GOOD)
def test_what_apt_believes_is_believed(case: str, signed: Signed, keys: Keys) -> None:
    signed.write(GOOD[case](keys))
    ring = keys.ring(*RINGS)
    assert (signed.apt(ring), signed.ours(ring)) == ("", "")


@pytest.mark.parametrize("case", BAD)
def test_what_apt_refuses_is_refused_in_words(case: str, signed: Signed, keys: Keys) -> None:
    make, words = BAD[case]
    signed.write(make(keys))
    ring = keys.ring(*RINGS)
    assert signed.apt(ring)
    assert re.search(words, signed.ours(ring)), signed.ours(ring)


def test_a_good_signature_beside_one_over_another_text_is_refused_whichever_comes_first(
    signed: Signed, keys: Keys
) -> None:
    signed.write("")
    dists = signed.http.folder / "dists/preview"
    (dists / "InRelease").unlink()
    (dists / "Release").write_text(release())
    plain = ("--no-armor", "--output", "-")
    good = keys.run("--local-user", "good@localhost", "--detach-sign", given=release().encode())
    bad = keys.run("--local-user", "other@localhost", *plain, "--detach-sign", given=b"another text")
    for both in (good + bad, bad + good):
        (dists / "Release.gpg").write_bytes(keys.run("--enarmor", given=both).replace(b"ARMORED FILE", b"SIGNATURE"))
        assert "not one over this text" in signed.ours(keys.ring("good", "other"))
        assert signed.apt(keys.ring("good", "other"))
    (dists / "Release.gpg").write_text(keys.detached(release(), "good"))
    assert (signed.apt(keys.ring("good")), signed.ours(keys.ring("good"))) == ("", "")


def test_what_was_checked_is_the_file_that_was_served_and_the_keys_are_those_that_we_know(
    signed: Signed, keys: Keys
) -> None:
    ring, dists = keys.ring(*RINGS), signed.http.folder / "dists/preview"
    repository = Repository(RepositoryKind.APT, signed.http.url, "preview", ("main",))

    def checked() -> VerifiedIndex:
        return ProviderRepositories({signed.http.url: ring}).open(repository).index

    signed.write(keys.clear(release(), "stranger", "good", "other"))
    digest = hashlib.sha256((dists / "InRelease").read_bytes()).hexdigest()
    known = (keys.fingerprint("good"), keys.fingerprint("other"))
    found = checked()
    assert (found.address, found.sha256) == (f"{signed.http.url}/dists/preview/InRelease", digest)
    assert sorted(found.signers) == sorted(known)
    (dists / "InRelease").unlink()
    (dists / "Release").write_text(release())
    (dists / "Release.gpg").write_text(keys.detached(release(), "good"))
    digest = hashlib.sha256(release().encode()).hexdigest()
    assert checked() == VerifiedIndex(f"{signed.http.url}/dists/preview/Release", digest, known[:1])
    unsigned = ProviderRepositories({}, {signed.http.url: "It is a test."}).open(repository).index
    assert (unsigned.sha256, unsigned.signers) == (digest, ())


def test_the_signed_file_of_another_suite_is_refused(signed: Signed, keys: Keys) -> None:
    ring = keys.ring("good")
    for suite, words in (
        ("Suite: other\nCodename: sid\n", "of the suite other or sid, not of preview"),
        ("", "neither Suite nor Codename"),
        ("Suite: preview\nSuite: other\n", "the field Suite twice"),
    ):
        signed.write(keys.clear(release(suite), "good"))
        assert words in signed.ours(ring)


def test_time_is_an_argument(signed: Signed, keys: Keys) -> None:
    until = NOW + timedelta(days=7)
    signed.write(keys.clear(release(more=f"Valid-Until: {format_datetime(until)}\n"), "good"))
    ring = keys.ring("good")
    assert signed.ours(ring, at=until) == ""
    assert "was valid until" in signed.ours(ring, at=until + timedelta(seconds=1))
    assert "in the future" in signed.ours(ring, at=NOW - timedelta(minutes=1))


def test_keys_may_be_armoured_and_a_file_without_keys_is_a_finding(signed: Signed, keys: Keys, tmp_path: Path) -> None:
    signed.write(keys.clear(release(), "good"))
    two = tmp_path / "two.asc"
    two.write_bytes(keys.ring("other", armoured=True).read_bytes() + keys.ring("good", armoured=True).read_bytes())
    assert signed.ours(two) == ""
    for content, words in ((b"", "no public keys"), (b"\x2d" * 5 + b"BEGIN PGP PRIVATE KEY BLOCK", "a secret key")):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ConfigurationError, match=words):
            signed.ours(tmp_path / "bad")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text, ""),
        (lambda text: re.sub(r"<revision>\d+", "<revision>4102444800", text), "revision 2100-01-01"),
        (lambda text: re.sub(r"<timestamp>\d+", "<timestamp>4102444800.5", text), "timestamp 2100-01-01"),
    ],
)
def test_repomd_xml_is_believed_by_its_signature_and_not_if_it_is_of_the_future(
    change: Callable[[str], str],
    words: str,
    http_folder: HttpFolder,
    keys: Keys,
    tmp_path: Path,
) -> None:
    yum = Provider(RepositoryKind.YUM, tmp_path, http_folder)
    made, _ = yum.publish_sample()
    yum.keyrings = {http_folder.url: keys.ring("good", "revoked")}
    index = http_folder.folder / "repodata/repomd.xml"
    text = change(index.read_text())
    index.write_text(text)
    seal = index.with_name("repomd.xml.asc")
    with pytest.raises(PackageError, match=r"is not signed.*404"):
        yum.repositories.open(yum.repository)
    for who, more, why in (("stranger", (), "not in the keyring"), ("good", ("--digest-algo", "SHA1"), "SHA1")):
        seal.write_text(keys.detached(text, who, more=more))
        with pytest.raises(PackageError, match=why):
            yum.repositories.open(yum.repository)
    seal.write_text(keys.detached(text, "good"))
    if words:
        with pytest.raises(PackageError, match=words):
            yum.repositories.open(yum.repository)
    else:
        opened = yum.repositories.open(yum.repository)
        assert opened.resolve(made.packages)
        digest = hashlib.sha256(index.read_bytes()).hexdigest()
        signed_by = (keys.fingerprint("good"),)
        assert opened.index == VerifiedIndex(f"{http_folder.url}/repodata/repomd.xml", digest, signed_by)
