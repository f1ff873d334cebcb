"""Who is on the grid."""

from __future__ import annotations

from collections import Counter

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


def test_what_a_site_tells_the_map_leaves_names_accounts_and_order_as_they_were():
    assert [f"{p.account}@{p.name}" for p in plan_sites(14, 411, DEBIAN)] == [
        "gridadm08@FR-NANTES",
        "egsoft04@RU-TOMSK",
        "egsoft05@NE-ODENSE",
        "swinst07@CE-BRNO",
        "ppsinst02@SEE-NIS",
        "gridadm02@IT-PERUGIA",
        "ppsinst01@UKI-SWANSEA",
        "ppsinst03@AP-PUNE",
        "gridadm08@ES-MURCIA",
        "egsoft08@CH-THUN",
        "ppsadm09@DE-MAINZ",
        "ppsadm05@FR-TOULON",
        "lcgadm09@RU-PERM",
        "egsoft01@NE-TARTU",
    ]


def test_all_sites_but_one_say_where_and_how_large_they_are_and_some_stand_at_one_place():
    plans = plan_sites(MOST_SITES, 7, DEBIAN)
    places = Counter((p.latitude, p.longitude) for p in plans)
    assert [p.name for p in plans if p.latitude is None] == [plans[12].name]
    assert (plans[12].longitude, plans[12].cpus) == (None, None)
    assert max(places.values()) > 2
    assert sum(n > 1 for n in places.values()) > 3
    sizes = sorted(p.cpus for p in plans if p.cpus)
    assert len(sizes) == MOST_SITES - 1
    assert 10 < sizes[0] < 100
    assert 10_000 < sizes[-1] < 50_000


@pytest.mark.parametrize("number", [-1, 0, MOST_SITES + 1])
def test_a_number_of_sites_that_cannot_be_is_refused(number: int):
    with pytest.raises(ValueError, match=f"1 to {MOST_SITES}"):
        plan_sites(number, 7, DEBIAN)
