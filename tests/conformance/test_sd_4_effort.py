"""SD 4, units and credits, and the tables "Tasks and Effort" of 4.1.3, 4.2.2 and 4.2.3."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.histories import NOON, History
from tests.support.pilot_effort import pilot_effort

from pps.config.loader import load_configuration
from pps.domain.people.effort import PH_IN, Doer, EffortUnit, credit_fact, credits_of, to_ph

ACTIVITIES = load_configuration(Path(__file__).parents[2] / "config").activities
SUPPORT = "averaged data from CREAM and WMS experimental services"
MINOR = "Possibly including minor re-configurations"

#: SD's rows: who, what, effort in PD, credits, notes.
PILOTS = {
    "pilot-pre-screening": ("PPS Coordinator", "Pre-screen of resources for pilot start-up", "0.75", 6, ""),
    "pilot-instruction": ("PPS Coordinator", "Instruct the gold site to start the pilot", "0.25", 2, ""),
    "pilot-kickoff-organisation": ("PPS Coordinator", "Organise a pilot kick-off meeting", "0.25", 2, ""),
    "pilot-kickoff-participation": (
        "PPS Coordinator, Gold Site, ITR, VO",
        "Participate to kick-off meeting (preparation, attendance, follow-up)",
        "0.25",
        2,
        "",
    ),
    "pilot-mirror": ("PPS Repository Manager", "Set-up a mirror repository", "0.5", 4, ""),
    "pilot-setup": ("Gold Site", "Set-up the pilot service", "1.5", 12, ""),
    "pilot-service-manager": ("Gold Site", "Provide 1 week of support as service manager", "1", 8, SUPPORT),
    "pilot-service-expert": (
        "Gold Site, ITR, Developers",
        "Provide 1 week of support as service expert",
        "2",
        16,
        SUPPORT,
    ),
    "pilot-post-mortem": (
        "Gold Site",
        "Produce post-mortem pilot report "
        "(set-up description, non-functional issues e.g. resource consumption, stability)",
        "0.5",
        4,
        "",
    ),
    "pilot-wrap-up": (
        "PPS Coordinator, Gold Site, ITR, VO",
        "Participation to wrap-up meeting, including preparation and follow-up",
        "0.25",
        2,
        "",
    ),
}
QUALITY = {
    "sam-server-week": (
        "SAM Client Administrator",
        "Provide 1 week of support as SAM-server service manager",
        "0.5",
        4,
        MINOR,
    ),
    "sam-clone-sensor": ("SAM Client Administrator", "Clone a SAM Sensor", "1", 8, ""),
    "sam-display": ("SAM Portal Administrator", "Create a display for a new sensor", "0.5", 4, ""),
    "sam-client-week": (
        "SAM Client Administrator",
        "Provide 1 week of support as SAM-client service manager",
        "0.5",
        4,
        MINOR,
    ),
}
RELEASE_TEST = {
    "release-test": ("Production Site", "Apply a middleware update for release testing", "0.125", 1, ""),
}


@pytest.mark.sd("4")
def test_the_conversion_table_is_sds() -> None:
    assert to_ph(1, EffortUnit.PD) == 8
    assert to_ph(1, EffortUnit.PW) == to_ph(5, EffortUnit.PD) == 40
    assert to_ph(1, EffortUnit.PM) == to_ph(4, EffortUnit.PW) == to_ph(20, EffortUnit.PD) == 160
    assert set(PH_IN) == set(EffortUnit)


def _holds(key: str, section: str, row: tuple[str, str, str, int, str]) -> None:
    activity = ACTIVITIES[key]
    assert (", ".join(activity.who), activity.title, activity.notes) == (row[0], row[1], row[4])
    assert activity.effort_ph == to_ph(Decimal(row[2]), EffortUnit.PD)
    assert activity.credits == row[3]
    assert activity.section == section
    assert (activity.per == "week") is ("1 week of support" in row[1])


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("key", PILOTS)
def test_each_row_of_the_pilots_table_is_in_activities_yaml(key: str) -> None:
    _holds(key, "4.1.3", PILOTS[key])


@pytest.mark.sd("4.2.2")
@pytest.mark.parametrize("key", QUALITY)
def test_each_row_of_the_pre_deployment_table_is_in_activities_yaml(key: str) -> None:
    _holds(key, "4.2.2", QUALITY[key])


@pytest.mark.sd("4.2.3")
def test_a_release_test_is_worth_one_credit() -> None:
    _holds("release-test", "4.2.3", RELEASE_TEST["release-test"])


@pytest.mark.sd("4")
def test_nothing_but_sds_rows_earns_credits() -> None:
    rated = {key for key, activity in ACTIVITIES.items() if activity.credits}
    assert rated == PILOTS.keys() | QUALITY.keys() | RELEASE_TEST.keys()
    assert ACTIVITIES.keys() - rated == {"local-configuration", "deployment-scenario"}


@pytest.mark.sd("4.1.3")
def test_a_three_week_pilot_costs_what_sd_adds_up() -> None:
    effort = pilot_effort(ACTIVITIES, weeks=3)
    assert effort.coordination_ph == to_ph("1.25", EffortUnit.PD)
    assert effort.gold_site_ph == to_ph("5.5", EffortUnit.PD)
    assert effort.service_expert_ph == to_ph(6, EffortUnit.PD)


@pytest.mark.sd("4.1.3")
def test_sds_coordination_leaves_out_the_two_meetings_that_its_own_table_assigns() -> None:
    assert pilot_effort(ACTIVITIES, weeks=3).coordination_meetings_ph == to_ph("0.5", EffortUnit.PD)


@pytest.mark.sd("4.1.3")
def test_the_credits_of_a_three_week_pilot_are_the_hours_that_sd_adds_up() -> None:
    history = History("pilot-4711-1")
    gold = ("pilot-kickoff-participation", "pilot-setup", "pilot-post-mortem", "pilot-wrap-up")
    done = [(ACTIVITIES[key], "") for key in gold]
    done += [(ACTIVITIES["pilot-service-manager"], f"week-{n}") for n in (1, 2, 3)]
    facts = [
        credit_fact(history.rollout, a, Doer("PIC", "PIC", "SWE", "Gold Site"), occasion, NOON, "test")
        for a, occasion in done
    ]
    assert sum(c.credits for c in credits_of(facts)) == pilot_effort(ACTIVITIES, weeks=3).gold_site_ph


@pytest.mark.sd("4.1.2", step=3)
@pytest.mark.sd("4.2.2")
@pytest.mark.parametrize("key", ["local-configuration", "deployment-scenario"])
def test_a_task_for_which_sd_names_no_effort_counts_as_done_and_earns_nothing(key: str) -> None:
    activity = ACTIVITIES[key]
    fact = credit_fact(History().rollout, activity, Doer("PIC", "PIC"), "", NOON, "test")
    (credit,) = credits_of([fact])
    assert (credit.credits, credit.effort_ph, credit.activity) == (0, 0, key)
