"""What stands beside a release says by which index and key it was verified, and nothing where nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.support import signing
from tests.support.desks import at_desk
from tests.support.examples import NOW, templates
from tests.support.paper_packages import beside_on_paper
from tests.support.release_tests import CERTIFIED, PACKAGE, PACKAGES, AReleaseTest
from tests.support.snapshots import matches_snapshot
from upath import UPath

from pps.activities.packages.production import Production
from pps.activities.release.beside import write_beside
from pps.adapters.packages.folders import PublishedFolder
from pps.domain.packages.bill import Carried, Description
from pps.domain.packages.patch import RepositoryKind
from pps.domain.packages.verified_index import VerifiedIndex
from pps.domain.record.facts import FactKind

PROVIDERS = VerifiedIndex("https://provider.example.org/dists/preview/InRelease", "a" * 64, ("A" * 40, "B" * 40))
MIRRORS = VerifiedIndex("https://mirror.example.org/minor-pilot-4711-1/dists/preview/InRelease", "b" * 64, ("C" * 40,))
UNSIGNED = VerifiedIndex("http://provider.example.org/dists/preview/Release", "c" * 64)
CARRIED = [Carried(ref, PACKAGE, Description(("Apache-2.0",))) for ref in CERTIFIED.packages]


def written(test: AReleaseTest) -> dict[str, str]:
    """What is written beside a release: ending -> text."""
    beside = replace(beside_on_paper(UPath("memory://beside")), write_bill=lambda bill: f"{bill.rollout} carries it")
    nowhere = PublishedFolder(UPath("memory://production"))
    production = Production(
        object(),  # type: ignore[arg-type]
        nowhere,
        lambda *_: None,
        templates(),
        [],
        url="https://packages.example.org",
        keys=signing.KEYS,
        beside=beside,
    )
    desk = at_desk(test.record, test.store, patch=test.patch, now=NOW + timedelta(days=9), actor="pps")
    files = write_beside(desk, production, RepositoryKind.APT, CARRIED)
    assert files == write_beside(desk, production, RepositoryKind.APT, CARRIED), "made again it says the same"
    return {what: (beside.folder.read(it["file"]) or b"").decode() for what, it in files.items()}


def kept(**more: object) -> AReleaseTest:
    test = AReleaseTest().planned()
    test.then(FactKind.PACKAGES_KEPT, packages=PACKAGES, **more)
    return test


def test_each_package_is_named_with_index_keys_policy_and_the_time_of_the_look() -> None:
    matches_snapshot("verification.txt", written(kept(index=PROVIDERS.written()))["verification"])


def test_what_came_from_our_own_mirror_names_the_provider_s_index_as_well() -> None:
    test = kept(index=MIRRORS.written())
    test.then(FactKind.MIRROR_MADE, mirror="m", digest="d", index=PROVIDERS.written())
    said = written(test)["verification"]
    assert f"against index {'b' * 64}, signed by key {'C' * 40}, under policy" in said
    assert f"from {PROVIDERS.address}, sha256 {'a' * 64}, signed by key {'A' * 40} and {'B' * 40}\n" in said


def test_what_was_believed_unsigned_says_so_with_the_reason() -> None:
    test = kept(index=UNSIGNED.written())
    test.then(FactKind.INDEX_UNSIGNED, repository="http://provider.example.org", reason="It is on our own network.")
    said = written(test)["verification"]
    assert f"against index {'c' * 64}, signed by nobody, under policy" in said
    assert "believed without a signature, because: It is on our own network.\n" in said


def test_of_an_index_that_is_not_on_record_nothing_is_said() -> None:
    assert set(written(kept())) == {"bill", "licences"}
