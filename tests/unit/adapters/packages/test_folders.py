from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from upath import UPath

import pps
from pps.adapters.packages.folders import PublishedFolder, aside, write_whole
from pps.domain.base.errors import ServiceError, TamperedError


def test_a_reader_sees_the_old_file_or_the_new_one_never_a_part(tmp_path: Path) -> None:
    folder = PublishedFolder(UPath(tmp_path))
    versions = {letter * 3_000_000 for letter in "ab"}
    folder.publish("x", "a" * 3_000_000)
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "x").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for text in sorted(versions):
            folder.publish("x", text)
    stop.set()
    reader.join()
    assert seen <= versions
    assert [f.name for f in tmp_path.iterdir()] == ["x"]


def test_two_that_write_the_same_file_at_once_both_write_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "x"

    def slow() -> Iterator[bytes]:
        yield b"the slow one, "
        write_whole(target, [b"the quick one"])
        assert target.read_bytes() == b"the quick one"
        yield b"whole"

    write_whole(target, slow())
    assert target.read_bytes() == b"the slow one, whole"
    assert [f.name for f in tmp_path.iterdir()] == ["x"]


def test_what_ends_early_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="half"), aside(target) as part:
        part.write_bytes(b"new, but")
        raise ValueError("half")
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {"x": b"old"}


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    folder = PublishedFolder(UPath(tmp_path))
    assert folder.publish("folder/x.txt", "é")
    assert not folder.publish("folder/x.txt", "é")
    assert folder.publish("folder/x.txt", "e")


def test_an_object_store_will_do_as_well(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"tried")
    digest = hashlib.sha256(b"tried").hexdigest()
    for root in (UPath("memory://publishing"), UPath((tmp_path / "www").as_uri())):
        folder = PublishedFolder(root)
        assert folder.publish("notes/x.txt", "one")
        assert not folder.publish("notes/x.txt", "one")
        assert folder.publish("notes/x.txt", "two")
        assert folder.read("notes/x.txt") == b"two"
        assert folder.read("notes/y.txt") is folder.read("notes") is None
        folder.publish_file("notes/x.txt", kept, digest)
        with pytest.raises(TamperedError, match="was changed while it was published"):
            folder.publish_file("notes/z.txt", kept, "0" * 64)
        assert folder.read("notes/x.txt") == b"tried"
        assert folder.read("notes/z.txt") is None
    assert [f.name for f in (tmp_path / "www" / "notes").iterdir()] == ["x.txt"]


def test_a_link_is_no_file_of_ours_and_a_place_that_does_not_work_is_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "x").symlink_to(tmp_path / "secret")
    assert PublishedFolder(UPath(tmp_path / "www")).read("x") is None
    for broken in (UPath(tmp_path / "secret"), UPath((tmp_path / "secret").as_uri())):
        with pytest.raises(ServiceError, match=r"publication folder: cannot be written .*pps doctor"):
            PublishedFolder(broken).publish("x", "x")


def test_one_module_alone_knows_a_disk_from_an_object_store() -> None:
    root = Path(pps.__file__).parent
    asking = {str(p.relative_to(root)) for p in root.rglob("*.py") if ".protocol in" in p.read_text()}
    assert asking == {"adapters/packages/folders.py"}
