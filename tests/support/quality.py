"""Products with a past, at the real application, on a real store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from fastapi.testclient import TestClient
from tests.support.examples import NOW, PATCH, sqlite_store
from tests.support.following import account
from tests.support.front import SECRET, MemoryServices, MemoryTracker, site, write_config

from pps.adapters.record.store import FactStore
from pps.config.loader import Configuration
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name
from pps.domain.record.submissions import RECORD as SUBMISSIONS
from pps.web.app import create_app

URL = "https://pps.example.org"
MANAGER, PROVIDER, OTHER = "rita:Release Manager", "gina:Viewer", "bob:Viewer"
SITES = ("PIC", "CNAF", "SARA", "INFN-T1")
PROVIDERS = [
    {
        "name": "globus",
        "contact": "globus@example.org",
        "products": ["glite-WN", "CREAM-CE"],
        "representatives": ["gina"],
    },
    {"name": "dpm", "contact": "dpm@example.org", "products": ["glite-SE_dpm"], "representatives": ["bob"]},
]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def release(
    store: FactStore,
    patch: int,
    version: str,
    at: datetime,
    *,
    ill: dict[str, str] | None = None,
    product: str = "glite-WN",
    answers: int = 1,
    days: float = 4,
    released: bool = True,
    withdrawn: bool = False,
    ends: bool = True,
    sites: tuple[str, ...] = SITES,
) -> str:
    """A preview of a version, from its opening to its end.

    Args:
        ill: site -> the probe that fails there.
        days: until it ends.
    """
    name = store.next_name("bc-client", patch, str(patch))
    opened = {"path": "bc-client", "patch": patch, "metapackage": product, "version": version, "title": "Bugs fixed"}
    more = {
        "platforms": ["debian12-amd64"],
        "tag": f"VO-ops-PPS-{product}-{version}",
        "tag_vo": "ops",
        "run": f"d/{patch}",
    }
    store.open("bc-client", patch, Fact(name, FactKind.ROLLOUT_OPENED, "", "", at, "rita", opened | more), str(patch))

    def fact(kind: FactKind, subject: str = "", after: timedelta = HOUR, occasion: str = "", **payload: Any) -> Fact:
        return Fact(name, kind, subject, occasion, at + after, "pps", payload)

    facts = [
        fact(FactKind.PLAN_AGREED, batches={"canary": list(sites[:1]), "fleet-1": list(sites[1:])}),
        fact(FactKind.FEEDBACK_DATE_AGREED, due=(at + 14 * DAY).isoformat()),
        *(fact(FactKind.VO_INVITED, vo) for vo in ("atlas", "cms")),
    ]
    for number, one in enumerate(sites):
        bad = (ill or {}).get(one)
        probes = [
            {"probe": p, "state": "CRITICAL" if p == bad else "OK", "text": ""} for p in ("versions", "libraries")
        ]
        facts.append(fact(FactKind.PREVIEW_INSTALLED, one, number * HOUR))
        facts.append(
            fact(FactKind.PROBES_FAILED, one, number * HOUR, results=probes, reason="Probe is CRITICAL.")
            if bad
            else fact(FactKind.PROBES_PASSED, one, number * HOUR, results=probes)
        )
        if not bad:
            facts.append(fact(FactKind.TAG_SEEN, one, (number + 1) * HOUR))
    for vo in ("atlas", "cms")[:answers]:
        said = {"v": 2, "opinion": "works", "text": "Fine.", "author": "", "invited": True, "bugs": {"31415": "fixed"}}
        facts.append(fact(FactKind.FEEDBACK_GIVEN, vo, DAY, vo, **said))
    if withdrawn:
        facts.append(fact(FactKind.WITHDRAWAL_ASKED, after=DAY, reason="It loses files of more than 2 GB."))
    elif ends:
        facts.append(fact(FactKind.FEEDBACK_ENDED, after=days * DAY, outcome="some"))
        if released:
            facts.append(fact(FactKind.RELEASED_TO_PRODUCTION, after=days * DAY, platforms=["debian12-amd64"]))
    store.record(*facts)
    if withdrawn or ends:
        outcome = "withdrawn" if withdrawn else "released" if released else "not released"
        store.close(fact(FactKind.ROLLOUT_CLOSED, after=days * DAY, outcome=outcome))
    return name


def deployment_test(store: FactStore, patch: int, version: str, at: datetime, results: dict[str, str]) -> str:
    """A deployment test that has ended."""
    name = store.next_name("pre-deployment", patch, f"t{patch}")
    opened = {
        "path": "pre-deployment",
        "patch": patch,
        "metapackage": "glite-WN",
        "version": version,
        "run": f"t/{patch}",
    }
    opening = Fact(name, FactKind.ROLLOUT_OPENED, "", "", at, "rita", opened)
    store.open("pre-deployment", patch, opening, f"t{patch}")
    for scenario, result in results.items():
        says = {"result": result, "platform": "debian12-amd64", "reason": "", "log": "", "by": "automatic"}
        store.record(Fact(name, FactKind.SCENARIO_ENDED, scenario, "", at + HOUR, "pps", says))
    store.close(Fact(name, FactKind.ROLLOUT_CLOSED, "", "", at + HOUR, "pps", {"outcome": "passed"}))
    return name


def pilot(store: FactStore, patch: int, version: str, at: datetime) -> str:
    """A pilot of a service that two sites ran; one rolled back, and its service had failed."""
    name = store.next_name("minor-pilot", patch, f"p{patch}")
    opened = {"path": "minor-pilot", "patch": patch, "metapackage": "glite-CREAM", "version": version}
    opened |= {"service_type": "CREAM-CE", "title": "CREAM", "run": f"p/{patch}", "compatibility": "BC"}
    store.open("minor-pilot", patch, Fact(name, FactKind.ROLLOUT_OPENED, "", "", at, "rita", opened), f"p{patch}")

    def fact(kind: FactKind, subject: str = "", after: timedelta = HOUR, occasion: str = "", **payload: Any) -> Fact:
        return Fact(name, kind, subject, occasion, at + after, "pps", payload)

    service = {
        "endpoint": "https://ce.example.org:8443",
        "version": version,
        "previous": "1.0",
        "version_at": "",
        "by": "x",
    }
    store.record(
        fact(FactKind.SITES_SELECTED, sites=["PIC", "CNAF", "SARA"], reason=""),
        *(fact(FactKind.SERVICE_SET_UP, one, DAY, **service) for one in ("PIC", "CNAF")),
        fact(FactKind.SERVICE_PROBED, "PIC", 2 * DAY, "change-1", state="OK", text="fine"),
        fact(FactKind.SERVICE_PROBED, "CNAF", 2 * DAY, "change-1", state="CRITICAL", text="no answer"),
        fact(FactKind.SERVICE_ROLLED_BACK, "CNAF", 3 * DAY, reason="It does not answer.", version="1.0", by="CNAF"),
    )
    store.close(fact(FactKind.ROLLOUT_CLOSED, after=9 * DAY, outcome="rejected", reasons=["It failed."]))
    return name


def with_a_past(store: FactStore) -> None:
    """Four releases of glite-WN, of which one was withdrawn and the last goes on; a pilot of a service."""
    release(store, 4701, "3.1.20", NOW - 80 * DAY, ill={"SARA": "versions"}, days=9)
    release(store, 4702, "3.1.21", NOW - 60 * DAY, ill={"SARA": "versions", "PIC": "libraries"}, withdrawn=True)
    deployment_test(store, 4703, "3.1.22", NOW - 40 * DAY, {"wn": "fail", "wn-torque": "pass"})
    release(store, 4703, "3.1.22", NOW - 40 * DAY, days=12, answers=2)
    release(store, 4704, "3.1.23", NOW - 2 * DAY, ends=False, answers=0, ill={"CNAF": "libraries"})
    release(store, 4790, "1.7", NOW - 30 * DAY, product="glite-SE_dpm")
    pilot(store, 4800, "1.1", NOW - 20 * DAY)


def configuration(folder: Path) -> Configuration:
    """Sites, VOs, and two providers."""
    write_config(folder, [site(name) for name in SITES])
    people = yaml.safe_load((folder / "people.yaml").read_text())
    (folder / "people.yaml").write_text(yaml.safe_dump(people | {"providers": PROVIDERS}, sort_keys=False))
    return Configuration(folder)


@dataclass
class AQuality:
    """The application; the clock stands where a test puts it."""

    store: FactStore
    services: MemoryServices
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.app = create_app(lambda: self.services, account, lambda: self.now)

    @classmethod
    def of(cls, folder: Path, *, past: bool = True) -> AQuality:
        """On a store that several threads may use."""
        store = sqlite_store(folder)
        if past:
            with_a_past(store)
        known = MemoryTracker(replace(PATCH, number=4704))
        given = {"facts": store, "tracker": known, "feedback_secret": SECRET}
        return cls(store, MemoryServices(configuration(folder / "config"), lambda _: None, given))

    def who(self, token: str = "", **headers: str) -> TestClient:
        """Somebody's client, `<name>:<role>`; without one a stranger's."""
        auth = {"Authorization": f"Bearer {token}"} if token else {}
        return TestClient(self.app, base_url=URL, headers={**auth, **headers}, follow_redirects=False)

    def wait(self, span: timedelta) -> None:
        self.now += span


def submit(
    store: FactStore,
    waived: Sequence[tuple[int, str]],
    entered: Sequence[int],
    offered: Sequence[tuple[int, datetime, bool]] = (),
) -> None:
    """As the provider's desk records what it enters in the tracker, and the waivers that it takes along."""
    opening = Fact(SUBMISSIONS, FactKind.ROLLOUT_OPENED, "", "", NOW, "x", {"path": SUBMISSIONS, "patch": 0})
    store.open(SUBMISSIONS, 0, opening, SUBMISSIONS)
    for number, (patch, at, whole) in enumerate(offered):
        said = {"document": {}, "submit": whole, "provider": "x", "user": "x"}
        release, occasion = f"glite-WN/{patch}", str(number)
        store.record(Fact(SUBMISSIONS, FactKind.RELEASE_OFFERED, release, occasion, at, "x", said))
    for patch in (*entered, *(patch for patch, _ in waived)):
        store.record(Fact(SUBMISSIONS, FactKind.RELEASE_ENTERED, f"glite-WN/{patch}", "1", NOW, "x", {"patch": patch}))
    for patch, finding in waived:
        fact = Fact(dossier_name(patch), FactKind.FINDING_WAIVED, "", finding, NOW, "x", {"finding": finding})
        store.record_in_dossier(patch, fact)
