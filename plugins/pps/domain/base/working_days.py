"""Working days: time that runs on the working weekdays of a site's own zone only (SD 4.2.3, policies.yaml)."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

#: Names of the weekdays in policies.yaml, as `date.weekday` counts them.
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


def due_after(
    start: datetime,
    working_days: float,
    zone: str,
    weekdays: Collection[str],
    holidays: Collection[date] = frozenset(),
) -> datetime:
    """The instant, in UTC, at which so many working days have passed since `start`.

    Whole days keep the local time of day, whatever the clocks do meanwhile: Friday 15:00 and one day is Monday
    15:00. A fraction of a day counts hours on the clock of that day; what does not fit goes on in the next working
    day. A start on a day off counts from the beginning of the next working day. A time that the clocks skip is the
    instant at which they do; of a time that comes twice it is the first, unless that lies before the start.

    Args:
        zone: IANA name, e.g. `Europe/Rome`.
        weekdays: working weekdays, of `WEEKDAYS`.
        holidays: days off besides the weekly ones.

    Raises:
        ValueError: a start without zone, a number that is negative or not finite, or no working weekday at all.
    """
    if start.tzinfo is None:
        raise ValueError("the start has no time zone")
    if not math.isfinite(working_days) or working_days < 0:
        raise ValueError(f"{working_days} working days")
    working = {WEEKDAYS.index(name) for name in weekdays}
    if not working:
        raise ValueError("no weekday is a working day")

    def is_off(day: date) -> bool:
        return day.weekday() not in working or day in holidays

    def working_day_from(day: date) -> date:
        while is_off(day):
            day += _DAY
        return day

    there = ZoneInfo(zone)
    local = start.astimezone(there)
    day, clock = local.date(), local.replace(tzinfo=None, fold=0) - datetime.combine(local.date(), time())
    if is_off(day):
        day, clock = working_day_from(day), timedelta()
    whole = int(working_days)
    for _ in range(whole):
        day = working_day_from(day + _DAY)
    clock += timedelta(days=working_days - whole)
    if clock >= _DAY:
        day, clock = working_day_from(day + _DAY), clock - _DAY
    wall = datetime.combine(day, time()) + clock
    found = _instant(wall, there)
    # only in an hour that the clocks repeat
    return found if found >= start else _instant(wall.replace(fold=1), there)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a time on the wall, in UTC; of one that the clocks skip, the instant at which they do."""
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wall.replace(fold=0):
        return found
    # read with the offset before the jump, it lies after the jump; with the offset after it, before
    low, high = sorted(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high.replace(microsecond=0)
