"""What we saw of a pilot's services as a picture has it: one lane a site, without a gap (SD 4.1.3, 8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from pps.domain.pilots.looks import Outage, Sample, incidents, samples, with_gaps
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import FactKind
from pps.domain.sites.probes import ProbeState


class LaneState(StrEnum):
    """What a part of a lane says. Shown to programs: never rename."""

    NOT_SET_UP = "not set up"
    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    """our probe could not judge, or nobody looked"""
    ROLLED_BACK = "rolled back"
    TO_COME = "to come"
    """of the agreed time"""


@dataclass(frozen=True, slots=True)
class Interval:
    """A time in which the state of a service was the same."""

    begin: datetime
    end: datetime
    state: LaneState
    text: str
    """what the first look of it said"""


@dataclass(frozen=True, slots=True)
class Lane:
    """One site."""

    site: str
    intervals: tuple[Interval, ...]
    """each begins where the one before ends; the first and the last with the graph"""
    incidents: tuple[Outage, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """All sites of one round, from the first look to the end of the run, or as long as it was agreed."""

    begin: datetime
    end: datetime
    seen_until: datetime
    lanes: tuple[Lane, ...]


def graph(pilot: Pilot, now: datetime) -> Graph | None:
    """The graph as it is known now; None before anybody has looked at a service."""
    sites = tuple(dict.fromkeys((*pilot.selected, *pilot.served)))
    looked = [fact.at for site in sites if (fact := pilot.first_set_up(site))]
    if not looked:
        return None
    # a later round shows itself alone, though its services may have been set up in the one before
    begin = max(min(looked), pilot.record.need(FactKind.ROLLOUT_OPENED, "Open the pilot first.").at)
    closed = pilot.record.the(FactKind.ROLLOUT_CLOSED)
    over = pilot.run_ended_at or (closed.at if closed else None)
    seen = min(over or now, now)
    end = seen if over else max(now, pilot.runs_until or now)
    if seen <= begin:
        return None
    lanes = (Lane(s, _intervals(pilot, s, begin, seen, end), _shown(pilot, s, begin, seen)) for s in sites)
    return Graph(begin, end, seen, tuple(lanes))


def newest(pilot: Pilot, site: str, now: datetime) -> Interval | None:
    """The last that is known of a site's service, and since when it is so; None for a site that never had it."""
    known = samples(pilot.record, site)
    if not known:
        return None
    end = min(f.at if f else now for f in (pilot.rolled_back(site), pilot.run_ended, None))
    seen = tuple(sample for sample in known if sample.at <= end) or known[:1]  # a look can be late
    turns = _of_samples(with_gaps(seen, end))
    since, state, text = turns[-1]
    for at, before, _ in reversed(turns):
        if before is not state:
            break
        since = at
    return Interval(since, max(end, turns[-1][0]), state, text)


def _shown(pilot: Pilot, site: str, begin: datetime, seen: datetime) -> tuple[Outage, ...]:
    return tuple(o for o in incidents(pilot.record, site) if o.began < seen and (o.ended is None or o.ended > begin))


def _of_samples(known: tuple[Sample, ...]) -> list[tuple[datetime, LaneState, str]]:
    names = {
        ProbeState.OK: LaneState.OK,
        ProbeState.WARNING: LaneState.WARNING,
        ProbeState.CRITICAL: LaneState.CRITICAL,
        ProbeState.UNKNOWN: LaneState.UNKNOWN,
    }
    return [(sample.at, names[sample.state], sample.text) for sample in known]


def _intervals(pilot: Pilot, site: str, begin: datetime, seen: datetime, end: datetime) -> tuple[Interval, ...]:
    known, gone = samples(pilot.record, site), pilot.rolled_back(site)
    first = min(begin, known[0].at) if known else begin
    turns = [(first, LaneState.NOT_SET_UP, "")]
    turns += _of_samples(with_gaps(known, min(gone.at, seen) if gone else seen))
    if gone and gone.at < seen:
        turns = [t for t in turns if t[0] < gone.at]
        turns.append((gone.at, LaneState.ROLLED_BACK, str(gone.payload.get("reason", ""))))
    turns = [t for t in turns if t[0] < seen]
    if seen < end and not gone and not pilot.is_left_out(site):  # nothing is to come where it has ended
        turns.append((seen, LaneState.TO_COME, ""))
    return _joined(begin, end, turns)


def _joined(begin: datetime, end: datetime, turns: list[tuple[datetime, LaneState, str]]) -> tuple[Interval, ...]:
    """Intervals between turns, in their order; what says the same as the one before is one with it."""
    found: list[Interval] = []
    ends = [*(at for at, _, _ in turns[1:]), end]
    for (at, state, text), until in zip(turns, ends, strict=True):
        interval = Interval(max(at, begin), min(until, end), state, text)
        if found and found[-1].state is state:
            found[-1] = replace(found[-1], end=interval.end)
        elif interval.begin < interval.end:
            found.append(interval)
    return tuple(found)
