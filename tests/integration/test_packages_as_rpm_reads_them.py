"""Packages that the real rpmbuild makes, in every form of payload: we unpack what rpm unpacks."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.support.archives import header_at, rpm_edited
from tests.support.provider import NOW
from upath import UPath

from pps.activities.ports.packages import UnpackBudget
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.repository_writer import publish_packages
from pps.domain.base.errors import PackageError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind

pytestmark = pytest.mark.needs("dnf")

REF = PackageRef("sample", "1:2.23.0^20240101git1a2b3c4-1.el9", "noarch")
SPEC = """\
Name: sample
Epoch: 1
Version: 2.23.0^20240101git1a2b3c4
Release: 1.el9
Summary: A sample of a client
License: ASL 2.0
BuildArch: noarch
Requires: libgfal2-2 >= 2.0, /bin/sh
Conflicts: old < 1:1.0-2
Obsoletes: older
Provides: sample-api = 3
%description
Several lines,
of which one is empty.

%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share/sample %{buildroot}/etc
echo tool >%{buildroot}/usr/bin/sample
chmod 755 %{buildroot}/usr/bin/sample
ln %{buildroot}/usr/bin/sample %{buildroot}/usr/bin/another
ln %{buildroot}/usr/bin/sample %{buildroot}/usr/bin/zulu
ln -s sample %{buildroot}/usr/bin/linked
: >%{buildroot}/usr/share/sample/empty
: >%{buildroot}/usr/share/sample/ghost
head -c 300000 /dev/zero >%{buildroot}/usr/share/sample/large
echo x=1 >%{buildroot}/etc/sample.conf
%post
/usr/sbin/update-alternatives --install /usr/bin/s s /usr/bin/sample 10
%files
/usr/bin/*
/usr/share/sample/empty
%ghost /usr/share/sample/ghost
/usr/share/sample/large
%config /etc/sample.conf
"""
PAYLOADS = ("w9.gzdio", "w.ufdio", "w9.xzdio", "w9.bzdio", "w9.lzdio", "w3.zstdio")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("rpmbuild")
    (folder / "sample.spec").write_text(SPEC)
    found = {}
    for payload in PAYLOADS:
        top = folder / payload
        subprocess.run(
            ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", "--define", f"_binary_payload {payload}",
             "--define", "_build_id_links none", str(folder / "sample.spec")],
            check=True, capture_output=True, timeout=120,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        (found[payload],) = top.rglob("*.noarch.rpm")
    yield found
    shutil.rmtree(folder)


def ours(path: Path) -> dict[str, tuple[object, ...]]:
    with PackageFiles().open(path, UnpackBudget(1 << 22, 100)) as package:
        assert package.ref == REF
        assert "update-alternatives" in package.install_script
        tree: dict[str, tuple[object, ...]] = {}
        for found, content in package.members():
            if found.kind == "h":
                tree[found.path] = tree[found.target]
            elif found.kind == "f":
                tree[found.path] = (content.read(), found.executable)
            elif found.kind == "l":
                tree[found.path] = ("->", found.target)
        return tree


def theirs(path: Path, work: Path) -> dict[str, tuple[object, ...]]:
    (work / "unpacked").mkdir(parents=True)
    copy = shutil.copy(path, work / "copy.rpm")
    subprocess.run(["rpm2archive", copy], check=True, capture_output=True, timeout=120)
    subprocess.run(["tar", "-xzf", f"{copy}.tgz", "-C", work / "unpacked"], check=True, timeout=120)
    tree: dict[str, tuple[object, ...]] = {}
    for place in (work / "unpacked").rglob("*"):
        known = str(place.relative_to(work / "unpacked"))
        if place.is_symlink():
            tree[known] = ("->", str(Path(known).parent / place.readlink()))
        elif place.is_file():
            tree[known] = (place.read_bytes(), bool(place.stat().st_mode & 0o111))
    return tree


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_payload_is_unpacked_as_by_rpm(built: dict[str, Path], tmp_path: Path, payload: str) -> None:
    assert ours(built[payload]) == theirs(built[payload], tmp_path)


@pytest.mark.parametrize("payload", ["w9.gzdio", "w9.bzdio", "w3.zstdio"])
def test_what_the_header_says_of_the_compression_does_not_count(
    built: dict[str, Path], tmp_path: Path, payload: str
) -> None:
    path = Path(shutil.copy(built[payload], tmp_path / "odd.rpm"))
    rpm_edited(path, 1125, to=1131)  # a tag that says nothing here
    assert ours(path) == theirs(built[payload], tmp_path)


def payload_at(whole: bytes) -> int:
    at, tags = header_at(whole)
    return at + 16 + 16 * tags + int.from_bytes(whole[at + 12 : at + 16], "big")


def test_payloads_that_name_their_files_by_number_are_read(built: dict[str, Path], tmp_path: Path) -> None:
    """As rpm 6 writes them, and rpm 4 where a file has more than 4 GiB."""
    whole = built["w.ufdio"].read_bytes()
    start = payload_at(whole)
    listed = subprocess.run(
        ["rpm", "-qp", "--qf", "[%{FILENAMES}\n]", built["w.ufdio"]], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    out, at = bytearray(), start
    while True:
        name_size, size = int(whole[at + 94 : at + 102], 16), int(whole[at + 54 : at + 62], 16)
        name = whole[at + 110 : at + 110 + name_size - 1].decode()
        content = start + ((at - start + 110 + name_size + 3) & ~3)
        if name == "TRAILER!!!":
            out += whole[at:]
            break
        out += b"07070X%08x" % listed.index(name.removeprefix("."))
        out += bytes(-len(out) % 4) + whole[content : content + size]
        out += bytes(-len(out) % 4)
        at = start + ((content - start + size + 3) & ~3)
    path = tmp_path / "large.rpm"
    path.write_bytes(whole[:start] + out)
    assert ours(path) == theirs(built["w.ufdio"], tmp_path)
    beyond = bytearray(out)
    beyond[6:14] = b"000000ff"
    path.write_bytes(whole[:start] + beyond)
    with pytest.raises(PackageError, match="not in its header"):
        ours(path)


def test_a_payload_or_format_that_we_do_not_know_is_named(built: dict[str, Path], tmp_path: Path) -> None:
    whole = built["w9.gzdio"].read_bytes()
    start = payload_at(whole)
    path = tmp_path / "odd.rpm"
    path.write_bytes(whole[:start] + b"LZIP" + whole[start + 4 :])
    with pytest.raises(PackageError, match=r"unknown compression .*'gzip'.*known are gzip, xz, zstd"):
        ours(path)
    path.write_bytes(whole)
    rpm_edited(path, 1009, to=5114)  # RPMFORMAT
    with pytest.raises(PackageError, match=r"format \d+, which is not known"):
        ours(path)


def test_we_list_what_createrepo_lists(built: dict[str, Path], tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    shutil.copy(built["w9.gzdio"], theirs)
    subprocess.run(["createrepo_c", "--no-database", theirs], check=True, capture_output=True, timeout=120)
    publish_packages(UPath(ours), Repository(RepositoryKind.YUM, "http://localhost/"), [built["w9.gzdio"]], NOW)
    assert said(ours) == said(theirs)


def said(root: Path) -> dict[str, object]:
    """What primary.xml says of its one package that dnf goes by."""
    primary = next((root / "repodata").glob("*primary.xml.*"))
    data = primary.read_bytes()
    if primary.suffix == ".zst":
        data = subprocess.run(["zstd", "-dc", primary], check=True, capture_output=True).stdout
    elif primary.suffix == ".gz":
        data = gzip.decompress(data)
    (package,) = ElementTree.fromstring(data)
    common, rpm = "{http://linux.duke.edu/metadata/common}", "{http://linux.duke.edu/metadata/rpm}"
    found: dict[str, object] = {n: package.findtext(common + n) for n in ("name", "arch", "summary", "description")}
    found["version"] = package.find(f"{common}version").attrib
    form = package.find(f"{common}format")
    found["range"] = form.find(f"{rpm}header-range").attrib
    found["files"] = sorted(e.text for e in form.iter(f"{common}file"))
    for kind in ("provides", "requires", "conflicts", "obsoletes"):
        rows = [{k: v for k, v in e.attrib.items() if k != "pre"} for e in form.find(f"{rpm}{kind}")]
        # createrepo leaves out what a package requires of itself
        found[kind] = sorted(sorted(row.items()) for row in rows if kind != "requires" or "config(" not in row["name"])
    return found
