"""A trend of a few numbers: one bar a release, its target as a line, and gaps where there is no number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Of the drawing, in its own units; a page gives it any width.
WIDTH, HEIGHT = 320.0, 118.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 6.0, 6.0, 16.0, 18.0
_NARROWEST = 2.0
_MOST_BAR = 22.0


@dataclass(frozen=True, slots=True)
class Point:
    """What is drawn of one release."""

    label: str
    """what stands below it"""
    number: float | None
    """None: there is none"""
    state: str
    """met, missed, waiting, not measured, or "measured" where there was no target"""
    words: str
    """what is said of it"""
    mark: str = ""
    """what stands above its bar"""
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One release."""

    x: float
    y: float
    width: float
    height: float
    middle: float
    state: str
    label: str
    words: str
    mark: str


@dataclass(frozen=True, slots=True)
class Line:
    """A part of the line of targets."""

    x: float
    width: float
    y: float


@dataclass(frozen=True, slots=True)
class Trend:
    """The drawing."""

    bars: tuple[Bar, ...]
    targets: tuple[Line, ...]
    top: float
    """the number that the highest place stands for"""
    ground: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


def trend(points: Sequence[Point], most: float | None = None) -> Trend:
    """Place bars from the left (oldest) to the right.

    A number of zero has a bar, too, that can be seen; what has no number has none.

    Args:
        most: where the scale ends whatever the numbers are, e.g. 100 for per cent; None: at the largest of them.
    """
    numbers = [p.number for p in points if p.number is not None] + [p.target for p in points if p.target is not None]
    top = most if most is not None else max(numbers, default=0.0) or 1.0
    room, ground = HEIGHT - _TOP - _BOTTOM, HEIGHT - _BOTTOM
    step = (WIDTH - _LEFT - _RIGHT) / max(len(points), 1)
    bars, targets = [], []
    for n, point in enumerate(points):
        left, width = _LEFT + n * step, min(step * 0.6, _MOST_BAR)
        height = 0.0 if point.number is None else max(room * min(point.number / top, 1.0), _NARROWEST)
        x = left + (step - width) / 2
        middle = round(left + step / 2, 2)
        place = (round(x, 2), round(ground - height, 2), round(width, 2), round(height, 2), middle)
        bars.append(Bar(*place, point.state, point.label, point.words, point.mark))
        if point.target is not None:
            targets.append(Line(round(left, 2), round(step, 2), round(ground - room * min(point.target / top, 1.0), 2)))
    return Trend(tuple(bars), tuple(targets), top)
