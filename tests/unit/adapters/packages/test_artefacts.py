"""The artefact store: write-once, verified, the same on a disk and on an object store."""

from __future__ import annotations

import hashlib
import itertools
import threading
from pathlib import Path

import pytest
from upath import UPath

from pps.activities.ports.packages import Tarball
from pps.adapters.packages.artefacts import ArtefactStore
from pps.domain.base.errors import InvalidNameError, PackageError, ServiceError, TamperedError

NUMBERS = itertools.count()
FILES = {"MANIFEST": b"# PPS-MANIFEST 1\n", "a-PPS-1.tar.gz": b"part" * 1000, "a-PPS-1-external.tar.gz": b"external"}
NAME = "glite-WN-3.1.23-PPS-0123456789ab"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=["file", "path", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtefactStore:
    roots = {
        "file": lambda: UPath(f"file://{tmp_path}/store"),
        "path": lambda: UPath(tmp_path / "store"),
        "memory": lambda: UPath(f"memory://store-{next(NUMBERS)}"),
    }
    return ArtefactStore(roots[request.param](), tmp_path / "cache")


def tarball(folder: Path, files: dict[str, bytes] = FILES) -> Tarball:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return Tarball(NAME, sha256(files["MANIFEST"]), {n: sha256(d) for n, d in files.items()}, 4008, ("a-1-1.all",))


def test_what_was_kept_is_found_and_read_verified(store: ArtefactStore, tmp_path: Path) -> None:
    assert store.find(NAME) is None
    made = tarball(tmp_path / "made")
    store.keep(made, tmp_path / "made")
    assert store.find(NAME) == made
    for name, data in FILES.items():
        assert store.local(NAME, name).read_bytes() == data
        with store.open(NAME, name) as file:
            assert file.read() == data


def test_keeping_twice_is_keeping_once(store: ArtefactStore, tmp_path: Path) -> None:
    made = tarball(tmp_path / "made")
    store.keep(made, tmp_path / "made")
    other = tarball(tmp_path / "other", {**FILES, "a-PPS-1.tar.gz": b"another zlib"})
    store.keep(other, tmp_path / "other")
    assert store.find(NAME) == made
    assert store.local(NAME, "a-PPS-1.tar.gz").read_bytes() == FILES["a-PPS-1.tar.gz"]


def test_a_file_that_is_not_what_it_should_be_is_not_kept(store: ArtefactStore, tmp_path: Path) -> None:
    made = tarball(tmp_path / "made")
    (tmp_path / "made/MANIFEST").write_bytes(b"changed")
    with pytest.raises(PackageError, match="digest"):
        store.keep(made, tmp_path / "made")
    assert store.find(NAME) is None


def test_half_an_upload_is_nothing_and_is_completed_by_the_next(store: ArtefactStore, tmp_path: Path) -> None:
    made = tarball(tmp_path / "made")
    (store.root / NAME).mkdir(parents=True, exist_ok=True)
    (store.root / NAME / "MANIFEST").write_bytes(b"half")
    assert store.find(NAME) is None
    store.keep(made, tmp_path / "made")
    assert store.find(NAME) == made
    assert store.local(NAME, "MANIFEST").read_bytes() == FILES["MANIFEST"]


def test_damage_in_the_store_is_told_not_handed_out(store: ArtefactStore, tmp_path: Path) -> None:
    made = tarball(tmp_path / "made")
    store.keep(made, tmp_path / "made")
    (store.root / NAME / "a-PPS-1.tar.gz").write_bytes(b"damaged")
    with pytest.raises(TamperedError, match="damaged or missing"):
        store.local(NAME, "a-PPS-1.tar.gz")
    (store.root / NAME / "tarball.json").write_bytes(b"{")
    with pytest.raises(TamperedError, match="damaged description"):
        store.find(NAME)


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    store = ArtefactStore(UPath(f"memory://store-{next(NUMBERS)}"), tmp_path / "cache")
    made = tarball(tmp_path / "made")
    store.keep(made, tmp_path / "made")
    path = store.local(NAME, "MANIFEST")
    assert path.is_relative_to(tmp_path / "cache")
    path.write_bytes(b"damaged")
    assert store.local(NAME, "MANIFEST").read_bytes() == FILES["MANIFEST"]
    assert [p.name for p in path.parent.iterdir()] == ["MANIFEST"], "nothing lies about beside it"


def test_a_store_on_the_local_disk_is_read_in_place(tmp_path: Path) -> None:
    store = ArtefactStore(UPath(tmp_path / "store"), tmp_path / "cache")
    store.keep(tarball(tmp_path / "made"), tmp_path / "made")
    assert store.local(NAME, "MANIFEST") == tmp_path / "store" / NAME / "MANIFEST"
    assert not (tmp_path / "cache").exists()
    assert [p.name for p in (tmp_path / "store").iterdir()] == [NAME], "nothing is left aside"


def test_many_builders_at_once_keep_one_tarball(tmp_path: Path) -> None:
    store = ArtefactStore(UPath(tmp_path / "store"), tmp_path / "cache")
    made = tarball(tmp_path / "made")
    errors: list[Exception] = []
    barrier = threading.Barrier(8)

    def keep() -> None:
        barrier.wait()
        try:
            store.keep(made, tmp_path / "made")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=keep) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.find(NAME) == made
    assert [p.name for p in (tmp_path / "store").iterdir()] == [NAME]


def test_package_files_are_kept_under_their_digest_and_their_own_name(store: ArtefactStore, tmp_path: Path) -> None:
    path = tmp_path / "voms-clients_2.1.0~rc3-4_amd64.deb"
    path.write_bytes(b"package")
    digest = sha256(b"package")
    with pytest.raises(PackageError, match="not in the artefact store"):
        store.local_package(digest)
    with pytest.raises(PackageError, match="digest"):
        store.keep_package(path, sha256(b"other"))
    store.keep_package(path, digest)
    store.keep_package(path, digest)
    kept = store.local_package(digest)
    assert (kept.name, kept.read_bytes()) == (path.name, b"package")
    (store.root / "packages" / digest / path.name).write_bytes(b"damaged")
    if store.root.protocol != "memory":  # else the cache has a good copy
        with pytest.raises(TamperedError, match="damaged"):
            store.local_package(digest)
    store.keep_package(path, digest)
    assert store.local_package(digest).read_bytes() == b"package"


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc", "", ".", "..", ".ssh", "x\n", "x\0", "-rf", "$(id)", "é"])
def test_no_name_leaves_the_store(store: ArtefactStore, tmp_path: Path, name: str) -> None:
    for call in (store.find, lambda n: store.local(n, "MANIFEST")):
        with pytest.raises(InvalidNameError):
            call(name)
    store.keep(tarball(tmp_path / "made"), tmp_path / "made")
    with pytest.raises(PackageError, match="not in the artefact store"):
        store.local(NAME, name)


def test_a_store_that_does_not_answer_is_a_service_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = ArtefactStore(UPath(tmp_path / "file"), tmp_path / "cache")
    with pytest.raises(ServiceError, match="artefact_store"):
        store.keep(tarball(tmp_path / "made"), tmp_path / "made")
