"""Times on a line: nothing is left out, nothing lies over something else, and later is further to the right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.thoroughness import examples

from pps.web.drawing.lanes import Scale

BEGIN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
_LENGTHS = st.lists(st.integers(1, 10**8).map(lambda s: timedelta(seconds=s)), min_size=1, max_size=40)


@given(_LENGTHS)
@settings(max_examples=examples(100))
def test_parts_that_follow_each_other_cover_the_line_and_never_each_other(lengths: list[timedelta]) -> None:
    edges = [BEGIN]
    for length in lengths:
        edges.append(edges[-1] + length)
    spans = Scale(BEGIN, edges[-1]).spans(list(pairwise(edges)))
    assert spans[0].x == 0
    assert spans[-1].x + spans[-1].width == pytest.approx(100, abs=1e-9)
    for one, other in pairwise(spans):
        assert one.width >= 0
        assert one.x + one.width == pytest.approx(other.x, abs=1e-9)


@given(st.integers(1, 10**9), st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=2).map(sorted))
@settings(max_examples=examples(100))
def test_a_later_moment_never_lies_further_to_the_left_and_none_lies_outside(whole: int, moments: list[int]) -> None:
    scale = Scale(BEGIN, BEGIN + timedelta(seconds=whole))
    early, late = (scale.x(BEGIN + timedelta(seconds=s)) for s in moments)
    assert 0 <= early <= late <= 100


@example(whole=301, later=0)
@given(st.integers(1, 10**9), st.integers(0, 10**8))
@settings(max_examples=examples(100))
def test_some_round_moments_are_named_and_each_has_room(whole: int, later: int) -> None:
    begin = BEGIN + timedelta(seconds=later)
    ticks = Scale(begin, begin + timedelta(seconds=whole)).ticks()
    assert len(ticks) <= 6
    for one, other in pairwise(ticks):
        assert other.x - one.x >= 100 / 6
    if whole >= 10:
        assert ticks, "one at least"


def test_a_fortnight_is_named_by_its_days_and_a_day_by_its_hours() -> None:
    fortnight = Scale(BEGIN, BEGIN + timedelta(days=14)).ticks()
    assert [t.name for t in fortnight] == ["4 Mar", "8 Mar", "12 Mar"]
    day = Scale(BEGIN, BEGIN + timedelta(days=1)).ticks()
    assert [t.name for t in day] == ["12:00", "18:00", "2 Mar", "06:00"]
