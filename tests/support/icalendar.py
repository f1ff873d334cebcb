"""A strict reading of what RFC 5545 and RFC 5546 say of a meeting that is sent by mail (RFC 6047)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from icalendar import Calendar

_LINE = re.compile(r'([A-Z-]+)((?:;[A-Z-]+=(?:"[^"\x00-\x1f]*"|[^";:,\x00-\x1f]*))*):([^\x00-\x08\x0a-\x1f]*)')
_TEXT = re.compile(r"(?:[^\\;,]|\\[\\;,Nn])*")
#: RFC 5546, 3.2.2 and 3.2.5: presence in a VEVENT of each method, (at least, at most).
_PRESENCE = {
    "REQUEST": {"DTSTAMP": (1, 1), "DTSTART": (1, 1), "ORGANIZER": (1, 1), "SEQUENCE": (0, 1), "SUMMARY": (1, 1)},
    "CANCEL": {"DTSTAMP": (1, 1), "DTSTART": (0, 1), "ORGANIZER": (1, 1), "SEQUENCE": (1, 1), "SUMMARY": (0, 1)},
}
_EACH = {"UID": (1, 1), "ATTENDEE": (1, 999), "DTEND": (0, 1), "DESCRIPTION": (0, 1), "STATUS": (0, 1)}


@dataclass(frozen=True)
class Scheduled:
    """One message about one meeting."""

    method: str
    uid: str
    sequence: int
    starts: str
    status: str
    organizer: str
    attendees: frozenset[str]


def read(text: str) -> Scheduled:
    """Read a calendar object; an `AssertionError` for anything that the RFCs do not allow."""
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", ""), "lines end with CRLF (RFC 5545, 3.1)"
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    lines = text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")
    parts = []
    for line in lines:
        match = _LINE.fullmatch(line)
        assert match, f"no content line: {line!r}"
        parts.append((match[1], match[2], match[3]))
    assert [parts[0][::2], parts[-1][::2]] == [("BEGIN", "VCALENDAR"), ("END", "VCALENDAR")]
    begin, end = ([i for i, p in enumerate(parts) if p[::2] == (word, "VEVENT")] for word in ("BEGIN", "END"))
    assert len(begin) == len(end) == 1
    head, event = parts[1 : begin[0]], parts[begin[0] + 1 : end[0]]
    assert end[0] == len(parts) - 2
    of = {name: value for name, _, value in head}
    assert sorted(name for name, _, _ in head) == ["METHOD", "PRODID", "VERSION"]
    assert of["VERSION"] == "2.0"
    wanted = _PRESENCE[of["METHOD"]] | _EACH
    names = [name for name, _, _ in event]
    assert set(names) <= set(wanted)
    for name, (least, most) in wanted.items():
        assert least <= names.count(name) <= most, name
    got = {name: value for name, _, value in event}
    for name in ("DTSTAMP", "DTSTART", "DTEND"):
        assert re.fullmatch(r"\d{8}T\d{6}Z", got.get(name, "20260101T000000Z"))
    for name in ("SUMMARY", "DESCRIPTION", "UID"):
        assert _TEXT.fullmatch(got.get(name, ""))
    addresses = [value for name, _, value in event if name in ("ORGANIZER", "ATTENDEE")]
    assert all(re.fullmatch(r"mailto:[^@\s]+@[^@\s]+", a) for a in addresses)
    attendees = [v.removeprefix("mailto:").lower() for name, _, v in event if name == "ATTENDEE"]
    assert len(set(attendees)) == len(attendees)
    if of["METHOD"] == "CANCEL":
        assert got["STATUS"] == "CANCELLED", "of a whole event (RFC 5546, 3.2.5)"
        assert not any("RSVP" in parameters for _, parameters, _ in event)
    scheduled = Scheduled(
        of["METHOD"],
        got["UID"],
        int(got.get("SEQUENCE", "0")),
        got.get("DTSTART", ""),
        got.get("STATUS", ""),
        got["ORGANIZER"].removeprefix("mailto:"),
        frozenset(attendees),
    )
    assert as_calendars_read_it(text) == scheduled
    return scheduled


def as_calendars_read_it(text: str) -> Scheduled:
    """The same by a library that others use, and that forgives more."""
    calendar = Calendar.from_ical(text)
    (event,) = calendar.walk("VEVENT")
    assert (calendar.errors, event.errors) == ([], [])
    attendees = event["ATTENDEE"]
    return Scheduled(
        str(calendar["METHOD"]),
        str(event["UID"]),
        int(event.get("SEQUENCE", 0)),
        f"{event['DTSTART'].dt:%Y%m%dT%H%M%SZ}" if "DTSTART" in event else "",
        str(event.get("STATUS", "")),
        str(event["ORGANIZER"]).removeprefix("mailto:"),
        frozenset(
            str(a).removeprefix("mailto:").lower() for a in (attendees if isinstance(attendees, list) else [attendees])
        ),
    )


def read_mail(message: EmailMessage) -> Scheduled:
    """Of a mail as it goes out: its content type names the same method (RFC 6047, 2.4)."""
    there = message_from_bytes(message.as_bytes(), policy=default)
    (part,) = [p for p in there.walk() if p.get_content_type() == "text/calendar"]
    found = read(part.get_payload(decode=True).decode(part.get_content_charset("us-ascii")))  # type: ignore[union-attr]
    assert part.get_param("method") == found.method
    return found
