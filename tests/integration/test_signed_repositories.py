"""What we publish is signed: stock apt and dnf install with the lines of our own texts, and take nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support import signing
from tests.support.examples import templates
from tests.support.http_folder import HttpFolder, serving
from tests.support.mirrors import Mirroring
from tests.support.provider import NOW, Provider, provider  # noqa: F401
from upath import UPath

from pps.activities.packages.production import SUITE
from pps.activities.packages.repository_use import PublishedKeys, how_to_use
from pps.activities.release.signing import OwnIndex, renew_all
from pps.adapters.packages import openpgp
from pps.adapters.packages.production_packages import ProductionFolder
from pps.adapters.packages.repositories import ProviderRepositories
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.adapters.packages.repository_writer import publish_packages
from pps.domain.base.errors import ConfigurationError, PackageError, ServiceError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.packages.repository_seals import KEYRING, valid_until
from pps.sandbox.provider.packages import make_sample_packages

pytestmark = pytest.mark.needs("apt", "dnf")


@dataclass
class Site:
    """A web server with what we publish, and what a site's package manager makes of it."""

    kind: RepositoryKind
    folder: Path
    http: HttpFolder
    seal: RepositorySeal

    @property
    def root(self) -> UPath:
        return UPath(self.http.folder / "production" / self.kind.value)

    @property
    def repository(self) -> Repository:
        apt = self.kind is RepositoryKind.APT
        url = f"{self.http.url}/production/{self.kind.value}"
        return Repository(self.kind, url, SUITE if apt else "", ("main",) if apt else ())

    def publish(self, version: str, now: datetime | None = None, seal: RepositorySeal | None = None) -> PackageRef:
        made = make_sample_packages(self.folder / f"made-{version}", version, kind=self.kind)
        publish_packages(self.root, self.repository, made.files, now or datetime.now(UTC), seal=seal or self.seal)
        return made.packages[0]

    def publish_keys(self) -> None:
        (self.http.folder / "pps" / "keys").mkdir(parents=True, exist_ok=True)
        (self.http.folder / "pps" / "keys" / KEYRING).write_bytes(self.seal.keyring.read_bytes())

    @property
    def text(self) -> str:
        keys = PublishedKeys(self.http.url, openpgp.keys_in(self.seal.keyring.read_bytes()))
        return how_to_use(self.repository, "pps-production", keys, templates())

    def installs(self, ref: PackageRef) -> str:
        """Do what the text says, word for word, in a root of our own, then fetch a package; what the tool said."""
        return self._apt(ref) if self.kind is RepositoryKind.APT else self._dnf(ref)

    def _apt(self, ref: PackageRef) -> str:
        root = self.folder / "site"
        for place in (
            "etc/apt/sources.list.d",
            "etc/apt/preferences.d",
            "etc/apt/apt.conf.d",
            "var/lib/dpkg",
            "var/lib/apt/lists",
            "var/cache/apt/archives/partial",
        ):
            (root / place).mkdir(parents=True, exist_ok=True)
        (root / "var/lib/dpkg/status").touch()
        text = self.text.replace("/etc/apt/", f"{root}/etc/apt/")
        command = next(line for line in text.split("\n") if line.startswith("curl "))
        subprocess.run(command, shell=True, check=True, cwd=root, executable="/bin/sh")
        (name,) = re.findall(r"/sources\.list\.d/(\S+)", text)
        source = next(line for line in text.split("\n") if line.startswith("deb "))
        (root / "etc/apt/sources.list.d" / name).write_text(f"{source}\n")
        # nothing of this machine's own settings
        settings = {"Dir": root, "Dir::State::status": root / "var/lib/dpkg/status", "APT::Sandbox::User": "root"}
        settings["APT::Architecture"] = "amd64" if ref.arch == "all" else ref.arch
        (root / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
        environment = {**os.environ, "LC_ALL": "C", "APT_CONFIG": str(root / "apt.conf")}
        said = ""
        for words in (["update", "--error-on=any"], ["download", f"{ref.name}={ref.version}"]):
            done = subprocess.run(["apt-get", *words], capture_output=True, text=True, cwd=root, env=environment)
            said += done.stdout + done.stderr
            if done.returncode != 0:
                return f"FAILED {said}"
        assert list(root.glob(f"{ref.name}_*.deb"))
        return said

    def _dnf(self, ref: PackageRef) -> str:
        root = self.folder / "site"
        (root / "repos").mkdir(parents=True, exist_ok=True)
        (root / "dnf.conf").write_text(
            f"[main]\ncachedir={root}/cache\npersistdir={root}/state\nreposdir={root}/repos\n"
        )
        (root / "repos" / "pps-production.repo").write_text(self.text + "\n")
        into = root / "got"
        command = ["dnf", "-y", "-c", str(root / "dnf.conf"), "--installroot", str(root / "root"), "--releasever=9"]
        command += [f"--forcearch={ref.arch}"] if ref.arch not in ("noarch", "x86_64") else []
        command += ["--refresh", "install", "--downloadonly", f"--downloaddir={into}", "--setopt=install_weak_deps=0"]
        done = subprocess.run([*command, ref.name], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
        if done.returncode != 0:
            return f"FAILED {done.stdout}{done.stderr}"
        assert list(into.glob(f"{ref.name}-*.rpm"))
        return done.stdout + done.stderr


@pytest.fixture(params=list(RepositoryKind))
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as http:
        made = Site(request.param, tmp_path, http, signing.seal(tmp_path / "config"))
        made.publish_keys()
        yield made
        # dnf asks an agent of GnuPG's about keys, in a folder of its own below its cache, and leaves it to itself
        for ring in tmp_path.rglob("pubring"):
            subprocess.run(["gpgconf", "--homedir", str(ring), "--kill", "all"], capture_output=True, check=False)


def test_stock_apt_and_dnf_install_with_the_lines_of_our_text_and_take_nothing_unsigned(site: Site) -> None:
    ref = site.publish("3.1.23")
    assert "trusted=yes" not in site.text
    assert not (said := site.installs(ref)).startswith("FAILED"), said
    assert "not signed" not in said
    assert "W:" not in said
    # somebody can write into the folder, and has not the key
    folder = Path(site.root.path)
    for signature in [*folder.rglob("InRelease"), *folder.rglob("Release.gpg"), *folder.rglob("*.asc")]:
        signature.unlink()
    assert site.installs(ref).startswith("FAILED")


def test_an_index_that_was_changed_on_its_way_is_refused_by_apt_dnf_and_us(site: Site) -> None:
    ref = site.publish("3.1.23")
    folder = Path(site.root.path)
    signed = folder / ("dists/production/InRelease" if site.kind is RepositoryKind.APT else "repodata/repomd.xml")
    text = signed.read_text()
    digest = re.search(r"[0-9a-f]{64}", text)
    assert digest is not None
    signed.write_text(text.replace(digest[0], "0" * 64))
    assert site.installs(ref).startswith("FAILED")
    with pytest.raises(ServiceError, match="not signed by our key"):
        ProductionFolder(UPath(site.http.folder / "production"), seal=site.seal).open(site.kind)
    with pytest.raises(ServiceError, match="not signed by our key"):
        site.publish("3.1.24")
    with pytest.raises(ServiceError, match="not signed by our key"):
        site.seal.renew(site.root, site.repository, datetime.now(UTC), when_left=timedelta(days=10))


def test_what_somebody_has_put_into_an_index_is_not_signed_with_the_next_release(site: Site) -> None:
    """Before, whatever stood in the folder was merged into the new index."""
    site.publish("3.1.23")
    folder = Path(site.root.path)
    if site.kind is RepositoryKind.APT:
        packages = next(folder.rglob("binary-*/Packages"))
        packages.write_text(
            packages.read_text() + "Package: openssl\nVersion: 99\nArchitecture: amd64\nFilename: x.deb\n\n"
        )
    else:
        repomd = folder / "repodata" / "repomd.xml"
        repomd.write_text(repomd.read_text() + "<!-- openssl -->")
        with pytest.raises(ServiceError):
            site.publish("3.1.24")
        return
    ref = site.publish("3.1.24")
    assert not site.installs(ref).startswith("FAILED")
    assert not any("openssl" in p.read_text() for p in folder.rglob("Packages"))


def test_a_repository_without_a_signature_is_neither_read_nor_written_until_somebody_signs_it_as_it_is(
    site: Site,
) -> None:
    made = make_sample_packages(site.folder / "old", "3.1.22", kind=site.kind)
    publish_packages(site.root, site.repository, made.files, datetime.now(UTC))
    production = ProductionFolder(UPath(site.http.folder / "production"), seal=site.seal)
    with pytest.raises(ServiceError, match="pps keys sign --unsigned"):
        production.open(site.kind)
    with pytest.raises(ServiceError, match="pps keys sign --unsigned"):
        site.publish("3.1.23")
    with pytest.raises(ServiceError, match="is not signed"):
        renew_all(
            [OwnIndex(site.root, site.repository)],
            lambda own: site.seal.renew(own.root, own.repository, datetime.now(UTC), when_left=timedelta(days=10)),
        )
    assert site.seal.sign_as_it_is(site.root, site.repository, datetime.now(UTC))
    assert not site.seal.sign_as_it_is(site.root, site.repository, datetime.now(UTC))
    assert production.open(site.kind).newest(made.packages)
    assert not site.installs(site.publish("3.1.23")).startswith("FAILED")


def test_an_apt_index_holds_for_a_fortnight_is_renewed_before_and_refused_afterwards(tmp_path: Path) -> None:
    with serving(tmp_path) as http:
        site = Site(RepositoryKind.APT, tmp_path, http, signing.seal(tmp_path / "config"))
        site.publish_keys()
        old = datetime.now(UTC) - timedelta(days=20)
        ref = site.publish("3.1.23", now=old)
        suite = site.root / "dists" / SUITE
        release = (suite / "Release").read_text()
        ends = valid_until(release)
        assert ends is not None and abs(ends - old - timedelta(days=14)) < timedelta(seconds=1)
        assert {"Origin: PPS Rollout", "Label: PPS Rollout", "Suite: production"} < set(release.split("\n"))
        assert "expired" in site.installs(ref)
        with pytest.raises(ServiceError, match="was not renewed"):
            ProductionFolder(UPath(tmp_path / "production"), seal=site.seal).open(site.kind)
        index = {p: p.read_bytes() for p in Path(site.root.path).rglob("*") if p.is_file() and "Release" not in p.name}
        now, left = datetime.now(UTC), timedelta(days=10)
        assert site.seal.renew(site.root, site.repository, now, when_left=left)
        assert not site.installs(ref).startswith("FAILED")
        assert not site.seal.renew(site.root, site.repository, now + timedelta(days=3), when_left=left)
        assert site.seal.renew(site.root, site.repository, now + timedelta(days=5), when_left=left)
        assert index == {p: p.read_bytes() for p in index}, "no change of content"


def test_a_renewal_that_was_interrupted_anywhere_is_completed_and_no_reader_meets_a_false_index(site: Site) -> None:
    ref = site.publish("3.1.23", now=datetime.now(UTC) - timedelta(days=9))
    folder = Path(site.root.path)
    if site.kind is RepositoryKind.APT:
        before = {n: (folder / "dists" / SUITE / n).read_bytes() for n in ("Release", "Release.gpg", "InRelease")}
    else:
        before = {n: (folder / "repodata" / n).read_bytes() for n in ("repomd.xml", "repomd.xml.asc")}
    site.publish("3.1.24")
    place = folder / ("dists/" + SUITE if site.kind is RepositoryKind.APT else "repodata")
    after = {name: (place / name).read_bytes() for name in before}
    names = list(before)
    for cut in range(len(names) + 1):
        for at, name in enumerate(names):
            (place / name).write_bytes((after if at < cut else before)[name])
        site.seal.renew(site.root, site.repository, datetime.now(UTC), when_left=timedelta(days=10))
        assert site.seal.problems(site.root, site.repository) == ()
        assert not site.installs(ref).startswith("FAILED")


def test_two_keys_sign_for_a_time_and_sites_with_either_go_on(site: Site) -> None:
    first, second = signing.key(), signing.key("PPS next <pps@example.org>")
    ref = site.publish("3.1.23")
    assert not site.installs(ref).startswith("FAILED")
    both = signing.seal(site.folder / "both", first, second)
    assert both.renew(site.root, site.repository, datetime.now(UTC), when_left=timedelta(days=1)) is (
        site.kind is RepositoryKind.APT
    ), "rpm's reader looks at one signature, so that of a YUM index stays the first key's"
    assert not site.installs(ref).startswith("FAILED"), "sites have the first key"
    site.seal = both
    site.publish_keys()
    assert not site.installs(ref).startswith("FAILED"), "sites have fetched both"
    alone = RepositorySeal(both.keyring, lambda: (second.secret,), timedelta(days=14))
    assert alone.renew(site.root, site.repository, datetime.now(UTC), when_left=timedelta(days=1))
    assert not alone.renew(site.root, site.repository, datetime.now(UTC), when_left=timedelta(days=1))
    assert not site.installs(ref).startswith("FAILED"), "the second alone"


def test_the_same_on_an_object_store(tmp_path: Path) -> None:
    seal = signing.seal(tmp_path / "config")
    for kind in RepositoryKind:
        made = make_sample_packages(tmp_path / kind.value, "3.1.23", kind=kind)
        root = UPath(f"memory://signed-{os.getpid()}")
        repository = Repository(kind, "", SUITE, ("main",))
        publish_packages(root / kind.value, repository, made.files, datetime.now(UTC), seal=seal)
        assert seal.problems(root / kind.value, repository) == ()
        assert ProductionFolder(root, seal=seal).open(kind).newest(made.packages)
        assert not seal.renew(root / kind.value, repository, datetime.now(UTC), when_left=timedelta(days=10))


def test_our_own_reader_of_repositories_refuses_one_that_our_key_has_not_signed(site: Site) -> None:
    made = make_sample_packages(site.folder / "unsigned", "3.1.22", kind=site.kind)
    publish_packages(site.root, site.repository, made.files, datetime.now(UTC))
    ring = site.folder / "ring.gpg"
    ring.write_bytes(openpgp.dearmoured(site.seal.public))
    own = ProviderRepositories({site.http.url: ring})
    with pytest.raises(PackageError, match="not signed"):
        own.open(site.repository).listing(10)
    assert site.seal.sign_as_it_is(site.root, site.repository, datetime.now(UTC))
    assert own.open(site.repository).listing(100)


def test_a_mirror_is_signed_renewed_and_still_what_it_was(provider: Provider) -> None:
    _, patch = provider.publish_sample()
    made = Mirroring(provider, provider.root / "mirror")
    made.make(patch)
    assert made.verify().sound
    repository = replace(provider.repository, components=provider.repository.components[:1])
    later = replace(made.seal, clock=lambda: NOW + timedelta(days=30))
    assert made.seal.problems(UPath(made.place), repository) == ()
    listed = (made.place / "MIRROR").read_bytes()
    if provider.kind is RepositoryKind.APT:
        then = made.seal.clock() + timedelta(days=30)
        later = replace(made.seal, clock=lambda: then)
        assert later.problems(UPath(made.place), repository)
        assert later.renew(UPath(made.place), repository, then, when_left=timedelta(days=10))
        assert later.problems(UPath(made.place), repository) == ()
        made.seal = later
    assert (made.place / "MIRROR").read_bytes() == listed
    assert made.verify().sound
    signature = next(p for p in made.place.rglob("*") if p.name in ("InRelease", "repomd.xml.asc"))
    signature.chmod(0o644)
    signature.write_text("nothing")
    assert not made.verify().sound
    signature.unlink()
    os.mkfifo(signature)  # must not be opened
    assert not made.verify().sound


def test_nothing_is_published_without_a_key(tmp_path: Path) -> None:
    made = make_sample_packages(tmp_path / "made", "3.1.23")
    repository = Repository(RepositoryKind.APT, "", SUITE, ("main",))
    seal = RepositorySeal(tmp_path / KEYRING, lambda: (), timedelta(days=14))
    with pytest.raises(ConfigurationError, match="pps keys make"):
        publish_packages(UPath(tmp_path / "apt"), repository, made.files, NOW, seal=seal)
    assert not list((tmp_path / "apt").rglob("*Release*"))


def test_no_process_and_no_file_of_a_signature_is_left_and_nobody_else_could_read_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    real = openpgp.run

    def watched(command: list[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
        for word in command:
            if "pps-gpg-" in word and Path(word).is_dir():
                seen.append((Path(word), Path(word).stat().st_mode & 0o777))
        assert not any("PRIVATE" in word or len(word) > 300 for word in command)
        return real(command, given)

    monkeypatch.setattr(openpgp, "run", watched)
    openpgp.sign([signing.key().secret], "text\n")
    assert {mode for _, mode in seen} == {0o700}
    assert not [folder for folder, _ in seen if folder.exists()]
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert not any(str(folder).encode() in status.read_bytes() for folder, _ in seen)
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_two_that_publish_at_once_and_a_renewal_lose_nothing(site: Site) -> None:
    """Before, the last one to write the index left the others' packages out of it."""
    site.publish("3.1.20", now=datetime.now(UTC) - timedelta(days=9))
    versions = [f"3.1.{number}" for number in range(21, 25)]
    with ThreadPoolExecutor(5) as at_once:
        renewal = at_once.submit(
            site.seal.renew, site.root, site.repository, datetime.now(UTC), when_left=timedelta(days=10)
        )
        refs = list(at_once.map(site.publish, versions))
        renewal.result()
    index = ProductionFolder(UPath(site.http.folder / "production"), seal=site.seal).open(site.kind)
    assert set(index.newest(refs)) == set(refs)
    assert {p.ref for p in index.newest(refs).values()} == set(refs)


_NO_AGENT = 'echo "gpg: can\'t connect to the gpg-agent: IPC connect call failed" >&2\nexit 2\n'


@pytest.mark.parametrize("times", [2, 9])
def test_a_busy_machine_on_which_gpg_s_agent_comes_up_too_late_is_no_broken_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    secret = signing.key().secret
    real = shutil.which("gpg")
    programs = tmp_path / "bin"
    programs.mkdir()
    count = tmp_path / "tries"
    stub = (
        f'#!/bin/sh\nn=$(cat {count} 2>/dev/null || echo 0)\necho $((n + 1)) > {count}\nif [ "$n" -lt {times} ]; then\n'
    )
    (programs / "gpg").write_text(f'{stub}{_NO_AGENT}fi\nexec {real} "$@"\n')
    (programs / "gpg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    if times < 3:
        assert openpgp.sign_detached((secret,), b"words").startswith("-----BEGIN PGP SIGNATURE")
    else:
        with pytest.raises(ServiceError, match="did not get its agent"):  # a task tries that again
            openpgp.sign_detached((secret,), b"words")


def test_a_key_that_cannot_be_used_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError):
        openpgp.sign_detached((b"no key at all",), b"words")
