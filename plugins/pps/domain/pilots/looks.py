"""What we saw of a pilot's services: states, outages, availability, and the journal (SD 4.1.3, steps 8 and 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pps.domain.base.durations import duration_text
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.probes import ProbeState

#: Occasions of facts SERVICE_PROBED: a change of state, and one for each day on which we looked.
CHANGE, DAY = "change-", "day-"
_INCIDENT = "incident-"

#: For an unsteady service, from best to worst: what we could not judge is better than what we saw fail.
_WORSE = (ProbeState.OK, ProbeState.WARNING, ProbeState.UNKNOWN, ProbeState.CRITICAL)
STEADY_CHANGES, STEADY_SPAN = 6, 12


# --- how it went --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """What a probe said of a service; it holds until the next one."""

    at: datetime
    state: ProbeState
    text: str = ""


@dataclass(frozen=True, slots=True)
class Availability:
    """How long a service answered, in the time that counts for it."""

    up: timedelta
    down: timedelta
    unknown: timedelta
    """our probe could not judge, or nobody looked: counts for neither"""

    @property
    def share(self) -> float | None:
        """Of the time that could be judged; None where there is none."""
        judged = self.up + self.down
        return self.up / judged if judged else None

    @property
    def unknown_share(self) -> float:
        """Of all the time that counts; 0.0 where there is none: a success that was declared at once leaves none."""
        whole = self.up + self.down + self.unknown
        return self.unknown / whole if whole else 0.0

    @property
    def text(self) -> str:
        """The share in per cent, as everybody is shown it: `96.4`; "" where it cannot be judged.

        Cut, not rounded, so that a limit never looks met when it is missed.
        """
        return "" if self.share is None else percent(self.share)


def percent(share: float) -> str:
    """A share in per cent with one digit after the point, cut: 0.9499 -> `94.9`."""
    # a share such as 0.29 is a little less in binary: what is cut off must be more than that
    return f"{int(share * 1000 + 1e-9) / 10}"


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a service did not answer as it should."""

    began: datetime
    ended: datetime | None
    """None: it still lasts"""
    text: str


def samples(record: Rollout, site: str) -> tuple[Sample, ...]:
    """The samples of one site since it was last set up; at that moment it answered, since we looked."""
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
    """The last that is on record; `ValueError` for a site that has no pilot."""
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
    """The change of state that a look puts on record; None if it puts none.

    Every change goes there, even a short one: availability is measured by them. But a service that changes more than
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


def add_up(known: Sequence[Sample], begin: datetime, end: datetime) -> Availability:
    """Add up the states between two moments; what lies before the first sample is unknown."""
    spans = {state: timedelta(0) for state in ProbeState}
    lost = max(min(known[0].at, end) - begin, timedelta(0)) if known else max(end - begin, timedelta(0))
    spans[ProbeState.UNKNOWN] += lost
    for sample, following in zip(known, [*(s.at for s in known[1:]), end], strict=False):
        spans[sample.state] += max(min(following, end) - max(sample.at, begin), timedelta(0))
    return Availability(
        spans[ProbeState.OK] + spans[ProbeState.WARNING], spans[ProbeState.CRITICAL], spans[ProbeState.UNKNOWN]
    )


def availability(pilot: Pilot, site: str, now: datetime) -> Availability | None:
    """How available a site's service was in the run, until now: the one number that gate, report and pages show.

    It counts from the completed installation, as the run does, or from the site's own set-up as long as others are
    awaited, to the site's roll-back, the end of the run, or now. What nobody saw is not called available.

    Returns:
        None for a site that has never had the service.
    """
    counted = observed(pilot, site, now)
    return None if counted is None else add_up(with_gaps(samples(pilot.record, site), counted[1]), *counted)


def observed(pilot: Pilot, site: str, now: datetime) -> tuple[datetime, datetime] | None:
    """The time that counts for a site (`availability`), or None if it has never had the service."""
    newest = pilot.newest_set_up(site)
    if newest is None:
        return None
    end = min(f.at if f else now for f in (pilot.rolled_back(site), pilot.run_ended, None))
    began = pilot.running_since
    begin = newest.at if began is None else max(began, newest.at)
    # a site that went back before the others were ready had the service all the same
    return (begin if begin <= end else newest.at), max(end, newest.at)


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


def incident_of(outage: Outage) -> str:
    """Occasion of the journal's entry that an outage has become an incident."""
    return f"{_INCIDENT}{outage.began:%Y%m%dT%H%M%S%f}"


def incidents(record: Rollout, site: str) -> tuple[Outage, ...]:
    """The outages of which people were told."""
    known = {f.occasion for f in record.facts if f.kind is FactKind.JOURNAL_ENTRY and f.subject == site}
    return tuple(outage for outage in outages(samples(record, site)) if incident_of(outage) in known)


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
class JournalEntry:
    """One line of the journal: what somebody wrote, or what we saw."""

    at: datetime
    who: str
    """site or role"""
    user: str
    """who wrote it; "" for what we saw"""
    text: str


def journal(record: Rollout, who: str | None = None) -> tuple[JournalEntry, ...]:
    """Everything that happened to the services, in order: set-up, changes of state, incidents, what people wrote."""
    found = []
    for fact in record.facts:
        if who not in (None, fact.subject) or fact.kind not in _JOURNAL:
            continue
        if fact.kind is FactKind.SERVICE_PROBED and not fact.occasion.startswith(CHANGE):
            continue
        found.append(JournalEntry(fact.at, fact.subject, str(fact.payload.get("user", "")), _JOURNAL[fact.kind](fact)))
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
