"""Where a place lies on the two maps, whose outlines `make outlines` has drawn with d3-geo (bin/draw-outlines.mjs).

The world is Equal Earth (Šavrič, Patterson, Jenny 2018): areas are true, so no continent looks more important than it
is. Europe is conic conformal, as its national maps are. A test holds that our numbers are d3-geo's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, log, pi, radians, sin, sqrt, tan

_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_M = sqrt(3) / 2


@dataclass(frozen=True, slots=True)
class Outline:
    """One map: its file, its size, and how it was projected."""

    name: str
    """of the file in include/templates/static"""
    width: float
    height: float
    scale: float
    translate: tuple[float, float]
    centre: float
    """degrees east that stand in the middle"""

    def place(self, longitude: float, latitude: float) -> tuple[float, float]:
        """Pixels from the upper left corner; outside of the map's size for what it does not show."""
        east = radians((longitude - self.centre + 180) % 360 - 180)
        x, y = _equal_earth(east, radians(latitude)) if self.name == "world" else _conic(east, radians(latitude))
        return self.translate[0] + self.scale * x, self.translate[1] - self.scale * y

    def shows(self, longitude: float, latitude: float, margin: float = 12) -> bool:
        """Tell whether a place is on the map, far enough from its edge for a dot."""
        if self.name != "world" and not (-35 < longitude < 75 and 25 < latitude < 82):
            return False  # a conic projection brings the far side of the earth back into the picture
        x, y = self.place(longitude, latitude)
        return margin <= x <= self.width - margin and margin <= y <= self.height - margin


def _equal_earth(east: float, north: float) -> tuple[float, float]:
    t = asin(_M * sin(north))
    t2 = t * t
    t6 = t2**3
    slope = _A1 + 3 * _A2 * t2 + t6 * (7 * _A3 + 9 * _A4 * t2)
    return east * cos(t) / (_M * slope), t * (_A1 + _A2 * t2 + t6 * (_A3 + _A4 * t2))


def _conic(east: float, north: float) -> tuple[float, float]:
    r = _F / _tan_half(north) ** _N
    return r * sin(_N * east), _F - r * cos(_N * east)


def _tan_half(north: float) -> float:
    return tan((pi / 2 + north) / 2)


_SOUTH, _NORTH = radians(35), radians(65)
_N = log(cos(_SOUTH) / cos(_NORTH)) / log(_tan_half(_NORTH) / _tan_half(_SOUTH))
_F = cos(_SOUTH) * _tan_half(_SOUTH) ** _N / _N

WORLD = Outline("world", 960, 416, 177.83629467388968, (481.3370473537604, 232.0554873067798), 11)
EUROPE = Outline("europe", 960, 890, 1419.2086206294061, (489.434534309066, 1852.525075687297), 14)
