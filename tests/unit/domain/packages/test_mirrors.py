"""MIRROR, the list of a mirror: read back as it was written, and anything else refused."""

from __future__ import annotations

import pytest

from pps.domain.base.errors import RolloutError
from pps.domain.packages.mirrors import Differences, MirrorFile, MirrorList, differences, source_changes
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind

APT = Repository(RepositoryKind.APT, "http://repository.example.org/debian", "bookworm/updates", ("main", "contrib"))
YUM = Repository(RepositoryKind.YUM, "http://repository.example.org/el9")
REF = PackageRef("voms-clients", "2:2.1.0~rc3-3", "amd64")
FILES = (
    MirrorFile("pool/main/v.deb", 18034, "a" * 64, REF),
    MirrorFile("dists/bookworm/updates/Release", 532, "b" * 64),
)


@pytest.mark.parametrize("source", [APT, YUM])
def test_a_list_is_read_back_as_it_was_written(source: Repository) -> None:
    listed = MirrorList(source, FILES)
    again = MirrorList.parse(listed.text)
    assert (again, again.digest) == (listed, listed.digest)
    assert again.packages == {REF: FILES[0]}


def test_the_order_in_which_files_come_does_not_matter_and_everything_else_does() -> None:
    listed = MirrorList(APT, FILES)
    assert MirrorList(APT, FILES[::-1]).digest == listed.digest
    others = (MirrorList(YUM, FILES), MirrorList(APT, FILES[:1]), MirrorList(APT, (FILES[0], FILES[0])[:1]))
    assert all(other.digest != listed.digest for other in others)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# PPS-MIRROR 1", "# PPS-MIRROR 2"),
        ("# source apt", "# source tar"),
        ("# source apt", "# source"),
        ("pool/main", "../pool/main"),
        ("pool/main", "/pool/main"),
        ("pool/main", "pool/./main"),
        ("a" * 64, "A" * 64),
        ("18034", "-1"),
        (" voms-clients", " ../voms"),
        (" amd64", ""),
        ("p aaa", "i aaa"),
        ("dists/bookworm/updates/Release", "pool/main/v.deb"),
        ("amd64\n", "amd64"),
        ("bookworm/updates main", "book\x01worm main"),
    ],
)
def test_what_is_no_list_is_refused(old: str, new: str) -> None:
    text = MirrorList(APT, FILES).text
    assert old in text
    with pytest.raises(RolloutError):
        MirrorList.parse(text.replace(old, new))


@pytest.mark.parametrize(("suite", "component"), [("a b", "main"), ("a", "ma in"), ("a\nb", "main"), ("a", "x,y")])
def test_a_suite_that_no_list_can_name_is_refused(suite: str, component: str) -> None:
    with pytest.raises(RolloutError, match="may not stand"):
        MirrorList(Repository(RepositoryKind.APT, APT.url, suite, (component,)), ())


def test_differences_are_named_by_kind() -> None:
    there = (MirrorFile("pool/main/v.deb", 18034, "c" * 64), MirrorFile("more", 0, ""))
    assert differences(FILES, there) == Differences(
        ("pool/main/v.deb",), ("dists/bookworm/updates/Release",), ("more",)
    )
    assert not differences(FILES, FILES)


def test_changes_of_the_source_are_new_gone_or_of_other_content() -> None:
    other = PackageRef("new", "1-1", "all")
    listed = MirrorList(APT, FILES)
    assert source_changes(listed, {REF: "a" * 64}) == source_changes(listed, {REF: "a" * 64})
    found = source_changes(listed, {REF: "b" * 64, other: "c" * 64})
    assert (found.added, found.removed, found.rebuilt) == ((str(other),), (), (str(REF),))
    assert source_changes(listed, {}).removed == (str(REF),)
