"""A meeting as an iCalendar invitation: what RFC 5545 asks, and texts that try to add to it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar, Event

from pps.activities.people.invitation import Meeting, invitation, meeting_time
from pps.domain.base.errors import InvalidNameError
from pps.domain.base.texts import clean_text

STAMP = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
MEETING = Meeting(
    uid="kick-off-major-pilot-4711-1.1",
    sequence=0,
    summary="Kick-off meeting: pilot of glite-CREAM 3.1.23",
    description="Timeline.\nVOs.",
    starts=datetime(2026, 3, 9, 14, tzinfo=timezone(timedelta(hours=1))),
    ends=datetime(2026, 3, 9, 14, tzinfo=UTC),
    organizer="pps@example.org",
    attendees=("admin@pic.example.org", "atlas@example.org"),
)
HOSTILE = [
    "a\r\nATTENDEE:mailto:eve@example.org",
    "a\nEND:VEVENT\nBEGIN:VEVENT",
    "a\u2028BEGIN:VALARM\x85X:Y\x0bZ",
    "semi;colon,comma\\backslash\\n",
    "\u202eright to left\u0000",
    "日本語のとても長いタイトル" * 30,
    "🙂" * 200,
    "x" * 1000,
    ":;,=\"'<script>",
    "",
    " ",
]


def unfolded(text: str) -> list[str]:
    """As a calendar reads it."""
    return text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")


def value(text: str, name: str) -> str:
    """A property as a calendar reads it."""
    calendar = Calendar.from_ical(text)
    (event,) = calendar.walk("VEVENT")
    assert (calendar.errors, event.errors) == ([], [])
    return str(event[name])


@pytest.mark.sd("4.1.3", step=4)
def test_it_is_a_request_with_times_in_utc() -> None:
    assert unfolded(invitation(MEETING, STAMP)) == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//PPS Rollout//Pilots//EN",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        "UID:kick-off-major-pilot-4711-1.1",
        "SEQUENCE:0",
        "DTSTAMP:20260305T093000Z",
        "DTSTART:20260309T130000Z",
        "DTEND:20260309T140000Z",
        "SUMMARY:Kick-off meeting: pilot of glite-CREAM 3.1.23",
        "DESCRIPTION:Timeline.\\nVOs.",
        "ORGANIZER:mailto:pps@example.org",
        "ATTENDEE;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:admin@pic.example.org",
        "ATTENDEE;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:atlas@example.org",
        "STATUS:CONFIRMED",
        "END:VEVENT",
        "END:VCALENDAR",
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_adds_a_line_and_no_line_is_longer_than_75_octets(text: str) -> None:
    made = invitation(replace(MEETING, summary=text, description=text), STAMP)
    assert re.fullmatch(r"(?:[^\r\n]*\r\n)+", made), "lines end with CRLF, and nothing else"
    assert len(unfolded(made)) == len(unfolded(invitation(MEETING, STAMP)))
    for line in made.encode().split(b"\r\n"):
        assert len(line) <= 75
        line.decode()  # no character is cut
    assert value(made, "SUMMARY") == value(made, "DESCRIPTION")


@pytest.mark.parametrize("text", ["semi;colon,comma\\backslash\\n", "two\nlines", "a\\;b", "日本語, テキスト" * 20])
def test_a_calendar_reads_what_was_written(text: str) -> None:
    assert value(invitation(replace(MEETING, summary=text), STAMP), "SUMMARY") == text


@given(st.lists(st.sampled_from([*"\\;,:nN \n\r\x07\u2028日🙂"]) | st.characters()).map("".join))
def test_a_calendar_reads_any_text_as_it_was_written_without_what_no_reader_should_meet(text: str) -> None:
    assert value(invitation(replace(MEETING, description=text), STAMP), "DESCRIPTION") == clean_text(text)


def test_the_library_writes_control_characters_times_without_a_zone_and_no_uid_as_they_are_given() -> None:
    """Why we write calendar objects ourselves, and let the library read them."""
    event = Event()
    event.add("summary", "a\x07b\x00")  # RFC 5545, 3.1: no control characters
    event.add("dtstart", datetime(2026, 3, 9, 14))  # 3.3.5: a floating time, another one for each who reads it
    event.add("uid", "")  # 3.8.4.7: of the whole world one
    written = event.to_ical().split(b"\r\n")
    assert {b"SUMMARY:a\x07b\x00", b"DTSTART:20260309T140000", b"UID:"} <= set(written)
    assert "SUMMARY:a␇b␀" in unfolded(invitation(replace(MEETING, summary="a\x07b\x00"), STAMP))


@pytest.mark.parametrize(
    "change",
    [
        {"organizer": "pps@example.org\r\nX:Y"},
        {"attendees": ("a@example.org;CN=x",)},
        {"attendees": ("a@example.org\n",)},
        {"uid": "a\r\nX:Y"},
        {"uid": ""},
    ],
)
def test_an_address_or_uid_that_is_none_is_an_error(change: dict[str, object]) -> None:
    with pytest.raises(InvalidNameError):
        invitation(replace(MEETING, **change), STAMP)


def test_a_time_without_a_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="zone"):
        invitation(replace(MEETING, starts=datetime(2026, 3, 9, 14)), STAMP)


@pytest.mark.parametrize(
    ("now", "held"),
    [
        (datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 4, 13, tzinfo=UTC)),
        (datetime(2026, 3, 2, 15, tzinfo=UTC), datetime(2026, 3, 5, 13, tzinfo=UTC)),  # after 13 o'clock: a day more
        (datetime(2026, 3, 5, 9, tzinfo=UTC), datetime(2026, 3, 9, 13, tzinfo=UTC)),  # Saturday: on Monday
    ],
)
def test_a_meeting_that_is_days_away_is_in_working_hours_of_a_weekday(now: datetime, held: datetime) -> None:
    assert meeting_time(now, timedelta(days=2)) == held


def test_one_that_a_demo_wants_in_a_second_is_not_moved() -> None:
    assert meeting_time(STAMP, timedelta(seconds=1)) == STAMP + timedelta(seconds=1)
