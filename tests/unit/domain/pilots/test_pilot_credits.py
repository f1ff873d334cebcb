"""Credits of a pilot: each completed step and week once, and in sum what SD adds up."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from tests.support.desks import at_desk
from tests.support.front import CONFIG
from tests.support.pilot_effort import pilot_effort
from tests.support.pilots import DAY, GOLD, MAJOR, WEEK, APilot

from pps.activities.people.effort import credits_on_record
from pps.activities.pilots import request as pilot_request
from pps.activities.pilots.effort import credit_pilot
from pps.config.loader import Configuration
from pps.domain.pilots.credits import TABLE, credits_due
from pps.domain.pilots.pilot import PROLONG, RELEASE
from pps.domain.record.facts import FactKind

ACTIVITIES = Configuration(CONFIG).activities
EXPERT = [{"role": "ITR", "who": "igor"}]


def three_weeks() -> APilot:
    pilot = APilot(MAJOR).accepted().ranked().selected()
    pilot.then(FactKind.TOLD, "PIC", "instruction", actor="user carla")
    pilot.kicked_off("atlas", run_for=3 * WEEK, experts=EXPERT, participants=EXPERT)
    pilot.then(FactKind.MIRROR_MADE, user="rita", mirror="m", digest="d", packages=1).set_up().wait(3 * WEEK).ended()
    return pilot.then(FactKind.REPORT_WRITTEN, "PIC", user="ana").wrapped_up(RELEASE)


def credit(pilot: APilot) -> int:
    return credit_pilot(at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps"), ACTIVITIES, GOLD)


@pytest.mark.sd("4.1.3")
def test_a_three_week_pilot_earns_what_sd_adds_up_however_often_it_is_credited() -> None:
    pilot = three_weeks()
    assert credit(pilot) > 0
    assert credit(pilot) == 0
    earned: Counter[str] = Counter()
    for c in credits_on_record(pilot.store):
        earned[c.who] += c.credits
    sd = pilot_effort(ACTIVITIES, weeks=3)
    assert earned["PIC"] == sd.gold_site_ph
    assert earned["carla"] == sd.coordination_ph + sd.coordination_meetings_ph
    assert earned["igor"] == sd.service_expert_ph + ACTIVITIES["pilot-kickoff-participation"].credits
    assert (earned["rita"], earned["atlas"]) == (ACTIVITIES["pilot-mirror"].credits, 4)


def test_every_row_of_sds_table_is_earned_by_something() -> None:
    earned = {d.activity for d in credits_due(three_weeks().pilot, three_weeks().at)}
    assert earned == {key for key in ACTIVITIES if key.startswith("pilot-")}
    named = {activity for rows in TABLE.values() for activity, _ in rows}
    assert earned - named == {"pilot-service-manager", "pilot-service-expert"}


def test_who_did_it_at_the_site_is_named_and_a_meeting_names_nobody_there() -> None:
    persons = {(d.activity, d.person) for d in credits_due(three_weeks().pilot, three_weeks().at) if d.who == "PIC"}
    assert {("pilot-setup", "ana"), ("pilot-post-mortem", "ana"), ("pilot-wrap-up", "")} <= persons


def weeks(pilot: APilot) -> int:
    return sum(d.activity == "pilot-service-manager" for d in credits_due(pilot.pilot, pilot.at))


@pytest.mark.parametrize(
    ("ran", "full", "counted"),
    [(timedelta(minutes=1), 0, 0), (4 * DAY, 0, 1), (WEEK, 1, 1), (WEEK + timedelta(hours=1), 1, 1), (11 * DAY, 1, 2)],
)
def test_a_week_counts_when_it_is_full_and_the_last_one_from_its_half_on(
    ran: timedelta, full: int, counted: int
) -> None:
    pilot = APilot(MAJOR).running().wait(ran)
    assert weeks(pilot) == full
    assert weeks(pilot.ended("success").wait(WEEK)) == counted


def test_after_a_roll_back_there_is_nothing_left_to_support() -> None:
    pilot = APilot(MAJOR).running().wait(WEEK).rolled_back().wait(4 * WEEK)
    assert weeks(pilot) == 1


def test_a_mirror_that_was_skipped_earns_nothing() -> None:
    pilot = APilot(MAJOR).accepted().then(FactKind.MIRROR_MADE, user="rita", skipped="Not published.")
    assert credits_due(pilot.pilot, pilot.at) == ()


def test_another_round_earns_its_own_meetings_and_weeks_and_not_again_what_it_takes_over() -> None:
    first = APilot(MAJOR).running("atlas").wait(2 * WEEK).ended()
    first.then(FactKind.REPORT_WRITTEN, "PIC").wrapped_up(PROLONG)
    first.name = pilot_request.open_next_round(
        at_desk(first.record, first.store, now=first.at, actor="pps"), run="pilot/2"
    )
    assert credits_due(first.pilot, first.at) == ()
    first.kicked_off("cms", run_for=WEEK).wait(WEEK).ended()
    earned = Counter(d.activity for d in credits_due(first.pilot, first.at))
    assert earned == {"pilot-kickoff-organisation": 1, "pilot-kickoff-participation": 3, "pilot-service-manager": 1}
