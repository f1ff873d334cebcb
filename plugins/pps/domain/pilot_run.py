"""The run of a pilot: who runs it, until when, how it went (SD 4.1.3, steps 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pps.domain.durations import duration_text
from pps.domain.facts import Fact, FactKind
from pps.domain.probes import ProbeState
from pps.domain.roles import Role
from pps.domain.rollouts import Rollout
from pps.domain.sites import Site

#: Occasions of facts SERVICE_PROBED: a change of state, and one for each day on which we looked.
CHANGE, DAY = "change-", "day-"

#: Of an unsteady service: what we could not judge is better than what we saw fail.
_WORSE = (ProbeState.OK, ProbeState.WARNING, ProbeState.UNKNOWN, ProbeState.CRITICAL)
STEADY_CHANGES, STEADY_SPAN = 6, 12


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


# --- rounds and dates ---------------------------------------------------------------------------


def round_of(record: Rollout) -> int:
    """Which round of the pilot this is: 1, and one more for each time it was prolonged (SD 4.1.3, 10).

    Each round is a record of its own (docs/adr/0014).
    """
    return int(record.opened.get("round", 1))


def round_occasion(number: int) -> str:
    """Occasion of what happens once in a round."""
    return "" if number == 1 else f"round-{number}"


def run_ended(record: Rollout) -> Fact | None:
    """The fact that this round's run has ended."""
    occasion = round_occasion(round_of(record))
    return next((f for f in record.facts if f.kind is FactKind.RUN_ENDED and f.occasion == occasion), None)


def agreement(record: Rollout) -> Fact | None:
    """What was agreed for this round at its kick-off; None before it is agreed."""
    return record.the(FactKind.KICK_OFF_AGREED)


# --- sites --------------------------------------------------------------------------------------


def selected_sites(record: Rollout) -> tuple[str, ...]:
    """The sites that were selected to run the pilot (SD 4.1.3, 2)."""
    selected = record.the(FactKind.SITES_SELECTED)
    return tuple(selected.payload["sites"]) if selected else ()


def set_up(record: Rollout, site: str) -> Fact | None:
    """The fact that the site's service was set up, and verified; None if never, or if it was rolled back since."""
    for fact in reversed(record.facts):
        if fact.subject == site and fact.kind is FactKind.SERVICE_ROLLED_BACK:
            return None
        if fact.subject == site and fact.kind is FactKind.SERVICE_SET_UP:
            return fact
    return None


def has_had_service(record: Rollout, site: str) -> bool:
    """Tell whether the site has had its service, even if it was rolled back since: that ends its part in the round."""
    return site in reporting_sites(record)


def is_left_out(record: Rollout, site: str) -> bool:
    """Tell whether the site takes no part (any more): it could not set the service up, or did not in time."""
    for fact in reversed(record.facts):
        if fact.subject == site and fact.kind in (FactKind.SERVICE_SET_UP, FactKind.SITE_LEFT_OUT):
            return fact.kind is FactKind.SITE_LEFT_OUT
    return False


def has_rolled_back(record: Rollout, site: str) -> bool:
    """Tell whether the site had the pilot and has not any more."""
    rolled_back = any(f.kind is FactKind.SERVICE_ROLLED_BACK and f.subject == site for f in record.facts)
    return rolled_back and set_up(record, site) is None


def running_sites(record: Rollout) -> tuple[str, ...]:
    """Sites whose pilot service was set up and not rolled back since."""
    seen = dict.fromkeys(f.subject for f in record.facts if f.kind is FactKind.SERVICE_SET_UP)
    return tuple(site for site in seen if set_up(record, site) is not None)


def reporting_sites(record: Rollout) -> tuple[str, ...]:
    """Sites that had the pilot, however long: each writes its report (SD 4.1.3, 9)."""
    return tuple(dict.fromkeys(f.subject for f in record.facts if f.kind is FactKind.SERVICE_SET_UP))


def roll_back_asked(record: Rollout, site: str) -> Fact | None:
    """The fact that the site's roll-back was asked for, for as long as it is not done."""
    for fact in reversed(record.facts):
        if fact.subject == site and fact.kind in (FactKind.SERVICE_ROLLED_BACK, FactKind.SERVICE_SET_UP):
            return None
        if fact.subject == site and fact.kind is FactKind.ROLL_BACK_ASKED:
            return fact
    return None


# --- time ---------------------------------------------------------------------------------------


def run_began(record: Rollout) -> datetime | None:
    """When the last of the sites first had its service set up; None while one of them is still awaited.

    A roll-back moves no date, and a site that was left out sets none (docs/adr/0014).

    Source: SD 4.1.3, 8: "The default duration of the pilot (after completed installation)".
    """
    sites = dict.fromkeys((*selected_sites(record), *reporting_sites(record)))
    first: dict[str, datetime] = {}
    for fact in record.facts:
        if fact.kind is FactKind.SERVICE_SET_UP:
            first.setdefault(fact.subject, fact.at)
    taking_part = [site for site in sites if not is_left_out(record, site)]
    if any(site not in first for site in taking_part):
        return None
    return max((first[site] for site in taking_part), default=None)


def _installation(record: Rollout, site: str) -> Fact | None:
    facts = (f for f in reversed(record.facts) if f.kind is FactKind.SERVICE_SET_UP and f.subject == site)
    return next(facts, None)


def agreed_end(record: Rollout) -> datetime | None:
    """Until when this round runs; None while the installation is not complete, or nothing was agreed.

    The agreed time counts from the completed installation; in a later round, whose services run already, from the
    agreement.
    """
    agreed, began = agreement(record), run_began(record)
    if agreed is None or began is None:
        return None
    return max(began, agreed.at) + timedelta(seconds=float(agreed.payload["run_for_s"]))


def outcome_now(record: Rollout, now: datetime) -> RunOutcome | None:
    """How the run has ended by now, or None while it goes on. The very instant of the agreed end is its end."""
    sites = selected_sites(record)
    if running_sites(record):
        end = agreed_end(record)
        return RunOutcome.EXPIRED if end is not None and now >= end else None
    if not sites or any(_installation(record, s) is None and not is_left_out(record, s) for s in sites):
        return None
    return RunOutcome.ROLLED_BACK if reporting_sites(record) else RunOutcome.NOT_SET_UP


# --- how it went --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """What a probe said of a service; it holds until the next one."""

    at: datetime
    state: ProbeState
    text: str = ""


@dataclass(frozen=True, slots=True)
class Availability:
    """How long a service answered."""

    up: timedelta
    down: timedelta
    unknown: timedelta
    """our probe could not judge: counts for neither"""

    @property
    def share(self) -> float | None:
        """Of the time that could be judged; None where there is none."""
        judged = self.up + self.down
        return self.up / judged if judged else None


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a service did not answer as it should."""

    began: datetime
    ended: datetime | None
    """None: it still lasts"""
    text: str


def samples(record: Rollout, site: str) -> tuple[Sample, ...]:
    """Of one site, from the last time that it was set up: then it answered, for we looked."""
    found: list[Sample] = []
    for fact in record.facts:
        if fact.subject != site:
            continue
        if fact.kind is FactKind.SERVICE_SET_UP:
            found = [Sample(fact.at, ProbeState.OK, "set up")]
        elif fact.kind is FactKind.SERVICE_PROBED and found:
            found.append(Sample(fact.at, ProbeState[fact.payload["state"]], str(fact.payload.get("text", ""))))
    return tuple(sorted(found, key=lambda s: s.at))


def with_gaps(known: Sequence[Sample], until: datetime) -> tuple[Sample, ...]:
    """The same with UNKNOWN for each day (UTC) on which nobody looked: a change that nobody saw is in no fact.

    Every day's first look is a fact, so a day without any was not looked at.
    """
    if not known:
        return ()
    days = {sample.at.astimezone(UTC).date() for sample in known}
    first = known[0].at.astimezone(UTC).date()
    gaps = []
    for number in range(1, (until.astimezone(UTC).date() - first).days + 1):
        day = first + timedelta(days=number)
        if day not in days:
            gaps.append(Sample(datetime(day.year, day.month, day.day, tzinfo=UTC), ProbeState.UNKNOWN, "nobody looked"))
    return tuple(sorted((*known, *gaps), key=lambda s: s.at))


def state_now(record: Rollout, site: str) -> Sample:
    """The last that is on record; `ValueError` of a site that has no pilot."""
    known = samples(record, site)
    if not known:
        raise ValueError(f"{site} has no pilot service")
    return known[-1]


def changes(record: Rollout, site: str) -> tuple[Fact, ...]:
    """The changes of state on record, all rounds."""
    return tuple(
        f
        for f in record.facts
        if f.kind is FactKind.SERVICE_PROBED and f.subject == site and f.occasion.startswith(CHANGE)
    )


def change_to_keep(record: Rollout, site: str, seen: Sample, incident_after: timedelta) -> Sample | None:
    """What of a look goes on record as a change of state; None if nothing does.

    Every change does, a short one, too: the availability is measured by them. But a service that changes more than
    `STEADY_CHANGES` times within `STEADY_SPAN` times `incident_after` is unsteady. That is kept once, as the worst that
    was seen, and holds until there are fewer again. So no service fills the record, whatever it does.
    """
    if seen.state is state_now(record, site).state:
        return None
    span = STEADY_SPAN * incident_after
    recent = [f for f in changes(record, site) if f.at > seen.at - span]
    if len(recent) != STEADY_CHANGES:
        return seen if len(recent) < STEADY_CHANGES else None
    worst = max(seen.state, *(ProbeState[f.payload["state"]] for f in recent), key=_WORSE.index)
    often = f"unsteady: more than {STEADY_CHANGES} changes within {duration_text(span)}"
    return Sample(seen.at, worst, f"{often}; last {seen.state.name}: {seen.text}")


def availability(known: Sequence[Sample], begin: datetime, end: datetime) -> Availability:
    """Add up the states between two moments; what lies before the first sample is unknown."""
    spans = {state: timedelta(0) for state in ProbeState}
    lost = max(min(known[0].at, end) - begin, timedelta(0)) if known else max(end - begin, timedelta(0))
    spans[ProbeState.UNKNOWN] += lost
    for sample, following in zip(known, [*(s.at for s in known[1:]), end], strict=False):
        spans[sample.state] += max(min(following, end) - max(sample.at, begin), timedelta(0))
    return Availability(
        spans[ProbeState.OK] + spans[ProbeState.WARNING], spans[ProbeState.CRITICAL], spans[ProbeState.UNKNOWN]
    )


def outages(known: Iterable[Sample]) -> tuple[Outage, ...]:
    """Every unbroken time of CRITICAL, oldest first."""
    found: list[Outage] = []
    open_since: Sample | None = None
    for sample in known:
        if sample.state is ProbeState.CRITICAL:
            open_since = open_since or sample
        elif open_since is not None:
            found.append(Outage(open_since.at, sample.at, open_since.text))
            open_since = None
    if open_since is not None:
        found.append(Outage(open_since.at, None, open_since.text))
    return tuple(found)


def observed_until(record: Rollout, site: str, now: datetime) -> datetime:
    """The end of the time that counts for a site: its roll-back, the end of the run, or now."""
    ends = [f.at for f in record.facts if f.kind is FactKind.SERVICE_ROLLED_BACK and f.subject == site]
    began = _installation(record, site)
    ends = [at for at in ends if began is None or at >= began.at]
    if ended := run_ended(record):
        ends.append(ended.at)
    return min([*ends, now])


def day_of(at: datetime) -> str:
    """Occasion of the day's first look, in UTC."""
    return f"{DAY}{at.astimezone(UTC):%Y-%m-%d}"


def days_looked(record: Rollout, site: str) -> int:
    """On how many days we have looked: a service that nobody probed was not available, for all we know."""
    return sum(
        f.kind is FactKind.SERVICE_PROBED and f.subject == site and f.occasion.startswith(DAY) for f in record.facts
    )


# --- the journal --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: what somebody wrote, or what we saw."""

    at: datetime
    who: str
    """site or role"""
    user: str
    """who wrote it; "" for what we saw"""
    text: str


def journal(record: Rollout, who: str | None = None) -> tuple[Entry, ...]:
    """Everything that happened to the services, in time: set-up, changes of state, incidents, what people wrote."""
    found = []
    for fact in record.facts:
        if who not in (None, fact.subject) or fact.kind not in _JOURNAL:
            continue
        if fact.kind is FactKind.SERVICE_PROBED and not fact.occasion.startswith(CHANGE):
            continue
        found.append(Entry(fact.at, fact.subject, str(fact.payload.get("user", "")), _JOURNAL[fact.kind](fact)))
    return tuple(sorted(found, key=lambda e: e.at))


_JOURNAL: Mapping[FactKind, Callable[[Fact], str]] = {
    FactKind.SERVICE_SET_UP: lambda f: f"Set up: version {f.payload['version']} at {f.payload['endpoint']}.",
    FactKind.SERVICE_PROBED: lambda f: f"{f.payload['state']}: {f.payload.get('text', '')}",
    FactKind.JOURNAL_ENTRY: lambda f: str(f.payload["text"]),
    FactKind.ROLL_BACK_ASKED: lambda f: f"Roll-back asked for: {f.payload['reason']}",
    FactKind.SERVICE_ROLLED_BACK: lambda f: f"Rolled back: {f.payload['reason']}",
    FactKind.SITE_LEFT_OUT: lambda f: f"Left out: {f.payload['reason']}",
    FactKind.RUN_ENDED: lambda f: f"The run has ended: {f.payload['outcome']}. {f.payload.get('reason', '')}".strip(),
}


# --- rules --------------------------------------------------------------------------------------


def reasons_against_acting(site: Site, mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not speak for a site's pilot service; no reasons means that they may.

    Source: SD 4.1.3, 8: "Changes in the system however should only be applied by the Gold Site manager"; the
    coordination follows the pilot up.

    Args:
        mine: all under which this person is known (`roles.identities`).
    """
    allowed = {f"user:{name}" for name in site.administrators} | {f"role:{Role.PPS_COORDINATOR}"}
    if allowed & set(mine):
        return ()
    return (f"Only the administrators of {site.name} and the {Role.PPS_COORDINATOR} may speak for its pilot service.",)


def is_to_be_published(record: Rollout) -> bool:
    """Tell whether the service will be in the production information system.

    Said at the kick-off, else by the mirror: it is set up "if the service is going to be published in the production
    information system" (SD 4.1.3, 6), and skipped otherwise. A pilot runs in production, so silence means yes.
    """
    kick_off = record.the(FactKind.KICK_OFF_AGREED)
    if kick_off is not None and "published" in kick_off.payload:
        return bool(kick_off.payload["published"])
    mirror = record.the(FactKind.MIRROR_MADE)
    return mirror is None or not mirror.payload.get("skipped")
