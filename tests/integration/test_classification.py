"""Real .deb and .rpm files with YAIM trees, at a provider over HTTP and in our production repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest
from tests.support import signing
from tests.support import yaim_trees as trees
from tests.support.desks import at_office
from tests.support.examples import sqlite_store
from tests.support.provider import LIMITS, NOW, Provider, apt_provider, provider  # noqa: F401
from upath import UPath

from pps.activities.packages.classification import Classification, classify, examine
from pps.activities.packages.verdicts import overrule, standing_verdict
from pps.activities.ports.packages import TarballLimits
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.production_packages import ProductionFolder
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.adapters.packages.repository_writer import publish_packages
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import HostileArchiveError, NotYetAllowedError, PackageError, ServiceError
from pps.domain.clients.updates import ClientVerdict
from pps.domain.packages.patch import Patch, PatchState, Repository, RepositoryKind
from pps.domain.record.facts import FactKind
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm

BC, NON_BC = ClientVerdict.BC, ClientVerdict.NON_BC


@dataclass
class World:
    """A provider, production, and the way between them."""

    provider: Provider
    store: FactStore

    @property
    def production(self) -> Path:
        return self.provider.root / "production"

    @property
    def arch(self) -> str:
        return "all" if self.provider.kind is RepositoryKind.APT else "noarch"

    def made(self, version: str, tree: Mapping[str, str], **more: str) -> SamplePackage:
        return trees.package(version, tree, **{"arch": self.arch, **more})

    def write(self, package: SamplePackage, folder: str) -> Path:
        to = self.provider.root / folder
        to.mkdir(exist_ok=True)
        return (write_deb if self.provider.kind is RepositoryKind.APT else write_rpm)(package, to)

    def offer(self, *packages: SamplePackage) -> Patch:
        """The provider publishes packages, and a patch names them."""
        self.provider.publish(*(self.write(p, "offered") for p in packages))
        return self.provider.patch(tuple(p.ref for p in packages))

    @cached_property
    def seal(self) -> RepositorySeal:
        return signing.seal(self.provider.root / "keys", now=lambda: NOW)

    def release(self, *packages: SamplePackage) -> None:
        """They are in production now, where the release to production puts them."""
        kind = self.provider.kind
        repository = Repository(kind, "", "production", ("main",))
        files = [self.write(p, "released") for p in packages]
        publish_packages(UPath(self.production / kind.value), repository, files, NOW, seal=self.seal)

    def classify(self, patch: Patch, limits: TarballLimits = LIMITS) -> Classification:
        return classify(
            at_office(self.store, now=NOW, actor="pps"),
            patch,
            repositories=self.provider.repositories,
            production=ProductionFolder(UPath(self.production), seal=self.seal),
            reader=PackageFiles(),
            limits=limits,
            workdir=self.provider.root / "work",
        )


@pytest.fixture
def world(provider: Provider) -> World:
    return World(provider, sqlite_store())


@pytest.fixture
def apt_world(apt_provider: Provider) -> World:
    return World(apt_provider, sqlite_store())


@pytest.mark.sd("4.1.2")
def test_a_patch_is_compared_with_the_version_in_production(world: World) -> None:
    world.release(world.made("4.3.9-1", trees.PRODUCTION))
    found = world.classify(world.offer(world.made("4.3.10-1", trees.NEW_OPTIONAL)))
    assert found.verdict is NON_BC
    assert found.reasons == ("Variable BDII_IPV6_SUPPORT is new and optional (opt/glite/yaim/services/glite-bdii).",)
    assert found.compared_with == (
        f"glite-yaim-bdii-4.3.10-1.{world.arch}: compared with glite-yaim-bdii-4.3.9-1.{world.arch}, in production.",
    )
    assert not (world.provider.root / "work" / "classification").exists()


@pytest.mark.sd("4.1.1")
def test_a_patch_with_the_same_configuration_is_backward_compatible(world: World) -> None:
    world.release(world.made("4.3.9-1", trees.PRODUCTION))
    found = world.classify(world.offer(world.made("4.3.10-1", trees.MORE_COMMENTS)))
    assert (found.verdict, found.findings) == (BC, [])


def test_the_newest_version_in_production_counts_not_the_last_one_in_the_alphabet(world: World) -> None:
    for version, tree in (("4.3.9-1", trees.DROPPED), ("4.3.10-1", trees.NEW_OPTIONAL), ("4.3.8-1", trees.DROPPED)):
        world.release(world.made(version, tree))
    patch = world.offer(world.made("4.3.11-1", trees.NEW_OPTIONAL))
    assert world.classify(patch).verdict is BC


def test_without_a_version_in_production_everything_is_new_and_that_is_said(world: World) -> None:
    found = world.classify(world.offer(world.made("1.0-1", trees.PRODUCTION)))
    assert found.verdict is NON_BC
    assert found.compared_with[0].endswith("no version in production to compare with.")
    assert {c.name for c in found.changes} >= {"BDII_HOST", "BDII_site"}


def test_what_is_in_production_already_is_compared_with_itself_and_fetched_once(world: World) -> None:
    external = world.made("1.0-1", trees.PRODUCTION, name="glite-yaim-core")
    world.release(external, world.made("4.3.9-1", trees.DROPPED))
    patch = world.offer(external, world.made("4.3.10-1", trees.DROPPED))
    found = world.classify(patch)
    assert found.verdict is BC
    assert f"glite-yaim-core-1.0-1.{world.arch}: the same version is in production." in found.compared_with
    assert sum("glite-yaim-core" in path for path in world.provider.http.requests) == 1


def test_a_variable_may_move_from_one_package_of_the_patch_to_another(world: World) -> None:
    functions = {p: t for p, t in trees.PRODUCTION.items() if p.startswith("functions")}
    rest = {p: t for p, t in trees.PRODUCTION.items() if p not in functions}
    world.release(world.made("1-1", trees.PRODUCTION, name="a"), world.made("1-1", {}, name="b"))
    patch = world.offer(world.made("2-1", functions, name="a"), world.made("2-1", rest, name="b"))
    assert world.classify(patch).findings == []


def test_externals_count_and_packages_without_yaim_are_summed_up(world: World) -> None:
    patch = world.offer(world.made("1-1", {}, name="tool"), world.made("1-1", trees.PRODUCTION, name="yaim"))
    found = world.classify(replace(patch, packages=patch.packages[:1], externals=patch.packages[1:]))
    assert found.verdict is NON_BC
    assert found.compared_with[-1] == "1 package has no YAIM configuration, neither now nor in production."


def test_a_package_that_was_for_one_architecture_and_is_for_all_now_is_the_same_package(apt_world: World) -> None:
    apt_world.release(trees.package("1-1", trees.PRODUCTION, arch="amd64"))
    assert apt_world.classify(apt_world.offer(trees.package("2-1", trees.PRODUCTION))).verdict is BC


def test_another_architecture_in_production_is_not_compared_with(apt_world: World) -> None:
    apt_world.release(trees.package("1-1", trees.PRODUCTION, arch="arm64"))
    found = apt_world.classify(apt_world.offer(trees.package("2-1", trees.PRODUCTION, arch="amd64")))
    assert found.compared_with[0].endswith("no version in production to compare with.")


def test_a_node_type_under_a_second_name_is_read_through_its_link(world: World) -> None:
    package = world.made("2-1", trees.PRODUCTION)
    linked = replace(package, links={"opt/glite/yaim/services/glite-wn": "glite-bdii"})
    world.release(world.made("1-1", trees.PRODUCTION))
    assert world.classify(world.offer(linked)).verdict is BC


def test_twice_is_once_and_another_finding_takes_its_place(world: World) -> None:
    patch = world.offer(world.made("2-1", trees.NEW_OPTIONAL))

    def kinds() -> list[FactKind]:
        return [f.kind for f in world.store.dossier(4711).facts if f.kind is not FactKind.ROLLOUT_OPENED]

    world.classify(patch)
    world.classify(patch)
    assert kinds() == [FactKind.CLASSIFIED]
    overrule(at_office(world.store, now=NOW, actor="rm"), patch, BC, "It is a test.")
    world.classify(patch)
    assert standing_verdict(world.store.dossier(4711)) == (BC, True, "It is a test.")
    world.release(world.made("1-1", trees.PRODUCTION))
    world.classify(patch)
    assert standing_verdict(world.store.dossier(4711))[:2] == (NON_BC, False)
    assert kinds() == [FactKind.CLASSIFIED, FactKind.CLASSIFICATION_OVERRULED, FactKind.CLASSIFIED]


def test_a_finding_that_returns_is_on_record_again(apt_world: World) -> None:
    patch = apt_world.offer(trees.package("2-1", {}))
    with_notes = replace(patch, special_configuration="Set X.")
    for one in (patch, with_notes, patch, patch, with_notes):
        apt_world.classify(one)
    facts = [f for f in apt_world.store.dossier(4711).facts if f.kind is FactKind.CLASSIFIED]
    assert [f.payload["verdict"] for f in facts] == ["bc", "non-bc", "bc", "non-bc"]


def test_the_fact_stays_small_whatever_the_packages_hold(apt_world: World) -> None:
    lines = "".join(f"VARIABLE_{n}={'x' * 300}\n" for n in range(1500))
    found = apt_world.classify(apt_world.offer(trees.package("2-1", {"defaults/a.pre": lines})))
    assert len(found.findings) == 1500
    payload = apt_world.store.dossier(4711).need(FactKind.CLASSIFIED, "").payload
    assert (len(payload["findings"]), payload["findings_in_all"]) == (200, 1500)
    assert len(str(payload)) < 300_000


def test_the_variables_of_the_tracker_are_findings_too(apt_world: World) -> None:
    patch = replace(apt_world.offer(trees.package("2-1", {})), new_variables=("A",), changed_variables=("B",))
    found = apt_world.classify(patch)
    assert [(f["name"], f["kind"], f["file"]) for f in found.findings] == [
        ("A", "new", "tracker"),
        ("B", "changed", "tracker"),
    ]


def test_looking_records_nothing(apt_world: World) -> None:
    examine(
        apt_world.offer(trees.package("2-1", trees.PRODUCTION)),
        repositories=apt_world.provider.repositories,
        production=ProductionFolder(UPath(apt_world.production), seal=apt_world.seal),
        reader=PackageFiles(),
        limits=LIMITS,
        workdir=apt_world.provider.root / "work",
    )
    assert apt_world.store.dossier(4711).facts == ()


def test_a_patch_in_production_is_not_compared_with_itself(apt_world: World) -> None:
    patch = replace(apt_world.offer(trees.package("2-1", {})), state=PatchState.IN_PRODUCTION)
    with pytest.raises(NotYetAllowedError, match="in production already"):
        apt_world.classify(patch)


def test_a_bomb_is_refused_and_nothing_is_on_record(world: World) -> None:
    patch = world.offer(world.made("2-1", {"services/x": "A=1\n", "other/zeros": "\0" * 5_000_000}))
    with pytest.raises(HostileArchiveError, match="more bytes"):
        world.classify(patch, TarballLimits(1_000_000, 100, 1 << 29))
    with pytest.raises(PackageError, match="bytes of packages"):
        world.classify(patch, TarballLimits(1 << 30, 100, 100))
    assert world.store.dossier(4711).facts == ()
    assert not (world.provider.root / "work" / "classification").exists()


def test_a_configuration_file_of_absurd_size_is_refused(apt_world: World) -> None:
    with pytest.raises(PackageError, match="larger than configuration files may be"):
        apt_world.classify(apt_world.offer(trees.package("2-1", {"services/x": "#" * 600_000})))


def test_a_damaged_production_repository_is_said_in_words(world: World) -> None:
    world.release(world.made("1-1", trees.PRODUCTION))
    patch = world.offer(world.made("2-1", trees.PRODUCTION))
    package = next(p for p in world.production.rglob("*") if p.suffix in (".deb", ".rpm"))
    good = package.read_bytes()
    package.write_bytes(good[:-1] + b"!")
    with pytest.raises(ServiceError, match="another content"):
        world.classify(patch)
    package.unlink()
    with pytest.raises(ServiceError, match="lacks"):
        world.classify(patch)
    package.write_bytes(good)
    for index in [*world.production.rglob("by-hash/SHA256/*"), *world.production.rglob("*primary.xml.gz")]:
        index.unlink()
    with pytest.raises(ServiceError, match=r"cannot be read|lacks"):
        world.classify(patch)
