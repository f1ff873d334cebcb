"""SD 4.2.3 through a real Airflow: pools try an update before it goes public, the Release Manager decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.airflow_waits import labels_of
from tests.support.whole import Grid, grid  # noqa: F401

from pps.activities.people.effort import credits_on_record
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.domain.base.errors import RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.people import questions
from pps.domain.record.facts import FactKind
from pps.sandbox.airflow.configuration import administrator_of

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh")]

DAG = "release_testing"


def pools_with_one_site(grid: Grid, number: int) -> dict[str, str]:
    """Pool -> its site, of the sites that can take part."""
    sites = grid.services.config.sites
    found = {
        pool.name: pool.sites[0]
        for pool in grid.services.config.pools
        if len(pool.sites) == 1
        and str(sites[pool.sites[0]].platform) == grid.installation.grid["made_with"]["platform"]
    }
    return dict(list(found.items())[:number])


def answer_late(grid: Grid, user: str, run: str, site: str, **form: str) -> Any:
    body = {"step": "release-test", "subject": site, "choice": "Accept", "form": form}
    return grid.as_user(user).request("POST", f"pps/api/v1/rollouts/{run}/answers", json=body)


def form(services: str = "", report: str = "") -> dict[str, str | None]:
    return {"services": services or None, "report": report or None}


def decision(grid: Grid, run: str) -> AirflowQuestion:
    return grid.question(DAG, run, "Release Manager", 240)


@pytest.mark.sd("4.2.3")
def test_sites_of_pools_try_an_update_before_it_is_public_and_the_release_manager_decides(grid: Grid) -> None:
    patch = grid.offers(4741, "3.6.1")
    grid.certify(patch.number)
    pools = pools_with_one_site(grid, 3)
    rejects, accepts, silent = pools.values()
    name = run = grid.start(patch.number, DAG, pools=list(pools))
    asked = {site: grid.question(DAG, run, site) for site in pools.values()}
    assert set(labels_of(grid.client, DAG, run, "ask_site").values()) == set(asked)

    # delivered to these sites, and not yet public
    production = Path(grid.services.production_repository.path)
    delivered = production / "release-test" / name
    assert list(delivered.rglob("*.deb"))
    wanted = {p.name for p in patch.packages}
    assert not any(f.name.startswith(tuple(f"{n}_3.6.1" for n in wanted)) for f in (production / "apt").rglob("*.deb"))
    assert sorted(f.subject for f in grid.rollout(name).facts if f.kind is FactKind.PATCH_DELIVERED) == sorted(asked)

    for user in (administrator_of(accepts), "pps-coordinator", "admin"):
        with pytest.raises(RefusedError):
            grid.as_user(user).answer(asked[rejects], ["Reject"], form(report="It is slow."))
    early = answer_late(grid, administrator_of(silent), run, silent, services="UI")
    assert early.status_code == 409, early.text

    # a rejection without a report is not taken, and not even stored: the very question still waits
    admin = grid.as_user(administrator_of(rejects))
    with pytest.raises(RefusedError, match="Fill it in, then answer again"):
        admin.answer(asked[rejects], ["Reject"], form())
    admin.answer(asked[rejects], ["Reject"], form(report="Jobs of one VO fail with it."))
    grid.as_user(administrator_of(accepts)).answer(asked[accepts], ["Accept"], form(services="two worker nodes"))

    # the Release Manager sees all, also silence; who rejected must be answered with a reason
    question = decision(grid, run)
    assert questions.has_expired(grid.rollout(name), "release-test", silent)
    assert "Jobs of one VO fail with it." in question.body
    assert silent in question.body
    assert answer_late(grid, administrator_of(accepts), run, silent, services="UI").status_code == 403
    late = [answer_late(grid, administrator_of(silent), run, silent, services="UI") for _ in range(2)]
    assert [answer.status_code for answer in late] == [201, 200]
    assert late[0].json()["counts"] is False
    with pytest.raises(RefusedError):
        grid.as_user("pps-coordinator").answer(question, ["Release"], {"reason": None})
    manager = grid.as_user("release-manager")
    with pytest.raises(RefusedError, match="Give a reason"):
        manager.answer(question, ["Release"], {"reason": None})
    manager.answer(question, ["Release"], {"reason": "The failing VO uses a version that is not supported."})
    assert grid.ends(run, dag=DAG) == "success"

    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION
    assert any(f.name.startswith(tuple(f"{n}_3.6.1" for n in wanted)) for f in (production / "apt").rglob("*.deb"))
    assert grid.rollout(name).need(FactKind.ROLLOUT_CLOSED, "").payload["outcome"] == "released"
    credited = [(c.who, c.credits) for c in credits_on_record(grid.services.facts) if c.rollout == name]
    assert sorted(credited) == sorted((site, 1) for site in pools.values())
    assert set(grid.mails_of(name).values()) == {1}


@pytest.mark.sd("4.2.3")
def test_a_held_update_does_not_go_public_and_nobody_decides_by_marking_a_task(grid: Grid) -> None:
    patch = grid.offers(4742, "3.6.2")
    grid.certify(patch.number)
    ((pool, site),) = pools_with_one_site(grid, 1).items()
    name = run = grid.start(patch.number, DAG, pools=[pool])
    asked = grid.question(DAG, run, site)
    grid.as_user(administrator_of(site)).answer(asked, ["Accept"], form(services="one user interface"))
    question = decision(grid, run)
    for user in ("emt", administrator_of(site)):
        instance = f"api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/{question.task}"
        marked = grid.as_user(user).request("PATCH", instance, json={"new_state": "success"})
        assert marked.status_code == 403
    grid.as_user("release-manager").answer(
        question, ["Hold"], {"reason": "It waits for the next update of the servers."}
    )
    assert grid.ends(run, dag=DAG) == "success"
    assert grid.services.tracker.patch(patch.number).state is PatchState.CERTIFIED
    closed = grid.rollout(name).need(FactKind.ROLLOUT_CLOSED, "").payload
    assert closed["outcome"] == "held"
    assert any("Held" in remark.text for remark in grid.services.tracker.comments(patch.number))


@pytest.mark.sd("4.2.3")
def test_what_is_not_certified_is_delivered_to_nobody(grid: Grid) -> None:
    patch = grid.offers(4743, "3.6.3")
    run = grid.start(patch.number, DAG)
    assert grid.ends(run, dag=DAG) == "failed"
    assert not [r for r in grid.services.facts.rollouts() if r.patch == patch.number]
