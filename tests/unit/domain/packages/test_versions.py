"""Which version is the newer one; the cases are those of dpkg's and rpm's own documentation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.packages.patch import RepositoryKind
from pps.domain.packages.versions import age, debian_order, rpm_order

DEBIAN = [
    "1.0~rc1-1",
    "1.0~rc2-1",
    "1.0-1~bpo",
    "1.0-1",
    "1.0-1+deb12u1",
    "1.0-9",
    "1.0-10",
    "1.0+b-1",
    "1.0.1-1",
    "9-1",
    "10-1",
    "1:0.1-1",
]
RPM = [
    "1.0~rc1-1",
    "1.0~rc2-1",
    "1.0-1",
    "1.0-1.el5",
    "1.0-9",
    "1.0-10",
    "1.0^git1-1",
    "1.0a-1",
    "1.0.1-1",
    "9-1",
    "10-1",
    "1:0.1-1",
]
VERSIONS = st.text(alphabet="019aZ.~+-:^", max_size=8)


@pytest.mark.parametrize(("kind", "ascending"), [(RepositoryKind.APT, DEBIAN), (RepositoryKind.YUM, RPM)])
def test_versions_are_put_in_order(kind: RepositoryKind, ascending: list[str]) -> None:
    shuffled = random.Random(1).sample(ascending, len(ascending))
    assert sorted(shuffled, key=age(kind)) == ascending


def test_spellings_of_the_same_version_are_equal() -> None:
    assert debian_order("1.0", "1.0-0") == 0
    assert debian_order("0:1.00-1", "1.0-1") == 0
    assert rpm_order("1_0-1", "1.0-1") == 0
    assert rpm_order("1.00-1", "0:1.0-1") == 0


@given(VERSIONS, VERSIONS)
def test_the_order_does_not_depend_on_who_is_asked(one: str, other: str) -> None:
    for order in (debian_order, rpm_order):
        sign = order(one, other)
        assert sign in (-1, 0, 1)
        assert order(other, one) == -sign
        assert order(one, one) == 0


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_one_of_a_line(one: str, two: str, three: str) -> None:
    for order in (debian_order, rpm_order):
        if order(one, two) <= 0 and order(two, three) <= 0:
            assert order(one, three) <= 0
