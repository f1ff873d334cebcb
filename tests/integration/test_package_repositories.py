"""APT and YUM repositories over real HTTP: what is verified, and how it is said."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.http_folder import HttpFolder, http_folder, serving  # noqa: F401
from tests.support.provider import NOW, Provider, apt_provider, provider  # noqa: F401
from upath import UPath

from pps.adapters.packages.repositories import ProviderRepositories
from pps.adapters.packages.repository_writer import publish_packages
from pps.domain.base.errors import ConfigurationError, PackageError, ServiceError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.packages.repository_trust import Trust
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm


def opened(provider: Provider):
    return provider.repositories.open(provider.repository)


def test_packages_are_found_in_order_and_downloaded_verified(provider: Provider, tmp_path: Path) -> None:
    made, _ = provider.publish_sample()
    repository = opened(provider)
    refs = (*reversed(made.packages), *made.externals)
    found = repository.resolve(refs)
    assert tuple(p.ref for p in found) == refs
    into = tmp_path / "into"
    into.mkdir()
    for package in found:
        path = repository.fetch(package, into)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256


def test_every_missing_package_is_named(provider: Provider) -> None:
    made, _ = provider.publish_sample()
    absent = [PackageRef("absent", "1-1", "all"), PackageRef(made.packages[0].name, "9.9-9", made.packages[0].arch)]
    with pytest.raises(PackageError) as caught:
        opened(provider).resolve([*made.packages, *absent])
    assert all(str(ref) in str(caught.value) for ref in absent)


def test_a_package_that_was_changed_after_indexing_is_refused(provider: Provider, tmp_path: Path) -> None:
    made, _ = provider.publish_sample()
    repository = opened(provider)
    package = repository.resolve(made.packages[:1])[0]
    path = provider.http.folder / package.filename
    good = path.read_bytes()
    for bad, words in ((good[:-1] + bytes([good[-1] ^ 1]), "sha256"), (good + b"x", "larger"), (good[:-1], "size")):
        path.write_bytes(bad)
        with pytest.raises(PackageError, match=words):
            repository.fetch(package, tmp_path)
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / path.name).exists()


def test_a_tampered_index_is_refused(provider: Provider) -> None:
    made, _ = provider.publish_sample()
    if provider.kind is RepositoryKind.APT:
        for path in provider.http.folder.rglob("by-hash/SHA256/*"):
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    else:
        path = next(provider.http.folder.rglob("*primary.xml.gz"))
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"noarch", b"noarcx")))
    with pytest.raises(PackageError, match=r"not what the index says|larger"):
        opened(provider).resolve(made.packages)


def test_a_repository_without_index_or_server_is_told_in_words(provider: Provider) -> None:
    with pytest.raises(PackageError, match=r"Release|repomd"):
        opened(provider)
    provider.http.statuses = dict.fromkeys(
        ("/dists/preview/InRelease", "/dists/preview/Release", "/repodata/repomd.xml"), 503
    )
    with pytest.raises(ServiceError, match="503"):
        opened(provider)
    nowhere = Repository(provider.kind, "http://127.0.0.1:9", "preview", ("main",))
    with pytest.raises(ServiceError, match="does not answer"):
        ProviderRepositories(unsigned={nowhere.url: "A test."}).open(nowhere)


def test_a_download_that_breaks_off_is_worth_a_retry(provider: Provider, tmp_path: Path) -> None:
    made, _ = provider.publish_sample()
    repository = opened(provider)
    package = repository.resolve(made.packages[:1])[0]
    provider.http.cut_after["/" + package.filename] = 100
    with pytest.raises((ServiceError, PackageError), match=r"broke off|size"):
        repository.fetch(package, tmp_path)
    provider.http.cut_after.clear()
    assert repository.fetch(package, tmp_path).exists()


def test_redirects_stay_on_the_provider_s_host(provider: Provider, tmp_path: Path) -> None:
    made, _ = provider.publish_sample()
    repository = opened(provider)
    package = repository.resolve(made.packages[:1])[0]
    place = "/" + package.filename
    (tmp_path / "elsewhere").mkdir()
    with serving(tmp_path / "elsewhere") as other:
        provider.http.redirects[place] = f"{other.url}{place}"
        with pytest.raises(PackageError, match="another server"):
            repository.fetch(package, tmp_path)
        assert other.requests == []
    for location in ("http://169.254.169.254/latest", "//evil/x", "file:///etc/passwd"):
        provider.http.redirects[place] = location
        with pytest.raises(PackageError, match="another server"):
            repository.fetch(package, tmp_path)
    provider.http.redirects[place] = "/moved" + place
    shutil.copytree(provider.http.folder, tmp_path / "copy")
    shutil.move(tmp_path / "copy", provider.http.folder / "moved")
    assert repository.fetch(package, tmp_path).exists()
    provider.http.redirects[place] = place
    with pytest.raises(PackageError, match="circle"):
        repository.fetch(package, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc", "ftp://x/y", "http://user@host/", "http://h/a/../b", "http://h/%2e%2e/b",
        "http://h/a?x=1", "http://h/a b", "http://h/a%2fb", "http://h/a%0ab", "http://h//a", "http://h\\@x/",
        "http:///x", "http://h:99999/", "http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://h%2fx/",
        "http://h/mirrorlist", "http://h/metalink?repo=x",
    ],
)  # fmt: skip
def test_odd_addresses_are_refused(url: str) -> None:
    for kind in RepositoryKind:
        with pytest.raises(PackageError, match="plain http"):
            ProviderRepositories().open(Repository(kind, url, "preview", ("main",)))


def test_an_index_cannot_name_files_outside_the_repository(provider: Provider) -> None:
    made, _ = provider.publish_sample()
    _rewrite(provider, lambda text: text.replace("pool/main/", "../../../").replace('href="Packages/', 'href="../'))
    with pytest.raises(PackageError, match="may not stand"):
        opened(provider).resolve(made.packages)


def _rewrite(provider: Provider, change) -> None:
    """Change the index and all digests above it, as a provider in bad faith could."""
    folder = provider.http.folder
    if provider.kind is RepositoryKind.APT:
        dists = folder / "dists/preview"
        packages = dists / "main/binary-all/Packages"
        data = change(packages.read_text()).encode()
        packages.write_bytes(data)
        text = f"Suite: preview\nSHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-all/Packages\n"
        (dists / "Release").write_text(text)
        return
    data = change(gzip.decompress(next(folder.rglob("*primary.xml.gz")).read_bytes()).decode()).encode()
    (folder / "repodata/primary.xml").write_bytes(data)
    (folder / "repodata/repomd.xml").write_text(
        '<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">'
        f'<checksum type="sha256">{hashlib.sha256(data).hexdigest()}</checksum>'
        f'<location href="repodata/primary.xml"/><size>{len(data)}</size></data></repomd>'
    )


def test_a_yum_index_with_entities_is_refused(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as http:
        provider = Provider(RepositoryKind.YUM, tmp_path, http)
        made, _ = provider.publish_sample()
        laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        _rewrite(provider, lambda text: text.replace("<metadata", laughs + "<metadata", 1).replace("sample of", "&b;"))
        with pytest.raises(PackageError, match="document type"):
            opened(provider).resolve(made.packages)
        index = http.folder / "repodata/repomd.xml"
        good = index.read_text()
        index.write_text('<!DOCTYPE repomd SYSTEM "file:///etc/passwd">' + good)
        with pytest.raises(PackageError, match="document type"):
            opened(provider)
        index.write_text(good.replace("</repomd>", ""))
        with pytest.raises(PackageError, match="well-formed"):
            opened(provider)


def test_weak_digests_alone_are_refused(provider: Provider) -> None:
    provider.publish_sample()
    for name in ("dists/preview/Release", "repodata/repomd.xml"):
        path = provider.http.folder / name
        if path.exists():
            text = path.read_text().replace("SHA256:", "MD5Sum:").replace('type="sha256"', 'type="md5"')
            path.write_text(
                "\n".join(
                    line[:33] + line[65:] if line.startswith(" ") and "Packages" in line else line
                    for line in text.splitlines()
                )
            )
    with pytest.raises(PackageError, match="sha256"):
        opened(provider)


def test_one_package_with_two_digests_is_refused(apt_provider: Provider) -> None:
    made, _ = apt_provider.publish_sample()

    def twice(text: str) -> str:
        first = text.partition("\n\n")[0]
        return (
            text
            + "\n".join("SHA256: " + "0" * 64 if line.startswith("SHA256") else line for line in first.splitlines())
            + "\n\n"
        )

    _rewrite(apt_provider, twice)
    with pytest.raises(PackageError, match="different digests"):
        opened(apt_provider).resolve(made.packages)


# --- writing ---------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


def test_publishing_twice_changes_nothing_and_more_packages_are_added(provider: Provider) -> None:
    first, _ = provider.publish_sample("3.1.22")
    before = snapshot(provider.http.folder)
    publish_packages(UPath(provider.http.folder), provider.repository, first.files, NOW + timedelta(days=1))
    assert snapshot(provider.http.folder) == before
    second, _ = provider.publish_sample("3.1.23")
    assert len(opened(provider).resolve([*first.packages, *second.packages, *second.externals])) == 11
    # whoever read the old index a moment ago still finds its files
    kept = {n for n in before if "pool" in n or "Packages/" in n or "by-hash" in n or "primary" in n}
    assert kept <= snapshot(provider.http.folder).keys()


def test_a_published_package_is_never_replaced_by_another(provider: Provider, tmp_path: Path) -> None:
    made, _ = provider.publish_sample()
    write = write_deb if provider.kind is RepositoryKind.APT else write_rpm
    changed = write(SamplePackage(made.packages[0], {"usr/bin/x": (0o755, "changed")}), tmp_path)
    before = snapshot(provider.http.folder)
    with pytest.raises(PackageError, match="other content"):
        provider.publish(changed)
    assert snapshot(provider.http.folder) == before


def test_a_repository_can_be_written_to_an_object_store(provider: Provider, tmp_path: Path) -> None:
    made, _ = provider.publish_sample()
    root = UPath(f"memory://published-{provider.kind}-{tmp_path.name}")
    publish_packages(root, provider.repository, made.files, NOW)
    for path in provider.http.folder.rglob("*"):
        if path.is_file():
            assert (root / path.relative_to(provider.http.folder).as_posix()).read_bytes() == path.read_bytes()


@pytest.mark.needs("apt")
def test_apt_itself_reads_the_repository_that_we_write(apt_provider: Provider, tmp_path: Path) -> None:
    made, _ = apt_provider.publish_sample()
    for folder in ("state/lists/partial", "cache/archives/partial", "etc", "got"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {apt_provider.http.url} preview main\n")
    settings = {
        "Dir::State": "state", "Dir::State::status": "status", "Dir::Cache": "cache",
        "Dir::Etc::sourcelist": "sources.list",
        "Dir::Etc::sourceparts": "etc",
    }  # fmt: skip
    options = [w for k, v in settings.items() for w in ("-o", f"{k}={tmp_path / v}")]
    options += ["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1", "-o", "Acquire::http::Proxy=false"]
    for command in (["update"], ["download", *(ref.name for ref in made.packages)]):
        subprocess.run(
            ["apt-get", *options, *command], cwd=tmp_path / "got", check=True, capture_output=True, timeout=120
        )
    assert {p.name for p in (tmp_path / "got").iterdir()} == {
        p.name for p in made.files if not p.name.startswith("libgfal2")
    }
    plan = subprocess.run(
        ["apt-get", *options, "-s", "install", "voms-clients"], check=True, capture_output=True, text=True, timeout=120
    )
    assert "Inst libgfal2-2 (3.1.23-1" in plan.stdout


# --- signatures ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory):
    """Two keyrings and a function that signs with the key of one."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    gpg = [
        "gpg",
        "--homedir",
        str(home),
        "--batch",
        "--quiet",
        "--yes",
        "--passphrase",
        "",
        "--pinentry-mode",
        "loopback",
    ]

    def run(*words: str) -> None:
        subprocess.run([*gpg, *words], check=True, capture_output=True, timeout=120)

    for name in ("provider", "stranger"):
        run("--quick-generate-key", f"{name}@localhost", "ed25519", "sign", "never")
        run("--output", str(home / f"{name}.gpg"), "--export", f"{name}@localhost")
    yield home, lambda who, *words: run("--local-user", f"{who}@localhost", *words)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True, timeout=60)


def sign(provider: Provider, run, who: str) -> None:
    if provider.kind is RepositoryKind.APT:
        release = provider.http.folder / "dists/preview/Release"
        run(who, "--armor", "--output", str(release.with_name("Release.gpg")), "--detach-sign", str(release))
        run(who, "--output", str(release.with_name("InRelease")), "--clearsign", str(release))
    else:
        index = provider.http.folder / "repodata/repomd.xml"
        run(who, "--armor", "--output", f"{index}.asc", "--detach-sign", str(index))


@pytest.mark.needs("apt")
def test_a_repository_under_a_configured_prefix_must_be_signed_by_its_key(provider: Provider, keys) -> None:
    home, run = keys
    made, _ = provider.publish_sample()
    provider.keyrings = {provider.http.url: home / "provider.gpg"}
    with pytest.raises(PackageError, match="not signed"):
        opened(provider)
    sign(provider, run, "stranger")
    with pytest.raises(PackageError, match="not signed by a key"):
        opened(provider)
    sign(provider, run, "provider")
    assert opened(provider).resolve(made.packages)
    for path in provider.http.folder.rglob("*"):
        if path.name in ("InRelease", "repomd.xml"):
            path.write_bytes(path.read_bytes().replace(b"preview", b"prevIew").replace(b"<revision>1", b"<revision>2"))
    with pytest.raises(PackageError, match="not signed by a key"):
        opened(provider)
    if provider.kind is RepositoryKind.APT:  # the detached signature does when there is no InRelease
        (provider.http.folder / "dists/preview/InRelease").unlink()
        assert opened(provider).resolve(made.packages)


@pytest.mark.needs("apt")
def test_only_the_signed_part_of_a_clear_signed_file_counts(apt_provider: Provider, keys) -> None:
    home, run = keys
    apt_provider.publish_sample()
    apt_provider.keyrings = {apt_provider.http.url: home / "provider.gpg"}
    sign(apt_provider, run, "provider")
    inrelease = apt_provider.http.folder / "dists/preview/InRelease"
    evil = f"SHA256:\n {'0' * 64} 10 main/binary-all/Packages.xz\n\n"
    inrelease.write_text(evil + inrelease.read_text())
    try:
        files = opened(apt_provider).files
    except PackageError:
        return
    assert "main/binary-all/Packages.xz" not in files


def test_without_a_tool_a_signature_is_an_error_never_a_pass(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    provider.publish_sample()
    (provider.http.folder / "dists/preview/Release.gpg").parent.mkdir(parents=True, exist_ok=True)
    (provider.http.folder / "dists/preview/Release.gpg").write_text("x")
    (provider.http.folder / "repodata").mkdir(exist_ok=True)
    (provider.http.folder / "repodata/repomd.xml.asc").write_text("x")
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    provider.keyrings = {provider.http.url: keyring}
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="not installed"):
        opened(provider)


def test_no_spelling_of_an_address_leads_around_its_signature() -> None:
    signed, more = Trust(Path("keyring")), Trust(Path("more"))
    repositories = ProviderRepositories(
        {"https://repo.example.org/signed/": Path("keyring"), "https://Repo.example.org./signed/more": Path("more")},
        # whoever wrote this did not mean to open the signed places
        {"https://repo.example.org": "Others there do not sign.", "http://repo.example.org": "Nor over http."},
    )
    for url in (
        "https://repo.example.org/signed", "https://repo.example.org/signed/", "http://repo.example.org/signed",
        "HTTPS://Repo.Example.ORG./signed/x", "https://repo.example.org:443/signed",
        "https://repo.example.org:8443/signed", "http://repo.example.org:443/signed/x",
        "https://repo.example.org/%73igned/x", "https://repo.example.org/SIGNED/x",
    ):  # fmt: skip
        assert repositories.trust_in(url) == signed, url
    assert repositories.trust_in("https://repo.example.org/signed/more/x") == more
    assert repositories.trust_in("https://repo.example.org/signedx").unsigned == "Others there do not sign."
    for url in ("https://u@repo.example.org/signed", "https://repo.example.org/x/../signed", "https://repo.example.org//signed",
                "https://repo.example.org/x/%2e%2e/signed", "https://repo.example.org/signed%2fx"):  # fmt: skip
        with pytest.raises(PackageError, match="plain http"):
            repositories.trust_in(url)
    for url in ("https://repo.example.org:8443/x", "https://127.0.0.1/signed", "https://example.org/signed"):
        with pytest.raises(ConfigurationError, match="no entry of package_keys"):
            repositories.trust_in(url)
