"""Mirrors in a folder and in an object store: whole or not at all, never written over."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upath import UPath

from pps.adapters.packages.mirror_folder import MirrorFolder
from pps.domain.base.errors import InvalidNameError, ServiceError, TamperedError
from pps.domain.packages.mirrors import MirrorList
from pps.domain.packages.patch import Repository, RepositoryKind

NUMBERS = itertools.count()
NOW = datetime.now(UTC)  # the age of forgotten folders is told by the disk's clock
SOURCE = Repository(RepositoryKind.YUM, "http://repository.example.org/el9")
PILOT = "minor-pilot-4711-1"


@pytest.fixture(params=["file", "path", "memory"])
def mirrors(request: pytest.FixtureRequest, tmp_path: Path) -> MirrorFolder:
    roots = {
        "file": lambda: UPath(f"file://{tmp_path}/mirrors"),
        "path": lambda: UPath(tmp_path / "mirrors"),
        "memory": lambda: UPath(f"memory://mirrors-{next(NUMBERS)}"),
    }
    return MirrorFolder(roots[request.param](), tmp_path / "cache")


@pytest.fixture
def on_disk(tmp_path: Path) -> MirrorFolder:
    return MirrorFolder(UPath(tmp_path / "mirrors"), tmp_path / "cache")


def made(mirrors: MirrorFolder, text: bytes = b"package") -> tuple[str, MirrorList]:
    with mirrors.aside(PILOT, NOW) as folder:
        (folder / "Packages").mkdir()
        (folder / "Packages" / "a.rpm").write_bytes(text)
        (folder / "repodata").mkdir()
        (folder / "repodata" / "repomd.xml").write_bytes(b"index")
        listed = MirrorList(SOURCE, mirrors.contents(folder))
        return mirrors.keep(folder, PILOT, listed), listed


def test_a_mirror_stands_under_its_digest_and_is_found_again(mirrors: MirrorFolder) -> None:
    place, listed = made(mirrors)
    assert place == f"{PILOT}/{listed.digest}"
    assert mirrors.listing(place) == listed.text
    assert tuple(mirrors.found(place)) == listed.files
    assert [f.path for f in listed.files] == ["Packages/a.rpm", "repodata/repomd.xml"]
    other = f"{PILOT}/{'0' * 64}"
    assert mirrors.listing(other) is None


def test_the_same_mirror_twice_is_one_and_the_first_stays(mirrors: MirrorFolder) -> None:
    place, _ = made(mirrors)
    (mirrors.root / place / "mark").write_bytes(b"")
    assert made(mirrors)[0] == place
    assert (mirrors.root / place / "mark").exists()


def test_two_contents_of_one_pilot_do_not_touch_each_other(mirrors: MirrorFolder) -> None:
    first, listed = made(mirrors)
    second, _ = made(mirrors, b"changed")
    assert first != second
    assert tuple(mirrors.found(first)) == listed.files


def test_what_stands_in_a_mirror_s_place_is_never_written_over(on_disk: MirrorFolder) -> None:
    place, listed = made(on_disk)
    folder = Path(on_disk.root.path) / place
    (folder / "MIRROR").chmod(0o644)
    (folder / "MIRROR").write_text("something else")
    with pytest.raises(TamperedError, match="never written over"):
        made(on_disk)
    (folder / "MIRROR").unlink()
    with pytest.raises(TamperedError, match="never written over"):
        made(on_disk)
    assert [f.path for f in on_disk.found(place)] == [f.path for f in listed.files]
    assert not list(folder.parent.parent.glob(".aside-*"))


def test_of_two_at_once_both_have_the_mirror(on_disk: MirrorFolder) -> None:
    with on_disk.aside(PILOT, NOW) as slow:
        (slow / "Packages").mkdir()
        (slow / "Packages" / "a.rpm").write_bytes(b"package")
        (slow / "repodata").mkdir()
        (slow / "repodata" / "repomd.xml").write_bytes(b"index")
        listed = MirrorList(SOURCE, on_disk.contents(slow))
        place, _ = made(on_disk)
        assert on_disk.keep(slow, PILOT, listed) == place
    assert tuple(on_disk.found(place)) == listed.files


def test_a_sending_that_broke_off_is_no_mirror_and_is_completed(tmp_path: Path) -> None:
    root = UPath(f"memory://mirrors-{next(NUMBERS)}")
    mirrors = MirrorFolder(root, tmp_path / "cache")
    place, listed = made(mirrors)
    (root / place / "MIRROR").unlink()
    (root / place / "Packages" / "a.rpm").write_bytes(b"pack")
    assert mirrors.listing(place) is None
    assert made(mirrors)[0] == place
    assert tuple(mirrors.found(place)) == listed.files


def test_one_that_is_being_made_is_for_no_other_user_s_eyes_and_a_forgotten_one_goes(on_disk: MirrorFolder) -> None:
    root = Path(on_disk.root.path)
    for name, age in ((".aside-killed", timedelta(days=2)), (".aside-working", timedelta(hours=3))):
        (root / name / "Packages").mkdir(parents=True)
        at = (NOW - age).timestamp()
        os.utime(root / name, (at, at))
    with on_disk.aside(PILOT, NOW) as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert {p.name for p in root.iterdir()} == {".aside-working", folder.name}
    assert {p.name for p in root.iterdir()} == {".aside-working"}


@pytest.mark.parametrize(
    "place", ["../x", "", PILOT, f"../{'0' * 64}", f"a/../{'0' * 64}", f"{PILOT}/{'0' * 64}/x", f"{PILOT}/{'0' * 64}\n"]
)
def test_no_place_leads_out_of_the_folder(mirrors: MirrorFolder, place: str) -> None:
    with pytest.raises(ServiceError, match="is no place"):
        mirrors.listing(place)
    with pytest.raises(ServiceError, match="is no place"):
        list(mirrors.found(place))


def test_a_pilot_s_name_does_not_lead_out_either(mirrors: MirrorFolder) -> None:
    with pytest.raises(InvalidNameError), mirrors.aside("../x", NOW):
        raise AssertionError


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    mirrors = MirrorFolder(UPath(tmp_path / "file" / "mirrors"), tmp_path / "cache")
    with pytest.raises(ServiceError, match="Check mirror_folder"), mirrors.aside(PILOT, NOW):
        raise AssertionError
