"""What lies in our repositories after a release is held against what was published, and each difference is told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support import signing
from tests.support.examples import RememberingStore
from tests.support.front import front, services  # noqa: F401
from tests.unit.cli.test_doctor import doctor, execution_api, healthy, mail_server, shell  # noqa: F401
from upath import UPath

from pps.activities.packages.production import SUITE
from pps.activities.ports.packages import Tarball
from pps.activities.release.signing import Comparison, Misfit, OwnIndex, not_as_published
from pps.adapters.packages.published_files import Seen, misfits, tarball_misfits
from pps.adapters.packages.repository_writer import publish_packages
from pps.cli.front import Front
from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.record.facts import Fact, FactKind
from pps.sandbox.provider.packages import make_sample_packages
from pps.workflow.alarm import tell_what_is_not_as_published
from pps.workflow.desk import FrontOffice


class Published:
    """A signed repository of ours, and what is known of its files."""

    def __init__(self, folder: Path, kind: RepositoryKind) -> None:
        self.folder, self.seal = folder / "repository", signing.seal(folder / "config")
        self.own = OwnIndex(UPath(self.folder), Repository(kind, "", SUITE, ("main",)))
        self.cache = folder / "seen.json"
        self.read: list[str] = []
        made = make_sample_packages(folder / "made", "3.1.23", kind=kind)
        publish_packages(self.own.root, self.own.repository, made.files, datetime.now(UTC), seal=self.seal)

    def look(self) -> list[Misfit]:
        seen = Seen.read(self.cache)
        found = list(misfits(self.own, self.seal, seen))
        seen.keep()
        return found

    @property
    def packages(self) -> list[Path]:
        return sorted([*self.folder.rglob("*.deb"), *self.folder.rglob("*.rpm")])


@pytest.fixture(params=list(RepositoryKind))
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Published]:
    yield Published(tmp_path, request.param)


def test_a_swapped_a_missing_and_a_linked_file_are_named_and_what_is_whole_is_not(published: Published) -> None:
    assert published.look() == []
    assert published.look() == [], "by size and times alone"
    swapped = published.packages[0]
    before = swapped.stat()
    data = swapped.read_bytes()
    swapped.write_bytes(bytes([data[0] ^ 1]) + data[1:])  # the same size, and its times are put back
    os.utime(swapped, ns=(before.st_atime_ns, before.st_mtime_ns))
    (found,) = published.look()
    assert found.place == str(swapped) and "is another one than was published" in found.why
    swapped.unlink()
    assert [m.why for m in published.look()] == ["is missing, though it was published."]
    swapped.symlink_to("/etc/hostname")
    assert [m.why for m in published.look()] == ["is no plain file."]
    swapped.unlink()
    swapped.write_bytes(data)
    assert published.look() == []


def test_a_file_that_is_as_it_was_is_not_read_again(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    assert published.look() == []
    monkeypatch.setattr("pps.adapters.packages.published_files.sha256_of", lambda file: "0" * 64)
    assert published.look() == []
    published.cache.write_text("[]")  # whatever became of what we knew
    assert len(published.look()) == len(published.packages)


def test_an_index_that_is_not_ours_is_named(published: Published) -> None:
    for name in ("dists/production/InRelease", "repodata/repomd.xml"):
        if (file := published.folder / name).exists():
            file.write_text(file.read_text().replace("0", "1"))
    (found,) = published.look()
    assert found.sha256 == "" and "sign" in found.why


def test_a_tarball_in_production_is_what_is_on_record(tmp_path: Path) -> None:
    tarball = Tarball("client-1.0", "0" * 64, {"MANIFEST": signing_digest(b"one")}, 3, ())
    place = tmp_path / "tarballs" / tarball.name / "MANIFEST"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"one")
    seen = Seen(tmp_path / "seen.json")
    assert not list(tarball_misfits(UPath(tmp_path / "tarballs"), [("bc-client-1-1", tarball)], seen))
    place.write_bytes(b"two")
    (found,) = tarball_misfits(UPath(tmp_path / "tarballs"), [("bc-client-1-1", tarball)], seen)
    assert (found.rollout, found.place) == ("bc-client-1-1", str(place))


def signing_digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_doctor_names_it_and_people_hear_of_it_once(healthy: Front, tmp_path: Path) -> None:
    store = RememberingStore(f"sqlite:///{tmp_path}/facts.db")
    store.upgrade()
    there = replace(healthy, services=replace(healthy.services, given={**healthy.services.given, "facts": store}))  # type: ignore[attr-defined]
    there.__dict__["airflow"] = healthy.airflow
    healthy = there
    services_, now = healthy.services, healthy.now()  # type: ignore[operator]
    made = make_sample_packages(tmp_path / "made", "3.1.23")
    root = services_.production_repository / "apt"
    services_.publish_packages(
        root, Repository(RepositoryKind.APT, "", SUITE, ("main",)), made.files, datetime.now(UTC)
    )
    name = "minor-pilot-4711-1"
    opened = {"path": "minor-pilot", "patch": 4711, "title": "T", "metapackage": "glite-CREAM", "version": "3"}
    store.open("minor-pilot", 4711, Fact(name, FactKind.ROLLOUT_OPENED, "", "", now, "t", opened), "run")
    kept = [[path.stem, signing_digest(path.read_bytes())] for path in made.files]
    store.record(Fact(name, FactKind.PACKAGES_KEPT, "", "", now, "t", {"packages": kept}))
    store.close(Fact(name, FactKind.RELEASED_TO_PRODUCTION, "", "", now, "t", {"platforms": []}))
    assert services_.not_as_published(now) == Comparison(())
    assert doctor(healthy)[1]["published files"] == ("OK", "are what was published.")
    victim = sorted(Path(root.path).rglob("*.deb"))[0]
    victim.chmod(0o644)
    victim.write_bytes(b"evil")
    assert str(victim) in doctor(healthy)[1]["published files"][1]
    for _ in range(2):
        office = FrontOffice.of(services_, lambda: now, "airflow:nightly")
        assert len(tell_what_is_not_as_published(office)) == 1
    told = [f for f in store.rollout(name).facts if f.kind is FactKind.ARTEFACT_REFUSED]
    assert len(told) == 1 and str(victim) in told[0].payload["what"]
    for index in (Path(root.path) / "dists").rglob("*"):
        if index.is_file():
            index.unlink()
    assert {m.rollout for m in services_.not_as_published(now).found} == {name}, "what was released is in no index"


def test_what_could_not_be_looked_at_is_said_beside_what_was_found(tmp_path: Path) -> None:
    away, there = (OwnIndex(tmp_path / n, Repository(RepositoryKind.APT, "", SUITE, ("main",))) for n in ("a", "b"))
    odd = Misfit(str(tmp_path / "b" / "x.deb"), "is another file.", "0" * 64)

    def look(own: OwnIndex) -> list[Misfit]:
        if own is away:
            raise ServiceError("the store", "does not answer.", "Try again.")
        return [odd]

    store = RememberingStore(f"sqlite:///{tmp_path}/facts.db")
    store.upgrade()
    looked = not_as_published([away, there], look, store)
    assert looked.found == (odd,)
    with pytest.raises(ServiceError, match="does not answer"):
        looked.complain()
