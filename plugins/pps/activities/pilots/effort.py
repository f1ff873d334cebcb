"""Credits everybody who has completed a part of a pilot, once (SD 4.1.3, table)."""

from __future__ import annotations

from collections.abc import Mapping

from pps.activities.desk import Desk
from pps.domain.people.effort import Activity, Doer, credit_fact
from pps.domain.pilots.credits import credits_due
from pps.domain.pilots.pilot import Pilot
from pps.domain.sites.site import Site


def credit_pilot(desk: Desk, activities: Mapping[str, Activity], sites: Mapping[str, Site]) -> int:
    """Record every credit that the pilot's facts have earned until now; returns how many are new.

    To be called after any step, and by the daily sweep for the weeks of support; how often does not matter.

    Args:
        sites: the registry, for the region; a site that has left it keeps its credits, without a region.
    """
    new = 0
    for due in credits_due(Pilot(desk.rollout), desk.now):
        activity = activities[due.activity]
        site = due.who if due.is_site else ""
        roc = sites[site].roc if site in sites else ""
        doer = Doer(due.who, site, roc, due.role, due.person)
        fact = credit_fact(desk.rollout, activity, doer, due.occasion, due.at, desk.actor)
        new += len(desk.record(fact))
    return new
