"""Durations and moments as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
HOW = "a duration is a whole number with a unit, e.g. 20s, 90m, 36h, 14d or 2w"
WHEN = "a moment is a date, a time and its zone, e.g. 2026-03-05T14:00+01:00, or 2026-03-05 13:00 UTC"


def parse_duration(text: str) -> timedelta:
    """Read `20s`, `90m`, `36h`, `14d`, `2w`; anything else is a `ValueError`."""
    if match := re.fullmatch(r"([0-9]{1,6})([smhdw])", text):
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    raise ValueError(HOW)


def duration_text(span: timedelta) -> str:
    """The shortest such text: `7d` for 168 hours. Parts of a second are left out."""
    seconds = int(span.total_seconds())
    size, unit = next((size, unit) for unit, size in reversed(_UNITS.items()) if seconds % size == 0)
    return f"{seconds // size}{unit}"


def about(span: timedelta) -> str:
    """How long it is, in the largest unit of which there are two: `45 s`, `90 min`, `26 h`, `14 days`."""
    seconds = max(int(span.total_seconds()), 0)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def parse_moment(text: str) -> datetime:
    """Read a date, a time and its zone, in ISO 8601 or as we print them, into UTC; anything else is a `ValueError`.

    Without a zone, 14:00 is one hour in Barcelona and another in Taipei.
    """
    try:
        found = datetime.fromisoformat(re.sub(r" ?UTC$", "+00:00", text.strip()))
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(WHEN) from error
    raise ValueError(WHEN)
