"""A site is somewhere, or nobody knows where; never half of it, and never outside the world."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.histories import a_site

from pps.domain.base.errors import ConfigurationError
from pps.domain.sites.place import in_words


@pytest.mark.parametrize(
    ("different", "says"),
    [
        ({"latitude": 43.1}, "INFN-T1: has a latitude and no longitude; give both, or neither."),
        ({"longitude": 0.0}, "INFN-T1: has a longitude and no latitude; give both, or neither."),
        ({"latitude": 90.01, "longitude": 12.4}, "INFN-T1: its latitude is 90.01; a latitude is a decimal number"),
        ({"latitude": float("nan"), "longitude": float("inf")}, "its latitude is nan; .*its longitude is inf; "),
        ({"cpus": 0}, "INFN-T1: its cpus is 0; a site has a whole number of logical CPUs from 1 to 10000000."),
        ({"cpus": True}, "INFN-T1: its cpus is True; "),
    ],
)
def test_a_site_that_could_not_be_drawn_is_refused(different: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        a_site(**different)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (None, "-"),
        ((43.1, 12.4), "43.1 N, 12.4 E"),
        ((-42.88, -3.70000001), "42.88 S, 3.7 W"),
        ((0.0, -0.00000001), "0.0 N, 0.0 E"),
    ],
)
def test_a_place_is_told_by_the_four_winds(place: tuple[float, float] | None, words: str) -> None:
    assert in_words(place) == words
    site = a_site() if place is None else a_site(latitude=place[0], longitude=place[1])
    assert site.place == place
