"""How a pilot did, measured by the facts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.support.pilots import DAY, ENOUGH, MAJOR, MINOR, WEEK, APilot

from pps.domain.base.errors import NotYetAllowedError
from pps.domain.pilots.looks import availability
from pps.domain.pilots.success import JudgedBy, assess, silent_vos, words_of_vos


def minor() -> APilot:
    return APilot(MINOR).running(run_for=10 * DAY)


def share(pilot: APilot, now: datetime) -> float | None:
    seen = availability(pilot.pilot, "PIC", now)
    assert seen is not None
    return seen.share


def test_availability_is_time_and_what_could_not_be_looked_at_counts_for_neither() -> None:
    pilot = minor().wait(4 * DAY).probed("CRITICAL").wait(DAY).probed("OK").wait(DAY).probed("UNKNOWN").wait(2 * DAY)
    assert share(pilot, pilot.at) == pytest.approx(5 / 6)
    pilot.probed("WARNING").wait(2 * DAY).ended()
    assert share(pilot, pilot.at + WEEK) == pytest.approx(7 / 8)
    assert availability(pilot.pilot, "CNAF", pilot.at) is None


def test_a_service_that_was_ill_for_too_long_is_no_success_and_the_share_is_not_rounded_up() -> None:
    pilot = minor().wait(DAY).probed("CRITICAL").wait(timedelta(hours=12, minutes=1)).probed("OK")
    pilot.wait(10 * DAY - DAY - timedelta(hours=12, minutes=1)).ended()
    (reason,) = assess(pilot.pilot, ENOUGH, pilot.at).reasons_against
    assert reason == "The service at PIC was well in 94.9 % of what was seen of the run; it should be at least 95 %."


def test_an_incident_that_is_open_at_the_end_stands_against_it() -> None:
    pilot = minor().wait(10 * DAY - timedelta(hours=1)).probed("CRITICAL").wait(timedelta(hours=1)).ended()
    assert assess(pilot.pilot, ENOUGH, pilot.at).reasons_against == ("An incident is open at PIC: It says so.",)


def test_a_roll_back_stands_against_it_also_against_the_word_of_its_users() -> None:
    against = ("It was rolled back at PIC: Jobs are lost.",)
    pilot = minor().wait(DAY).rolled_back().ended("rolled back")
    assert assess(pilot.pilot, ENOUGH, pilot.at).reasons_against == against
    major = APilot(MAJOR).running("atlas").said("atlas", "works").wait(DAY).rolled_back().ended("rolled back")
    found = assess(major.pilot, ENOUGH, major.at)
    assert (found.by, found.reasons_against) == (JudgedBy.USERS, against)


def test_a_pilot_that_was_never_set_up_is_no_success() -> None:
    pilot = APilot(MINOR).accepted().ranked().selected().kicked_off().ended("not set up")
    assert assess(pilot.pilot, ENOUGH, pilot.at).reasons_against == (
        "The service was never set up at every one of its sites.",
    )


def test_while_the_vos_have_time_a_major_one_is_not_judged() -> None:
    pilot = APilot(MAJOR).running("atlas").wait(2 * WEEK)
    with pytest.raises(NotYetAllowedError, match="end of the run"):
        assess(pilot.pilot, ENOUGH, pilot.at)
    pilot.ended()
    with pytest.raises(NotYetAllowedError, match="VOs may answer"):
        assess(pilot.pilot, ENOUGH, pilot.at)
    assert assess(pilot.pilot, ENOUGH, pilot.at + WEEK + timedelta(microseconds=1)).no_feedback


def test_a_problem_that_the_vo_has_taken_back_stands_against_nothing_and_one_that_it_finds_later_does() -> None:
    problem_first = (
        APilot(MAJOR).running("atlas").said("atlas", "problem").said("atlas", "works").wait(2 * WEEK).ended()
    )
    assert assess(problem_first.pilot, ENOUGH, problem_first.at).reasons_against == ()
    assert [w.replaced for w in words_of_vos(problem_first.pilot)] == [True, False]
    problem_last = APilot(MAJOR).running("atlas").said("atlas", "works").said("atlas", "problem").wait(2 * WEEK).ended()
    (reason,) = assess(problem_last.pilot, ENOUGH, problem_last.at).reasons_against
    assert reason.startswith("atlas reports a problem")


def test_only_a_committed_vos_own_word_in_time_counts() -> None:
    pilot = APilot(MAJOR).running("atlas").said("cms", "problem").said("atlas", "problem", invited=False)
    assert silent_vos(pilot.pilot) == ("atlas",)
    pilot.wait(3 * WEEK).said("atlas", "works").wait(timedelta(seconds=1)).said("atlas", "comment").ended()
    found = assess(pilot.pilot, ENOUGH, pilot.at)
    assert (found.by, found.reasons_against, silent_vos(pilot.pilot)) == (JudgedBy.USERS, (), ())
