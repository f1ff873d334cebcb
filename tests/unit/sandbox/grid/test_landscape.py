"""Who is on the grid."""

from __future__ import annotations

import pytest

from pps.domain.base.names import checked_host, checked_name
from pps.domain.sites.site import Platform
from pps.sandbox.grid.landscape import MOST_SITES, Fault, plan_sites

DEBIAN = Platform("debian12", "amd64")


@pytest.mark.parametrize("number", [1, 12, 60, MOST_SITES])
def test_names_are_unique_and_fit_for_shells_and_hosts(number: int):
    plans = plan_sites(number, 7, DEBIAN)
    assert len({p.name for p in plans}) == len({p.subcluster for p in plans}) == number
    for plan in plans:
        checked_name(plan.name, "site")
        checked_host(plan.subcluster, "SubCluster")


def test_the_default_grid_has_each_part_once_and_two_canaries():
    plans = plan_sites(12, 7, DEBIAN)
    assert [p.starts_with for p in plans if p.starts_with] == [Fault.QUOTA, Fault.UNREACHABLE, Fault.PROFILE]
    assert sum(p.canary for p in plans) == 2
    assert sum(not p.accepts_previews for p in plans) == 1
    assert sum(p.platform != DEBIAN for p in plans) == 1
    assert len({p.roc for p in plans}) > 8


def test_a_healthy_grid_has_nobody_who_fails_or_stays_out():
    for plan in plan_sites(12, 7, DEBIAN, healthy=True):
        assert (plan.starts_with, plan.accepts_previews, plan.platform) == (None, True, DEBIAN)


def test_the_same_seed_gives_the_same_plan():
    assert plan_sites(30, 1, DEBIAN) == plan_sites(30, 1, DEBIAN)
    assert plan_sites(30, 1, DEBIAN) != plan_sites(30, 2, DEBIAN)


@pytest.mark.parametrize("number", [-1, 0, MOST_SITES + 1])
def test_a_number_of_sites_that_cannot_be_is_refused(number: int):
    with pytest.raises(ValueError, match=f"1 to {MOST_SITES}"):
        plan_sites(number, 7, DEBIAN)
