"""A pilot at two sites, from the kick-off on, in a real store; services and information system as tests want them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.support.desks import at_desk
from tests.support.examples import NOW, PATCH, SITES, sqlite_store, templates

from pps.activities.pilots import set_up as pilot_setup
from pps.activities.ports.services import ServiceAnswer
from pps.adapters.record.store import FactStore
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.sites.endpoints import Endpoint, PublishedService
from pps.domain.sites.probes import ProbeResult, ProbeState
from pps.domain.sites.site import Site, SiteService

SERVER = replace(
    PATCH,
    state=PatchState.CERTIFIED,
    metapackage="glite-WMS",
    title="Workload management: bulk submission",
    provider="wms-developers@example.org",
)
SUPPORT = "pps-support@example.org"
RUN_FOR = timedelta(days=14)
INCIDENT = timedelta(minutes=30)
ANA = frozenset({"7", "user:ana", "role:Site Administrator"})
COORDINATION = frozenset({"1", "user:carla", "role:PPS Coordinator"})
STRANGER = frozenset({"9", "user:eve", "role:Site Administrator"})


def gold(name: str) -> Site:
    host = f"wms.{name.lower()}.example.org"
    return replace(SITES[name], administrators=("ana",), services=(SiteService("org.glite.wms", host),))


GOLD = {name: gold(name) for name in ("PIC", "INFN-T1")}


def endpoint_at(site: str) -> str:
    return f"https://wms.{site.lower()}.example.org:7443/status"


@dataclass
class Services:
    """What answers at which endpoint: a state and a version."""

    state: dict[str, tuple[ProbeState, str]] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, endpoint: Endpoint) -> ServiceAnswer:
        with self._lock:
            self.looked.append(endpoint.url)
        state, version = self.state.get(endpoint.url, (ProbeState.CRITICAL, ""))
        text = f"{endpoint.url} {'answers' if state is ProbeState.OK else 'does not answer'}"
        return ServiceAnswer(ProbeResult("service", state, text), version)


@dataclass
class Published:
    """The information system."""

    services: list[PublishedService] = field(default_factory=list)
    tags: dict[str, frozenset[str]] = field(default_factory=dict)

    def show(self, site: str, version: str) -> None:
        url = endpoint_at(site)
        self.services = [s for s in self.services if s.endpoint != url]
        self.services.append(PublishedService(f"{site}_wms", "org.glite.wms", version, url, "OK"))

    def services_of(self, hosts: Iterable[str]) -> Mapping[str, tuple[PublishedService, ...]]:
        return {h: tuple(s for s in self.services if f"://{h}:" in s.endpoint) for h in hosts}

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        return {name: self.tags[name] for name in subclusters if name in self.tags}


class APilot:
    """`APilot().set_up().looked(hours=3)`; times are given as hours after the kick-off."""

    def __init__(
        self,
        path: RolloutPath = RolloutPath.MAJOR_PILOT,
        patch: Patch = SERVER,
        sites: Iterable[str] = ("PIC", "INFN-T1"),
        store: FactStore | None = None,
        **kick_off: Any,
    ) -> None:
        self.store = store or sqlite_store()
        self.patch, self.sites = patch, tuple(sites)
        self.services, self.published = Services(), Published()
        self.name = self.store.next_name(path, patch.number, "pilot/first")
        opened = {
            "path": path,
            "patch": patch.number,
            "title": patch.title,
            "metapackage": patch.metapackage,
            "version": patch.version,
            "platforms": [str(p) for p in patch.platforms],
            "run": "pilot/first",
        }
        opening = Fact(self.name, FactKind.ROLLOUT_OPENED, "", "", NOW, "pps", opened)
        self.store.open(path, patch.number, opening, "pilot/first")
        agreed = {
            "set_up_until": (NOW + timedelta(days=7)).isoformat(),
            "run_for_s": RUN_FOR.total_seconds(),
            "feedback_until": (NOW + timedelta(days=22)).isoformat(),
            "vos": ["atlas"],
            "requirements": "Selectable in the JDL.",
            **kick_off,
        }
        self.fact(FactKind.SITES_SELECTED, sites=list(self.sites), reason="They run a WMS.")
        self.fact(FactKind.KICK_OFF_AGREED, **agreed)

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    def fact(self, kind: FactKind, subject: str = "", occasion: str = "", hours: float = 0, **payload: Any) -> None:
        at = NOW + timedelta(hours=hours)
        self.store.record(Fact(self.name, kind, subject, occasion, at, "pps", payload))

    def says(self, site: str, choice: str = pilot_setup.SET_UP, hours: float = 1, **form: Any) -> APilot:
        """The site's people answer the question of the set-up."""
        due = (NOW + timedelta(days=7)).isoformat()
        self.fact(FactKind.QUESTION_ASKED, site, pilot_setup.STEP, due=due, to="", title="", assigned_to=["user:ana"])
        given = {"endpoint": endpoint_at(site), "version": self.patch.version, "previous": "3.1.22", **form}
        answer = {"step": pilot_setup.STEP, "choice": choice, "form": given, "user": "ana"}
        self.fact(FactKind.ANSWER_GIVEN, site, f"{pilot_setup.STEP}/1", hours, **answer)
        return self

    def answers(self, site: str, state: ProbeState = ProbeState.OK, version: str = "") -> APilot:
        self.services.state[endpoint_at(site)] = (state, version or (self.patch.version if state < 2 else ""))
        return self

    def verify(self, site: str, hours: float = 2) -> tuple[str, ...]:
        return pilot_setup.verify_set_up(
            at_desk(self.record, self.store, patch=self.patch, now=NOW + timedelta(hours=hours), actor="pps"),
            self.services,
            self.published,
            GOLD[site],
        )

    def set_up(self, *sites: str, hours: float = 2) -> APilot:
        """Set up and verified at these sites, or all."""
        for site in sites or self.sites:
            self.says(site).answers(site)
            self.published.show(site, self.patch.version)
            assert self.verify(site, hours) == ()
        return self

    def look(self, hours: float) -> bool:
        return self.look_at(NOW + timedelta(hours=hours))

    def look_at(self, now: datetime) -> bool:
        from pps.activities.pilots.running import look_at_pilot

        return look_at_pilot(
            at_desk(self.record, self.store, templates=templates(), now=now, actor="pps"),
            self.services,
            GOLD,
            support=SUPPORT,
            incident_after=INCIDENT,
        )

    def kinds(self, kind: FactKind) -> list[Fact]:
        return [f for f in self.record.facts if f.kind is kind]

    def mails(self) -> list[tuple[str, str]]:
        return [(mail.to, mail.subject) for mail, _, _ in self.store.outbox(self.name)]
