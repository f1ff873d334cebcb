"""Working days in each site's own zone, over weekends, holidays and both changes of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.base.working_days import WEEKDAYS, due_after

MON_TO_FRI = WEEKDAYS[:5]
#: Half-hour and forty-minute offsets, clocks that change at midnight, by two hours, by half an hour, a lost day.
ZONES = (
    "UTC",
    "Europe/Rome",
    "Europe/Lisbon",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Taipei",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Antarctica/Troll",
)
#: To the second: sub-second times change nothing but the reading of failures.
instants = st.integers(946_684_800, 2_114_380_800).map(lambda s: datetime.fromtimestamp(s, UTC))
amounts = st.one_of(st.integers(0, 12).map(float), st.floats(0, 12))
weeks = st.sets(st.sampled_from(WEEKDAYS), min_size=1)


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 0, zone: str = "Europe/Rome") -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone))


@pytest.mark.sd("4.2.3")
@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        (local(2026, 3, 3, 10), 1, local(2026, 3, 4, 10)),
        (local(2026, 3, 6, 15), 1, local(2026, 3, 9, 15)),
        (local(2026, 3, 6, 15), 2, local(2026, 3, 10, 15)),
        (local(2026, 3, 7, 11), 1, local(2026, 3, 10)),  # Saturday: from the beginning of Monday on
        (local(2026, 3, 8, 23, 59), 0, local(2026, 3, 9)),
        (local(2026, 3, 3, 10), 0.25, local(2026, 3, 3, 16)),
        (local(2026, 3, 6, 20), 0.25, local(2026, 3, 9, 2)),  # four hours of Friday, two of Monday
        (local(2026, 3, 6, 20), 1.25, local(2026, 3, 10, 2)),
        (local(2026, 3, 27, 15), 1, local(2026, 3, 30, 15)),  # the clocks go forward on the 29th
        (local(2026, 10, 23, 15), 1, local(2026, 10, 26, 15)),  # and back on the 25th
    ],
)
def test_time_runs_on_working_days_of_the_site_only(start: datetime, days: float, due: datetime) -> None:
    found = due_after(start, days, "Europe/Rome", MON_TO_FRI)
    assert found == due
    assert found.tzinfo is UTC


@pytest.mark.sd("4.2.3")
def test_the_site_s_own_zone_decides_which_day_it_is() -> None:
    friday_evening_in_utc = datetime(2026, 3, 6, 20, tzinfo=UTC)
    # already Saturday in Taipei, still Friday noon in Los Angeles
    assert due_after(friday_evening_in_utc, 1, "Asia/Taipei", MON_TO_FRI) == local(2026, 3, 10, zone="Asia/Taipei")
    there = "America/Los_Angeles"
    assert due_after(friday_evening_in_utc, 1, there, MON_TO_FRI) == local(2026, 3, 9, 12, zone=there).replace(hour=12)


def test_a_holiday_is_a_day_off() -> None:
    good_friday, easter_monday = date(2026, 4, 3), date(2026, 4, 6)
    off = {good_friday, easter_monday}
    assert due_after(local(2026, 4, 2, 9), 1, "Europe/Rome", MON_TO_FRI, off) == local(2026, 4, 7, 9)
    assert due_after(local(2026, 4, 3, 9), 1, "Europe/Rome", MON_TO_FRI, off) == local(2026, 4, 8)


def test_a_time_that_the_clocks_skip_is_the_instant_at_which_they_do() -> None:
    # Sunday 29 March 2026, 02:00 is followed by 03:00
    found = due_after(local(2026, 3, 28, 2, 30), 1, "Europe/Rome", WEEKDAYS)
    assert found == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_in_the_hour_that_comes_twice_time_does_not_run_backwards() -> None:
    # Sunday 25 October 2026, 02:30 comes at 00:30 and at 01:30 UTC
    for start in (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)):
        assert due_after(start, 1 / 1440, "Europe/Rome", WEEKDAYS) == start + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("start", "days", "weekdays"),
    [
        (datetime(2026, 3, 3), 1, MON_TO_FRI),
        (local(2026, 3, 3), -1, MON_TO_FRI),
        (local(2026, 3, 3), float("nan"), MON_TO_FRI),
        (local(2026, 3, 3), float("inf"), MON_TO_FRI),
        (local(2026, 3, 3), 1, ()),
        (local(2026, 3, 3), 1, ("monday",)),
    ],
)
def test_what_makes_no_sense_is_an_error_not_an_endless_search(
    start: datetime, days: float, weekdays: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        due_after(start, days, "Europe/Rome", weekdays)


@given(instants, amounts, st.sampled_from(ZONES), weeks)
def test_it_is_never_due_before_it_was_asked(start: datetime, days: float, zone: str, week: set[str]) -> None:
    assert due_after(start, days, zone, week) >= start


@given(instants, amounts, amounts, st.sampled_from(ZONES), weeks)
def test_more_days_are_never_due_earlier(start: datetime, a: float, b: float, zone: str, week: set[str]) -> None:
    assert due_after(start, min(a, b), zone, week) <= due_after(start, max(a, b), zone, week)


@given(instants, instants, amounts, st.sampled_from(ZONES), weeks)
def test_who_is_asked_later_is_never_due_earlier(
    a: datetime, b: datetime, days: float, zone: str, week: set[str]
) -> None:
    first, second = sorted((a, b))
    # in an hour that comes twice the later of two people can have the earlier clock
    if not first.astimezone(ZoneInfo(zone)).fold and not second.astimezone(ZoneInfo(zone)).fold:
        assert due_after(first, days, zone, week) <= due_after(second, days, zone, week)


@given(instants, st.integers(1, 12), st.sampled_from(ZONES))
def test_whole_days_end_on_a_working_day_at_the_same_time_of_day(start: datetime, days: int, zone: str) -> None:
    there = ZoneInfo(zone)
    before, due = start.astimezone(there), due_after(start, days, zone, MON_TO_FRI)
    after = due.astimezone(there)
    wall = datetime.combine(after.date(), before.time())
    exists = wall.replace(tzinfo=there).astimezone(UTC).astimezone(there).replace(tzinfo=None) == wall
    if before.weekday() < 5 and exists:
        assert after.weekday() < 5
        assert after.time() == before.time()


@given(instants, st.floats(0, 0.99), st.sampled_from(ZONES))
def test_where_every_day_is_a_working_day_it_is_plain_time_on_the_clock(
    start: datetime, days: float, zone: str
) -> None:
    passed = due_after(start, days, zone, WEEKDAYS) - start
    # two hours are the most that clocks change by, but for the day that Samoa left out
    slack = timedelta(days=1) if zone == "Pacific/Apia" else timedelta(hours=2)
    assert abs(passed - timedelta(days=days)) <= slack
