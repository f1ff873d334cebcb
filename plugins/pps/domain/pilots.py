"""A pilot: a server update in production at partner sites, for an agreed time (SD 4.1.3, 4.1.4).

As a rollout, a pilot is what its facts say. Every rule here raises `NotYetAllowedError` with what must happen first, so
a task that is cleared, or marked successful by hand, skips none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pps.domain import questions
from pps.domain.errors import NotYetAllowedError
from pps.domain.facts import Fact, FactKind
from pps.domain.rollouts import PILOTS, Path, Rollout
from pps.domain.server_updates import Compatibility
from pps.domain.sites import PartnerLevel

#: Steps of the questions: to the Coordinator, and to each site's people.
ACCEPTANCE, SELECTION, REPORT = "pilot-acceptance", "pilot-selection", "pilot-report"
#: Occasion of the decision that a pilot may run software that is not certified.
NOT_CERTIFIED = "non-certified-software"
ACCEPTED, DECLINED = "accepted", "declined"
RELEASE, PROLONG, REJECT = "release", "prolong", "reject"
#: How a run may end.
EXPIRED, SUCCESS, ROLLED_BACK, NOT_SET_UP = "expired", "success", "rolled back", "not set up"


class Stage(StrEnum):
    """Where a pilot stands; each begins when the one before has ended."""

    REQUESTED = "requested"
    """step 1: the Coordinator has not answered"""
    ACCEPTED = "accepted"
    SCREENING = "screening"
    """step 2"""
    KICK_OFF = "kick-off"
    """steps 3 to 5: the sites are selected, the dates are not agreed"""
    SET_UP = "set-up"
    """steps 6 and 7"""
    RUNNING = "running"
    """step 8: every site has set it up"""
    WRAP_UP = "wrap-up"
    """steps 9 and 10"""
    CLOSED = "closed"


_SCREENING = (
    FactKind.CANDIDATES_RANKED,
    FactKind.INTEREST_SHOWN,
    FactKind.DOCUMENTATION_CHECKED,
    FactKind.BROADCAST_QUEUED,
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the kick-off meeting agreed on (SD 4.1.3, 5); every later wait is for one of these dates."""

    set_up_until: datetime
    run_for: timedelta
    """counted from the completed installation"""
    feedback_until: datetime
    vos: tuple[str, ...]
    """that have committed themselves; none in a minor pilot"""
    requirements: str


@dataclass(frozen=True)
class Pilot:
    """One round of a pilot, as its record tells it."""

    record: Rollout

    def __post_init__(self) -> None:
        if self.record.path not in PILOTS:
            raise NotYetAllowedError(self.record.name, "It is no pilot.", "Pilots are listed by: pps pilot list.")

    # --- what it is

    @property
    def name(self) -> str:
        """Name of its record."""
        return self.record.name

    @property
    def is_major(self) -> bool:
        """Tell whether VOs are involved (SD 4.1.3: "only in case of major updates")."""
        return self.record.path is Path.MAJOR_PILOT

    @property
    def compatibility(self) -> Compatibility:
        """As judged before the start."""
        return Compatibility(self.record.opened["compatibility"])

    @property
    def level(self) -> PartnerLevel:
        """The partners that run it."""
        return PartnerLevel.GOLD if self.compatibility is Compatibility.BC else PartnerLevel.PLATINUM

    @property
    def first_round(self) -> str:
        """Name of the record with which it began."""
        return str(self.record.opened.get("pilot") or self.name)

    @property
    def round(self) -> int:
        """1, 2, ...: to prolong the testing time is to open another round."""
        return int(self.record.opened.get("round", 1))

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        record = self.record
        for ended, stage in (
            (record.is_closed, Stage.CLOSED),
            (record.has(FactKind.RUN_ENDED), Stage.WRAP_UP),
            (self.running_since is not None, Stage.RUNNING),
            (record.has(FactKind.KICK_OFF_AGREED), Stage.SET_UP),
            (record.has(FactKind.SITES_SELECTED), Stage.KICK_OFF),
            (any(record.has(kind) for kind in _SCREENING), Stage.SCREENING),
            (self.is_accepted, Stage.ACCEPTED),
        ):
            if ended:
                return stage
        return Stage.REQUESTED

    @property
    def acceptance(self) -> Fact | None:
        """The Coordinator's decision on the request, or None. The first one stands."""
        return next((f for f in self.record.facts if f.kind is FactKind.DECIDED and f.occasion == ACCEPTANCE), None)

    @property
    def is_accepted(self) -> bool:
        """Tell whether the Coordinator has accepted the request."""
        decided = self.acceptance
        return decided is not None and decided.payload["decision"] == ACCEPTED

    @property
    def exception(self) -> Fact | None:
        """The decision to run software that is not certified, or None (SD 4.1.3, "General policies")."""
        decided = (f for f in reversed(self.record.facts) if f.kind is FactKind.DECIDED and f.occasion == NOT_CERTIFIED)
        return next(decided, None)

    # --- sites

    @property
    def selected(self) -> tuple[str, ...]:
        """The sites that the Coordinator selected, whatever has become of them."""
        chosen = self.record.the(FactKind.SITES_SELECTED)
        return tuple(chosen.payload["sites"]) if chosen else ()

    @property
    def sites(self) -> tuple[str, ...]:
        """Those that take part: selected, and not left out since."""
        return tuple(site for site in self.selected if not self._is_left_out(site))

    def _is_left_out(self, site: str) -> bool:
        kinds = (FactKind.SERVICE_SET_UP, FactKind.SITE_LEFT_OUT)  # one that is late after all takes part again
        newest = next((f.kind for f in reversed(self.record.facts) if f.kind in kinds and f.subject == site), None)
        return newest is FactKind.SITE_LEFT_OUT

    def set_up(self, site: str) -> Fact | None:
        """The fact that a site's service was first verified, or None."""
        facts = self.record.facts
        return next((f for f in facts if f.kind is FactKind.SERVICE_SET_UP and f.subject == site), None)

    def is_rolled_back(self, site: str) -> bool:
        """Tell whether a site has gone back to the previous version: its part in this round has ended."""
        kinds = (FactKind.SERVICE_SET_UP, FactKind.SERVICE_ROLLED_BACK)
        newest = next((f.kind for f in reversed(self.record.facts) if f.kind in kinds and f.subject == site), None)
        return newest is FactKind.SERVICE_ROLLED_BACK

    @property
    def serving(self) -> tuple[str, ...]:
        """The sites whose pilot service users can reach now."""
        return tuple(s for s in self.sites if self.set_up(s) is not None and not self.is_rolled_back(s))

    @property
    def awaited(self) -> tuple[str, ...]:
        """The sites that have still to set it up; one that gave up before it had is not waited for."""
        return tuple(s for s in self.sites if self.set_up(s) is None and not self.is_rolled_back(s))

    @property
    def missing_reports(self) -> tuple[str, ...]:
        """The sites that had the service, and have not written their post-mortem report (SD 4.1.3, 9)."""
        written = {f.subject for f in self.record.facts if f.kind is FactKind.REPORT_WRITTEN}
        return tuple(s for s in self.sites if self.set_up(s) is not None and s not in written)

    # --- dates

    @property
    def agreement(self) -> Agreement | None:
        """What was agreed at the kick-off, or None before it. The newest counts."""
        agreed = self.record.the(FactKind.KICK_OFF_AGREED)
        if agreed is None:
            return None
        says = agreed.payload
        return Agreement(
            datetime.fromisoformat(says["set_up_until"]),
            timedelta(seconds=float(says["run_for_s"])),
            datetime.fromisoformat(says["feedback_until"]),
            tuple(says.get("vos", ())),
            str(says.get("requirements", "")),
        )

    @property
    def running_since(self) -> datetime | None:
        """When the last of its sites had set it up; None before.

        Source: SD 4.1.3, 8: "The default duration of the pilot (after completed installation)". A roll-back moves no
        date, and ends a site's part in this round: to prolong is for the wrap-up to decide. The round of a service that
        runs already begins with its kick-off.
        """
        agreed = self.record.the(FactKind.KICK_OFF_AGREED)
        installed = [fact.at for site in self.sites if (fact := self.set_up(site)) is not None]
        if agreed is None or self.awaited or not installed:
            return None
        return max(*installed, agreed.at)

    @property
    def runs_until(self) -> datetime | None:
        """The end of the run, as agreed; None before the installation is complete."""
        since, agreed = self.running_since, self.agreement
        return since + agreed.run_for if since and agreed else None

    @property
    def run_ended_at(self) -> datetime | None:
        """When the run ended, whatever the reason; None before."""
        ended = self.record.the(FactKind.RUN_ENDED)
        return ended.at if ended else None

    def run_is_over(self, now: datetime) -> bool:
        """Tell whether nothing is left to wait for: it has ended, its time is up, or no site runs it any more."""
        until = self.runs_until
        gone = bool(self.selected) and not self.serving and not self.awaited
        return self.record.is_over or self.run_ended_at is not None or gone or (until is not None and now >= until)

    # --- what may happen next

    def must_be_accepted(self) -> None:
        """Raise unless the Coordinator has accepted the request, and the pilot has not ended."""
        self._must_be_open()
        if not self.is_accepted:
            raise NotYetAllowedError(self.name, "the request is not accepted.", "The Coordinator answers it first.")

    def may_select(self, sites: Sequence[str]) -> None:
        """Raise unless these sites are candidates, and the documentation is there (SD 4.1.3, 2)."""
        self.must_be_accepted()
        if self.record.has(FactKind.KICK_OFF_AGREED):
            raise NotYetAllowedError(self.name, "the kick-off has agreed on its sites.", "Prolong it with others.")
        ranked = self.record.need(FactKind.CANDIDATES_RANKED, f"Rank the candidates: pps pilot candidates {self.name}")
        candidates = {c["site"] for c in ranked.payload["candidates"]}
        if not sites:
            raise NotYetAllowedError(self.name, "no site is selected.", "Select one at least.")
        if strangers := [site for site in sites if site not in candidates]:
            raise NotYetAllowedError(
                self.name,
                f"{', '.join(strangers)}: not among its candidates.",
                f"See: pps pilot candidates {self.name}",
            )
        checked = self.record.need(FactKind.DOCUMENTATION_CHECKED, "Check the documentation first.")
        if missing := checked.payload["missing"]:
            raise NotYetAllowedError(
                self.name, f"there is no documentation for {' and '.join(missing)}.", "Ask the developers for it."
            )

    def may_kick_off(self) -> None:
        """Raise unless the sites are selected (SD 4.1.3, 2 before 3 to 5)."""
        self.must_be_accepted()
        self.record.need(FactKind.SITES_SELECTED, "The Coordinator selects the sites first.")
        if self.running_since is not None or self.run_ended_at is not None:
            raise NotYetAllowedError(self.name, "it runs already; its dates are agreed.", "Prolong it at the wrap-up.")

    def may_set_up(self, site: str) -> None:
        """Raise unless the kick-off has agreed that this site sets the service up (SD 4.1.3, 5 before 7).

        What it sets up is certified, or its use is justified on record (SD 4.1.3, "General policies").
        """
        self._must_be_open()
        self.record.need(FactKind.KICK_OFF_AGREED, "Hold the kick-off meeting, and enter its outcome.")
        if site not in self.sites:
            raise NotYetAllowedError(f"{self.name} at {site}", "the site has no part in it.", "See: pps pilot show.")
        opened = self.record.opened
        if not (opened["certified"] or opened["justification"] or self.exception is not None):
            raise NotYetAllowedError(
                self.name,
                "the software is not certified, and nobody has put on record why it is used.",
                f"Say why: pps pilot justify {self.name}",
            )
        if self.run_ended_at is not None:
            raise NotYetAllowedError(self.name, "its run has ended.", "Prolong it at the wrap-up.")

    def may_run(self) -> None:
        """Raise unless every site's set-up is verified (SD 4.1.3, 7 before 8)."""
        self._must_be_open()
        if self.running_since is None:
            who = ", ".join(self.awaited) or "any site"
            raise NotYetAllowedError(
                self.name, f"the set-up at {who} is not verified yet.", "Set it up, or leave it out."
            )

    def may_end_run(self, outcome: str, now: datetime) -> None:
        """Raise unless the run may end so: on the agreed date, by success declared before, or rolled back everywhere.

        Source: SD 4.1.3, 10: "upon success or expiration of the timeline previously agreed".
        """
        if self.run_ended_at is not None:
            return
        if outcome in (ROLLED_BACK, NOT_SET_UP):
            self._must_be_open()
            if not self.selected or self.serving or self.awaited:
                who = ", ".join((*self.serving, *self.awaited)) or "no site yet"
                raise NotYetAllowedError(self.name, f"a site still has a part in it: {who}.", "Roll it back there.")
            return
        self.may_run()
        until = self.runs_until
        if outcome == EXPIRED and until is not None and now < until:
            raise NotYetAllowedError(self.name, f"it runs until {until.isoformat(timespec='minutes')}.", "Wait for it.")

    def may_report(self, site: str) -> None:
        """Raise unless the run is over, for all or for this site, which had the service (SD 4.1.3, 8 before 9)."""
        if self.set_up(site) is None:
            raise NotYetAllowedError(f"{self.name} at {site}", "the site never had the service.", "Nothing to report.")
        if self.run_ended_at is None and not self.is_rolled_back(site):
            raise NotYetAllowedError(f"{self.name} at {site}", "the service still runs.", "Report when it has ended.")

    def may_wrap_up(self) -> None:
        """Raise unless the run has ended, and no post-mortem report is awaited any more (SD 4.1.3, 9 before 10).

        A site whose time for its report is up is not waited for: the meeting hears that it wrote none.
        """
        self._must_be_open()
        self.record.need(FactKind.RUN_ENDED, "Wait for the end of the run.")
        awaited = [s for s in self.missing_reports if not questions.has_expired(self.record, REPORT, s)]
        if awaited:
            raise NotYetAllowedError(self.name, f"no report from {', '.join(awaited)} yet.", "Wait for it.")

    def may_be_prolonged(self) -> None:
        """Raise unless the wrap-up has decided that another round follows, and this one is closed."""
        decided = self.record.need(FactKind.WRAPPED_UP, "Hold the wrap-up meeting, and enter its decision.")
        if decided.payload["decision"] != PROLONG:
            raise NotYetAllowedError(
                self.name, f"the decision was {decided.payload['decision']}.", "Ask for a new one."
            )
        if not self.record.is_closed:
            raise NotYetAllowedError(self.name, "this round is still open.", "Close it first.")

    def _must_be_open(self) -> None:
        if self.record.is_closed:
            raise NotYetAllowedError(self.name, "it has ended.", "Look at: pps pilot show.")
