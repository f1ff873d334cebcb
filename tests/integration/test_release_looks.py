"""A look at a submitted release: real repositories over HTTP, real packages, real solvers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.integration.test_classification import World
from tests.support import yaim_trees as trees
from tests.support.examples import sqlite_store
from tests.support.front import PATCH
from tests.support.http_folder import serving
from tests.support.provider import LIMITS, NOW, WHY_UNSIGNED, Provider, provider  # noqa: F401
from tests.support.submitting import NoLinters
from upath import UPath

from pps.activities.packages.submission_look import Bench, look
from pps.activities.ports.packages import Linters
from pps.adapters.packages.confined import Confined
from pps.adapters.packages.lint import LintPrograms
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.production_packages import ProductionFolder
from pps.adapters.packages.repositories import ProviderRepositories
from pps.adapters.packages.repository_writer import publish_packages
from pps.adapters.packages.solver import Solvers
from pps.domain.base.errors import PatchNotFoundError
from pps.domain.packages.findings import Finding, Weight
from pps.domain.packages.patch import Patch, PatchState, Repository, RepositoryKind
from pps.domain.packages.submission import Release
from pps.domain.sites.site import Platform
from pps.sandbox.provider.package_formats import SamplePackage

pytestmark = [pytest.mark.needs("apt"), pytest.mark.needs("linux")]  # apt-get, and libsolv's wheels

NOTES = "What is new: everything."
CHANGES = {"usr/share/doc/x/changelog.gz": (0o644, "x (1) unstable; urgency=low")}


@dataclass
class Looked(World):
    """A world in which a release is looked at; the platform's own packages lie in a repository beside it."""

    platform: list[SamplePackage] = field(default_factory=list)
    linters: Linters = field(default_factory=NoLinters)
    index_of_platform: Callable[[Path], None] = lambda _: None
    """makes the platform's index anew, once it is published"""

    @contextmanager
    def _bench(self) -> Iterator[Bench]:
        root = self.provider.root / f"platform-{'-'.join(str(p.ref) for p in self.platform)}"
        root.mkdir(exist_ok=True)
        apt = self.provider.kind is RepositoryKind.APT
        with serving(root) as http:
            theirs = Repository(self.provider.kind, http.url, "stable" if apt else "", ("main",) if apt else ())
            files = [self.write(p, "of-platform") for p in self.platform]
            publish_packages(UPath(root), theirs, files, NOW)
            self.index_of_platform(root)
            repositories = ProviderRepositories(
                self.provider.keyrings, {self.provider.http.url: WHY_UNSIGNED, http.url: WHY_UNSIGNED}
            )
            confined = Confined()
            yield Bench(
                repositories,
                ProductionFolder(UPath(self.production), seal=self.seal),
                PackageFiles(confined),
                LIMITS,
                self.provider.root / "looks",
                repositories.trust_in,
                self.patch_of,
                Solvers(confined),
                self.linters,
                {"debian12-amd64": (theirs,), "el9-x86_64": (theirs,)} if self.platform else {},
            )

    def patch_of(self, number: int) -> Patch:
        states = {7: PatchState.REJECTED, 8: PatchState.CERTIFIED, 9: PatchState.IN_PRODUCTION}
        if number not in states:
            raise PatchNotFoundError(f"patch {number}", "is not there.")
        return replace(PATCH, number=number, state=states[number])

    def submitted(self, *packages: SamplePackage, **changes: object) -> Release:
        system = (
            Platform("debian12", "amd64") if self.provider.kind is RepositoryKind.APT else Platform("el9", "x86_64")
        )
        patch = replace(self.offer(*packages), release_notes=NOTES, platforms=(system,), bugs=PATCH.bugs)
        return Release(replace(patch, **changes))

    def looked(self, release: Release) -> tuple[Finding, ...]:
        with self._bench() as bench:
            found = look(release, bench).findings
            assert not list((self.provider.root / "looks").iterdir()), "nothing of it is left behind"
            return found

    def sample(self, name: str, version: str = "1.0-1", *requires: str) -> SamplePackage:
        made = trees.package(version, {}, arch=self.arch, name=name)
        return replace(made, files={**made.files, **CHANGES}, requires=requires)


@pytest.fixture
def world(provider: Provider, tmp_path: Path) -> Iterator[Looked]:
    store = sqlite_store(tmp_path)
    yield Looked(provider, store)
    store.dispose()


def codes(found: Sequence[Finding], weight: Weight = Weight.FAULT) -> list[str]:
    return [f.code for f in found if f.weight is weight]


def the(found: Sequence[Finding], code: str) -> Finding:
    return next(f for f in found if f.code == code)


def test_a_sound_release_has_no_fault_and_says_that_it_is_bc(world: Looked) -> None:
    world.platform = [world.sample("libc")]
    found = world.looked(world.submitted(world.sample("client", "1.0-1", "libc")))
    assert codes(found) == []
    assert "bc" in codes(found, Weight.HINT)


def test_what_nobody_provides_is_a_fault_of_each_platform_and_the_solver_names_it(world: Looked) -> None:
    world.platform = [world.sample("libc")]
    found = world.looked(world.submitted(world.sample("client", "1.0-1", "libvoms")))
    assert codes(found) == ["dependencies"]
    assert "libvoms" in the(found, "dependencies").sentence
    assert the(found, "dependencies").about.startswith("client")


def test_a_dependency_may_come_with_the_release_from_the_platform_or_further_down(world: Looked) -> None:
    world.platform = [world.sample("libc", "1.0-1", "kernel"), world.sample("kernel")]
    found = world.looked(
        world.submitted(world.sample("client", "1.0-1", "libvoms"), world.sample("libvoms", "1-1", "libc"))
    )
    assert codes(found) == []
    world.platform = [world.sample("libc", "1.0-1", "kernel")]  # deep down something is missing
    found = world.looked(
        world.submitted(world.sample("client", "1.0-1", "libvoms"), world.sample("libvoms", "1-1", "libc"))
    )
    assert set(codes(found)) == {"dependencies"}
    assert any("kernel" in f.sentence or "libc" in f.sentence for f in found)


def test_without_an_index_of_the_platform_nothing_is_said_to_be_complete(world: Looked) -> None:
    found = world.looked(world.submitted(world.sample("client", "1.0-1", "libvoms")))
    assert codes(found) == []
    assert "dependencies-not-solved" in codes(found, Weight.WARNING)
    assert "was not found out" in the(found, "dependencies-not-solved").sentence


def test_a_version_that_the_platform_itself_has_or_a_newer_one_is_a_fault(world: Looked) -> None:
    world.platform = [world.sample("client", "2.0-1"), world.sample("client", "1.5-1")]
    (found,) = [f for f in world.looked(world.submitted(world.sample("client", "2.0-1"))) if f.weight is Weight.FAULT]
    assert (found.code, "itself has client 2.0-1" in found.sentence) == ("not-above-platform", True)
    assert codes(world.looked(world.submitted(world.sample("client", "2.1-1")))) == []


def test_a_version_below_production_and_one_with_other_content_are_faults(world: Looked) -> None:
    world.release(world.sample("client", "2.0-1"), world.sample("same"))
    older = world.looked(world.submitted(world.sample("client", "1.9-1")))
    assert codes(older) == ["version-not-above"] and "2.0-1, which is in production" in older[0].sentence
    other = replace(world.sample("same"), summary="Something else.")
    again = world.looked(world.submitted(other))
    assert codes(again) == ["version-reused"] and not again[0].may_be_waived


def test_several_faults_are_found_at_once(world: Looked) -> None:
    release = world.submitted(world.sample("client"), release_notes="", platforms=(Platform("debian12", "amd64"),))
    gone = trees.package("9-9", {}, arch=world.arch, name="gone").ref
    release = Release(replace(release.patch, packages=(*release.patch.packages, gone)), depends_on=(6, 7, 8, 9))
    found = world.looked(release)
    faults = [f for f in found if f.weight is Weight.FAULT]
    wrong_kind = ["platform-kind"] if world.provider.kind is RepositoryKind.YUM else []
    assert sorted(f.code for f in faults) == sorted(["no-notes", "depends-on", "depends-on", "missing", *wrong_kind])
    assert all(f.remedy for f in faults)
    assert the(found, "missing").about == str(gone)
    waits = [f for f in found if f.code == "depends-on" and f.weight is Weight.WARNING]
    assert [f.about for f in waits] == ["patch 8"]


@pytest.mark.sd("4.1.2")
def test_each_new_variable_is_named_with_its_file_and_missing_in_the_notes_is_a_fault(world: Looked) -> None:
    world.release(world.made("1.0-1", {}))
    tree = {"functions/config_x": "config_x_check () { requires BDII_HOST ; }\n"}
    release = world.submitted(world.made("1.1-1", tree))
    found = world.looked(release)
    assert codes(found) == ["not-in-notes"]
    assert the(found, "not-in-notes").about == "BDII_HOST"
    assert "functions/config_x" in the(found, "not-in-notes").sentence
    assert "functions/config_x" in the(found, "intervention").sentence
    assert "non-bc" in codes(found, Weight.HINT)
    named = replace(release.patch, special_configuration="Set BDII_HOST to your BDII.")
    assert codes(world.looked(Release(named))) == []
    not_quite = replace(release.patch, special_configuration="Set BDII_HOST_2 to your BDII.")
    assert codes(world.looked(Release(not_quite))) == ["not-in-notes"]
    announced = replace(named, new_variables=("NEVER_SEEN",), release_notes="NEVER_SEEN is new.")
    assert "variable-not-found" in codes(world.looked(Release(announced)), Weight.WARNING)


def test_a_package_whose_bytes_are_others_or_are_none_is_a_fault_that_nobody_can_waive(world: Looked) -> None:
    release = world.submitted(world.sample("client"))
    (file,) = [p for p in world.provider.http.folder.rglob("*client*") if p.is_file()]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (found,) = [f for f in world.looked(release) if f.weight is Weight.FAULT]
    assert (found.code, found.may_be_waived) == ("unreadable", False)
    assert "is not what the index says" in found.sentence


def test_an_index_that_cannot_be_believed_is_the_only_thing_that_is_said(world: Looked) -> None:
    release = world.submitted(world.sample("client"))
    elsewhere = replace(release.patch.repository, url="http://127.0.0.1:9/none")
    (found,) = world.looked(Release(replace(release.patch, repository=elsewhere)))
    assert (found.code, found.may_be_waived) == ("key", False)
    indexes = ("/dists/preview/InRelease", "/dists/preview/Release", "/repodata/repomd.xml")
    world.provider.http.statuses = dict.fromkeys(indexes, 404)
    found = world.looked(release)
    assert codes(found) == ["index"] and codes(found, Weight.WARNING) == ["unsigned"]


def test_a_package_without_a_changelog_is_a_warning(world: Looked) -> None:
    bare = trees.package("1-1", {}, arch=world.arch, name="bare")
    assert "no-changelog" in codes(world.looked(world.submitted(bare)), Weight.WARNING)
    if world.provider.kind is RepositoryKind.APT:
        assert "no-changelog" not in codes(world.looked(world.submitted(world.sample("logged"))), Weight.WARNING)


@pytest.mark.needs("lint")
def test_what_the_linters_say_is_a_hint_for_the_releases_own_packages_alone(world: Looked) -> None:
    world.linters = LintPrograms(Confined())
    release = world.submitted(world.sample("client"), world.sample("external"))
    client, external = release.patch.packages
    found = world.looked(Release(replace(release.patch, packages=(client,), externals=(external,))))
    lint = [f for f in found if f.code == "lint"]
    program = "lintian" if world.provider.kind is RepositoryKind.APT else "rpmlint"
    assert lint and all(f.sentence.startswith(f"{program}: ") and f.weight is Weight.HINT for f in lint)
    assert {f.about for f in lint} == {str(client)}
