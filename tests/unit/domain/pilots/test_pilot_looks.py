"""The run of a pilot: dates that are agreed, and how available a service was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import NOW
from tests.support.pilot_runs import ANA, COORDINATION, GOLD, RUN_FOR, STRANGER, APilot

from pps.domain.pilots import looks as pilot_looks
from pps.domain.pilots import rules as pilot_rules
from pps.domain.pilots.looks import Sample, add_up, outages
from pps.domain.pilots.pilot import Pilot, RunOutcome
from pps.domain.record.facts import FactKind
from pps.domain.sites.probes import ProbeState

AGREED = {
    "set_up_until": (NOW + timedelta(days=7)).isoformat(),
    "feedback_until": (NOW + timedelta(days=30)).isoformat(),
    "vos": ["cms"],
}
T0 = datetime(2026, 3, 1, tzinfo=UTC)
LENGTH = 200


def at(second: int) -> datetime:
    return T0 + timedelta(seconds=second)


moments = st.integers(-20, LENGTH + 20)


@given(
    st.lists(st.tuples(moments, st.sampled_from(ProbeState)), max_size=12, unique_by=lambda s: s[0]),
    st.integers(0, LENGTH),
    st.integers(0, LENGTH),
)
def test_availability_from_changes_equals_counting_every_second(
    said: list[tuple[int, ProbeState]], one: int, other: int
) -> None:
    begin, end = sorted((one, other))
    known = [Sample(at(second), state) for second, state in sorted(said)]
    counted = dict.fromkeys(ProbeState, 0)
    for second in range(begin, end):
        before = [s for s in known if s.at <= at(second)]
        counted[before[-1].state if before else ProbeState.UNKNOWN] += 1
    seen = add_up(known, at(begin), at(end))
    assert seen.up.total_seconds() == counted[ProbeState.OK] + counted[ProbeState.WARNING]
    assert seen.down.total_seconds() == counted[ProbeState.CRITICAL]
    assert seen.unknown.total_seconds() == counted[ProbeState.UNKNOWN]
    assert (seen.share is None) == (seen.up + seen.down == timedelta(0))


@given(st.lists(st.tuples(moments, st.sampled_from(ProbeState)), max_size=12, unique_by=lambda s: s[0]))
def test_outages_add_up_to_the_time_that_the_service_was_down(said: list[tuple[int, ProbeState]]) -> None:
    known = [Sample(at(second), state) for second, state in sorted(said)]
    end = at(LENGTH + 50)
    lasted = sum(((o.ended or end) - o.began for o in outages(known)), timedelta(0))
    assert lasted == add_up(known, at(-50), end).down


@given(st.sets(st.integers(0, 9)), st.integers(0, 10))
def test_a_day_on_which_nobody_looked_is_unknown(looked: set[int], length: int) -> None:
    days = [T0 + timedelta(days=n) for n in sorted({0, *looked})]
    known = [Sample(day + timedelta(hours=1 if n else 0), ProbeState.OK) for n, day in enumerate(days)]
    end = T0 + timedelta(days=length)
    seen = add_up(pilot_looks.with_gaps(known, end), T0, end)
    assert seen.down == timedelta(0)
    unseen = [n for n in range(length) if T0 + timedelta(days=n) not in days]
    # after a gap the first hour is still unknown: the look came at one
    resumed = [n for n in range(length) if n not in unseen and n - 1 in unseen]
    assert seen.unknown == timedelta(days=len(unseen), hours=len(resumed))


@pytest.mark.sd("4.1.3", step=8)
def test_the_run_counts_from_the_last_completed_installation() -> None:
    pilot = APilot().set_up("PIC", hours=2)
    assert Pilot(pilot.record).running_since is None
    assert Pilot(pilot.record).runs_until is None
    pilot.set_up("INFN-T1", hours=50)
    assert Pilot(pilot.record).running_since == NOW + timedelta(hours=50)
    assert Pilot(pilot.record).runs_until == NOW + timedelta(hours=50) + RUN_FOR


def test_a_site_that_is_left_out_is_not_waited_for() -> None:
    pilot = APilot().set_up("PIC", hours=2)
    pilot.fact(FactKind.SITE_LEFT_OUT, "INFN-T1", "set-up", hours=9, reason="No time.")
    assert Pilot(pilot.record).runs_until == NOW + timedelta(hours=2) + RUN_FOR


def test_the_end_is_the_very_instant_that_was_agreed() -> None:
    pilot = APilot().set_up()
    end = Pilot(pilot.record).runs_until
    assert end is not None
    assert Pilot(pilot.record).outcome_now(end - timedelta(microseconds=1)) is None
    assert Pilot(pilot.record).outcome_now(end) is RunOutcome.EXPIRED


def test_a_round_whose_services_run_already_counts_from_its_kick_off() -> None:
    pilot = APilot().set_up()  # taken over from the round before, dated as it was
    pilot.fact(FactKind.KICK_OFF_AGREED, occasion="later", hours=360, **{**AGREED, "run_for_s": 3600})
    assert Pilot(pilot.record).runs_until == NOW + timedelta(hours=361)
    assert Pilot(pilot.record).outcome_now(NOW + timedelta(hours=360)) is None


def test_the_first_record_of_a_pilot_is_its_first_round() -> None:
    assert Pilot(APilot().record).round == 1


def test_without_any_site_the_run_ends_as_not_set_up() -> None:
    pilot = APilot()
    for site in pilot.sites:
        assert Pilot(pilot.record).outcome_now(NOW + timedelta(days=99)) is None
        pilot.fact(FactKind.SITE_LEFT_OUT, site, "set-up", reason="No time.")
    assert Pilot(pilot.record).outcome_now(NOW) is RunOutcome.NOT_SET_UP


def test_the_run_goes_on_while_one_site_is_left_and_ends_with_the_last_roll_back() -> None:
    pilot = APilot().set_up()
    pilot.fact(FactKind.SERVICE_ROLLED_BACK, "PIC", hours=5, reason="Leak.", version="3.1.22")
    assert Pilot(pilot.record).serving == ("INFN-T1",)
    assert Pilot(pilot.record).outcome_now(NOW + timedelta(hours=6)) is None
    pilot.fact(FactKind.SERVICE_ROLLED_BACK, "INFN-T1", hours=6, reason="Leak.", version="3.1.22")
    assert Pilot(pilot.record).outcome_now(NOW + timedelta(hours=6)) is RunOutcome.ROLLED_BACK


@pytest.mark.sd("4.1.3", step=8)
def test_only_the_site_s_own_people_and_the_coordination_speak_for_it() -> None:
    assert pilot_rules.reasons_against_acting(GOLD["PIC"], ANA) == ()
    assert pilot_rules.reasons_against_acting(GOLD["PIC"], COORDINATION) == ()
    assert pilot_rules.reasons_against_acting(GOLD["PIC"], STRANGER)


def test_publication_is_said_at_the_kick_off_or_by_the_mirror() -> None:
    assert Pilot(APilot().record).is_published
    assert not Pilot(APilot(published=False).record).is_published
    pilot = APilot()
    pilot.fact(FactKind.MIRROR_MADE, skipped="It is for one VO alone, and not published.")
    assert not Pilot(pilot.record).is_published
