"""`pps why`: the page of a patch, in a terminal."""

from __future__ import annotations

import json

from tests.support.front import (  # noqa: F401
    MemoryServices,
    a_preview_that_is_out,
    front,
    services,
)
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import ServiceError
from pps.workflow.why import AWAY


def run(front: Front, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["why", *arguments], obj=front)
    assert result.exit_code == code, result.output
    return result.output


def test_it_says_what_a_patch_waits_for_and_who_can_act(front: Front, services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    said = " ".join(run(front, "4711").split())
    assert "It waits for the VOs and the certification." in said
    assert "Who can act: atlas, cms." in said
    data = json.loads(run(front, "4711", "--json"))
    assert {c["name"]: c["state"] for c in data["conditions"]}["VOs"] == "waiting"


def test_a_patch_for_which_nothing_was_started(front: Front) -> None:
    assert "Nothing has been started for it." in run(front, "4711")


def test_an_unknown_patch_is_an_error_with_the_next_step(front: Front) -> None:
    assert "patch 4799: is not in the tracker. List them: pps patches list" in " ".join(
        run(front, "4799", code=1).split()
    )
    run(front, "0", code=2)


def test_without_the_tracker_it_shows_what_is_on_record(front: Front, services: MemoryServices) -> None:
    class Away:
        def patch(self, number: int) -> None:
            raise ServiceError("tracker", "no answer.")

    services.__dict__["tracker"] = Away()
    a_preview_that_is_out(services.facts)
    said = " ".join(run(front, "4711").split())
    assert AWAY in said
    assert "certification unknown" in said
    assert "does not answer, and nothing is on record about patch 4799" in " ".join(run(front, "4799", code=1).split())
