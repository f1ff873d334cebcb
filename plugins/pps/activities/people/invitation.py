"""A meeting as an iCalendar invitation (RFC 5545, RFC 5546): it enters calendars, and leaves them when called off.

Written here and not by the library `icalendar`, which reads what we write in the tests. It would spare us escaping and
folding, some 20 lines; it writes control characters, times without a zone and empty uids as they are given, so all
checks would stay ours. All times are in UTC, so there is no time zone to describe. Whoever has to read what calendars
answer takes the library for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from urllib.parse import urlsplit

from pps.domain.base.names import checked_address, checked_host, checked_name
from pps.domain.base.texts import clean_text

FILE, MIME_TYPE = "invitation.ics", "text/calendar"
_LONGEST_LINE = 75
"""octets, without the line's end"""
_DAY = timedelta(days=1)
_FRIDAY = 4
_FIRST_HOUR = time(13)
"""UTC: working time in all of Europe"""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting to which people are invited. The same `uid` with a higher `sequence` moves it in their calendars."""

    uid: str
    sequence: int
    summary: str
    description: str
    starts: datetime
    ends: datetime
    organizer: str
    """mail address, as `attendees`"""
    attendees: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment until which something is asked for, as an entry of a calendar that people subscribe to."""

    uid: str
    summary: str
    link: str
    at: datetime


def deadlines(name: str, found: Iterable[Deadline], stamp: datetime) -> str:
    """A calendar of deadlines (METHOD:PUBLISH). Texts are data, as in `invitation`.

    Args:
        stamp: when the newest of them was agreed; the same deadlines give the same calendar.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//PPS Rollout//Deadlines//EN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{_text(name)}",
    ]
    for deadline in found:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_checked_uid(deadline.uid)}",
            f"DTSTAMP:{_utc(stamp)}",
            f"DTSTART:{_utc(deadline.at)}",
            f"SUMMARY:{_text(deadline.summary)}",
            f"DESCRIPTION:{_text(deadline.link)}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def meeting_uid(name: str, public_url: str) -> str:
    """The uid of a meeting of this installation: another one has meetings of the same name (RFC 5545, 3.8.4.7)."""
    parts = urlsplit(public_url)
    host = re.sub(r"[^A-Za-z0-9.-]", "-", parts.hostname or "").strip("-.") or "localhost"
    return f"{name}-{parts.port}@{host}" if parts.port else f"{name}@{host}"


def cancellation(meeting: Meeting, stamp: datetime) -> str:
    """The meeting as a calendar object with METHOD:CANCEL: it leaves the calendars of all its attendees.

    Args:
        meeting: with the uid under which they were invited, and a higher sequence than any invitation.
        stamp: as for `invitation`.
    """
    return _calendar(meeting, stamp, "CANCEL", "CANCELLED")


def invitation(meeting: Meeting, stamp: datetime) -> str:
    """The meeting as a calendar object with METHOD:REQUEST. Texts are data: they can add no line and no property.

    Args:
        stamp: when the invitation was made; the same for all who get it.

    Raises:
        InvalidNameError: an address or a uid is not one.
        ValueError: a time has no zone.
    """
    return _calendar(meeting, stamp, "REQUEST", "CONFIRMED")


def _calendar(meeting: Meeting, stamp: datetime, method: str, status: str) -> str:
    asks = ";RSVP=TRUE" if method == "REQUEST" else ""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//PPS Rollout//Pilots//EN",
        f"METHOD:{method}",
        "BEGIN:VEVENT",
        f"UID:{_checked_uid(meeting.uid)}",
        f"SEQUENCE:{meeting.sequence:d}",
        f"DTSTAMP:{_utc(stamp)}",
        f"DTSTART:{_utc(meeting.starts)}",
        f"DTEND:{_utc(meeting.ends)}",
        f"SUMMARY:{_text(meeting.summary)}",
        f"DESCRIPTION:{_text(meeting.description)}",
        f"ORGANIZER:mailto:{checked_address(meeting.organizer, 'organizer')}",
        *(
            f"ATTENDEE;ROLE=REQ-PARTICIPANT{asks}:mailto:{checked_address(address, 'participant')}"
            for address in meeting.attendees
        ),
        f"STATUS:{status}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def meeting_time(now: datetime, after: timedelta) -> datetime:
    """When to hold a meeting to which people are invited now: `after` from now at the earliest.

    One that is days away is held in working hours of a weekday; the coordination may move it.
    """
    at = (now + after).astimezone(UTC)
    if after < _DAY:
        return at.replace(microsecond=0)
    held = datetime.combine(at.date(), _FIRST_HOUR, UTC)
    while held < at or held.weekday() > _FRIDAY:
        held += _DAY
    return held


def _checked_uid(uid: str) -> str:
    """`name@host`; meetings of earlier versions have no host."""
    name, at, host = uid.partition("@")
    checked_name(name, "meeting")
    return f"{name}@{checked_host(host, 'meeting')}" if at else name


def _utc(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a meeting's time has no zone")
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(text: str) -> str:
    """A TEXT value: RFC 5545, 3.3.11."""
    for sign, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        text = clean_text(text).replace(sign, escaped)
    return text


def _folded(line: str) -> Iterator[str]:
    """The line in parts of at most 75 octets, each but the first with a leading blank; no character is cut."""
    part, size = "", 0
    for sign in line:
        octets = len(sign.encode())
        if size + octets > _LONGEST_LINE:
            yield part
            part, size = " ", 1
        part, size = part + sign, size + octets
    yield part
