"""How SD 4.1.3 adds up what a pilot costs: activities.yaml and the credits are held against it (docs/adr/0010)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pps.domain.base.errors import ConfigurationError
from pps.domain.people.effort import Activity

#: Of the pilot activities, the one that SD's totals count apart from the Gold Site's own work.
SERVICE_EXPERT = "pilot-service-expert"
_PILOT_SECTION = "4.1.3"
_COORDINATOR, _GOLD_SITE = "PPS Coordinator", "Gold Site"


@dataclass(frozen=True, slots=True)
class PilotEffort:
    """What a pilot costs, as SD 4.1.3 adds it up ("Total SA1 effort"), in person hours."""

    coordination_ph: int
    """what the Coordinator does alone; the meetings come on top (docs/adr/0010)"""
    gold_site_ph: int
    """all of the Gold Site's own work, meetings included"""
    service_expert_ph: int
    """to be counted if the Gold Site or SA1 personnel provides it"""
    coordination_meetings_ph: int
    """what SD's table gives the Coordinator for meetings and SD's total leaves out"""


def pilot_effort(activities: Mapping[str, Activity], weeks: int) -> PilotEffort:
    """Foresee the effort of a pilot that is supported for so many weeks at one Gold Site.

    Source: SD 4.1.3, "Total SA1 effort (for a 3-week pilot)"; how the totals are read: docs/adr/0010.
    """
    if weeks < 0:
        raise ValueError(f"a pilot of {weeks} weeks")
    if SERVICE_EXPERT not in activities:
        raise ConfigurationError(
            f"activity {SERVICE_EXPERT}", "is not in activities.yaml.", "SD 4.1.3 has it: put it back."
        )

    def hours(*chosen: Activity) -> int:
        return sum(a.effort_ph * (weeks if a.per == "week" else 1) for a in chosen)

    pilot = [a for a in activities.values() if a.section == _PILOT_SECTION]
    coordinators = [a for a in pilot if _COORDINATOR in a.who]
    return PilotEffort(
        coordination_ph=hours(*(a for a in coordinators if len(a.who) == 1)),
        gold_site_ph=hours(*(a for a in pilot if _GOLD_SITE in a.who and a.key != SERVICE_EXPERT)),
        service_expert_ph=hours(activities[SERVICE_EXPERT]),
        coordination_meetings_ph=hours(*(a for a in coordinators if len(a.who) > 1)),
    )
