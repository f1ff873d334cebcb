"""MANIFEST: what may stand in it, and that reading it back loses nothing."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.base.errors import PackageError
from pps.domain.packages.manifest import Manifest, ManifestEntry, ManifestPackage, checked_tree_path
from pps.domain.packages.patch import PackageRef

SHA = "0" * 64


def is_tree_path(path: str) -> bool:
    try:
        checked_tree_path(path)
    except PackageError:
        return False
    return True


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=20)
tree_paths = st.lists(names, min_size=1, max_size=4).map("/".join).filter(is_tree_path)


@given(st.text())
def test_a_tree_path_never_leaves_the_tree_and_fits_on_one_line(path: str) -> None:
    if is_tree_path(path):
        assert posixpath.normpath(posixpath.join("/prefix", path)).startswith("/prefix/")
        assert not {"\n", "\0", "\r"} & set(path)
        assert path.encode().decode() == path


@given(st.text(st.characters(), min_size=1))
def test_any_text_is_a_path_or_refused_in_words(path: str) -> None:
    try:
        checked_tree_path(path)
    except PackageError as error:
        assert "may not stand" in str(error)


@given(tree_paths, st.text(st.sampled_from("ab./"), min_size=1, max_size=30))
def test_a_link_never_leads_out_of_the_tree(path: str, target: str) -> None:
    try:
        entry = ManifestEntry(path, "l", 0o777, 0, "", target)
    except PackageError:
        return
    where = posixpath.normpath(posixpath.join("/prefix/", posixpath.dirname(entry.path), entry.target))
    assert (where + "/").startswith("/prefix/")


@given(st.dictionaries(tree_paths, st.sampled_from("fd"), max_size=8), st.integers(0, 10**12))
def test_reading_a_manifest_back_gives_the_same_one(kinds: dict[str, str], size: int) -> None:
    entries = [
        ManifestEntry(p, "f", 0o644, size, SHA) if k == "f" else ManifestEntry(p, "d", 0o755) for p, k in kinds.items()
    ]
    package = ManifestPackage("external", PackageRef("libgfal2-2", "1:2.21.3-1", "amd64"), SHA)
    manifest = Manifest("glite-WN", "3.1.23", (package,), tuple(entries))
    again = Manifest.parse(manifest.text)
    assert again == manifest
    assert again.digest == manifest.digest
    assert Manifest("glite-WN", "3.1.23", (package,), tuple(reversed(entries))).text == manifest.text


def test_a_path_that_stands_twice_is_refused() -> None:
    with pytest.raises(PackageError, match="twice"):
        Manifest("glite-WN", "3.1.23", (), (ManifestEntry("a", "d", 0o755), ManifestEntry("a", "f", 0o644, 0, SHA)))
