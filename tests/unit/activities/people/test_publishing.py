from __future__ import annotations

import threading
from pathlib import Path

from upath import UPath

from pps.activities.people.publishing import publish


def test_a_reader_sees_the_old_file_or_the_new_one_never_a_part(tmp_path: Path) -> None:
    versions = {letter * 3_000_000 for letter in "ab"}
    publish(tmp_path, "x", "a" * 3_000_000)
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "x").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for text in sorted(versions):
            publish(tmp_path, "x", text)
    stop.set()
    reader.join()
    assert seen <= versions
    assert [f.name for f in tmp_path.iterdir()] == ["x"]


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    assert publish(tmp_path, "folder/x.txt", "é")
    assert not publish(tmp_path, "folder/x.txt", "é")
    assert publish(tmp_path, "folder/x.txt", "e")


def test_an_object_store_will_do_as_well(tmp_path: Path) -> None:
    for folder in (UPath("memory://publishing"), UPath(tmp_path.as_uri())):
        assert publish(folder, "notes/x.txt", "one")
        assert not publish(folder, "notes/x.txt", "one")
        assert publish(folder, "notes/x.txt", "two")
        assert (folder / "notes" / "x.txt").read_text() == "two"
    assert [f.name for f in (tmp_path / "notes").iterdir()] == ["x.txt"]
