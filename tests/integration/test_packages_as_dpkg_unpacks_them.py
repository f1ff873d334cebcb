"""What we make of a .deb's data archive is what `dpkg-deb -x` makes of it, or we refuse it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.archives import CONTROL, ar, deb, deb_of, member, tar

from pps.activities.ports.packages import UnpackBudget
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.unpacking import link_target
from pps.domain.base.errors import HostileArchiveError, PackageError

pytestmark = pytest.mark.needs("apt")

HARD = tarfile.LNKTYPE
#: path -> ("d",), ("l", target) or ("f", content, executable, all its names)
Tree = dict[str, tuple[object, ...]]


@pytest.fixture(scope="module")
def reader() -> PackageFiles:
    return PackageFiles()


def ours(reader: PackageFiles, path: Path) -> Tree:
    tree: Tree = {}
    with reader.open(path, UnpackBudget(1 << 20, 100)) as package:
        for found, content in package.members():
            if found.kind == "f":
                tree[found.path] = ("f", content.read(), found.executable, {found.path})
            elif found.kind == "h":
                tree[found.path] = tree[found.target]
                tree[found.target][3].add(found.path)  # type: ignore[attr-defined]
            elif found.kind == "l":
                tree[found.path] = ("l", found.target)
    return tree


def theirs(path: Path, into: Path) -> Tree | None:
    """The tree that dpkg-deb makes, without its directories; None if it fails."""
    into.mkdir()
    if subprocess.run(["dpkg-deb", "-x", path, into], capture_output=True, timeout=60, check=False).returncode:
        return None
    tree: Tree = {}
    names: dict[int, set[str]] = {}
    for folder, folders, files in os.walk(into):
        for name in (*files, *folders):
            place = Path(folder) / name
            known = str(place.relative_to(into))
            if place.is_symlink():
                tree[known] = ("l", link_target("dpkg", known, str(place.readlink())))
            elif place.is_file():
                group = names.setdefault(place.stat().st_ino, set())
                group.add(known)
                tree[known] = ("f", place.read_bytes(), bool(place.stat().st_mode & 0o111), group)
    return tree


@pytest.mark.parametrize(
    "members",
    [
        [member("/usr/bin/tool", data=b"x", mode=0o755), member("/usr/bin/b", HARD, target="/usr/bin/tool")],
        [member("./a", data=b"1"), member("b", HARD, target="a"), member("c", HARD, target="./b")],
        [member("a", data=b"old"), member("b", HARD, target="a"), member("a", data=b"new")],
        [member("a", data=b"1"), member("a", HARD, target="a")],
        [member("usr/lib64", tarfile.DIRTYPE), member("usr/lib64", tarfile.SYMTYPE, target="lib")],
        [member("usr/lib", tarfile.DIRTYPE), member("usr/lib64", tarfile.SYMTYPE, target="lib"), member("usr/lib64/x")],
        [member("a", tarfile.SYMTYPE, target="b"), member("a", tarfile.DIRTYPE), member("a/x")],
        [member("a", data=b"1"), member("a", tarfile.DIRTYPE), member("a/x")],
        [member("a", tarfile.SYMTYPE, target="b"), member("c", HARD, target="a")],
        [member("d/a", tarfile.SYMTYPE, target="/usr/a"), member("c", HARD, target="d/a")],
        [member("usr//x", data=b"1"), member("usr/./y", data=b"2"), member(".//z", HARD, target="usr/.//x")],
        [member("usr/.", tarfile.DIRTYPE), member("././", tarfile.DIRTYPE), member("usr/./b", data=b"1")],
        [member("a", tarfile.CONTTYPE, data=b"as tapes had them"), member("b/", tarfile.CONTTYPE)],
    ],
    ids=range(13),
)  # fmt: skip
def test_a_package_is_unpacked_as_by_dpkg(reader: PackageFiles, tmp_path: Path, members) -> None:
    path = deb_of(tmp_path, *members)
    assert ours(reader, path) == theirs(path, tmp_path / "unpacked")


def test_what_git_notes_for_the_whole_archive_does_not_matter(reader: PackageFiles, tmp_path: Path) -> None:
    commit = {"comment": "4f9c2e0d4f9c2e0d4f9c2e0d4f9c2e0d4f9c2e0d", "mtime": "1"}
    path = deb_of(tmp_path, member("a", data=b"1"), format=tarfile.PAX_FORMAT, pax_headers=commit)
    assert ours(reader, path) == theirs(path, tmp_path / "unpacked") != {}
    for key in ("path", "linkpath", "size"):
        path = deb_of(tmp_path, member("a"), format=tarfile.PAX_FORMAT, pax_headers={key: "1"})
        with pytest.raises(HostileArchiveError, match="only each one can say"):
            ours(reader, path)


@pytest.mark.parametrize("target", ["a/.", "a/./"])
def test_a_file_that_is_named_as_a_folder_is_refused(reader: PackageFiles, tmp_path: Path, target: str) -> None:
    for members in ([member(target, data=b"1")], [member("a"), member("b", HARD, target=target)]):
        path = deb_of(tmp_path, *members)
        if theirs(path, tmp_path / f"unpacked{len(members)}") is None:
            with pytest.raises(HostileArchiveError, match=r"named like one|folder or a link with content"):
                ours(reader, path)


CONTROL_TAR, DATA_TAR = tar(member("control", data=CONTROL.encode())), tar(member("a", data=b"1"))
PACKED = {
    "": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstandard.compress,
    ".lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE), ".Z": gzip.compress, ".": bytes,
}  # fmt: skip
VERSIONS = (
    b"2.0\n", b"2.10\nmore\n", b"2.0", b"2.x\n", b"2.\n", b"2.0x\n", b"2.0 \n", b"2.0\r\n", b"2.-1\n", b"2. 0\n",
    b"2.0\0\n", b"2.99999999999999\n", b"3.0\n", b"2\n",
)  # fmt: skip


def outer(version: bytes = b"2.0\n", control: str = ".gz", data: str = ".gz", packed: str | None = None) -> bytes:
    return ar(
        {
            "debian-binary": version,
            f"control.tar{control}": PACKED[control](CONTROL_TAR),
            f"data.tar{data}": PACKED[data if packed is None else packed](DATA_TAR),
        }
    )


OUTER = {
    **{f"version {version!r}": outer(version) for version in VERSIONS},
    **{f"control {suffix}": outer(control=suffix) for suffix in PACKED},
    **{f"data {suffix}": outer(data=suffix) for suffix in PACKED},
    "lzma that says xz": outer(data=".xz", packed=".lzma"),
    "xz that says lzma": outer(data=".lzma", packed=".xz"),
    "a line behind": outer() + b"\n",
    "text behind": outer() + b"<html>The server of the mirror was restarted, please try again in a few minutes.</html>",
    "zeros behind": outer() + bytes(10240),
    "an extra part first": ar({"_x": b""}) + outer()[8:],
    "a name with two strokes": outer().replace(b"control.tar.gz  ", b"control.tar.gz//"),
    "a name with one stroke": outer().replace(b"control.tar.gz  ", b"control.tar.gz/ "),
    "a size behind a tab": outer().replace(b"4         `", b"\t4        `"),
}


@pytest.mark.parametrize("whole", OUTER.values(), ids=OUTER)
def test_of_the_outer_archive_we_take_what_dpkg_takes(reader: PackageFiles, tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "odd.deb"
    path.write_bytes(whole)
    expected = theirs(path, tmp_path / "unpacked")
    if expected is None:
        with pytest.raises(PackageError, match=r"^odd\.deb"):
            ours(reader, path)
    else:
        assert ours(reader, path) == expected != {}


NAMES = st.sampled_from(
    ["a", "b", "a//b", "a/./c", "a/b", "a/c", "b/a", "a/b/c", "b/c/d", "./a", "/a", "/b/a", "./", "a/"]
)
TARGETS = st.sampled_from(["a", "b", "c", "a/b", "b/a", "/a", "/a/b", "../a", "./b", "."])
CONTENTS = st.sampled_from([b"", b"1", b"22"])
#: What no client needs, and what hangs on the file system, is refused whatever tar does with it.
STRICTER = (
    "out of the tree|where the root is|a folder or a link with content|takes the place of a link|not a plain path"
)
MEMBERS = st.one_of(
    st.tuples(NAMES, st.just(tarfile.REGTYPE), CONTENTS, st.just(""), st.sampled_from([0o644, 0o755])),
    st.tuples(NAMES, st.just(tarfile.DIRTYPE), st.just(b""), st.just(""), st.just(0o755)),
    st.tuples(NAMES, st.just(tarfile.SYMTYPE), st.just(b""), TARGETS, st.just(0o777)),
    st.tuples(NAMES, st.just(HARD), st.just(b""), TARGETS, st.just(0o644)),
)  # fmt: skip
FORMATS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])


@settings(max_examples=150)
@given(st.lists(MEMBERS, min_size=1, max_size=6), FORMATS)
def test_any_small_package_is_unpacked_as_by_dpkg_or_refused(tmp_path_factory, reader, rows, form) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    path = tmp_path / "any.deb"
    path.write_bytes(deb(gzip.compress(tar(*(member(*row) for row in rows), format=form))))
    try:
        found = ours(reader, path)
    except HostileArchiveError as error:
        if not re.search(STRICTER, str(error)):
            assert theirs(path, tmp_path / "unpacked") is None, error
        return
    assert found == theirs(path, tmp_path / "unpacked")
