"""A squarified treemap (Bruls, Huizing, van Wijk 2000): areas as given, shapes near to squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def inner(self, margin: float, top: float = 0) -> Box:
        """What is left within a margin, and below a heading."""
        width, height = max(self.width - 2 * margin, 1), max(self.height - 2 * margin - top, 1)
        return Box(self.x + margin, self.y + margin + top, width, height)


def squarified(sizes: Sequence[float], box: Box) -> list[Box]:
    """One box for each size, in their order; together they fill `box`. Sizes are positive, best from large to small."""
    total = sum(sizes)
    areas = [size * box.width * box.height / total for size in sizes]
    boxes: list[Box] = []
    while areas:
        side = min(box.width, box.height)
        row = 1
        while row < len(areas) and _worst(areas[: row + 1], side) <= _worst(areas[:row], side):
            row += 1
        laid, box = _lay(areas[:row], box)
        boxes += laid
        areas = areas[row:]
    return boxes


def _worst(areas: Sequence[float], side: float) -> float:
    """The least square of these beside each other along a side, as long to short."""
    thick = sum(areas) / side
    return max(max(thick * thick / area, area / (thick * thick)) for area in areas)


def _lay(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """A row of boxes along the shorter side, and what is left beside it."""
    total, laid, along = sum(areas), [], 0.0
    if box.width >= box.height:
        thick = total / box.height
        for area in areas:
            laid.append(Box(box.x, box.y + along, thick, area / thick))
            along += area / thick
        return laid, Box(box.x + thick, box.y, max(box.width - thick, 0), box.height)
    thick = total / box.width
    for area in areas:
        laid.append(Box(box.x + along, box.y, area / thick, thick))
        along += area / thick
    return laid, Box(box.x, box.y + thick, box.width, max(box.height - thick, 0))
