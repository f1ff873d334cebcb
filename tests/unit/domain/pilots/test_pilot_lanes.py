"""The picture of a pilot's services: without a gap, nothing doubled, and at one with the number beside it."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.pilots import DAY, MINOR, WEEK, APilot
from tests.support.thoroughness import examples

from pps.domain.pilots.lanes import Graph, LaneState, graph, newest
from pps.domain.pilots.looks import Outage, availability, incident_of, observed
from pps.domain.record.facts import FactKind

HOUR = timedelta(hours=1)
HAPPENINGS = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from(["OK", "WARNING", "CRITICAL", "UNKNOWN"]), st.booleans()), max_size=8
)


def drawn(made: APilot) -> Graph:
    found = graph(made.pilot, made.at)
    assert found is not None
    return found


@pytest.mark.sd("4.1.3", step=8)
@given(happenings=HAPPENINGS, rolled_back=st.booleans(), ended=st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_every_lane_covers_the_whole_time_once_and_says_what_the_number_says(
    happenings: list[tuple[int, str, bool]], rolled_back: bool, ended: bool
) -> None:
    made = APilot(MINOR).running(run_for=WEEK)
    for hours, state, looked in happenings:
        made.wait(hours * HOUR, looked=looked).probed(state)
    if rolled_back:
        made.wait(2 * HOUR).rolled_back()
    made.wait(HOUR)
    if ended:
        made.ended().wait(DAY)
    found = drawn(made)
    for lane in found.lanes:
        assert (lane.intervals[0].begin, lane.intervals[-1].end) == (found.begin, found.end)
        assert all(part.begin < part.end for part in lane.intervals)
        for one, other in pairwise(lane.intervals):
            assert one.end == other.begin
            assert one.state is not other.state
    (lane,), counted, seen = found.lanes, observed(made.pilot, "PIC", made.at), availability(made.pilot, "PIC", made.at)
    assert counted is not None and seen is not None
    up = timedelta(0)
    for part in lane.intervals:
        if part.state in (LaneState.OK, LaneState.WARNING):
            up += max(min(part.end, counted[1]) - max(part.begin, counted[0]), timedelta(0))
    assert up == seen.up


def test_what_is_to_come_is_drawn_until_the_agreed_end_and_nothing_after_the_end() -> None:
    made = APilot(MINOR).running(run_for=WEEK).wait(DAY)
    found = drawn(made)
    assert (found.seen_until, found.end) == (made.at, made.pilot.runs_until)
    assert [part.state for part in found.lanes[0].intervals] == [LaneState.OK, LaneState.TO_COME]
    made.wait(DAY).ended("success").wait(WEEK)
    found = drawn(made)
    assert found.end == found.seen_until == made.pilot.run_ended_at
    assert [part.state for part in found.lanes[0].intervals] == [LaneState.OK]


def test_nothing_is_to_come_at_a_site_whose_part_has_ended() -> None:
    made = APilot().accepted().ranked().selected("PIC", "INFN-T1", "IFIC-LCG2").kicked_off()
    made.then(FactKind.SITE_LEFT_OUT, "IFIC-LCG2", "set-up", reason="The machine room moves.")
    made.set_up("PIC").set_up("INFN-T1").wait(DAY).rolled_back("PIC").wait(DAY)
    assert {lane.site: lane.intervals[-1].state for lane in drawn(made).lanes} == {
        "PIC": LaneState.ROLLED_BACK,
        "INFN-T1": LaneState.TO_COME,
        "IFIC-LCG2": LaneState.NOT_SET_UP,
    }


def test_a_site_without_the_service_and_one_that_has_gone_back_are_told_apart() -> None:
    made = APilot().accepted().ranked().selected("PIC", "INFN-T1", "IFIC-LCG2").kicked_off()
    assert graph(made.pilot, made.at) is None, "nobody has looked at a service yet"
    made.set_up("PIC").wait(DAY).set_up("INFN-T1").wait(DAY).rolled_back("PIC").wait(DAY)
    lanes = {lane.site: [part.state for part in lane.intervals] for lane in drawn(made).lanes}
    assert lanes == {
        "PIC": [LaneState.OK, LaneState.ROLLED_BACK],
        "INFN-T1": [LaneState.NOT_SET_UP, LaneState.OK],
        "IFIC-LCG2": [LaneState.NOT_SET_UP],
    }
    assert newest(made.pilot, "IFIC-LCG2", made.at) is None


def test_a_look_that_was_on_its_way_when_the_site_went_back_says_nothing_of_the_time_after() -> None:
    made = APilot(MINOR).running().wait(DAY).rolled_back().wait(HOUR).probed("CRITICAL").wait(HOUR)
    (lane,) = drawn(made).lanes
    assert [part.state for part in lane.intervals] == [LaneState.OK, LaneState.ROLLED_BACK]
    assert lane.intervals[0].end == lane.intervals[1].begin
    last = newest(made.pilot, "PIC", made.at)
    assert last is not None and last.state is LaneState.OK


def test_only_an_outage_of_which_people_were_told_is_an_incident() -> None:
    made = APilot(MINOR).running()
    for hours, told in ((1, False), (3, True)):
        made.wait(DAY).probed("CRITICAL")
        began = made.at
        made.wait(hours * HOUR)
        if told:
            entry = incident_of(Outage(began, None, ""))
            made.then(FactKind.JOURNAL_ENTRY, "PIC", entry, text="Incident.", user="")
        made.probed("OK")
    (lane,) = drawn(made.wait(HOUR)).lanes
    assert [(told.began, told.ended) for told in lane.incidents] == [(began, began + 3 * HOUR)]
    assert sum(part.state is LaneState.CRITICAL for part in lane.intervals) == 2


def test_the_last_probe_is_told_with_the_time_since_when_it_says_so() -> None:
    made = APilot(MINOR).running().wait(DAY).probed("CRITICAL")
    began = made.at
    made.wait(2 * DAY)
    last = newest(made.pilot, "PIC", made.at)
    assert last is not None
    assert (last.state, last.begin) == (LaneState.CRITICAL, began)
    made.wait(DAY, looked=False)
    last = newest(made.pilot, "PIC", made.at)
    assert last is not None
    assert (last.state, last.text) == (LaneState.UNKNOWN, "nobody looked")
