"""Sites, patches and facts to try rules on. Each function takes what a test wants to be different."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pps.domain.packages.patch import Bug, PackageRef, Patch, PatchState, Repository, RepositoryKind, Severity
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Platform, Site, SshEndpoint

DEBIAN = Platform("debian12", "amd64")
SL5 = Platform("sl5", "x86_64")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def a_site(name: str = "INFN-T1", **different: Any) -> Site:
    site = Site(
        name=name,
        roc="Italy",
        platform=DEBIAN,
        ssh=SshEndpoint("ui.example.org", 22, "ppsadm", "ssh-ed25519 " + "A" * 68),
        preview_root="/opt/pps",
        production_root="/opt/glite",
        profile_d="/etc/profile.d",
        tag_dir="/opt/glite/var/info",
        subcluster="ce.example.org",
        contact="grid-admin@example.org",
    )
    return replace(site, **different)


def a_patch(**different: Any) -> Patch:
    patch = Patch(
        number=4711,
        title="VOMS clients: bug fixes",
        state=PatchState.IN_CERTIFICATION,
        metapackage="glite-WN",
        version="3.1.23",
        platforms=(DEBIAN,),
        repository=Repository(RepositoryKind.APT, "http://localhost/apt", "preview", ("main",)),
        packages=(PackageRef("voms-clients", "2.1.0-1", "amd64"),),
        bugs=(Bug(20301, "Proxy lifetime is cut", Severity.MAJOR, "atlas-software@example.org"),),
        release_notes="Fixes the lifetime of proxies.",
        basic_certification_passed=True,
        install_tested=(DEBIAN,),
    )
    return replace(patch, **different)


class History:
    """Facts in order, a minute apart."""

    def __init__(self, name: str = "bc-client-4711-1") -> None:
        self.name = name
        self.facts: list[Fact] = []
        self.opened(patch=4711)

    def opened(self, **payload: Any) -> History:
        usual = {"path": "bc-client", "metapackage": "glite-WN", "version": "3.1.23", "title": ""}
        return self.then(FactKind.ROLLOUT_OPENED, **(usual | payload))

    def then(
        self, kind: FactKind, subject: str = "", occasion: str = "", at: datetime | None = None, **payload: Any
    ) -> History:
        at = at or NOON + timedelta(minutes=len(self.facts))
        self.facts.append(Fact(self.name, kind, subject, occasion, at, "test", payload))
        return self

    def planned(self, **batches: list[str]) -> History:
        return self.then(FactKind.PLAN_AGREED, batches={k.replace("_", "-"): v for k, v in batches.items()})

    @property
    def rollout(self) -> Rollout:
        return Rollout(self.name, tuple(self.facts))
