"""What a site wishes of us: the hours in which we may write there, versions that it does not want, no previews at all.

Windows are said by the clock on the site's own wall, and a site may have several: we may write where one of them is
open. Where the clocks skip an hour, that hour is in no window; where one comes twice, it is in the window both times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pps.domain.base.working_days import WEEKDAYS

_DAY = timedelta(days=1)
_MINUTES_OF_A_DAY = 24 * 60
_SHORTEST = 60
"""minutes; between two looks of ours (dags/window_distribution.py) no window opens and closes unseen"""
_NAMES = {"mon": "Mon", "tue": "Tue", "wed": "Wed", "thu": "Thu", "fri": "Fri", "sat": "Sat", "sun": "Sun"}
#: Two weeks, and a day at each end: the hours of one week's only opening may be skipped by the clocks.
_LOOK_AHEAD_DAYS = 16
_MANY_DAYS = 3
"""so many in a row are written `Mon to Wed`"""


@dataclass(frozen=True, slots=True)
class Window:
    """Days and hours in which we may write at a site, by the clock on its wall."""

    days: tuple[str, ...]
    """on which it opens, of `WEEKDAYS`, in their order"""
    begins: time
    ends: time
    """not later than `begins`: on the next day"""

    def on(self, day: datetime) -> tuple[datetime, datetime]:
        """From when to when it is open by the wall's clock, of the opening on this day; an empty span for none."""
        if WEEKDAYS[day.weekday()] not in self.days:
            return day, day
        begins, ends = datetime.combine(day, self.begins), datetime.combine(day, self.ends)
        return begins, ends if ends > begins else ends + _DAY

    def __str__(self) -> str:
        days = [_NAMES[day] for day in self.days]
        row = WEEKDAYS.index(self.days[-1]) - WEEKDAYS.index(self.days[0]) == len(days) - 1
        which = "every day" if len(days) == len(WEEKDAYS) else ", ".join(days)
        if row and _MANY_DAYS <= len(days) < len(WEEKDAYS):
            which = f"{days[0]} to {days[-1]}"
        if self.begins == self.ends == time():
            return f"{which}, all day"
        next_day = " of the next day" if self.ends <= self.begins else ""
        return f"{which}, {self.begins:%H:%M} to {self.ends:%H:%M}{next_day}"


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows of a site, one at least; they may overlap, and one may begin where another one ends."""

    each: tuple[Window, ...]
    """in the order of their days and hours"""

    @classmethod
    def of(cls, each: Collection[Window]) -> Windows | None:
        """These together; None for none: at any time."""
        in_order = sorted(each, key=lambda w: ([WEEKDAYS.index(day) for day in w.days], w.begins, w.ends))
        return cls(tuple(in_order)) if in_order else None

    def is_open(self, at: datetime, zone: str) -> bool:
        """Tell whether the clock at the site shows a time within one of them."""
        wall = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        today = datetime.combine(wall.date(), time())
        spans = (window.on(day) for window in self.each for day in (today - _DAY, today))
        return any(begins <= wall < ends for begins, ends in spans)

    def opens(self, at: datetime, zone: str) -> datetime:
        """When one of them is open next, in UTC; at once if one is open."""
        if self.is_open(at, zone):
            return at.astimezone(UTC)
        return next(m for m in self._changes(at, zone) if self.is_open(m, zone))

    def closes(self, at: datetime, zone: str) -> datetime | None:
        """When none of them is open next, in UTC; at once if none is, None if one always is."""
        if not self.is_open(at, zone):
            return at.astimezone(UTC)
        return next((m for m in self._changes(at, zone) if not self.is_open(m, zone)), None)

    def _changes(self, at: datetime, zone: str) -> Iterator[datetime]:
        """The moments, after this one, at which one can open or close, in their order."""
        there = ZoneInfo(zone)
        midnight = datetime.combine(at.astimezone(there).date(), time())
        found: set[datetime] = set()
        for day in (midnight + n * _DAY for n in range(-1, _LOOK_AHEAD_DAYS)):
            walls = {day, *(wall for window in self.each for wall in window.on(day))}
            # an hour that comes twice is two moments; one that is skipped lies on either side of the change
            found |= {wall.replace(tzinfo=there, fold=fold).astimezone(UTC) for wall in walls for fold in (0, 1)}
            found |= set(_change_of_clocks(day, there))
        yield from sorted(m for m in found if m > at)

    def __str__(self) -> str:
        return "; ".join(map(str, self.each))


def _change_of_clocks(day: datetime, there: ZoneInfo) -> Iterator[datetime]:
    """The moment at which the clocks change on this day, if they do."""
    early, late = (m.replace(tzinfo=there).astimezone(UTC) for m in (day, day + _DAY))
    shift = early.astimezone(there).utcoffset()
    if late.astimezone(there).utcoffset() == shift:
        return
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(there).utcoffset() == shift:
            early = middle
        else:
            late = middle
    yield late.replace(microsecond=0)


def reasons_against_window(days: Collection[str], begins: str, ends: str) -> tuple[str, ...]:
    """Say why this is no window; no reasons means that `window_of` makes one of it."""
    reasons = []
    if unknown := sorted(set(days) - set(WEEKDAYS)):
        reasons.append(f"{', '.join(unknown)[:80]}: no day; there are {', '.join(WEEKDAYS)}.")
    if not days:
        reasons.append("It names no day.")
    hours = [_hour(text) for text in (begins, ends)]
    wrong = [text for text, hour in zip((begins, ends), hours, strict=True) if hour is None]
    reasons += [f"{text[:20]!r} is no time; write it like 22:00." for text in wrong]
    if not wrong:
        first, last = (hour.hour * 60 + hour.minute for hour in hours if hour)
        if ((last - first) % _MINUTES_OF_A_DAY or _MINUTES_OF_A_DAY) < _SHORTEST:
            reasons.append("It is open for less than an hour: we could miss it.")
    return tuple(reasons)


def window_of(days: Collection[str], begins: str, ends: str) -> Window:
    """A window as people write it; see `reasons_against_window`."""
    hours = time.fromisoformat(begins), time.fromisoformat(ends)
    return Window(tuple(day for day in WEEKDAYS if day in days), *hours)


def _hour(text: str) -> time | None:
    if len(text) != len("22:00"):
        return None
    try:
        return time.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Pin:
    """A version that a site does not want."""

    metapackage: str
    version: str
    """"": none at all"""
    reason: str
    since: datetime

    @property
    def what(self) -> str:
        """In words."""
        return f"{self.metapackage} {self.version}" if self.version else f"{self.metapackage}, in any version"

    def is_about(self, metapackage: str, version: str) -> bool:
        """Tell whether it keeps this version away."""
        return self.metapackage.lower() == metapackage.lower() and self.version in ("", version)


@dataclass(frozen=True, slots=True)
class OptOut:
    """A site takes no previews, until it says that it does."""

    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one site wishes now."""

    windows: Windows | None = None
    """None: we may write there at any time"""
    pins: tuple[Pin, ...] = ()
    opt_out: OptOut | None = None

    def reasons_against(self, site: str, metapackage: str, version: str) -> tuple[str, ...]:
        """Say why a site does not want this version, until it says otherwise."""
        reasons = [f"{site} takes no previews: {self.opt_out.reason}"] if self.opt_out else []
        reasons += [f"{site} does not want {p.what}: {p.reason}" for p in self.pins if p.is_about(metapackage, version)]
        return tuple(reasons)

    def reason_to_wait(self, site: str, zone: str, at: datetime) -> str:
        """Say when we may write there next; "" means now."""
        if self.windows is None or self.windows.is_open(at, zone):
            return ""
        opens, many = _there(self.windows.opens(at, zone), zone), len(self.windows.each) > 1
        which, following = ("windows", "the next one") if many else ("window", "its window")
        was = f"{site} was outside its {which} ({self.windows}, {zone}) on {_there(at, zone)}"
        return f"{was}; {following} opens on {opens}."


def _there(at: datetime, zone: str) -> str:
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True)
class AllWishes:
    """What the sites wish, as it is at one moment."""

    at: datetime
    by_site: Mapping[str, Wishes] = field(default_factory=dict)

    def of(self, site: str) -> Wishes:
        """What one site wishes; one that has said nothing wishes nothing."""
        return self.by_site.get(site, NO_WISHES)


#: No site has said anything; the same at any moment.
NOTHING_WISHED = AllWishes(datetime.min.replace(tzinfo=UTC))
