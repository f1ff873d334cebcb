"""The nightly distribution: look at every site, compare, act on the difference, record.

Looking again in the same night finds nothing to do, because it compares with the world, not with a
list of what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pps.activities import distribution, publication
from pps.activities.ports import Artefacts, Facts, InformationSystem, SiteLimits, SiteShell, SshTarget
from pps.domain.facts import Fact, FactKind
from pps.domain.rollouts import Rollout, SiteState
from pps.domain.sites import Platform, Site, reasons_against_preview

Targets = Callable[[Sequence[Site]], Mapping[str, SshTarget]]


async def plan_the_night(
    facts: Facts,
    registry: Mapping[str, Site],
    targets: Targets,
    shell: SiteShell,
    artefacts: Artefacts,
    limits: SiteLimits,
    *,
    at_once: int,
    now: Callable[[], datetime],
    actor: str,
) -> list[dict[str, str]]:
    """Plan, for every open preview, the sites that need something; returns its (rollout, batch) pairs.

    A preview whose sites all have what they should have is not in the list. A site that lost its
    preview loses its tag at once, so that no job is sent there while it is being repaired.
    """
    planned = []
    for row in facts.rollouts(open_only=True):
        record = facts.rollout(row.name)
        if not record.is_open_preview:
            continue
        platforms = [Platform.parse(p) for p in record.need(FactKind.ROLLOUT_OPENED, "").payload["platforms"]]
        sites = [site for site in registry.values() if not reasons_against_preview(site, platforms)]
        needing = await _sites_that_need_something(
            record, facts, sites, targets, shell, artefacts, limits, at_once=at_once, now=now, actor=actor
        )
        if needing:
            night = _name_of_the_night(facts.rollout(record.name), needing, now())
            facts.record(Fact(record.name, FactKind.NIGHT_PLANNED, "", night, now(), actor, {"sites": needing}))
            planned.append({"rollout": record.name, "batch": night})
    return planned


def _name_of_the_night(record: Rollout, needing: Sequence[str], now: datetime) -> str:
    """`night-2026-03-02`; a second plan of the same night that differs gets a number behind it."""
    base = f"night-{now:%Y-%m-%d}"
    tonight = [
        f for f in record.facts if f.kind is FactKind.NIGHT_PLANNED and f.occasion.split(".")[0] == base
    ]
    if tonight and list(tonight[-1].payload["sites"]) == list(needing):
        return tonight[-1].occasion
    return base if not tonight else f"{base}.{len(tonight) + 1}"
