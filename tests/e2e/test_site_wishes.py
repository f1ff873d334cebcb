"""What a site's people say at our door is honoured by a real Airflow, at real sites; no other site's people say it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.support.airflow_waits import labels_of, wait_for_run
from tests.support.whole import BC, Grid, far, grid  # noqa: F401

from pps.domain.base.working_days import WEEKDAYS
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh"), pytest.mark.sd("4.1.1", step=2)]

WINDOWS = "window_distribution"


def says(grid: Grid, site: str, who: str = "", **wish: Any) -> Any:
    """One of the site's own people says it, or somebody else."""
    (own,) = grid.services.config.sites[site].administrators
    return grid.as_user(who or own).request("POST", f"pps/api/v1/sites/{site}/wishes", json=wish)


def look(grid: Grid) -> None:
    """The look of the hour, whatever the time."""
    run = grid.as_user("admin").trigger(WINDOWS, {})
    assert wait_for_run(grid.as_user("admin"), WINDOWS, run, 300) == "success"


def all_day(*days: str) -> dict[str, Any]:
    return {"do": "window", "days": list(days), "begins": "00:00", "ends": "00:00"}


@contextmanager
def taken_back(grid: Grid, closed: str, pinned: str) -> Iterator[None]:
    """The grid serves other tests as well."""
    try:
        yield
    finally:
        says(grid, closed, do="no-window")
        says(grid, pinned, do="unpin", metapackage="glite-WN", version="3.8.1")


def test_a_site_gets_a_preview_in_its_window_and_not_a_version_that_it_does_not_want(grid: Grid) -> None:
    patch = grid.offers(4751, "3.8.1")
    sites = grid.services.config.sites
    good = [
        s["name"]
        for s in grid.control.status()["sites"]
        if not s["faults"]
        and not s["canary"]
        and s["accepts_previews"]
        and sites[s["name"]].infrastructure == "Production"
    ]
    good = [name for name in good if sites[name].platform in patch.platforms]
    closed, pinned, other = good[:3]
    later = datetime.now(ZoneInfo(sites[closed].timezone)) + timedelta(days=3)
    not_today = all_day(WEEKDAYS[later.weekday()])
    with taken_back(grid, closed, pinned):
        (stranger,) = sites[other].administrators
        for who, status in ((stranger, 422), ("emt", 422), ("", 201)):
            assert says(grid, closed, who, **not_today).status_code == status, who
        pin = {
            "do": "pin",
            "metapackage": "glite-WN",
            "version": patch.version,
            "reason": "It breaks our batch system.",
        }
        assert says(grid, pinned, **pin).status_code == 201

        name = run = grid.start(patch.number, feedback_until=far())
        grid.waits_for_fact(name, FactKind.BROADCAST_QUEUED)

        record = grid.rollout(name)
        assert record.progress(closed).state is SiteState.PLANNED
        assert "its window opens on" in record.progress(closed).reason
        assert record.progress(pinned).state is SiteState.LEFT_OUT
        assert record.progress(pinned).reason.endswith("It breaks our batch system.")
        assert record.progress(other).state is SiteState.AVAILABLE
        assert any("1 put off" in said for said in labels_of(grid.client, BC, run, "fleet.distribute_client").values())
        look(grid)
        assert grid.states(name)[closed] is SiteState.PLANNED, "its window is closed still"

        assert says(grid, closed, **all_day(*WEEKDAYS)).status_code == 201
        look(grid)
        grid.waits_for("the site in its window", lambda: grid.states(name)[closed] is SiteState.AVAILABLE, 120)
        assert {closed, other} <= grid.seen_tags(name)
        page = grid.as_user(stranger).request("GET", f"pps/api/v1/sites/{closed}/work").json()
        (shown,) = [p for p in page["previews"] if p["rollout"] == name]
        assert (shown["state"], shown["probes"]["passed"]) == ("available", True)

        # what must go does not wait for a window
        assert says(grid, closed, **not_today).status_code == 201
        asked = grid.client.trigger("withdraw_rollout", {"rollout": name, "reason": "It was only for a test of ours."})
        assert wait_for_run(grid.client, "withdraw_rollout", asked, 300) == "success"
        assert closed not in grid.seen_tags(name)
        assert grid.states(name)[closed] is SiteState.WITHDRAWN
