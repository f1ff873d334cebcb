"""`pps quality`: from the command line through the web's door into the store; it says what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.support.examples import NOW
from tests.support.quality import OTHER, PROVIDER, URL, AQuality, release
from tests.unit.cli.people.test_credits import FORMULAS
from tests.unit.cli.pilots.test_pilot_doors import Through
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.cli.front import Front
from pps.domain.quality.measures import MEASURES

WHY = ("--reason", "As agreed with the release management.")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AQuality:
    monkeypatch.setenv("COLUMNS", "200")
    return AQuality.of(tmp_path)


@pytest.fixture
def front(world: AQuality) -> Front:
    made = Front(world.services, now=lambda: NOW)
    made.__dict__["airflow"] = Through(web=TestClient(world.app, base_url=URL), who=PROVIDER)
    return made


def test_a_target_an_action_and_a_review_are_said_and_shown(front: Front, world: AQuality) -> None:
    assert (
        "On record: target set, number 1." in pps(front, "quality", "target", "glite-WN", "regressions", "0", *WHY)[1]
    )
    add = (
        "quality",
        "action",
        "add",
        "glite-WN",
        "--text",
        "Test large files.",
        "--owner",
        "gina",
        "--due",
        "2025-12-02",
    )
    assert "On record: action agreed, number 1." in pps(front, *add)[1]
    assert (
        "On record: reviewed, number 1."
        in pps(front, "quality", "review", "glite-WN", "--text", "One was withdrawn.")[1]
    )
    out = one_line(pps(front, "quality", "show", "glite-WN")[1])
    assert "regressions 1 of 8 at most 0" in out
    assert "4704 glite-WN 3.1.23 2025-11-29 no" in out
    assert "1 open 2025-12-02 gina Test large files." in out
    assert "Review 1, 2025-12-01 09:30 UTC, gina: One was withdrawn." in out
    end = ("quality", "action", "end", "glite-WN", "1", "--not-done", "--text", "The test bed is gone.")
    assert "On record: action ended, number 1." in pps(front, *end)[1]
    assert as_json(front, "quality", "show", "glite-WN")["actions"][0]["state"] == "not done"
    assert "regressions 1.0 0" in one_line(pps(front, "quality", "show", "glite-WN", "--review", "1")[1])
    assert "target set" in pps(front, "quality", "target", "glite-WN", "regressions", "--none", *WHY)[1]
    out = one_line(pps(front, "quality", "show", "glite-WN", "--patch", "4702")[1])
    assert "withdrawn-previews 1 of 1 no target then" in out


def test_the_command_says_what_the_api_and_the_csv_say(front: Front, world: AQuality) -> None:
    client = world.who(PROVIDER)
    assert as_json(front, "quality", "show", "glite-WN") == client.get("/api/v1/quality/glite-WN").json()
    assert (
        as_json(front, "quality", "list", "--provider", "globus")
        == client.get("/api/v1/quality?provider=globus").json()
    )
    assert [p["product"] for p in as_json(front, "quality", "list")["products"]] == ["CREAM-CE", "glite-WN"]
    assert "glite-WN globus 4" in one_line(pps(front, "quality", "list")[1])
    out = pps(front, "quality", "show", "glite-WN", "--csv")[1]
    assert out.splitlines() == client.get("/quality/glite-WN/releases.csv").text.splitlines()
    assert [m["key"] for m in as_json(front, "quality", "measures")["measures"]] == list(MEASURES)


def test_what_is_refused_ends_with_one_and_the_reason(front: Front, world: AQuality) -> None:
    code, _, err = pps(front, "quality", "target", "glite-WN", "speed", "1", *WHY)
    assert (code, "no such measure" in one_line(err)) == (1, True)
    code, _, err = pps(front, "quality", "show", "glite-SE_dpm")
    assert (code, "people.yaml" in one_line(err)) == (1, True)
    assert pps(front, "quality", "target", "glite-WN", "regressions", *WHY)[0] == 2
    front.airflow.who = OTHER  # type: ignore[attr-defined]
    assert pps(front, "quality", "review", "glite-WN", "--text", "All is very well.")[0] == 1
    assert world.who(PROVIDER).get("/api/v1/quality/glite-WN").json()["reviews"] == []


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_spreadsheet_takes_a_version_for_a_formula(front: Front, world: AQuality, formula: str) -> None:
    release(world.store, 4799, formula, NOW)
    out = pps(front, "quality", "show", "glite-WN", "--csv")[1]
    cells = [cell.strip('"') for row in out.splitlines() for cell in row.split(",")]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\uff1d")]
