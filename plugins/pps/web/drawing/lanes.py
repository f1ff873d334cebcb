"""Times as places on a line, in per cent of its width: a drawing that is as wide as there is room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_DAY = timedelta(days=1)
#: None is much more than four times the one before, else no round moment might lie inside.
_STEPS = (
    *(timedelta(seconds=s) for s in (1, 5, 15, 60, 120, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600)),
    *(n * _DAY for n in (1, 2, 4, 7, 14, 28, 91, 182)),
)
#: As many names of times as have room beside each other on the screen of a telephone.
_TICKS = 5
#: A name that stands in the middle of its place needs so much room at the edges.
_EDGE = 6
_EPOCH = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the line."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment that is named."""

    x: float
    name: str


@dataclass(frozen=True, slots=True)
class Scale:
    """From the beginning, at 0, to the end, at 100."""

    begin: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        """Where a moment lies; what is outside lies at the edge."""
        return round(100 * min(max((at - self.begin) / (self.end - self.begin), 0.0), 1.0), 3)

    def spans(self, times: Iterable[tuple[datetime, datetime]]) -> list[Span]:
        """The parts for these times: where one begins at the end of another, neither gap nor overlap is drawn."""
        return [Span(self.x(begin), round(self.x(end) - self.x(begin), 3)) for begin, end in times]

    def ticks(self) -> list[Tick]:
        """Round moments, in UTC, as many as have room."""
        whole = self.end - self.begin
        step = next((s for s in _STEPS if whole / s <= _TICKS), _STEPS[-1] * -(-whole // (_STEPS[-1] * _TICKS)))
        at, found = _EPOCH + -((_EPOCH - self.begin) // step) * step, []
        while at < self.end:
            name = f"{at:%H:%M:%S}" if step < timedelta(minutes=1) else f"{at:%H:%M}" if step < _DAY else ""
            if not name or (at - _EPOCH) % _DAY == timedelta(0):
                name = f"{at.day} {at:%b}"
            if _EDGE <= self.x(at) <= 100 - _EDGE:
                found.append(Tick(self.x(at), name))
            at += step
        return found
