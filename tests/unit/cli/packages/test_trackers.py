"""`pps tracker check`, with a tracker in memory; `init` is in tests/integration/sandbox/test_tracker_home.py."""

from __future__ import annotations

import json

from tests.support.front import MemoryServices, MemoryTracker, front, services  # noqa: F401
from typer.testing import CliRunner

from pps.activities.ports.tracker import Reading
from pps.cli.front import Front
from pps.cli.main import app


def run(front: Front, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["tracker", "check", *arguments], obj=front)
    assert result.exit_code == code, result.output
    return result.output


class HalfRead(MemoryTracker):
    def readings(self, number: int | None = None) -> tuple[Reading, ...]:
        bad = Reading(4710, "Half", self.page(4710), None, ("metapackage: Field required", "cves.0: wrong"))
        return (*super().readings(None), bad) if number is None else (bad,)


def test_every_patch_is_shown_with_what_it_is_read_as_and_lacks(front: Front) -> None:
    said = run(front)
    assert "4711" in said and "In certification" in said and "provider" in said


def test_one_patch_is_shown_field_by_field_with_the_consequences(front: Front) -> None:
    said = " ".join(run(front, "4711").split())
    assert "It is read as: number 4711" in said
    assert "provider: nobody is named to whom a failed deployment test goes back." in said
    assert "https://tracker.example.org/patch?:action=number&number=4711" in said


def test_a_patch_that_cannot_be_used_is_named_with_every_reason(front: Front, services: MemoryServices) -> None:
    services.__dict__["tracker"] = HalfRead(*services.tracker.patches())
    assert "unusable" in run(front, code=1)
    said = run(front, "4710", code=1)
    assert "- metapackage: Field required" in said and "- cves.0: wrong" in said
    data = json.loads(run(front, "--unusable", "--json", code=1))
    assert [(d["number"], d["usable"], len(d["problems"])) for d in data] == [(4710, False, 2)]


def test_as_json_what_is_missing_is_a_list_of_sentences(front: Front) -> None:
    data = json.loads(run(front, "4711", "--json"))[0]
    assert data["usable"] and data["patch"]["number"] == 4711
    assert any(sentence.startswith("provider:") for sentence in data["missing"])
