"""SD 4.2.3: an update reaches the sites of the pools before it is public, and what they tried is what is released."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.support import signing
from tests.support.desks import at_desk
from tests.support.examples import NOW, templates
from tests.support.http_folder import serving
from tests.support.provider import LIMITS, Provider, provider  # noqa: F401
from tests.support.release_tests import LATE, SITES, AReleaseTest
from upath import UPath

from pps.activities.packages.fetching import kept_packages
from pps.activities.packages.production import Beside, Production, Publisher
from pps.activities.quality import release_testing
from pps.activities.release import decision as release_decision
from pps.adapters.packages.bills import as_cyclonedx
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.packages.package_files import PackageFiles
from pps.adapters.packages.production_packages import ProductionFolder
from pps.adapters.packages.repositories import OwnRepositories
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.adapters.packages.repository_writer import publish_packages
from pps.adapters.packages.signatures import signed_text
from pps.domain.base.errors import NotYetAllowedError, PackageError, ServiceError
from pps.domain.packages.advice import Impact, Risk, Vulnerability
from pps.domain.packages.patch import Patch, PatchState, RepositoryKind
from pps.domain.packages.repository_trust import Trust
from pps.domain.quality.release_tests import ACCEPT, RELEASE
from pps.domain.record.facts import FactKind

FIXED = Vulnerability("CVE-2026-12345", Risk.CRITICAL)
NOT_AFFECTED = Impact.read("CVE-2026-12346 not_affected vulnerable_code_not_present")


@dataclass
class Delivery:
    """One test of the provider's patch, and where it is delivered."""

    provider: Provider
    test: AReleaseTest
    production: Path

    @property
    def pages(self) -> Path:
        """With the release notes."""
        return self.provider.root / "pages"

    @cached_property
    def seal(self) -> RepositorySeal:
        return signing.seal(self.provider.root / "keys", now=lambda: NOW)

    @property
    def publish(self) -> Publisher:
        def published(place: str, *what: Any) -> None:
            publish_packages(UPath(self.production) / place, *what, seal=self.seal)

        return published

    def run(self, base: str = "", patch: Patch | None = None) -> tuple[str, ...]:
        return release_testing.deliver(
            at_desk(self.test.record, self.test.store, patch=patch or self.test.patch, now=NOW, actor="pps"),
            SITES,
            release_testing.Outlet(PublishedFolder(UPath(self.production)), self.publish, base),
            repositories=self.provider.repositories,
            reader=PackageFiles(),
            artefacts=self.provider.store(),
            limits=LIMITS,
            workdir=self.provider.root / "work",
        )

    def release(self) -> tuple[str, ...]:
        return release_decision.release_update(
            at_desk(self.test.record, self.test.store, patch=self.test.patch, now=LATE, actor="pps"),
            Production(
                self.provider.store(),
                PublishedFolder(UPath(self.production)),
                self.publish,
                templates(),
                [],
                url="https://packages.example.org",
                keys=signing.KEYS,
                beside=Beside(
                    PublishedFolder(UPath(self.pages)),
                    PackageFiles(),
                    LIMITS,
                    as_cyclonedx,
                    self.seal.clear_signed,
                    lambda index: ("policies.yaml as it is", f"who signs {index}"),
                ),
            ),
        )

    def in_production(self) -> dict[str, str]:
        refs = (*self.test.patch.packages, *self.test.patch.externals)
        found = ProductionFolder(UPath(self.production), seal=self.seal).open(self.provider.kind).newest(refs)
        return {str(ref): package.sha256 for ref, package in found.items()}

    def repository_of_sites(self, url: str) -> dict[str, str]:
        """What a site's package manager would be offered under an address."""
        suite = "release-test" if self.provider.repository.suite else ""
        found = OwnRepositories(Trust(unsigned="It is ours."), lambda: NOW).open(
            replace(self.provider.repository, url=url, suite=suite)
        )
        return {str(p.ref): p.sha256 for p in found.resolve((*self.test.patch.packages, *self.test.patch.externals))}


@pytest.fixture
def delivery(provider: Provider) -> Delivery:
    _, patch = provider.publish_sample()
    patch = replace(
        patch, state=PatchState.CERTIFIED, install_tested=patch.platforms, cves=(FIXED,), vex=(NOT_AFFECTED,)
    )
    return Delivery(provider, AReleaseTest(patch).planned(), provider.root / "production")


@pytest.mark.sd("4.2.3")
def test_sites_get_the_packages_from_a_repository_that_production_does_not_read(delivery: Delivery) -> None:
    delivery.production.mkdir()
    with serving(delivery.production) as http:
        assert delivery.run(f"{http.url}/release-test/") == ("PIC", "IFIC-LCG2", "INFN-T1")
        [address] = {f.payload["repository"] for f in delivery.test.kinds(FactKind.PATCH_DELIVERED)}
        assert address == f"{http.url}/release-test/{delivery.test.name}/{delivery.provider.kind}"
        offered = delivery.repository_of_sites(address)
    assert offered == dict(kept_packages(delivery.test.record))
    assert len(offered) == len(delivery.test.patch.packages) + len(delivery.test.patch.externals)
    assert delivery.in_production() == {}
    assert {p.name for p in delivery.production.iterdir()} == {"release-test"}


@pytest.mark.sd("4.2.3")
def test_without_an_address_of_its_own_it_is_the_folder_s(delivery: Delivery) -> None:
    delivery.run()
    [address] = {f.payload["repository"] for f in delivery.test.kinds(FactKind.PATCH_DELIVERED)}
    folder = delivery.production / "release-test" / delivery.test.name / delivery.provider.kind.value
    assert address == folder.as_uri()
    assert folder.is_dir()


def test_each_site_is_delivered_to_once_and_a_retry_needs_no_provider(delivery: Delivery) -> None:
    delivery.run()
    shutil.rmtree(delivery.provider.http.folder)
    shutil.rmtree(delivery.production)
    delivery.run()
    delivered = [f.subject for f in delivery.test.kinds(FactKind.PATCH_DELIVERED)]
    assert delivered == ["PIC", "IFIC-LCG2", "INFN-T1"]
    assert (delivery.production / "release-test").is_dir()


@pytest.mark.sd("4.2.3")
def test_what_was_tried_is_released_whatever_the_provider_publishes_meanwhile(delivery: Delivery) -> None:
    delivery.run()
    tried = dict(kept_packages(delivery.test.record))
    shutil.rmtree(delivery.provider.http.folder)
    test = delivery.test
    test.ask("release-test", "PIC", NOW, "user:admin-pic")
    test.answers("PIC", ACCEPT).decided(RELEASE)
    assert delivery.in_production() == {}
    assert delivery.release() == ()
    assert delivery.in_production() == tried


def test_what_is_released_says_what_it_carries_by_the_packages_own_words(delivery: Delivery) -> None:
    delivery.run()
    test = delivery.test
    test.ask("release-test", "PIC", NOW, "user:admin-pic")
    test.answers("PIC", ACCEPT).decided(RELEASE)
    assert not delivery.pages.exists(), "nothing is said of what is not released"
    assert delivery.release() == ()
    [released] = test.kinds(FactKind.RELEASED_TO_PRODUCTION)
    text = (delivery.pages / released.payload["bill"]["file"]).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert hashlib.sha256(text.encode()).hexdigest() == released.payload["bill"]["sha256"]
    bill = json.loads(text)
    carried = {(c["name"], c["version"]): c for c in bill["components"]}
    tried = {digest for _, digest in kept_packages(test.record)}
    assert {c["hashes"][0]["content"] for c in carried.values()} == tried
    assert set(carried) == {(ref.name, ref.version) for ref in (*test.patch.packages, *test.patch.externals)}
    assert {c["licenses"][0]["license"]["id"] for c in carried.values()} == {"Apache-2.0"}
    fixed, other = bill["vulnerabilities"]
    assert (other["id"], other["analysis"]["state"]) == (NOT_AFFECTED.cve, "not_affected")
    licences = (delivery.pages / released.payload["licences"]["file"]).read_text()
    assert [line.partition("* ")[2] for line in licences.splitlines()[3:] if line] == sorted(
        map(str, (*test.patch.packages, *test.patch.externals))
    )
    assert "\nApache-2.0\n" in licences
    assert (fixed["id"], fixed["ratings"], fixed["analysis"]["state"]) == (
        FIXED.cve,
        [{"severity": "critical"}],
        "resolved",
    )
    assert bill["metadata"]["component"]["version"] == test.patch.version


def test_what_is_released_says_how_it_was_verified_signed_with_our_key(delivery: Delivery) -> None:
    apt = delivery.provider.kind is RepositoryKind.APT
    [served] = delivery.provider.http.folder.rglob("Release" if apt else "repomd.xml")
    index = hashlib.sha256(served.read_bytes()).hexdigest()
    delivery.run()
    shutil.rmtree(delivery.provider.http.folder)
    test = delivery.test
    test.ask("release-test", "PIC", NOW, "user:admin-pic")
    test.answers("PIC", ACCEPT).decided(RELEASE)
    assert delivery.release() == ()
    [released] = test.kinds(FactKind.RELEASED_TO_PRODUCTION)
    said = released.payload["verification"]
    signed = (delivery.pages / said["file"]).read_text()
    text, signers = signed_text(delivery.seal.keyring, "summary", signed, datetime.now(UTC))
    assert signers == (delivery.seal.signers[0].fingerprint,)
    assert hashlib.sha256(text.encode()).hexdigest() == said["sha256"]
    at = test.kinds(FactKind.PACKAGES_KEPT)[0].at
    address = test.kinds(FactKind.PACKAGES_KEPT)[0].payload["index"]["address"]
    decisions = f"policies.yaml as it is\nwho signs {address}\n"
    policy = hashlib.sha256(decisions.encode()).hexdigest()
    assert f"Policy: sha256 {policy} of these lines\n{decisions}" in text
    for ref, sha256 in kept_packages(test.record):
        assert (
            f"PPS checked {sha256} ({ref}) against index {index}, signed by nobody, under policy {policy}, "
            f"on {at:%Y-%m-%d %H:%M} UTC.\n"
        ) in text
    assert f"sha256 {released.payload['bill']['sha256']}\n" in text


def test_a_package_with_a_wrong_digest_reaches_nobody(delivery: Delivery) -> None:
    broken = sorted(p for p in delivery.provider.http.folder.rglob("*") if p.suffix in (".deb", ".rpm"))[-1]
    broken.write_bytes(broken.read_bytes()[:-1] + b"!")
    with pytest.raises(PackageError, match="not what the index says"):
        delivery.run()
    assert not delivery.test.kinds(FactKind.PATCH_DELIVERED)
    assert not delivery.test.kinds(FactKind.PACKAGES_KEPT)
    assert not delivery.production.exists()


def test_a_provider_that_does_not_answer_is_tried_again_later(delivery: Delivery) -> None:
    for path in list(delivery.provider.http.folder.rglob("*.deb")) + list(delivery.provider.http.folder.rglob("*.rpm")):
        delivery.provider.http.statuses["/" + str(path.relative_to(delivery.provider.http.folder))] = 503
    with pytest.raises(ServiceError):
        delivery.run()
    delivery.provider.http.statuses.clear()
    assert delivery.run() == ("PIC", "IFIC-LCG2", "INFN-T1")


def test_nothing_is_delivered_before_the_plan_and_nothing_after_the_end(provider: Provider) -> None:
    _, patch = provider.publish_sample()
    patch = replace(patch, state=PatchState.CERTIFIED, install_tested=patch.platforms)
    early = Delivery(provider, AReleaseTest(patch), provider.root / "production")
    with pytest.raises(NotYetAllowedError, match="no plan"):
        early.run()
    early.test.planned().then(FactKind.ROLLOUT_CLOSED, outcome="held")
    assert early.run() == ("PIC", "IFIC-LCG2", "INFN-T1")
    assert not early.production.exists()
