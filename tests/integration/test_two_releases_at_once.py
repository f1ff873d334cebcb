"""Two releases at one instant into the same repository: real processes, and no package is lost from the index."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import psycopg
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from tests.support import signing
from upath import UPath

from pps.activities.packages.production import SUITE
from pps.adapters.packages import repository_seal
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.packages.production_packages import ProductionFolder
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.adapters.packages.repository_writer import publish_packages
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.sandbox.provider.packages import make_sample_packages

PROCESSES = multiprocessing.get_context("fork")
PATIENCE_S = 20


class Objects(DirFileSystem):
    """As an object store is to us: no local path, so no lock and no rename, and seen by all processes."""

    protocol = "ppsobjects"

    def __init__(self, **_: object) -> None:
        super().__init__(path="/", fs=LocalFileSystem(auto_mkdir=True))

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("ppsobjects://")


fsspec.register_implementation("ppsobjects", Objects, clobber=True)


def _until(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "neither came in nor waits"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", list(RepositoryKind))
@pytest.mark.parametrize("place", ["folder", "folder without locks", "object store"])
def test_of_two_releases_at_once_both_are_in_the_index(
    tmp_path: Path,
    fact_store: FactStore,
    store_url: str,
    kind: RepositoryKind,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if place == "folder without locks":  # NFS locks no folders
        monkeypatch.setattr(repository_seal, "_locked", lambda path, held: False)
    root = UPath(f"ppsobjects://{tmp_path}/repository" if place == "object store" else tmp_path / "repository")
    seal = replace(signing.seal(tmp_path / "config"), turns=FactStore(store_url).turn)
    repository = Repository(kind, "", SUITE, ("main",))
    made = [make_sample_packages(tmp_path / v, v, kind=kind) for v in ("3.1.22", "3.1.23")]
    first_is_in, second_is_in = PROCESSES.Event(), PROCESSES.Event()

    def others_wait() -> bool:
        if second_is_in.is_set():
            return True
        if place == "folder":
            ours = {str(path.stat().st_ino) for path in (tmp_path, *tmp_path.rglob("*")) if path.exists()}
            waiting = [
                line for line in Path("/proc/locks").read_text().splitlines() if "->" in line and "FLOCK" in line
            ]
            return any(word.rpartition(":")[2] in ours for line in waiting for word in line.split() if ":" in word)
        with psycopg.connect(store_url.replace("+psycopg", "")) as connection:
            waiting = "select 1 from pg_locks where locktype = 'advisory' and not granted"
            return connection.execute(waiting).fetchone() is not None

    def first(files: Iterable[Path]) -> Iterator[Path]:
        first_is_in.set()  # the index has been read
        _until(others_wait)
        yield from files

    def second(files: Iterable[Path]) -> Iterator[Path]:
        second_is_in.set()
        yield from files

    def publish(files: Iterable[Path]) -> None:
        publish_packages(root / kind.value, repository, files, datetime.now(UTC), seal=seal)

    one = PROCESSES.Process(target=lambda: publish(first(made[0].files)))
    other = PROCESSES.Process(target=lambda: (first_is_in.wait(PATIENCE_S), publish(second(made[1].files))))
    for process in (one, other):
        process.start()
    for process in (one, other):
        process.join(2 * PATIENCE_S)
    assert (one.exitcode, other.exitcode) == (0, 0)
    wanted = {ref for m in made for ref in m.packages}
    assert set(ProductionFolder(root, seal=seal).open(kind).newest(wanted)) == wanted
    assert {found.ref for found in ProductionFolder(root, seal=seal).open(kind).newest(wanted).values()} == wanted


@pytest.mark.parametrize("kind", list(RepositoryKind))
def test_who_has_lost_the_turn_loses_politely_and_takes_nothing_out_of_the_index(
    tmp_path: Path, kind: RepositoryKind
) -> None:
    root = UPath(f"ppsobjects://{tmp_path}/repository")
    seal: RepositorySeal = signing.seal(tmp_path / "config")  # nobody takes turns: as if the database had broken
    repository = Repository(kind, "", SUITE, ("main",))
    made = [make_sample_packages(tmp_path / v, v, kind=kind) for v in ("3.1.22", "3.1.23")]

    def publish(files: Iterable[Path]) -> None:
        publish_packages(root / kind.value, repository, files, datetime.now(UTC), seal=seal)

    def overtaken() -> Iterator[Path]:
        yield from made[0].files
        publish(made[1].files)

    with pytest.raises(ServiceError, match=r"by somebody else meanwhile. Nothing is lost; try again"):
        publish(overtaken())
    publish(made[0].files)
    wanted = {ref for m in made for ref in m.packages}
    found = ProductionFolder(root, seal=seal).open(kind).newest(wanted)
    assert {package.ref for package in found.values()} == wanted


def test_two_attempts_that_publish_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    source, target = tmp_path / "tarball.tar.gz", tmp_path / "production" / "tarball.tar.gz"
    source.write_bytes(b"tried" * 200_000)
    (tmp_path / "production").mkdir()
    target.with_name("tarball.tar.gz.part").mkdir()  # what another attempt has left, or is writing
    target.write_bytes(b"other" * 200_000)  # of the same size
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    PublishedFolder(target.parent).publish_file(target.name, source, digest)
    assert target.read_bytes() == source.read_bytes()
    assert [p.name for p in target.parent.iterdir() if p.name.endswith(".part")] == ["tarball.tar.gz.part"]
