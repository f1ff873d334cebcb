"""`pps mirror`: for people and as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml
from tests.support.front import NOW, PATCH, front, services  # noqa: F401
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.activities.ports.packages import IndexedPackage
from pps.activities.ports.record import OpenRollout
from pps.cli.front import Front
from pps.domain.base.errors import PackageError, ServiceError
from pps.domain.packages.patch import PackageRef, Repository
from pps.domain.packages.verified_index import VerifiedIndex
from pps.domain.record.facts import Fact, FactKind
from pps.sandbox.provider.package_formats import SamplePackage, write_deb

PILOT = "minor-pilot-4711-1"
PREVIEW = "bc-client-4711-1"


@dataclass
class MemoryRepositories:
    """One repository for every address, with packages on the disk."""

    files: dict[PackageRef, Path] = field(default_factory=dict)
    opened: list[Repository] = field(default_factory=list)
    broken: str = ""
    index: VerifiedIndex = field(default=VerifiedIndex("https://provider.example.org/Release", "f" * 64))

    def open(self, repository: Repository) -> MemoryRepositories:
        self.opened.append(repository)
        if self.broken:
            raise ServiceError(repository.url, self.broken)
        return self

    def listing(self, at_most: int) -> tuple[IndexedPackage, ...]:
        if len(self.files) > at_most:
            raise PackageError("repository", f"has more than {at_most} packages.")
        return tuple(
            IndexedPackage(ref, f.name, f.stat().st_size, hashlib.sha256(f.read_bytes()).hexdigest())
            for ref, f in self.files.items()
        )

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        raise AssertionError("a mirror takes everything")

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        (into / package.filename).write_bytes(self.files[package.ref].read_bytes())
        return into / package.filename


@pytest.fixture
def repositories(tmp_path: Path) -> MemoryRepositories:
    made = MemoryRepositories()
    (tmp_path / "packages").mkdir()
    for ref in (*PATCH.packages, PackageRef("libgfal2-2", "2.21.3-1", "amd64")):
        made.files[ref] = write_deb(SamplePackage(ref, {"usr/bin/x": (0o755, ref.name)}), tmp_path / "packages")
    return made


@pytest.fixture
def here(front: Front, repositories: MemoryRepositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Front:
    """A pilot is open, and service.yaml names the mirror folder."""
    monkeypatch.setenv("PPS_AIRFLOW_USER", "repository-manager")
    monkeypatch.setenv("COLUMNS", "200")  # nothing is folded
    configure(front, mirror_folder=(tmp_path / "mirrors").as_uri(), mirror_url="https://mirror.example.org/pps")
    front.services.__dict__["repositories"] = repositories
    for name, path in ((PILOT, "minor-pilot"), (PREVIEW, "bc-client")):
        front.services.facts.register.append(OpenRollout(name, path, 4711, NOW, None))
        payload = {"path": path, "patch": 4711}
        front.services.facts.record(Fact(name, FactKind.ROLLOUT_OPENED, "", "", NOW, "pps", payload))
    return front


def configure(front: Front, **values: str) -> None:
    file = front.services.config.folder / "service.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))
    front.services.config.__dict__.pop("service", None)


def place(front: Front) -> Path:
    made = front.services.facts.rollout(PILOT).need(FactKind.MIRROR_MADE, "")
    return Path(front.services.mirror_folder.path) / made.payload["mirror"]


def test_a_dry_run_says_what_would_be_taken_and_fetches_nothing(here: Front) -> None:
    code, out, _ = pps(here, "mirror", "make", PILOT, "--dry-run")
    assert code == 0
    assert "2 (of 10000 allowed)" in one_line(out)
    assert "no package was fetched" in one_line(out)
    found = as_json(here, "mirror", "make", PILOT, "--dry-run")
    assert [p["ref"]["name"] for p in found["listing"]] == ["voms-clients", "libgfal2-2"]
    assert (found["packages"], found["reasons_against"], found["made_before"]) == (2, [], False)
    assert not Path(here.services.mirror_folder.path).exists()
    assert not here.services.facts.rollout(PILOT).has(FactKind.MIRROR_MADE)


def test_a_mirror_is_made_once_and_tells_what_sites_take(here: Front, repositories: MemoryRepositories) -> None:
    code, out, err = pps(here, "mirror", "make", PILOT)
    assert code == 0
    assert err.splitlines() == ["1 of 2", "2 of 2"]
    made = here.services.facts.rollout(PILOT).the(FactKind.MIRROR_MADE)
    assert made.actor == "repository-manager"
    assert made.payload["packages"] == 2
    assert f"https://mirror.example.org/pps/{made.payload['mirror']} bookworm main" in one_line(out)
    assert "Its index is signed." in one_line(out)
    repositories.broken = "is gone."
    code, out, _ = pps(here, "mirror", "make", PILOT)
    assert code == 0
    assert "had been made before" in one_line(out)
    again = as_json(here, "mirror", "make", PILOT)
    assert again["digest"] == made.payload["digest"]
    assert again["address"]["url"].endswith(made.payload["mirror"])


def test_only_a_pilot_gets_a_mirror(here: Front) -> None:
    code, _, err = pps(here, "mirror", "make", PREVIEW)
    assert (code, "It is no pilot." in one_line(err)) == (1, True)
    code, out, _ = pps(here, "mirror", "make", PREVIEW, "--dry-run")
    assert (code, "- It is no pilot." in one_line(out)) == (1, True)
    code, _, err = pps(here, "mirror", "make", "minor-pilot-1-1")
    assert (code, "not on record" in one_line(err)) == (1, True)


def test_a_pilot_that_is_over_gets_none_any_more(here: Front) -> None:
    here.services.facts.record(Fact(PILOT, FactKind.ROLLOUT_CLOSED, "", "", NOW, "pps"))
    for words in (("make", PILOT), ("skip", PILOT, "--reason", "It is not published in production.")):
        code, _, err = pps(here, "mirror", *words)
        assert (code, "The pilot is over." in one_line(err)) == (1, True)


def test_without_a_folder_in_service_yaml_it_says_what_to_set(here: Front) -> None:
    configure(here, mirror_folder=None)
    here.services.__dict__.pop("mirror_folder", None)
    code, _, err = pps(here, "mirror", "make", PILOT)
    assert (code, "Set mirror_folder" in one_line(err)) == (1, True)
    assert as_json(here, "mirror", "list") == []


def test_a_mirror_is_skipped_with_a_real_reason(here: Front) -> None:
    code, _, err = pps(here, "mirror", "skip", PILOT, "--reason", "no")
    assert (code, "must be a sentence" in one_line(err)) == (1, True)
    why = "The service is not published in production."
    assert as_json(here, "mirror", "skip", PILOT, "--reason", why)["skipped"] == why
    code, out, _ = pps(here, "mirror", "skip", PILOT, "--reason", "Somebody has another reason for it.")
    assert (code, why in one_line(out)) == (0, True)
    code, _, err = pps(here, "mirror", "make", PILOT)
    assert (code, why in one_line(err)) == (1, True)
    code, _, err = pps(here, "mirror", "verify", PILOT)
    assert (code, "There is none" in one_line(err)) == (1, True)
    assert f"none: {why}" in one_line(pps(here, "mirror", "list")[1])


def test_a_mirror_that_was_made_cannot_be_skipped(here: Front) -> None:
    pps(here, "mirror", "make", PILOT)
    code, _, err = pps(here, "mirror", "skip", PILOT, "--reason", "It is not needed after all.")
    assert (code, "sites may install from it" in one_line(err)) == (1, True)


def test_mirrors_are_listed_the_newest_first(here: Front) -> None:
    assert "No mirrors yet" in pps(here, "mirror", "list")[1]
    pps(here, "mirror", "make", PILOT)
    other = Fact("major-pilot-1-1", FactKind.MIRROR_MADE, "", "", NOW.replace(year=2027), "pps", {"skipped": "x"})
    here.services.facts.record(other)
    assert [m["rollout"] for m in as_json(here, "mirror", "list")] == ["major-pilot-1-1", PILOT]
    assert PATCH.repository.url in one_line(pps(here, "mirror", "list")[1])


def test_verify_says_sound_or_names_what_is_wrong(here: Front) -> None:
    code, _, err = pps(here, "mirror", "verify", PILOT)
    assert (code, f"pps mirror make {PILOT}" in one_line(err)) == (1, True)
    pps(here, "mirror", "make", PILOT)
    assert as_json(here, "mirror", "verify", PILOT)["sound"]
    (place(here) / "dists/bookworm/Release").unlink()
    (place(here) / "extra\x1b[31m").touch()
    code, out, _ = pps(here, "mirror", "verify", PILOT)
    assert code == 1
    assert "Release and Release.gpg are not what InRelease signs" in one_line(out)
    assert r"extra extra\x1b[31m" in one_line(out)


def test_verify_says_what_has_changed_at_the_source_and_that_it_does_not_matter(
    here: Front, repositories: MemoryRepositories, tmp_path: Path
) -> None:
    pps(here, "mirror", "make", PILOT)
    assert "Nothing has changed" in pps(here, "mirror", "verify", PILOT, "--source")[1]
    new, old = PackageRef("new", "1-1", "all"), PackageRef("libgfal2-2", "2.21.3-1", "amd64")
    repositories.files[new] = write_deb(SamplePackage(new, {}), tmp_path / "packages")
    del repositories.files[old]
    code, out, _ = pps(here, "mirror", "verify", PILOT, "--source")
    assert code == 0
    assert "without effect on the pilot: new new-1-1.all gone libgfal2-2-2.21.3-1.amd64" in one_line(out)
    assert as_json(here, "mirror", "verify", PILOT, "--source")["source"]["added"] == ["new-1-1.all"]
    repositories.broken = "is gone."
    code, out, _ = pps(here, "mirror", "verify", PILOT, "--source")
    assert (code, "does not need it" in one_line(out)) == (0, True)
    # also after the patch was moved to another repository: the mirror knows its own source
    here.services.tracker.known[4711] = replace(PATCH, repository=Repository(PATCH.repository.kind, "http://x"))
    pps(here, "mirror", "verify", PILOT, "--source")
    assert {r.url for r in repositories.opened} == {PATCH.repository.url}


def test_verify_over_http_needs_an_address_and_says_who_does_not_answer(
    here: Front, repositories: MemoryRepositories
) -> None:
    pps(here, "mirror", "make", PILOT)
    own = MemoryRepositories(broken="does not answer.")
    here.services.__dict__["own_repositories"] = own
    code, out, _ = pps(here, "mirror", "verify", PILOT, "--http")
    assert (code, "A site cannot read its index" in one_line(out)) == (1, True)
    assert own.opened[0].url.startswith("https://mirror.example.org/pps/minor-pilot-4711-1/")
    configure(here, mirror_url=None)
    code, _, err = pps(here, "mirror", "verify", PILOT, "--http")
    assert (code, "names no mirror_url" in one_line(err)) == (1, True)
