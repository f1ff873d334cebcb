"""A pilot: a server update in production at partner sites, for an agreed time (SD 4.1.3, 4.1.4).

As a rollout, a pilot is what its facts say. What may follow from them is in `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pps.domain.base.errors import NotYetAllowedError
from pps.domain.pilots.server_updates import Compatibility
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, Rollout, RolloutPath
from pps.domain.sites.site import PartnerLevel

#: Steps of the questions: to the Coordinator, and to each site's people.
ACCEPTANCE, SELECTION, REPORT = "pilot-acceptance", "pilot-selection", "post-mortem"
#: Occasion of the decision that a pilot may run software that is not certified.
NOT_CERTIFIED = "non-certified-software"
ACCEPTED, DECLINED = "accepted", "declined"
RELEASE, PROLONG, REJECT = "release", "prolong", "reject"


class RunOutcome(StrEnum):
    """How a run ended. Stored in facts: never rename."""

    EXPIRED = "expired"
    """the agreed time was up (SD 4.1.3, 10: "expiration of the timeline previously agreed")"""
    SUCCESS = "success"
    """declared before that (SD 4.1.3, 10: "upon success")"""
    ROLLED_BACK = "rolled back"
    """no site runs it any more"""
    NOT_SET_UP = "not set up"
    """no site could set it up"""


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
        return self.record.path is RolloutPath.MAJOR_PILOT

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
        return tuple(site for site in self.selected if not self.is_left_out(site))

    def is_left_out(self, site: str) -> bool:
        """Tell whether a site takes no part (any more): it could not set the service up, or did not in time."""
        newest = self._newest(site, FactKind.SERVICE_SET_UP, FactKind.SITE_LEFT_OUT)
        return newest is not None and newest.kind is FactKind.SITE_LEFT_OUT  # one that is late takes part again

    def first_set_up(self, site: str) -> Fact | None:
        """The fact that a site's service was first verified, whatever came later; None if it never was.

        It sets the dates, and the site then has something to report.
        """
        facts = self.record.facts
        return next((f for f in facts if f.kind is FactKind.SERVICE_SET_UP and f.subject == site), None)

    def newest_set_up(self, site: str) -> Fact | None:
        """The fact that a site's service was last verified, even if it was rolled back since; None if it never was."""
        return self._newest(site, FactKind.SERVICE_SET_UP)

    def service_at(self, site: str) -> Fact | None:
        """The fact that set up the service which a site runs now; None if it runs none, or has rolled back."""
        newest = self._newest(site, FactKind.SERVICE_SET_UP, FactKind.SERVICE_ROLLED_BACK)
        return newest if newest is not None and newest.kind is FactKind.SERVICE_SET_UP else None

    def rolled_back(self, site: str) -> Fact | None:
        """The fact that a site has gone back to the previous version, which ends its part in this round; or None."""
        newest = self._newest(site, FactKind.SERVICE_SET_UP, FactKind.SERVICE_ROLLED_BACK)
        return newest if newest is not None and newest.kind is FactKind.SERVICE_ROLLED_BACK else None

    def roll_back_asked(self, site: str) -> Fact | None:
        """The fact that a site's roll-back was asked for, for as long as it is not done."""
        kinds = (FactKind.SERVICE_ROLLED_BACK, FactKind.SERVICE_SET_UP, FactKind.ROLL_BACK_ASKED)
        newest = self._newest(site, *kinds)
        return newest if newest is not None and newest.kind is FactKind.ROLL_BACK_ASKED else None

    def _newest(self, site: str, *kinds: FactKind) -> Fact | None:
        return next((f for f in reversed(self.record.facts) if f.subject == site and f.kind in kinds), None)

    @property
    def served(self) -> tuple[str, ...]:
        """The sites that have had the service, however long: each writes its report (SD 4.1.3, 9)."""
        return tuple(dict.fromkeys(f.subject for f in self.record.facts if f.kind is FactKind.SERVICE_SET_UP))

    @property
    def serving(self) -> tuple[str, ...]:
        """The sites whose pilot service users can reach now."""
        return tuple(site for site in self.served if self.service_at(site) is not None)

    @property
    def awaited(self) -> tuple[str, ...]:
        """The sites that have still to set it up; one that gave up before it had is not waited for."""
        return tuple(s for s in self.sites if self.first_set_up(s) is None and self.rolled_back(s) is None)

    @property
    def missing_reports(self) -> tuple[str, ...]:
        """The sites that had the service, and have not written their post-mortem report (SD 4.1.3, 9)."""
        written = {f.subject for f in self.record.facts if f.kind is FactKind.REPORT_WRITTEN}
        return tuple(site for site in self.served if site not in written)

    @property
    def is_published(self) -> bool:
        """Tell whether the service will be in the production information system.

        Said at the kick-off, else by the mirror: it is set up "if the service is going to be published in the
        production information system" (SD 4.1.3, 6), and skipped otherwise. A pilot runs in production, so silence
        means yes.
        """
        kick_off = self.record.the(FactKind.KICK_OFF_AGREED)
        if kick_off is not None and "published" in kick_off.payload:
            return bool(kick_off.payload["published"])
        mirror = self.record.the(FactKind.MIRROR_MADE)
        return mirror is None or not mirror.payload.get("skipped")

    # --- dates

    @property
    def agreement(self) -> Agreement | None:
        """What was agreed at the kick-off, or None before it. The newest counts."""
        agreed = self.record.the(FactKind.KICK_OFF_AGREED)
        if agreed is None:
            return None
        says = agreed.payload
        moved = self.record.the(FactKind.FEEDBACK_DATE_MOVED)
        return Agreement(
            datetime.fromisoformat(says["set_up_until"]),
            timedelta(seconds=float(says["run_for_s"])),
            datetime.fromisoformat(moved.payload["due"] if moved else says["feedback_until"]),
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
        installed = [fact.at for site in self.sites if (fact := self.first_set_up(site)) is not None]
        if agreed is None or self.awaited or not installed:
            return None
        return max(*installed, agreed.at)

    @property
    def runs_until(self) -> datetime | None:
        """The end of the run, as agreed; None before the installation is complete."""
        since, agreed = self.running_since, self.agreement
        return since + agreed.run_for if since and agreed else None

    @property
    def run_ended(self) -> Fact | None:
        """The fact that the run of this round has ended, whatever the reason; None before."""
        return self.record.the(FactKind.RUN_ENDED)

    @property
    def run_ended_at(self) -> datetime | None:
        """When that was."""
        return self.run_ended.at if self.run_ended else None

    def outcome_now(self, now: datetime) -> RunOutcome | None:
        """How the run has ended by now, or None while it goes on. The very instant of the agreed end is its end."""
        if self.serving:
            until = self.runs_until
            return RunOutcome.EXPIRED if until is not None and now >= until else None
        if not self.selected or self.awaited:
            return None
        return RunOutcome.ROLLED_BACK if self.served else RunOutcome.NOT_SET_UP

    def run_is_over(self, now: datetime) -> bool:
        """Tell whether nothing is left to wait for: the run has ended or ends now, or the whole rollout is over."""
        return self.record.is_over or self.run_ended is not None or self.outcome_now(now) is not None
