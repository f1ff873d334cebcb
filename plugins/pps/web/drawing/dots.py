"""Dots that stand for sites, beside each other where sites share a city."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, hypot, pi, sin, sqrt

#: The angle at which seeds of a sunflower follow each other: places around a centre, evenly, without rings.
_GOLDEN = pi * (3 - sqrt(5))


@dataclass(frozen=True, slots=True)
class Dot:
    """Where a site is drawn, and where it is."""

    x: float
    y: float
    at_x: float
    at_y: float

    @property
    def shift(self) -> float:
        """How far it was moved."""
        return hypot(self.x - self.at_x, self.y - self.at_y)


def spread(places: Mapping[str, tuple[float, float]], apart: float, size: tuple[float, float]) -> dict[str, Dot]:
    """Give each place a dot that lies at least `apart` from every other, as near to the place as there is room.

    The same places give the same dots, whatever their order.

    Args:
        size: width and height; a dot stays half of `apart` from the edge where its place does.
    """
    taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
    found = {}
    for name in sorted(places):
        found[name] = _free(places[name], apart, size, taken)
    return found


def _free(
    place: tuple[float, float],
    apart: float,
    size: tuple[float, float],
    taken: dict[tuple[int, int], list[tuple[float, float]]],
) -> Dot:
    at_x, at_y = place
    step, edge = apart / 4, apart / 2
    seed = 0
    while True:
        r, angle = step * sqrt(seed), seed * _GOLDEN
        x, y = at_x + r * cos(angle), at_y + r * sin(angle)
        inside = edge <= x <= size[0] - edge and edge <= y <= size[1] - edge
        column, row = int(x // apart), int(y // apart)
        near = (taken.get((column + i, row + j), ()) for i in (-1, 0, 1) for j in (-1, 0, 1))
        if (inside or not seed) and all(hypot(x - a, y - b) >= apart for cell in near for a, b in cell):
            taken.setdefault((column, row), []).append((x, y))
            return Dot(round(x, 1), round(y, 1), round(at_x, 1), round(at_y, 1))
        seed += 1
