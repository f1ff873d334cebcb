"""Mirrors of providers' repositories, made from real packages over real HTTP (SD 4.1.3, 6)."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.http_folder import serving
from tests.support.mirrors import NOW, Mirroring
from tests.support.provider import Provider, apt_provider, provider  # noqa: F401
from upath import UPath

from pps.activities.packages import mirroring
from pps.activities.ports.mirrors import MirrorLimits
from pps.adapters.packages.mirror_folder import MirrorFolder
from pps.adapters.packages.repositories import OwnRepositories
from pps.domain.base.errors import PackageError, RefusedError, ServiceError
from pps.domain.packages.mirrors import Differences, MirrorList
from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.domain.packages.repository_trust import Trust
from pps.domain.record.facts import FactKind
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm

OWN = OwnRepositories(Trust(unsigned="It is ours."), lambda: NOW)
pytestmark = pytest.mark.sd("4.1.3", step=6)


@pytest.fixture
def mirroring_of(provider: Provider, tmp_path: Path) -> Mirroring:
    return Mirroring(provider, tmp_path / "mirrors")


@pytest.fixture
def apt_mirroring(apt_provider: Provider, tmp_path: Path) -> Mirroring:
    return Mirroring(apt_provider, tmp_path / "mirrors")


def packed(provider: Provider, ref: PackageRef, content: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write = write_deb if provider.kind is RepositoryKind.APT else write_rpm
    return write(SamplePackage(ref, {"usr/bin/x": (0o755, content)}), folder)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


def rewritten_index(provider: Provider, change) -> None:
    """Change the index and every digest above it, as a provider in bad faith could."""
    folder = provider.http.folder
    if provider.kind is RepositoryKind.APT:
        packages = folder / "dists/preview/main/binary-all/Packages"
        data = change(packages.read_text()).encode()
        packages.write_bytes(data)
        entry = f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-all/Packages"
        (folder / "dists/preview/Release").write_text(f"Suite: preview\nSHA256:\n{entry}\n")
        return
    data = change(gzip.decompress(next(folder.rglob("*primary.xml.gz")).read_bytes()).decode()).encode()
    (folder / "repodata/primary.xml").write_bytes(data)
    (folder / "repodata/repomd.xml").write_text(
        '<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">'
        f'<checksum type="sha256">{hashlib.sha256(data).hexdigest()}</checksum>'
        f'<location href="repodata/primary.xml"/><size>{len(data)}</size></data></repomd>'
    )


# --- made ------------------------------------------------------------------------------------


def test_a_mirror_holds_the_whole_suite_and_is_read_as_a_repository(mirroring_of: Mirroring, tmp_path: Path) -> None:
    provider = mirroring_of.provider
    made, patch = provider.publish_sample()
    other = PackageRef("not-of-the-patch", "1-1", made.packages[0].arch)
    provider.publish(packed(provider, other, "x", tmp_path / "more"))
    fact = mirroring_of.make(patch)
    assert fact.payload["packages"] == len(made.files) + 1
    assert fact.payload["source"] == provider.http.url
    indexes = {hashlib.sha256(f.read_bytes()).hexdigest() for f in provider.http.folder.rglob("*") if f.is_file()}
    assert fact.payload["index"]["sha256"] in indexes and fact.payload["index"]["address"].startswith(provider.http.url)
    with serving(mirroring_of.folder) as http:
        address = mirroring.mirror_repository(mirroring_of.record, http.url)
        repository = OWN.open(address)
        found = repository.resolve([*made.packages, *made.externals, other])
        (tmp_path / "got").mkdir()
        for package in found:
            repository.fetch(package, tmp_path / "got")
    assert sum(p.size for p in found) == fact.payload["bytes"]
    assert mirroring_of.told[-1][:2] == (len(made.files) + 1,) * 2


def test_later_changes_at_the_source_do_not_reach_the_mirror(mirroring_of: Mirroring, tmp_path: Path) -> None:
    provider = mirroring_of.provider
    made, patch = provider.publish_sample()
    fact = mirroring_of.make(patch)
    before = snapshot(mirroring_of.folder)
    for file in provider.http.folder.rglob("*"):  # the source starts anew, one package rebuilt under its old name
        if file.is_file():
            file.unlink()
    provider.publish(
        packed(provider, made.packages[0], "rebuilt", tmp_path / "a"),
        packed(provider, PackageRef("new", "1-1", made.packages[0].arch), "new", tmp_path / "a"),
    )
    assert mirroring_of.make(patch, NOW + timedelta(days=1)) == fact
    assert snapshot(mirroring_of.folder) == before
    assert mirroring_of.verify().sound
    changes = mirroring.changes_at_source(
        mirroring_of.record, mirroring_of.mirrors, mirroring_of.repositories, mirroring_of.limits
    )
    assert changes.rebuilt == (str(made.packages[0]),)
    assert [c.partition("-")[0] for c in changes.added] == ["new"]
    assert len(changes.removed) == len(made.files) - 1
    assert not changes.unreadable


def test_a_source_that_is_gone_does_not_hurt_the_mirror(mirroring_of: Mirroring) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    mirroring_of.make(patch)
    gone = mirroring_of.provider.http
    gone.statuses = dict.fromkeys(("/dists/preview/InRelease", "/dists/preview/Release", "/repodata/repomd.xml"), 503)
    changes = mirroring.changes_at_source(
        mirroring_of.record, mirroring_of.mirrors, mirroring_of.repositories, mirroring_of.limits
    )
    assert "503" in changes.unreadable
    assert mirroring_of.verify().sound
    assert mirroring_of.make(patch).payload["packages"] > 0


def test_the_same_content_makes_the_same_mirror_whenever_it_is_made(mirroring_of: Mirroring, tmp_path: Path) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    first = mirroring_of.make(patch)
    second = Mirroring(mirroring_of.provider, tmp_path / "elsewhere" / "mirrors")
    assert second.make(patch, NOW + timedelta(days=9)).payload == first.payload


def test_a_lost_mirror_is_made_again_from_the_same_source_and_from_no_other(
    mirroring_of: Mirroring, tmp_path: Path
) -> None:
    provider = mirroring_of.provider
    made, patch = provider.publish_sample()
    fact = mirroring_of.make(patch)
    mirroring_of.place.rename(tmp_path / "lost")
    assert mirroring_of.verify().differences == Differences(differ=("MIRROR",))
    assert mirroring_of.make(patch) == fact
    assert mirroring_of.verify().sound
    mirroring_of.place.rename(tmp_path / "lost again")
    provider.publish(packed(provider, PackageRef("new", "1-1", made.packages[0].arch), "new", tmp_path / "a"))
    with pytest.raises(RefusedError, match="has changed since"):
        mirroring_of.make(patch)
    assert mirroring_of.left == []
    assert mirroring_of.record.the(FactKind.MIRROR_MADE) == fact


def test_files_of_a_mirror_are_read_only_and_readable_by_a_web_server(mirroring_of: Mirroring) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    old = os.umask(0o077)
    try:
        mirroring_of.make(patch)
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in mirroring_of.place.rglob("*") if p.is_file()}
    assert modes == {0o444}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (mirroring_of.place, *mirroring_of.place.rglob("*/"))} == {0o755}


def test_a_mirror_can_be_kept_in_an_object_store(mirroring_of: Mirroring, tmp_path: Path) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    root = UPath(f"memory://mirrors-{tmp_path.name}")
    local = mirroring_of.make(patch)
    again = Mirroring(mirroring_of.provider, tmp_path / "elsewhere" / "mirrors")
    again.mirrors = MirrorFolder(root, tmp_path / "cache")
    assert again.make(patch).payload == local.payload
    assert again.verify().sound
    assert again.left == []
    (root / local.payload["mirror"] / "extra").write_bytes(b"x")
    assert again.verify().differences == Differences(extra=("extra",))


# --- verified --------------------------------------------------------------------------------


def test_every_change_in_a_mirror_is_found_and_named(mirroring_of: Mirroring) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    mirroring_of.make(patch)
    place = mirroring_of.place
    listed = MirrorList.parse((place / "MIRROR").read_text())
    changed, lost, linked, *_ = (f.path for f in listed.files if f.package)
    index = next(f.path for f in listed.files if f.path.endswith(("/Packages", "repomd.xml")))
    (place / changed).chmod(0o644)
    (place / changed).write_bytes((place / changed).read_bytes()[:-1] + b"!")
    (place / index).chmod(0o644)
    (place / index).write_bytes((place / index).read_bytes() + b"\n")
    (place / lost).unlink()
    (place / linked).rename(place.parent / "behind-a-link")
    (place / linked).symlink_to(place.parent / "behind-a-link")  # the same bytes, for now
    (place / "more").mkdir()
    (place / "more" / "file").touch()
    os.mkfifo(place / "pipe")  # must not be opened
    found = mirroring_of.verify()
    assert not found.sound
    assert found.differences == Differences(
        tuple(sorted((changed, index, linked))), (lost,), tuple(sorted(("more/file", "pipe")))
    )


def test_a_changed_list_is_no_measure(mirroring_of: Mirroring) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    mirroring_of.make(patch)
    path = mirroring_of.place / "MIRROR"
    good = path.read_text()
    path.chmod(0o644)
    for bad in (good.replace("# source", "# Source"), good[:-1], good.rpartition("i ")[0], "x" * 1000, ""):
        path.write_text(bad)
        found = mirroring_of.verify()
        assert (found.differences.differ, found.files) == (("MIRROR",), 0)
        assert "not the digest on record" in found.problems[0]


def test_a_mirror_is_also_verified_as_a_site_sees_it(mirroring_of: Mirroring, tmp_path: Path) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    mirroring_of.make(patch)
    path = f"/{mirroring_of.record.the(FactKind.MIRROR_MADE).payload['mirror']}"
    with serving(mirroring_of.folder) as http:
        address = mirroring.mirror_repository(mirroring_of.record, http.url)

        def seen() -> tuple[str, ...]:
            over_http = (OWN, address, tmp_path / "seen")
            return mirroring.verify(
                mirroring_of.record, mirroring_of.mirrors, over_http=over_http, seal_problems=lambda *_: ()
            ).problems

        assert seen() == ()
        package = next(f for f in MirrorList.parse((mirroring_of.place / "MIRROR").read_text()).files if f.package)
        http.statuses[f"{path}/{package.path}"] = 404
        http.cut_after[f"{path}/{package.path}"] = 0
        assert [package.path in p for p in seen()] == [True]
        indexes = ("dists/preview/InRelease", "dists/preview/Release", "repodata/repomd.xml")
        http.statuses = dict.fromkeys((f"{path}/{index}" for index in indexes), 404)
        assert ["cannot read its index" in p for p in seen()] == [True]
    assert "does not answer" in seen()[0]


# --- hostile and broken sources --------------------------------------------------------------


def test_a_package_that_changes_between_index_and_download_leaves_nothing(mirroring_of: Mirroring) -> None:
    made, patch = mirroring_of.provider.publish_sample()
    files = [p for p in mirroring_of.provider.http.folder.rglob("*") if p.suffix in (".deb", ".rpm")]
    good = {p: p.read_bytes() for p in files}
    last = max(files)
    for bad in (good[last] + b"x", good[last][:-1], good[last][:-1] + b"!", b""):
        last.write_bytes(bad)
        with pytest.raises(PackageError, match=r"not what the index says|larger"):
            mirroring_of.make(patch)
        assert mirroring_of.left == []
        assert not mirroring_of.record.has(FactKind.MIRROR_MADE)
    last.unlink()
    with pytest.raises(PackageError, match="does not have it"):
        mirroring_of.make(patch)
    last.write_bytes(good[last])
    mirroring_of.provider.http.cut_after["/" + str(last.relative_to(mirroring_of.provider.http.folder))] = 10
    with pytest.raises((PackageError, ServiceError)):
        mirroring_of.make(patch)
    assert mirroring_of.left == []
    mirroring_of.provider.http.cut_after.clear()
    assert mirroring_of.make(patch).payload["packages"] == len(made.files)


def test_beyond_the_limits_no_package_is_fetched(mirroring_of: Mirroring) -> None:
    _, patch = mirroring_of.provider.publish_sample()
    asked = mirroring_of.provider.http.requests
    for limits, words in ((MirrorLimits(1 << 28, 3), "more than 3 packages"), (MirrorLimits(999, 1000), "999 are")):
        mirroring_of.limits = limits
        with pytest.raises(PackageError, match=words):
            mirroring_of.make(patch)
    mirroring_of.limits = MirrorLimits(1 << 40, 1000)
    rewritten_index(  # a size that nobody could ever store
        mirroring_of.provider,
        lambda text: (
            text.replace("Size: ", "Size: 9999999999", 1)
            if "Size: " in text
            else text.replace('package="', 'package="9999999999', 1)
        ),
    )
    with pytest.raises(PackageError, match="are allowed in a mirror"):
        mirroring_of.make(patch)
    assert not [path for path in asked if path.endswith((".deb", ".rpm"))]
    assert mirroring_of.left == []


def test_a_patch_whose_packages_are_not_there_gets_no_mirror(mirroring_of: Mirroring) -> None:
    made, patch = mirroring_of.provider.publish_sample()
    absent = PackageRef("absent", "1-1", made.packages[0].arch)
    with pytest.raises(PackageError, match="does not have absent-1-1"):
        mirroring_of.make(replace(patch, packages=(absent, *patch.packages)))


@pytest.mark.parametrize("place", ["../../../outside", "/etc/passwd", "a/../../b", "a\x01b"])
def test_a_path_that_leads_out_is_refused(mirroring_of: Mirroring, place: str) -> None:
    if mirroring_of.provider.kind is RepositoryKind.YUM and "\x01" in place:
        place = "a/./b"  # the parser refuses the other
    _, patch = mirroring_of.provider.publish_sample()
    rewritten_index(
        mirroring_of.provider,
        lambda text: text.replace("pool/main/", f"{place}/", 1).replace('href="Packages/', f'href="{place}/', 1),
    )
    with pytest.raises(PackageError, match="may not stand"):
        mirroring_of.make(patch)
    assert mirroring_of.left == []


def test_a_name_that_no_index_of_ours_can_hold_is_refused_not_left_out(mirroring_of: Mirroring) -> None:
    made, patch = mirroring_of.provider.publish_sample()
    name = made.externals[0].name
    rewritten_index(
        mirroring_of.provider,
        lambda text: text.replace(f"Package: {name}\n", "Package: ../x\n").replace(f"<name>{name}<", "<name>../x<"),
    )
    with pytest.raises(PackageError, match="cannot be taken whole"):
        mirroring_of.make(replace(patch, externals=()))


def test_a_file_that_is_another_package_than_the_index_says_is_refused(mirroring_of: Mirroring) -> None:
    made, patch = mirroring_of.provider.publish_sample()
    name = made.externals[0].name
    rewritten_index(
        mirroring_of.provider,
        lambda text: text.replace(f"Package: {name}\n", "Package: other\n").replace(f"<name>{name}<", "<name>other<"),
    )
    with pytest.raises(PackageError, match="but the file says"):
        mirroring_of.make(replace(patch, externals=()))
    assert mirroring_of.left == []


def test_one_package_with_two_contents_is_refused(apt_mirroring: Mirroring) -> None:
    _, patch = apt_mirroring.provider.publish_sample()

    def twice(text: str) -> str:
        first = text.partition("\n\n")[0].splitlines()
        return text + "\n".join("SHA256: " + "0" * 64 if x.startswith("SHA256") else x for x in first) + "\n\n"

    rewritten_index(apt_mirroring.provider, twice)
    with pytest.raises(PackageError, match="different digests"):
        apt_mirroring.make(patch)


def test_names_that_meet_in_one_file_name_are_refused(apt_mirroring: Mirroring, tmp_path: Path) -> None:
    provider = apt_mirroring.provider
    _, patch = provider.publish_sample()
    for ref, place in ((PackageRef("x", "1_2", "all"), "one"), (PackageRef("x", "1", "2_all"), "two")):
        file = packed(provider, ref, place, tmp_path / place)
        (provider.http.folder / f"{place}.deb").write_bytes(file.read_bytes())
        digest, size = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size
        stanza = (
            f"Package: {ref.name}\nVersion: {ref.version}\nArchitecture: {ref.arch}\n"
            f"Filename: {place}.deb\nSize: {size}\nSHA256: {digest}\n\n"
        )
        rewritten_index(provider, lambda text, more=stanza: text + more)
    with pytest.raises(PackageError, match=r"in the field '(Version|Architecture)'"):
        apt_mirroring.make(patch)
    assert apt_mirroring.left == []


@pytest.mark.parametrize("more", ["Filename: ../../etc/x", "SHA256: " + "0" * 64, "X: y\n\nPackage: evil\nVersion: 1"])
def test_a_control_file_cannot_write_into_the_mirror_s_index(
    apt_mirroring: Mirroring, more: str, tmp_path: Path
) -> None:
    provider = apt_mirroring.provider
    _, patch = provider.publish_sample()
    (tmp_path / "evil").mkdir()
    sample = SamplePackage(PackageRef("tricky", "1-1", "all"), {}, summary=f"a tool\n{more}")
    file = write_deb(sample, tmp_path / "evil")
    (provider.http.folder / "tricky.deb").write_bytes(file.read_bytes())
    digest, size = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size
    stanza = (
        f"Package: tricky\nVersion: 1-1\nArchitecture: all\nFilename: tricky.deb\nSize: {size}\nSHA256: {digest}\n\n"
    )
    rewritten_index(provider, lambda text: text + stanza)
    with pytest.raises(PackageError, match="in its control file"):
        apt_mirroring.make(patch)
    assert apt_mirroring.left == []


def test_text_that_xml_cannot_hold_does_not_spoil_the_index(provider: Provider, tmp_path: Path) -> None:
    if provider.kind is RepositoryKind.APT:
        provider = replace(provider, kind=RepositoryKind.YUM)
    ref = PackageRef("odd", "1-1", "noarch")
    (tmp_path / "odd").mkdir()
    odd = SamplePackage(ref, {"usr/bin/odd": (0o755, "x")}, summary="bell \x07 and nul-like \x01")
    provider.publish(write_rpm(odd, tmp_path / "odd"))
    made = Mirroring(provider, tmp_path / "mirrors")
    fact = made.make(provider.patch((ref,)))
    with serving(made.folder) as http:
        assert OWN.open(mirroring.mirror_repository(made.record, http.url)).listing(10)
    index = gzip.decompress(next((made.folder / fact.payload["mirror"]).rglob("*primary.xml.gz")).read_bytes())
    assert b"/usr/bin/odd" in index  # others may require it by its path


def test_a_snapshot_s_version_and_a_long_name_do_not_refuse_a_mirror(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as http:
        yum = Provider(RepositoryKind.YUM, tmp_path, http)
        made, patch = yum.publish_sample()
        odd = PackageRef("voms", "1:2.23.0^20240101git1a2b3c4-1.el9", "noarch")
        long = PackageRef("golang-github-with-a-name-that-is-longer-than-sixty-four-characters-devel", "1-1", "noarch")
        for ref in (odd, long):
            yum.publish(packed(yum, ref, "x", tmp_path / ref.name))
        mirror = Mirroring(yum, tmp_path / "mirrors")
        mirror.make(patch)
    with serving(mirror.folder) as http:
        address = mirroring.mirror_repository(mirror.record, http.url)
        listed = {p.ref for p in OWN.open(address).listing(20)}
        assert listed == {*made.packages, *made.externals, odd, long}
        (tmp_path / "fetched").mkdir()
        over_http = (OWN, address, tmp_path / "fetched")
        assert mirroring.verify(mirror.record, mirror.mirrors, over_http=over_http, seal_problems=lambda *_: ()).sound


def test_an_interruption_leaves_nothing(mirroring_of: Mirroring) -> None:
    _, patch = mirroring_of.provider.publish_sample()

    class Interrupted(list):
        def append(self, what: object) -> None:
            super().append(what)
            if len(self) == 3:
                raise KeyboardInterrupt

    mirroring_of.told = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        mirroring_of.make(patch)
    assert mirroring_of.left == []
    assert not list(mirroring_of.folder.glob(".aside-*"))
    assert not mirroring_of.record.has(FactKind.MIRROR_MADE)


# --- apt itself ------------------------------------------------------------------------------


@pytest.mark.needs("apt")
def test_apt_itself_installs_from_a_mirror_after_the_source_has_changed(
    apt_mirroring: Mirroring, tmp_path: Path
) -> None:
    provider = apt_mirroring.provider
    made, patch = provider.publish_sample()
    apt_mirroring.make(patch)
    provider.publish_sample("3.1.24")
    for folder in ("state/lists/partial", "cache/archives/partial", "etc", "got"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    settings = {
        "Dir::State": "state",
        "Dir::State::status": "status",
        "Dir::Cache": "cache",
        "Dir::Etc::sourcelist": "sources.list",
        "Dir::Etc::sourceparts": "etc",
    }
    options = [w for k, v in settings.items() for w in ("-o", f"{k}={tmp_path / v}")]
    options += ["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1", "-o", "Acquire::http::Proxy=false"]

    def apt(*words: str) -> str:
        return subprocess.run(
            ["apt-get", *options, *words],
            cwd=tmp_path / "got",
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    with serving(apt_mirroring.folder) as http:
        address = mirroring.mirror_repository(apt_mirroring.record, http.url)
        line = f"deb [trusted=yes] {address.url} {address.suite} {address.components[0]}\n"
        (tmp_path / "sources.list").write_text(line)
        apt("update")
        apt("download", *(ref.name for ref in made.packages))
        plan = apt("-s", "install", "voms-clients")
    assert len(list((tmp_path / "got").glob("*_3.1.23-1_all.deb"))) == len(made.packages)
    assert "Inst libgfal2-2 (3.1.23-1" in plan
    assert "3.1.24" not in plan
