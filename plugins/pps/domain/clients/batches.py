"""Canaries, gate, batches and failure budget: how a preview spreads without spreading harm."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pps.domain.base.errors import SiteUnreachableError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import STRAGGLERS, Rollout, RolloutPath
from pps.domain.record.site_states import FAILURES, SiteProgress, SiteState
from pps.domain.sites.site import Site


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Numbers of config/policies.yaml, section `distribution`."""

    canaries: int
    sites_per_batch: int
    canaries_healthy_at_least: float
    """share of the canaries that must be healthy, 0 to 1"""
    failure_budget: float
    """share of all planned sites that may fail before the rollout stops by itself, 0 to 1"""
    failures_always_allowed: int
    """this many failures never stop a rollout, however small the grid"""
    slow_from: timedelta = timedelta(minutes=5)
    """a site whose distribution took so long is served last the next time"""
    remembered_for: timedelta = timedelta(days=30)
    """so long; then it is a site like any other"""


class GateVerdict(StrEnum):
    """What a gate says. Inconclusive is an answer of its own: we could not judge."""

    HEALTHY = "healthy"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


CANARY = "canary"


def plan_batches(
    rollout: str, sites: Iterable[Site], limits: BatchLimits, closed: Collection[str] = (), last: Collection[str] = ()
) -> dict[str, list[str]]:
    """Deal sites into `canary`, `fleet-1`, `fleet-2`, ...; the same input gives the same plan.

    Volunteers come first as canaries. Within volunteers and the others the order is by a digest of
    rollout and site, so that the honour of being first goes round. Canaries are taken from the
    platforms in turn, so that as many platforms as possible are tried before the fleet.

    Args:
        closed: sites whose windows are closed now. None of them is a canary, as the fleet waits for these: there may be
            fewer than wanted then, or none.
        last: sites that have kept others waiting (`kept_others_waiting`). A batch ends with its last site, and the next
            one begins then: so they share no batch with the others, and come behind them.
    """

    def turn(site: Site) -> str:
        return hashlib.sha256(f"{rollout}\n{site.name}".encode()).hexdigest()

    ordered = sorted(sites, key=lambda s: (not s.canary, turn(s)))
    canaries: list[Site] = []
    # one that was dead the last time would hold up everybody, also where it is the only one of its platform
    for kept_waiting in (False, True):
        by_platform: dict[object, list[Site]] = {}
        for site in ordered:
            if site.name not in closed and (site.name in last) is kept_waiting:
                by_platform.setdefault(site.platform, []).append(site)
        while len(canaries) < limits.canaries and any(by_platform.values()):
            for queue in by_platform.values():
                if queue and len(canaries) < limits.canaries:
                    canaries.append(queue.pop(0))
    fleet = [s.name for s in sorted((s for s in ordered if s not in canaries), key=turn)]
    dealt = in_batches(fleet, limits.sites_per_batch, last)
    return {CANARY: [s.name for s in canaries]} | {f"fleet-{n}": names for n, names in enumerate(dealt, 1)}


def in_batches(names: Sequence[str], size: int, last: Collection[str]) -> list[list[str]]:
    """Deal names into batches; those in `last` into batches of their own, at the end."""
    halves = [n for n in names if n not in last], [n for n in names if n in last]
    return [half[start : start + size] for half in halves for start in range(0, len(half), size)]


def kept_others_waiting(outcomes: Iterable[Fact], slow_from: timedelta) -> frozenset[str]:
    """Sites that were dead, hanging or slow when we last tried to bring them something, of any rollout.

    Args:
        outcomes: PREVIEW_INSTALLED, SITE_FAILED and SITE_KEEPS_WAITING, in the order of recording.
    """
    newest = {fact.subject: fact for fact in outcomes}
    return frozenset(
        site
        for site, fact in newest.items()
        if fact.kind is FactKind.SITE_KEEPS_WAITING
        or (fact.kind is FactKind.SITE_FAILED and fact.payload.get("error") == SiteUnreachableError.__name__)
        or (fact.kind is FactKind.PREVIEW_INSTALLED and fact.payload.get("seconds", 0) >= slow_from.total_seconds())
    )


#: What is on record of a site without which its batch has ended.
KEEPS_US_WAITING = "It keeps us waiting, so it gets all its time after the others."


def keeps_waiting(progress: SiteProgress) -> bool:
    """Tell whether a batch has ended without this site, and nothing has come of it since."""
    return progress.fact is not None and progress.fact.kind is FactKind.SITE_KEEPS_WAITING


def ends_without_late_sites(record: Rollout, batch: str) -> bool:
    """Tell whether others wait for this batch to end, and a later one of this rollout takes what it leaves.

    Not the canaries: the gate judges them. Not on the path of SD 4.1.2: its next step begins when all have been served,
    whatever the order.
    """
    of_fleet = record.is_planned(batch) and batch not in (CANARY, STRAGGLERS)
    return of_fleet and record.path is RolloutPath.BC_CLIENT


_HEALTHY = (SiteState.TAGGED, SiteState.AVAILABLE)


def judge_canaries(
    canaries: Sequence[SiteProgress], unreachable: frozenset[str], limits: BatchLimits
) -> tuple[GateVerdict, tuple[str, ...]]:
    """Judge the canaries; the sentences say why.

    Args:
        unreachable: canaries that never answered. They say nothing about the preview, so a share
            that is missed only because of them is inconclusive, not failed. Those at which nothing was tried, as they
            wished, are not counted at all: it may take them days.
    """
    if not canaries:
        return GateVerdict.INCONCLUSIVE, ("No site of the plan can be a canary.",)
    untried = [c for c in canaries if c.is_put_off or c.state is SiteState.LEFT_OUT]
    canaries = [c for c in canaries if c not in untried]
    not_tried = tuple(f"{c.site}: {c.reason}" for c in untried)
    if not canaries:
        return GateVerdict.INCONCLUSIVE, ("No canary could be tried.", *not_tried)
    healthy = [c for c in canaries if c.state in _HEALTHY]
    need = limits.canaries_healthy_at_least
    share = f"{len(healthy)} of {len(canaries)} canaries are healthy; {need:.0%} must be."
    why = (share, *(f"{c.site}: {c.reason or c.state.value}" for c in canaries if c not in healthy), *not_tried)
    if len(healthy) / len(canaries) >= need:
        return GateVerdict.HEALTHY, why
    if (len(healthy) + sum(c.site in unreachable for c in canaries)) / len(canaries) >= need:
        return GateVerdict.INCONCLUSIVE, why
    return GateVerdict.FAILED, why


def reasons_to_stop(progress: Sequence[SiteProgress], limits: BatchLimits) -> tuple[str, ...]:
    """Say why the rollout must stop by itself; no reasons means that it may go on.

    Counts failed sites against all planned sites, not against those tried so far: the first
    failure of a batch must not stop a rollout to three hundred sites. Sites that keep us waiting count as well until
    they have had all their time: an outage of which we are the cause looks so.
    """
    failed, late = [p for p in progress if p.state in FAILURES], [p for p in progress if keeps_waiting(p)]
    allowed = failures_allowed(len(progress), limits)
    if len(failed) + len(late) <= allowed:
        return ()
    not_yet = f" and {len(late)} keep us waiting" if late else ""
    return (
        f"{len(failed)} of {len(progress)} sites failed{not_yet}; the failure budget allows {allowed}.",
        *(f"{p.site}: {p.reason}" for p in (*failed, *late)),
    )


def failures_allowed(planned: int, limits: BatchLimits) -> int:
    """How many of the planned sites may fail."""
    return max(limits.failures_always_allowed, int(limits.failure_budget * planned))
