"""Windows by the clock on a site's wall, versions that a site does not want, and what was said last."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pps.domain.base.working_days import WEEKDAYS
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.wishes import RECORD, wishes_in
from pps.domain.sites.wishes import Window, Windows, Wishes, reasons_against_window, window_of

MADRID, MINUTE = "Europe/Madrid", timedelta(minutes=1)
ZONES = [MADRID, "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Taipei", "UTC"]
#: Nights in which clocks change somewhere: in Europe, in Newfoundland, on Lord Howe (by half an hour), in Morocco.
CHANGES = [datetime(2026, *day, tzinfo=UTC) for day in ((3, 29), (10, 25), (3, 8), (11, 1), (4, 5), (10, 4), (2, 15))]
HOURS = st.times(max_value=time(23, 59)).map(lambda t: t.replace(second=0, microsecond=0))
DAYS = st.sets(st.sampled_from(WEEKDAYS), min_size=1).map(lambda days: tuple(d for d in WEEKDAYS if d in days))
NIGHTS = window_of(["mon", "tue", "wed", "thu", "fri"], "22:00", "06:00")
WEEKEND = window_of(["sat", "sun"], "00:00", "00:00")
SUNDAY_AT_TWO = Window(("sun",), time(2), time(3))


def is_shown(windows: Windows, at: datetime, zone: str) -> bool:
    """The definition: what the wall says."""
    return any(_is_shown(window, at, zone) for window in windows.each)


def _is_shown(window: Window, at: datetime, zone: str) -> bool:
    wall = at.astimezone(ZoneInfo(zone))
    today, yesterday, now = WEEKDAYS[wall.weekday()], WEEKDAYS[wall.weekday() - 1], wall.time()
    if window.begins < window.ends:
        return today in window.days and window.begins <= now < window.ends
    return (today in window.days and window.begins <= now) or (yesterday in window.days and now < window.ends)


@given(
    st.lists(st.builds(Window, DAYS, HOURS, HOURS), min_size=1, max_size=3).map(lambda each: Windows(tuple(each))),
    st.sampled_from(ZONES),
    st.sampled_from(CHANGES),
    st.integers(-10 * 1440, 2 * 1440),
)
@example(Windows((SUNDAY_AT_TWO,)), MADRID, CHANGES[0], -6 * 1440)  # on that day the clocks skip the whole window
@example(Windows((Window(("sun",), time(1), time(2, 30)),)), MADRID, CHANGES[1], 45)  # 02:45; soon 02:00 again
@example(
    Windows((Window(("sun",), time(2, 30), time(4)),)), MADRID, CHANGES[0], 0
)  # it opens as the clocks jump, at 03:00
@example(Windows((NIGHTS, WEEKEND)), MADRID, CHANGES[0], -32 * 60)  # from Friday night to Monday morning in one
def test_windows_are_what_the_clock_on_the_wall_says_whatever_the_clocks_do(
    windows: Windows, zone: str, change: datetime, minutes: int
) -> None:
    at = change + minutes * MINUTE
    assert windows.is_open(at, zone) is is_shown(windows, at, zone)
    opens, closes = windows.opens(at, zone), windows.closes(at, zone)
    ends = closes or at + timedelta(days=8)
    assert is_shown(windows, opens, zone)
    if opens > at:
        assert not any(is_shown(windows, at + n * MINUTE, zone) for n in range((opens - at) // MINUTE))
        assert closes == at
    else:
        assert all(is_shown(windows, at + n * MINUTE, zone) for n in range((ends - at) // MINUTE))
        assert closes is None or not is_shown(windows, closes, zone)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-03-02T20:59", "2026-03-02T21:00"),  # Monday, 21:59 there
        ("2026-03-03T04:59", "2026-03-03T04:59"),  # the night of Monday goes on until six
        ("2026-03-03T05:00", "2026-03-03T21:00"),
        ("2026-03-07T04:30", "2026-03-07T04:30"),  # and that of Friday into Saturday
        ("2026-03-07T05:00", "2026-03-09T21:00"),
        ("2026-03-28T21:30", "2026-03-30T20:00"),  # summer time has come meanwhile
    ],
)
def test_a_window_may_cross_midnight_and_belongs_to_the_day_on_which_it_opens(at: str, opens: str) -> None:
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (at, opens)]
    assert Windows((NIGHTS,)).opens(moments[0], MADRID) == moments[1]


def test_nights_on_work_days_and_the_whole_weekend_are_one_opening_from_friday_to_monday() -> None:
    both = Windows.of([WEEKEND, NIGHTS])
    assert both and str(both) == "Mon to Fri, 22:00 to 06:00 of the next day; Sat, Sun, all day"
    noon, friday = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in (5, 6))
    assert both.closes(both.opens(noon, "UTC"), "UTC") == datetime(2026, 3, 6, 6, tzinfo=UTC)
    assert both.opens(friday, "UTC") == datetime(2026, 3, 6, 22, tzinfo=UTC)
    assert both.closes(both.opens(friday, "UTC"), "UTC") == datetime(2026, 3, 9, tzinfo=UTC)
    wait = Wishes(windows=both).reason_to_wait("PIC", "UTC", noon)
    assert wait == (
        "PIC was outside its windows (Mon to Fri, 22:00 to 06:00 of the next day; Sat, Sun, all day, UTC) on "
        "Thu 5 Mar 2026, 12:00; the next one opens on Thu 5 Mar 2026, 22:00."
    )


@pytest.mark.parametrize(
    ("days", "begins", "ends", "why"),
    [
        ([], "22:00", "06:00", "names no day"),
        (["mon", "someday"], "22:00", "06:00", "someday: no day"),
        (["mon"], "22", "06:00", "'22' is no time"),
        (["mon"], "24:00", "06:00", "'24:00' is no time"),
        (["mon"], "22:00", "22:00:30", "'22:00:30' is no time"),
        (["mon"], "22:00Z", "06:00", "'22:00Z' is no time"),
        (["mon"], "22:00", "22:30", "less than an hour"),
        (["mon"], "23:45", "00:15", "less than an hour"),
    ],
)
def test_what_is_no_window_is_refused_in_words(days: list[str], begins: str, ends: str, why: str) -> None:
    (reason,) = reasons_against_window(days, begins, ends)
    assert why in reason


def test_a_window_reads_as_people_say_it() -> None:
    assert str(NIGHTS) == "Mon to Fri, 22:00 to 06:00 of the next day"
    assert str(window_of(["sat", "mon"], "08:00", "18:00")) == "Mon, Sat, 08:00 to 18:00"
    assert str(window_of(WEEKDAYS, "00:00", "00:00")) == "every day, all day"
    assert reasons_against_window(WEEKDAYS, "08:00", "08:00") == ()


# --- what is on record


def said(*wishes: tuple[FactKind, str, dict[str, Any]]) -> dict[str, Wishes]:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    facts = [Fact(RECORD, kind, site, str(n), at, "user ana", says) for n, (kind, site, says) in enumerate(wishes)]
    opening = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", at, "user ana", {"path": "sites", "patch": 0})
    return dict(wishes_in(Rollout(RECORD, (opening, *facts)), at).by_site)


OUT, IN = FactKind.SITE_OPTED_OUT, FactKind.SITE_OPTED_IN
PINNED, LIFTED = FactKind.SITE_VERSION_PINNED, FactKind.SITE_PIN_LIFTED
BROKEN = {"metapackage": "glite-WN", "version": "3.1.24", "reason": "Our batch system needs 3.1.23."}
ANY = {"metapackage": "glite-UI", "version": "", "reason": "We run our own."}


def test_of_each_wish_what_was_said_last_counts_and_no_site_speaks_for_another() -> None:
    week = {"days": ["mon"], "begins": "08:00", "ends": "18:00"}
    wishes = said(
        (FactKind.SITE_WINDOW_SET, "PIC", week),
        (FactKind.SITE_WINDOW_SET, "CNAF", week),
        (FactKind.SITE_WINDOW_SET, "CNAF", {"days": [], "begins": "", "ends": ""}),
        (OUT, "PIC", {"reason": "We move."}),
        (OUT, "CNAF", {"reason": "We move."}),
        (IN, "CNAF", {}),
        (PINNED, "PIC", BROKEN),
        (PINNED, "PIC", BROKEN | {"reason": "It still does."}),
        (PINNED, "PIC", ANY),
        (PINNED, "CNAF", BROKEN),
        (LIFTED, "CNAF", {"metapackage": "GLITE-WN", "version": "3.1.24"}),
    )
    assert wishes["CNAF"] == Wishes()
    pic = wishes["PIC"]
    assert (str(pic.windows), pic.opt_out and pic.opt_out.reason) == ("Mon, 08:00 to 18:00", "We move.")
    assert [(p.what, p.reason) for p in pic.pins] == [
        ("glite-UI, in any version", "We run our own."),
        ("glite-WN 3.1.24", "It still does."),
    ]


def test_windows_stand_beside_each_other_until_one_is_lifted_or_another_one_is_the_only_one() -> None:
    day, night = ({"days": ["mon"], "begins": b, "ends": e} for b, e in (("08:00", "18:00"), ("22:00", "06:00")))
    beside = {**night, "beside": True}
    put, lifted = FactKind.SITE_WINDOW_SET, FactKind.SITE_WINDOW_LIFTED
    for facts, words in (
        ([(put, day), (put, beside)], "Mon, 08:00 to 18:00; Mon, 22:00 to 06:00 of the next day"),
        ([(put, beside)], "Mon, 22:00 to 06:00 of the next day"),
        ([(put, day), (put, beside), (put, beside), (lifted, day)], "Mon, 22:00 to 06:00 of the next day"),
        ([(put, beside), (put, day)], "Mon, 08:00 to 18:00"),
        ([(put, beside), (put, day), (lifted, day)], "None"),
        ([(put, day), (put, beside), (put, {"days": [], "begins": "", "ends": ""})], "None"),
    ):
        assert str(said(*((kind, "PIC", says) for kind, says in facts))["PIC"].windows) == words, facts


def test_a_pin_keeps_its_version_away_or_every_one_of_its_metapackage_and_nothing_else() -> None:
    pic = said((PINNED, "PIC", BROKEN), (PINNED, "PIC", ANY))["PIC"]
    assert pic.reasons_against("PIC", "glite-wn", "3.1.24") == (
        "PIC does not want glite-WN 3.1.24: Our batch system needs 3.1.23.",
    )
    assert pic.reasons_against("PIC", "glite-UI", "9") == (
        "PIC does not want glite-UI, in any version: We run our own.",
    )
    assert pic.reasons_against("PIC", "glite-WN", "3.1.25") == ()
    assert said((OUT, "PIC", {"reason": "We move."}))["PIC"].reasons_against("PIC", "glite-WN", "3.1.25") == (
        "PIC takes no previews: We move.",
    )
