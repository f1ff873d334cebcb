"""Server updates, and pilots that have come a given way, on a real store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, PATCH, SITES, sqlite_store, templates
from tests.support.front import CONFIG

from pps.activities.pilots import request as pilot_request
from pps.activities.pilots import screening as pilot_screening
from pps.activities.pilots.request import PilotRequest
from pps.adapters.record.store import FactStore
from pps.config.loader import Configuration
from pps.domain.packages.patch import Bug, Patch, PatchKind, PatchState, Severity
from pps.domain.people.questions import Given
from pps.domain.pilots.looks import day_of, samples
from pps.domain.pilots.pilot import Pilot
from pps.domain.pilots.server_updates import MinorLimits
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import PartnerLevel, SiteService

POLICIES = Configuration(CONFIG).policies
LIMITS: MinorLimits = POLICIES.minor_update.to_domain()
ENOUGH = POLICIES.pilots.criteria
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
SCOPE = "Submit the production jobs of one week through it."
VOS = ("atlas", "cms", "ops")

#: A server update for which every condition of "minor" holds, and that is backward compatible.
MINOR = replace(
    PATCH,
    title="CREAM: fewer file descriptors",
    state=PatchState.CERTIFIED,
    metapackage="glite-CREAM",
    kind=PatchKind.SERVER,
    service_type="CREAM-CE",
    bugs=(),
    programming_ph=8,
    installation_guide="https://docs.example.org/install",
    configuration_guide="https://docs.example.org/configure",
)
MAJOR = replace(MINOR, component_parameters=("cream.conf:max_jobs",))


def bugs(severity: Severity, number: int) -> tuple[Bug, ...]:
    return tuple(Bug(100 + n, "Fails", severity, "user@example.org") for n in range(number))


def partner(name: str, *levels: PartnerLevel, **changes: Any) -> Any:
    services = (SiteService("CREAM-CE", f"ce.{name.lower()}.example.org"),)
    return replace(SITES[name], partner_levels=frozenset(levels), **({"services": services} | changes))


GOLD = {name: partner(name, PartnerLevel.GOLD) for name in ("PIC", "INFN-T1", "IFIC-LCG2")}


class APilot:
    """One round on a store; `pilot` is always the newest."""

    def __init__(self, patch: Patch = MAJOR, store: FactStore | None = None, vo: str = "", **asked: Any) -> None:
        self.patch, self.store = patch, store or sqlite_store()
        self.at = NOW
        self.name = pilot_request.request_pilot(
            at_office(self.store, now=NOW, actor="pps"),
            patch,
            PilotRequest("erika", SCOPE, vo, **asked),
            LIMITS,
            VOS,
            run="pilot/first",
        )

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    @property
    def pilot(self) -> Pilot:
        return Pilot(self.record)

    def then(self, kind: FactKind, subject: str = "", occasion: str = "", actor: str = "pps", **payload: Any) -> APilot:
        self.store.record(Fact(self.name, kind, subject, occasion, self.at, actor, payload))
        return self

    def wait(self, time: timedelta, *, looked: bool = True) -> APilot:
        """Time goes by; each day somebody looks at the services, and finds them as they were."""
        begin, self.at = self.at, self.at + time
        pilot = self.pilot
        for site in pilot.serving if looked and pilot.run_ended is None else ():
            for number in range(1, (self.at.date() - begin.date()).days + 1):
                day = datetime.combine(begin.date() + timedelta(days=number), datetime.min.time(), UTC)
                seen = {"state": samples(self.record, site)[-1].state.name, "text": "It says so."}
                self.store.record(Fact(self.name, FactKind.SERVICE_PROBED, site, day_of(day), day, "pps", seen))
        return self

    def accepted(self) -> APilot:
        self.store.record(
            *pilot_request.facts_of_acceptance(
                at_desk(self.record, now=self.at, actor="pps"), Given("Accept", {}, "carla", self.at)
            )
        )
        return self

    def ranked(self, sites: Any = None, **more: Any) -> APilot:
        pilot_screening.rank_candidates(
            at_desk(self.record, self.store, patch=self.patch, now=self.at, actor="pps"),
            (GOLD if sites is None else sites).values(),
            2,
            **more,
        )
        return self

    def shows_interest(
        self, vo: str = "atlas", text: str = "We try it.", mine: Collection[str] = ("user:ada",)
    ) -> Fact:
        vos = dict.fromkeys(VOS, ()) | {"atlas": ("ada",), "lhcb": ("lena",)}
        to = "coordination@example.org"
        return pilot_screening.show_interest(
            at_desk(self.record, self.store, templates=templates(), now=self.at), vo, text, "ada", mine, vos, to
        )

    def selected(self, *sites: str) -> APilot:
        form = {"sites": "\n".join(sites or ("PIC",))}
        self.store.record(
            *pilot_screening.facts_of_selection(
                at_desk(self.record, now=self.at, actor="user carla"),
                self.patch,
                Given("Select", form, "carla", self.at),
            )
        )
        return self

    def kicked_off(
        self, *vos: str, run_for: timedelta = 2 * WEEK, feedback: timedelta = 3 * WEEK, **more: Any
    ) -> APilot:
        return self.then(
            FactKind.KICK_OFF_AGREED,
            actor="user carla",
            set_up_until=(self.at + WEEK).isoformat(),
            run_for_s=run_for.total_seconds(),
            feedback_until=(self.at + feedback).isoformat(),
            vos=list(vos),
            requirements="",
            **more,
        )

    def set_up(self, site: str = "PIC", occasion: str = "") -> APilot:
        return self.then(
            FactKind.SERVICE_SET_UP, site, occasion, endpoint="https://ce.example.org", version="3.1.23", by="ana"
        )

    def probed(self, state: str, site: str = "PIC") -> APilot:
        known = sum(f.kind is FactKind.SERVICE_PROBED for f in self.record.facts)
        return self.then(FactKind.SERVICE_PROBED, site, f"change-{known + 1}", state=state, text="It says so.")

    def rolled_back(self, site: str = "PIC", occasion: str = "") -> APilot:
        return self.then(FactKind.SERVICE_ROLLED_BACK, site, occasion, reason="Jobs are lost.", version="3.1.22")

    def said(self, vo: str, opinion: str, *, invited: bool = True) -> APilot:
        return self.then(FactKind.FEEDBACK_GIVEN, vo, opinion, opinion=opinion, text="So it is.", invited=invited)

    def ended(self, outcome: str = "expired") -> APilot:
        return self.then(FactKind.RUN_ENDED, outcome=outcome)

    def wrapped_up(self, decision: str) -> APilot:
        self.then(FactKind.WRAPPED_UP, actor="user carla", decision=decision, guidelines="", reason="")
        self.store.close(Fact(self.name, FactKind.ROLLOUT_CLOSED, "", "", self.at, "pps", {"outcome": decision}))
        return self

    def running(self, *vos: str, run_for: timedelta = 2 * WEEK) -> APilot:
        """At PIC, since now."""
        return self.accepted().ranked().selected().kicked_off(*vos, run_for=run_for).set_up()


def moment(days: float) -> datetime:
    return NOW + timedelta(days=days)
