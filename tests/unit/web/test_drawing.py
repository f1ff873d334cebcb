"""What the live map draws: places as d3-geo puts them, dots that do not cover each other, areas as given."""

from __future__ import annotations

import itertools
import json
from math import hypot
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.thoroughness import examples

from pps.web.drawing.dots import spread
from pps.web.drawing.projections import EUROPE, WORLD, Outline
from pps.web.drawing.treemap import Box, squarified

_D3 = json.loads((Path(__file__).parent / "d3_geo.json").read_text())


@pytest.mark.parametrize("outline", [WORLD, EUROPE], ids=lambda o: o.name)
def test_a_place_lies_where_d3_geo_puts_it(outline: Outline) -> None:
    numbers = _D3["numbers"][outline.name]
    assert (outline.width, outline.height, outline.scale) == (numbers["width"], numbers["height"], numbers["scale"])
    for said in _D3["said"]:
        assert outline.place(*said["at"]) == pytest.approx(said[outline.name], abs=1e-6)


def test_europe_shows_athens_and_reykjavik_and_neither_taipei_nor_melbourne() -> None:
    places = {"Athens": (23.7, 38.0), "Reykjavik": (-21.9, 64.1), "Taipei": (121.6, 25.0), "Melbourne": (145, -37.8)}
    assert [name for name, at in places.items() if EUROPE.shows(*at)] == ["Athens", "Reykjavik"]
    assert all(WORLD.shows(*at) for at in places.values())


_PLACES = st.dictionaries(
    st.text(min_size=1, max_size=4),
    st.tuples(st.sampled_from((20.0, 25.0, 300.0, 899.9)), st.sampled_from((15.0, 16.0, 500.0))),
    max_size=60,
)


@given(_PLACES)
@settings(max_examples=examples(50))
def test_no_dot_covers_another_and_the_same_places_give_the_same_dots(places: dict[str, tuple[float, float]]) -> None:
    dots = spread(places, 14, (960, 890))
    assert dots.keys() == places.keys()
    for one, other in itertools.combinations(dots.values(), 2):
        assert hypot(one.x - other.x, one.y - other.y) >= 14 - 0.15  # a dot is written in tenths
    assert spread(dict(reversed(places.items())), 14, (960, 890)) == dots


def test_300_sites_in_63_cities_are_moved_by_little() -> None:
    cities = [(100 + 97 * n % 760, 60 + 61 * n % 770) for n in range(63)]
    dots = spread({f"site-{n}": cities[n % 63] for n in range(300)}, 14, (960, 890))
    assert median(dot.shift for dot in dots.values()) < 20


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=40))
@settings(max_examples=examples(50))
def test_a_treemap_gives_each_its_area_and_fills_its_box(sizes: list[float]) -> None:
    sizes.sort(reverse=True)
    boxes = squarified(sizes, Box(0, 0, 300, 200))
    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(size / sum(sizes) * 60_000)
        assert box.x >= -1e-6
        assert box.x + box.width <= 300 + 1e-6
        assert box.y >= -1e-6
        assert box.y + box.height <= 200 + 1e-6
    for one, other in itertools.combinations(boxes, 2):
        apart = one.x + one.width <= other.x + 1e-6 or other.x + other.width <= one.x + 1e-6
        assert apart or one.y + one.height <= other.y + 1e-6 or other.y + other.height <= one.y + 1e-6
