"""`pps sandbox demo`: what it offers, and how it tells what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pps.cli.main import app
from pps.cli.sandbox import demo_summary
from pps.sandbox.demo.play import DemoSummary, Table

SUMMARY = DemoSummary(
    "non-bc-client-4721-1",
    "success",
    remarks=["Scenario wn could not be tried."],
    tables=[
        Table("scenarios", "First test", {"scenario": "scenario"}, [{"scenario": "wn", "log": "a.txt"}]),
        Table("scenarios", "Second test", {"scenario": "scenario"}, [{"scenario": "wn", "log": ""}]),
    ],
    mails=[("a@example.org", "Try it"), ("b@example.org", "Try it")],
    places={"mails": Path("/grid/mails")},
    texts={"Release notes, in short": "  Requirements = Member(" + "x" * 200},
    done="Everybody was told.",
)


def test_every_route_is_explained() -> None:
    text = CliRunner().invoke(app, ["sandbox", "demo", "--help"]).output
    routes = (
        "bc",
        "non-bc",
        "pre-deployment",
        "release-testing",
        "minor-pilot",
        "major-pilot",
        "provider",
        "signed",
        "attacks",
    )
    for words in (*routes, "SD 4.1.1", "SD 4.1.2", "SD 4.1.3", "SD 4.2.2", "SD 4.2.3"):
        assert words in text


def test_too_few_sites_for_a_route_are_refused_before_anything_starts(tmp_path: Path) -> None:
    for route in ("non-bc", "pre-deployment"):
        done = CliRunner().invoke(
            app, ["sandbox", "demo", "--rollout", route, "--sites", "9", "--folder", str(tmp_path)]
        )
        assert done.exit_code == 2
        assert "at least 10 sites" in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_what_was_not_shown_stands_before_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    demo_summary.show(SUMMARY)
    text = capsys.readouterr().out
    assert text.index("NOT SHOWN ON THIS MACHINE") < text.index("Done: Everybody was told.")
    assert "x" * 200 in text
    assert "Mails sent (2)" in text


def test_a_problem_takes_the_place_of_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    problem = DemoSummary("x-1-1", "failed", problems=["atlas got no mail."], done="Everybody was told.")
    demo_summary.show(problem)
    text = capsys.readouterr().out
    assert "  - atlas got no mail." in text
    assert "Everybody was told." not in text


def test_rows_of_tables_with_one_key_are_one_list_in_json() -> None:
    data = demo_summary.data(SUMMARY)
    assert [(row["table"], row["log"]) for row in data["scenarios"]] == [("First test", "a.txt"), ("Second test", "")]
    assert data["remarks"] == SUMMARY.remarks
    assert data["places"] == {"mails": "/grid/mails"}
