"""`pps scenarios` and `pps deployment-test`: for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.clean_roots import PretendedRoots
from tests.support.front import NOW, front, services  # noqa: F401
from tests.support.scenarios import a_scenario
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.activities.ports.record import OpenRollout
from pps.cli.front import Front
from pps.domain.quality.scenarios import scenario_payload
from pps.domain.record.facts import Fact, FactKind

WN = {"name": "wn", "platform": "debian12-amd64", "node_type": "WN", "origin": {"region": "North"}}
UI = WN | {"name": "ui", "node_type": "UI"}
NAME = "pre-deployment-4711-1"


def declare(front: Front, *entries: Mapping[str, Any]) -> Front:
    (front.services.config.folder / "scenarios.yaml").write_text(json.dumps({"scenarios": entries}))
    front.services.__dict__["clean_roots"] = PretendedRoots()
    return front


def a_test_of(front: Front, *, closed: bool = True) -> Front:
    def fact(kind: FactKind, subject: str = "", **payload: Any) -> Fact:
        return Fact(NAME, kind, subject, "", NOW, "airflow", payload)

    scenario = a_scenario()
    log = f"deployment-tests/{NAME}/wn.txt"
    front.services.facts.register.append(OpenRollout(NAME, "pre-deployment", 4711, NOW, NOW if closed else None))
    front.services.facts.record(
        fact(
            FactKind.ROLLOUT_OPENED,
            path="pre-deployment",
            patch=4711,
            metapackage="glite-WN",
            platforms=["debian12-amd64"],
        ),
        fact(FactKind.SCENARIOS_PLANNED, scenarios=[scenario_payload(scenario)]),
        fact(FactKind.SCENARIO_ENDED, "wn", result="fail", reason="dpkg: error processing voms-clients.", log=log),
        *([fact(FactKind.ROLLOUT_CLOSED, outcome="failed")] if closed else []),
    )
    front.services.publication_folder.publish(log, "result: fail\n\x1b[31mdpkg says no\n")
    return front


@pytest.mark.parametrize(
    "words",
    [
        ("scenarios", "list"),
        ("scenarios", "check"),
        ("deployment-test", "show", "4711"),
    ],
)
def test_every_command_fits_80_columns_and_speaks_json(front: Front, words: tuple[str, ...]) -> None:
    a_test_of(declare(front, WN, UI))
    code, out, err = pps(front, *words)
    assert (code, err) == (0, "")
    assert out.strip()
    assert max(map(len, out.splitlines())) <= 80
    as_json(front, *words)


def test_without_scenarios_it_says_where_to_declare_them(front: Front) -> None:
    assert "docs/scenarios.md" in pps(front, "scenarios", "list")[1]
    assert "docs/scenarios.md" in pps(front, "scenarios", "check")[1]
    code, _, err = pps(front, "deployment-test", "start", "4711")
    assert code == 1
    assert "No scenario of scenarios.yaml fits glite-WN on debian12-amd64." in err


def test_check_lists_every_mistake_and_every_contradiction(front: Front) -> None:
    declare(front, WN, WN | {"name": "wn2", "runner": "PIC", "origin": {"vo": "nobody"}})
    code, out, _ = pps(front, "scenarios", "check", "--json")
    problems = json.loads(out)["problems"]
    assert code == 1
    for says in ("no PPS member site", "nobody, which is no VO", "given to automatic and to PIC"):
        assert any(says in p for p in problems)
    declare(front, {"name": "x"}, WN | {"colour": "red"})
    code, out, _ = pps(front, "scenarios", "check")
    assert code == 1
    assert "scenarios.x.origin: is missing." in one_line(out)
    assert "scenarios.wn.colour" in out


def test_a_dry_run_starts_nothing_and_says_what_this_machine_lacks(front: Front) -> None:
    declare(front, WN, UI)
    front.services.__dict__["clean_roots"] = PretendedRoots(impossible="This machine lacks mmdebstrap.")
    code, out, _ = pps(front, "deployment-test", "start", "4711", "--dry-run")
    assert code == 0
    assert "This machine lacks mmdebstrap." in one_line(out)
    assert "ui" not in out.split()
    found = as_json(front, "deployment-test", "start", "4711", "--dry-run")
    assert found["admitted"] and [s["name"] for s in found["scenarios"]] == ["wn"]
    assert front.airflow.started == []


def test_a_start_goes_through_airflow(front: Front) -> None:
    declare(front, WN)
    assert as_json(front, "deployment-test", "start", "4711")["rollout"] == NAME
    assert front.airflow.started == [("pre_deployment_test", {"patch": 4711})]


def test_a_test_that_is_under_way_is_not_started_again_and_a_refused_one_not_at_all(front: Front) -> None:
    a_test_of(declare(front, WN), closed=False)
    code, _, err = pps(front, "deployment-test", "start", "4711")
    assert code == 1
    assert f"It is being tested already, as {NAME}." in err
    assert pps(front, "deployment-test", "start", "4712", "--dry-run")[0] == 1


def test_an_open_deployment_test_does_not_stand_against_the_preview(front: Front) -> None:
    a_test_of(front, closed=False)
    assert as_json(front, "rollout", "start", "4711", "--dry-run")["admitted"]


def test_show_tells_results_and_prints_a_log_without_what_harms_a_terminal(front: Front) -> None:
    a_test_of(front)
    found = as_json(front, "deployment-test", "show", "4711")
    assert (found["outcome"], found["platforms"]) == ("failed", [])
    out = one_line(pps(front, "deployment-test", "show", "4711")[1])
    assert "scenario wn failed: dpkg: error processing voms-clients." in out
    code, out, _ = pps(front, "deployment-test", "show", "4711", "--log", "wn")
    assert code == 0
    assert "dpkg says no" in out
    assert "\x1b" not in out


def test_show_names_the_optional_scenario_that_failed_beside_a_pass_and_json_keeps_the_value(front: Front) -> None:
    a_test_of(front)
    optional, passed = a_scenario("wn-dpm", system="dpm", mandatory=False), a_scenario()
    facts = [
        Fact(
            NAME,
            FactKind.SCENARIOS_PLANNED,
            "",
            "2",
            NOW,
            "airflow",
            {"scenarios": [*map(scenario_payload, (passed, optional))]},
        ),
        Fact(NAME, FactKind.SCENARIO_ENDED, "wn", "2", NOW, "airflow", {"result": "pass"}),
        Fact(NAME, FactKind.SCENARIO_ENDED, "wn-dpm", "", NOW, "airflow", {"result": "fail"}),
    ]
    front.services.facts.record(*facts)
    out = one_line(pps(front, "deployment-test", "show", "4711")[1])
    assert "outcome passed; optional scenario wn-dpm failed" in out
    assert as_json(front, "deployment-test", "show", "4711")["outcome"] == "passed"


def test_show_says_when_there_is_nothing_to_show(front: Front) -> None:
    code, _, err = pps(front, "deployment-test", "show", "4712")
    assert code == 1
    assert "has had no deployment test. Start one: pps deployment-test start 4712 --dry-run" in err
    code, _, err = pps(a_test_of(front), "deployment-test", "show", "4711", "--log", "ui")
    assert code == 1
    assert "no scenario 'ui'" in err
