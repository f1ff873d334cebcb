"""Credits everybody who has completed a part of a pilot, once (SD 4.1.3, table)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pps.activities.ports.record import Facts
from pps.domain.people.effort import Activity, credit_fact
from pps.domain.pilots.credits import credits_due
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site


def credit_pilot(
    record: Rollout,
    facts: Facts,
    activities: Mapping[str, Activity],
    sites: Mapping[str, Site],
    now: datetime,
    actor: str,
) -> int:
    """Record every credit that the pilot's facts have earned until now; returns how many are new.

    To be called after any step, and by the daily sweep for the weeks of support; how often does not matter.

    Args:
        sites: the registry, for the region; a site that has left it keeps its credits, without a region.
    """
    new = 0
    for due in credits_due(Pilot(record), now):
        activity = activities[due.activity]
        site = due.who if due.is_site else ""
        fact = credit_fact(
            record,
            activity,
            due.who,
            due.occasion,
            due.at,
            actor,
            site=site,
            roc=sites[site].roc if site in sites else "",
            role=due.role,
            person=due.person,
        )
        new += len(facts.record(fact))
    return new
