"""A package cannot say more in our index than what it is: the judges are the real apt and the real dnf."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.support.archives import deb, rpm_edited, tar
from tests.support.judges import apt_lists, apt_options, dnf_lists, dnf_plans
from tests.support.provider import NOW
from upath import UPath

from pps.adapters.packages.repository_writer import publish_packages
from pps.domain.base.errors import PackageError
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm

APT = Repository(RepositoryKind.APT, "http://localhost/", "production", ("main",))
YUM = Repository(RepositoryKind.YUM, "http://localhost/")
GOOD = PackageRef("good", "1-1", "all")
HEAD = "Package: tool\nVersion: 1.0-1\nArchitecture: all\n"


def deb_saying(folder: Path, control: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "tool_1.0-1_all.deb"
    path.write_bytes(deb(gzip.compress(tar()), control=control))
    return path


@pytest.fixture
def apt_root(tmp_path: Path) -> Path:
    """A production repository with one package in it."""
    (tmp_path / "good").mkdir()
    publish_packages(UPath(tmp_path / "root"), APT, [write_deb(SamplePackage(GOOD, {}), tmp_path / "good")], NOW)
    return tmp_path / "root"


# --- APT -------------------------------------------------------------------------------------


@pytest.mark.needs("apt")
@pytest.mark.parametrize(
    ("control", "words"),
    [
        (HEAD + "Package: openssl\n", "the field 'Package' twice"),
        (HEAD + "package: openssl\n", "the field 'package' twice"),
        ("pAcKaGe: openssl\n" + HEAD, "the field 'Package' twice"),
        (HEAD + "Version: 99\n", "the field 'Version' twice"),
        (HEAD + "Description: x\x0bPackage: openssl\x0bVersion: 99\n", r"control character \(U\+000B\).*Description"),
        (HEAD + "Description: x\rPackage: openssl\rVersion: 99\n", r"U\+000D"),
        (HEAD + "Description: x\r\n\r\nPackage: openssl\nVersion: 99\nArchitecture: all\n", r"U\+000D"),
        (HEAD + "Description: x\x0c\n\x0cPackage: openssl\n", r"U\+000C"),
        (HEAD + "\x0bPackage: openssl\n", r"U\+000B"),
        (HEAD + "Description: x\x00\nSection: y\n", r"U\+0000"),
        (HEAD + "Description: x\x85Package: openssl\n", r"U\+0085"),
        (HEAD + "Description: x\u2028Package: openssl\n", r"U\+2028"),
        ("\ufeff" + HEAD, r"U\+FEFF"),
        (HEAD + "Description: x\n \nPackage: openssl\n", "more than one paragraph"),
        (HEAD + "Description: x\n\nPackage: openssl\nVersion: 99\nArchitecture: all\n", "more than one paragraph"),
        ("\n" + HEAD, "more than one paragraph"),
        ("Package:\n openssl\nVersion: 1.0-1\nArchitecture: all\n", "several lines 'Package'"),
        ("Package: tool\n openssl\nVersion: 1.0-1\nArchitecture: all\n", "several lines 'Package'"),
        (" x\n" + HEAD, "before there is a field"),
        (HEAD + "Depends\n", "no field"),
        (HEAD + ": openssl\n", "no field"),
        (HEAD + "#Package: openssl\n", "no field"),
        (HEAD + "-Package: openssl\n", "no field"),
        (HEAD + "Pack age: openssl\n", "no field"),
        (HEAD + "Filename: pool/main/openssl.deb\n", "the index's own"),
        (HEAD + "SHA512: " + "0" * 128 + "\n", "the index's own"),
        (HEAD.encode() + b"Maintainer: Andr\xe9 <a@localhost>\n", "not UTF-8"),
        (HEAD + "Depends: libc6 (>= \n", "which apt cannot read"),
        (HEAD + "Provides: a b c\n", "which apt cannot read"),
        (HEAD + "Multi-Arch: perhaps\n", "'Multi-Arch'"),
        (HEAD + "Installed-Size: many\n", "'Installed-Size'"),
        ("Package: tool\nArchitecture: all\n", "no field 'Version'"),
        (HEAD + "Description: " + "x" * (300 << 10) + "\n", "more than"),
    ],
    ids=range(33),
)
def test_a_control_file_that_two_could_read_in_two_ways_is_refused(
    apt_root: Path, tmp_path: Path, control: str | bytes, words: str
) -> None:
    with pytest.raises(PackageError, match=words) as caught:
        publish_packages(UPath(apt_root), APT, [deb_saying(tmp_path / "odd", control)], NOW)
    assert str(caught.value).startswith("tool_1.0-1_all.deb")
    assert apt_lists(apt_root, "production", "main", tmp_path / "apt") == {("good", "1-1", "all")}


@pytest.mark.needs("apt")
@pytest.mark.parametrize(
    "control",
    [
        "PACKAGE: tool\nversion: 1.0-1\naRCHITECTURE: all\n",
        HEAD + "Description: one line\n Package: openssl\n .\n Version: 99\n",
        HEAD + "Description: one line\n\tPackage: openssl\n",
        HEAD + "Essential: yes\nProtected: yes\nImportant: yes\n",
        HEAD + "X-Evil: Package: openssl\nPhased-Update-Percentage: 0\nCnf-Extra-Commands: sh\n",
        HEAD + "Depends: good (>= 1) | other:any,\n  good (<< 2~)\nProvides: tool-api (= 1.0)\n",
        HEAD + "Maintainer: André <a@localhost>\nHomepage: http://localhost/: x\n",
    ],
    ids=range(7),
)
def test_apt_lists_exactly_what_was_approved(apt_root: Path, tmp_path: Path, control: str) -> None:
    publish_packages(UPath(apt_root), APT, [deb_saying(tmp_path / "odd", control)], NOW)
    assert apt_lists(apt_root, "production", "main", tmp_path / "apt") == {
        ("good", "1-1", "all"),
        ("tool", "1.0-1", "all"),
    }
    index = (apt_root / "dists/production/main/binary-all/Packages").read_text()
    written = {line.partition(":")[0] for line in index.split("\n") if line and not line.startswith((" ", "\t"))}
    assert not written & {"Essential", "Protected", "Important", "X-Evil", "Phased-Update-Percentage"}
    assert apt_options(apt_root, "production", "main", tmp_path / "apt")


# --- YUM -------------------------------------------------------------------------------------


def rpm_named(folder: Path, ref: PackageRef, **more) -> Path:
    folder.mkdir(exist_ok=True)
    return write_rpm(SamplePackage(ref, {"usr/bin/tool": (0o755, "x")}, **more), folder)


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    """Other bytes of the same length in the header."""
    assert len(old) == len(new)
    whole = path.read_bytes()
    assert old in whole[200:]
    path.write_bytes(whole[:200] + whole[200:].replace(old, new))
    return path


TOOL = PackageRef("tooltool", "1.0-1", "noarch")
REGION = b"\0\0\0\x3f\0\0\0\x07"
BEGIN = b"\x8e\xad\xe8\x01\0\0\0\0"
ODD_RPMS = {
    "a control character in the name": (lambda p: replaced(p, b"tooltool\0", b"tool\x0bool\0"), "NAME .* holds"),
    "an escape in the version": (lambda p: replaced(p, b"\x001.0\0", b"\x001\x1b0\0"), "VERSION of its header holds"),
    "a name that is not UTF-8": (lambda p: replaced(p, b"tooltool\0", b"tool\xffool\0"), "NAME .* not UTF-8"),
    "markup in the name": (lambda p: replaced(p, b"tooltool\0", b'tool"/><\0'), "not a package's name"),
    "a dash in the version": (lambda p: replaced(p, b"\x001.0\0", b"\x001-0\0"), "a - in its version"),
    "a control character in what it requires": (lambda p: replaced(p, b"needed\0", b"nee\x01ed\0"), "REQUIRENAME"),
    "an illegal character in what it provides": (lambda p: replaced(p, b"1.0-1\0", b"1.\x010-\0"), "VERSION"),
    "the name twice": (lambda p: rpm_edited(p, 1016, to=1000), "tag 1000 stands twice"),
    "a name of the wrong type": (lambda p: rpm_edited(p, 1000, kind=4), "NAME of its header is not of the right type"),
    "a name in several languages": (lambda p: rpm_edited(p, 1000, kind=9), "NAME .* right type"),
    "many names": (lambda p: rpm_edited(p, 1000, count=2), "NAME of its header is not of the right type"),
    "a name without end": (lambda p: rpm_edited(p, 1000, kind=8, count=2**31), "not of the right type"),
    "an epoch that is a text": (lambda p: rpm_edited(p, 1016, to=1003), "EPOCH of its header is not of the right type"),
    "two epochs": (lambda p: rpm_edited(rpm_edited(p, 1028, to=1003), 1003, count=2), "EPOCH of its header"),
    "more names than versions": (lambda p: rpm_edited(p, 1050, count=1), "REQUIREVERSION"),
    "no source package": (lambda p: rpm_edited(p, 1044, to=1106), "source package"),
    "entries that are not signed": (lambda p: replaced(p, REGION + b"\xff\xff", REGION + b"\xff\xfe"), "signed"),
    "more entries than there are": (lambda p: replaced(p, BEGIN + b"\0\0\0", BEGIN + b"\x7f\0\0"), "broken"),
}  # fmt: skip


@pytest.mark.needs("dnf")
@pytest.mark.parametrize("what", ODD_RPMS)
def test_a_header_that_two_could_read_in_two_ways_is_refused(tmp_path: Path, what: str) -> None:
    root, (make, words) = tmp_path / "root", ODD_RPMS[what]
    publish_packages(UPath(root), YUM, [rpm_named(tmp_path / "good", PackageRef("good", "1-1", "noarch"))], NOW)
    odd = make(rpm_named(tmp_path / "odd", TOOL, requires=("needed",)))
    with pytest.raises(PackageError, match=words) as caught:
        publish_packages(UPath(root), YUM, [odd], NOW)
    assert odd.name in str(caught.value) or "package" in str(caught.value)
    assert dnf_lists(root, tmp_path / "dnf") == {"good-0:1-1.noarch"}


@pytest.mark.needs("dnf")
def test_dnf_lists_exactly_what_was_approved(tmp_path: Path) -> None:
    root = tmp_path / "root"
    refs = [
        PackageRef("voms", "2.23.0^20240101git1a2b3c4-1.el9", "noarch"),
        PackageRef("voms", "2:2.23.0~rc1^git1-1.el9", "noarch"),
        PackageRef("golang-github-with-a-name-that-is-longer-than-sixty-four-characters-devel", "1-1", "noarch"),
    ]
    files = [rpm_named(tmp_path / f"made{n}", ref) for n, ref in enumerate(refs)]
    odd = rpm_named(tmp_path / "odd", TOOL, summary="bell \x07 </summary><name>openssl</name> \x01", requires=("voms",))
    files.append(replaced(odd, b"Unspecified\0", b"Unspecifi\xe9d\0"))
    publish_packages(UPath(root), YUM, files, NOW)
    assert dnf_lists(root, tmp_path / "dnf") == {
        "voms-0:2.23.0^20240101git1a2b3c4-1.el9.noarch",
        "voms-2:2.23.0~rc1^git1-1.el9.noarch",
        f"{refs[2].name}-0:1-1.noarch",
        "tooltool-0:1.0-1.noarch",
    }
    dnf_plans(root, tmp_path / "dnf", "tooltool")


def test_no_package_makes_our_index_as_large_as_it_likes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(PackageError, match="REQUIRENAME of its header is longer than"):
        publish_packages(UPath(root), YUM, [rpm_named(tmp_path / "odd", TOOL, requires=("x" * 5000,))], NOW)
    publish_packages(UPath(root), YUM, [rpm_named(tmp_path / "long", TOOL, summary="long " * 200_000)], NOW)
    assert len(gzip.decompress(next(root.rglob("*primary.xml.gz")).read_bytes())) < 150_000


def test_a_package_of_the_other_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"is no \.deb"):
        publish_packages(UPath(tmp_path / "root"), APT, [rpm_named(tmp_path / "x", TOOL)], NOW)
