"""Payloads: only what is lacking, the same bytes everywhere, built once."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from tests.support.previews import SMALL, FolderArtefacts, Tree, artefacts_in, tree_manifest

from pps.activities.packages.payloads import links_into, prepare_payload
from pps.activities.ports.packages import Tarball
from pps.domain.base.errors import PackageError
from pps.domain.packages.manifest import Manifest


def build(store: FolderArtefacts, tarball: Tarball, base: Tarball | None, cache: Path) -> Path:
    manifest, below = (
        Manifest.parse(store.local(t.name, "MANIFEST").read_text()) if t is not None else None for t in (tarball, base)
    )
    assert manifest is not None
    return prepare_payload(tarball, manifest, below, store, cache)


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    head, _, packed = path.read_bytes().partition(b"\n")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = {m.name.removeprefix(".pps-new/"): m for m in tar}
    assert head.split() == [b"PPS-PAYLOAD", b"2", b"%d" % len(packed), b"%d" % found["MANIFEST"].size]
    return found


def test_a_full_payload_says_its_size_and_holds_manifest_files_and_links_in_this_order(tmp_path: Path) -> None:
    store = artefacts_in(tmp_path)
    found = members(build(store, store.make(SMALL, "1.0"), None, tmp_path / "cache"))

    assert next(iter(found)) == "MANIFEST"
    assert set(found) == {"MANIFEST", *SMALL}
    kinds = [m.type for m in found.values()]
    assert kinds == sorted(kinds, key=[tarfile.REGTYPE, tarfile.SYMTYPE].index)
    assert {m.uid for m in found.values()} == {0}


def test_a_delta_holds_only_what_the_base_lacks_and_no_hard_link(tmp_path: Path) -> None:
    store = artefacts_in(tmp_path)
    new: Tree = {**SMALL, "bin/tool": b"new", "moved/libtool.so.1": SMALL["lib/libtool.so.1"]}
    found = members(build(store, store.make(new, "1.1"), store.make(SMALL, "1.0"), tmp_path / "cache"))

    assert set(found) == {"MANIFEST", "bin/tool", "lib/libtool.so"}


def test_what_costs_the_site_more_than_it_saves_or_may_have_been_used_is_sent() -> None:
    big = b"x" * 65536
    before = tree_manifest(
        {"a/small": b"s", "a/big": big, "m.py": b"", "__pycache__/m.cpython-311.pyc": b"code"}, "1.0"
    )
    after = tree_manifest(
        {"a/tiny": b"s", "a/large": big, "m.py": b"", "__pycache__/m.cpython-311.pyc": b"code"}, "1.1"
    )

    assert links_into(after, before) == {"a/large": "a/big", "m.py": "m.py"}


def test_a_file_whose_mode_changed_is_sent_and_not_linked() -> None:
    before, after = tree_manifest(SMALL, "1.0"), tree_manifest(SMALL, "1.1", {"bin/tool": 0o700})

    assert "bin/tool" not in links_into(after, before)
    assert "lib/libtool.so.1" in links_into(after, before)


def test_the_same_tarball_gives_the_same_bytes_in_another_place_on_another_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = artefacts_in(tmp_path)
    tarball = store.make(SMALL, "1.0")
    first = build(store, tarball, None, tmp_path / "a")
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)

    assert build(store, tarball, None, tmp_path / "b").read_bytes() == first.read_bytes()


def test_a_payload_is_built_once_however_many_ask_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = artefacts_in(tmp_path)
    tarball = store.make(SMALL, "1.0")
    reads: list[str] = []
    plain = FolderArtefacts.local
    monkeypatch.setattr(
        FolderArtefacts,
        "local",
        lambda self, name, file: (reads.append(file) if file != "MANIFEST" else None, plain(self, name, file))[1],
    )

    threads = [threading.Thread(target=build, args=(store, tarball, None, tmp_path / "cache")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(reads) == 2, "one read of each part"


@pytest.mark.parametrize("harm", ["content", "size", "missing", "truncated", "no archive"])
def test_a_part_that_is_not_what_manifest_says_is_noticed_at_the_centre(tmp_path: Path, harm: str) -> None:
    store = artefacts_in(tmp_path)
    tarball = store.make(SMALL, "1.0")
    part = store.local(tarball.name, "client-PPS-1.0.tar.gz")
    with tarfile.open(part) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    files["bin/tool"] = {"content": b"#!/bin/sh\necho 3\n", "size": b"x"}.get(harm, files["bin/tool"])
    if harm == "missing":
        del files["bin/tool"]
    with tarfile.open(part, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    if harm == "truncated":
        part.write_bytes(part.read_bytes()[:-30])
    if harm == "no archive":
        part.write_bytes(b"<html>")

    with pytest.raises(PackageError):
        build(store, tarball, None, tmp_path / "cache")
    assert [p for p in (tmp_path / "cache").iterdir() if not p.name.startswith(".")] == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_tarball(tmp_path: Path) -> None:
    store = artefacts_in(tmp_path)
    tarball = store.make({"bin/big": bytes(60_000_000), **{f"share/{n}": b"x" for n in range(3000)}}, "1.0")

    tracemalloc.start()
    path = build(store, tarball, None, tmp_path / "cache")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 12_000_000
    with path.open("rb") as file, gzip.open(file) as unpacked:
        file.readline()
        assert sum(len(c) for c in iter(lambda: unpacked.read(1 << 20), b"")) > 60_000_000
