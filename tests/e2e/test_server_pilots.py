"""SD 4.1.3 through a real Airflow: a minor server pilot from the EMT's request to the release, people by REST."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.whole import Grid, grid  # noqa: F401

from pps.domain.errors import RefusedError
from pps.domain.facts import FactKind
from pps.domain.patches import Patch, PatchKind, PatchState
from pps.domain.sites import PartnerLevel
from pps.sandbox.configuration import administrator_of
from pps.sandbox.pilot_service import TYPE, ServiceAction

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh")]

MINOR, MAJOR = "minor_server_pilot", "major_server_pilot"
VERSION = "3.2.0"


def server(grid: Grid, number: int, version: str, **different: Any) -> Patch:
    patch = grid.offers(
        number,
        version,
        kind=PatchKind.SERVER,
        service_type=TYPE,
        bugs=(),
        programming_ph=8,
        installation_guide="https://docs.example.org/install",
        configuration_guide="https://docs.example.org/configure",
        special_configuration="",
        **different,
    )
    grid.certify(patch.number)
    return patch


def gold(grid: Grid) -> str:
    return next(s.name for s in grid.services.config.sites.values() if PartnerLevel.GOLD in s.partner_levels)


def form(question: Any, **given: Any) -> dict[str, Any]:
    """The whole form, as a browser sends it."""
    return {name: spec.get("value") for name, spec in question.params.items()} | given


def coordinate(grid: Grid, dag: str, run: str, choice: str, task: str, **given: Any) -> None:
    """The Coordinator answers the question of this task."""

    def look() -> Any:
        return next((q for q in grid.client.questions(dag, run) if q.task == task), None)

    question = grid.waits_for(task, look, 90)
    grid.as_user("pps-coordinator").answer(question, [choice], form(question, **given))


def set_up(grid: Grid, dag: str, run: str, site: str, version: str) -> None:
    """The site's people install the pilot, and say so."""
    asked = grid.question(dag, run, site, 90)
    service = grid.control.act_on_service(site, ServiceAction.UPGRADE, version)["service"]
    answer = form(asked, endpoint=service["endpoint"], version=version, previous=service["previous"])
    grid.as_user(administrator_of(site)).answer(asked, ["Set up"], answer)


def report(grid: Grid, dag: str, run: str, site: str) -> None:
    asked = grid.question(dag, run, site, 90)
    grid.as_user(administrator_of(site)).answer(
        asked, list(asked.options[:1]), form(asked, resources="As before.", stability="No restart.")
    )


@pytest.mark.sd("4.1.3")
def test_a_minor_pilot_without_vos_goes_from_request_to_production(grid: Grid) -> None:
    site = gold(grid)
    patch = server(grid, 4751, VERSION)
    conf = {"patch": patch.number, "scope": "Run the service as production does, and watch its memory."}
    with pytest.raises(RefusedError):
        grid.as_user("viewer").trigger(MINOR, conf)
    name = run = grid.as_user("emt").trigger(MINOR, conf)
    coordinate(grid, MINOR, run, "Accept", "accept_request")
    coordinate(grid, MINOR, run, "Select", "select_sites", sites=site)
    coordinate(grid, MINOR, run, "Agreed", "agree_at_kick_off", run_for="5s")

    set_up(grid, MINOR, run, site, VERSION)
    grid.waits_for_fact(name, FactKind.SERVICE_SET_UP)
    grid.waits_for_fact(name, FactKind.RUN_ENDED)
    report(grid, MINOR, run, site)
    coordinate(grid, MINOR, run, "Release", "decide_at_wrap_up", reason="It ran without an incident.")
    assert grid.ends(run, dag=MINOR, within_s=200) == "success"
    closed = grid.rollout(name).need(FactKind.ROLLOUT_CLOSED, "").payload
    assert closed["outcome"] == "released", closed
    assert grid.services.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION


@pytest.mark.sd("4.1.3")
def test_a_pilot_that_is_rolled_back_is_wrapped_up_all_the_same(grid: Grid) -> None:
    site = gold(grid)
    patch = server(grid, 4753, "3.2.2")
    conf = {"patch": patch.number, "scope": "Run the service as production does."}
    name = run = grid.as_user("emt").trigger(MINOR, conf)
    coordinate(grid, MINOR, run, "Accept", "accept_request")
    coordinate(grid, MINOR, run, "Select", "select_sites", sites=site)
    coordinate(grid, MINOR, run, "Agreed", "agree_at_kick_off", run_for="1d")
    set_up(grid, MINOR, run, site, "3.2.2")
    grid.waits_for_fact(name, FactKind.SERVICE_SET_UP)

    body = {"site": site, "reason": "It answers no more under load."}
    path = f"pps/api/v1/rollouts/{name}/roll-back"
    refused = grid.as_user("vo-representative").request("POST", path, json=body)
    assert refused.status_code == 422, "only the site and the coordination"
    asked = grid.as_user(administrator_of(site)).request("POST", path, json=body)
    assert asked.status_code < 300, asked.text
    question = grid.question(MINOR, run, site, 90)
    before = grid.control.act_on_service(site, ServiceAction.ROLL_BACK)["service"]["version"]
    back = form(question, version=before)
    grid.as_user(administrator_of(site)).answer(question, ["Rolled back"], back)
    grid.waits_for_fact(name, FactKind.SERVICE_ROLLED_BACK)
    grid.waits_for_fact(name, FactKind.RUN_ENDED)
    report(grid, MINOR, run, site)
    coordinate(grid, MINOR, run, "Reject", "decide_at_wrap_up", reason="It goes back to the developers.")
    assert grid.ends(run, dag=MINOR, within_s=120) == "success"
    assert grid.rollout(name).is_closed
    assert not grid.rollout(name).has(FactKind.RELEASED_TO_PRODUCTION)
    assert grid.services.tracker.patch(patch.number).state is not PatchState.IN_PRODUCTION
