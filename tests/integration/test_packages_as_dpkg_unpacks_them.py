"""What we make of a .deb's data archive is what `dpkg-deb -x` makes of it, or we refuse it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.archives import deb, deb_of, member, tar

from pps.activities.ports import UnpackBudget
from pps.adapters.package_files import PackageFiles
from pps.adapters.unpacking import link_target
from pps.domain.errors import HostileArchiveError

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
    ],
    ids=range(10),
)  # fmt: skip
def test_a_package_is_unpacked_as_by_dpkg(reader: PackageFiles, tmp_path: Path, members) -> None:
    path = deb_of(tmp_path, *members)
    assert ours(reader, path) == theirs(path, tmp_path / "unpacked")


NAMES = st.sampled_from(["a", "b", "a/b", "a/c", "b/a", "a/b/c", "b/c/d", "./a", "/a", "/b/a", "./", "a/"])
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
