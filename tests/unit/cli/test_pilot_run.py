"""`pps pilot`: how a pilot runs, and what is said of it, for people and as JSON."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.examples import NOW, opened
from tests.support.front import front, services  # noqa: F401
from tests.support.pilot_runs import APilot, endpoint_at
from tests.unit.cli.test_commands import as_json, one_line, pps
from tests.unit.cli.test_release_tests import AskingAirflow, Response

from pps.cli.front import Front
from pps.domain.probes import ProbeState

NAME = "major-pilot-4711-1"


@pytest.fixture
def pilot(front: Front) -> APilot:
    made = APilot().set_up().answers("PIC", ProbeState.CRITICAL)
    made.look(3)
    front.services.__dict__["facts"] = made.store
    front.now = lambda: NOW + timedelta(hours=4)
    return made


@pytest.fixture
def airflow(front: Front) -> AskingAirflow:
    front.__dict__["airflow"] = AskingAirflow()
    return front.airflow


def test_the_journal_says_until_when_it_runs_and_who_answers(front: Front, pilot: APilot) -> None:
    code, out, _ = pps(front, "pilot", "journal", NAME)
    said = one_line(out)
    assert code == 0
    assert "2025-12-15 11:30 UTC" in said and "50.0 %" in said and "CRITICAL" in said
    found = as_json(front, "pilot", "journal", NAME, "--site", "PIC")
    assert [(s["site"], s["state"], s["availability"]) for s in found["sites"]] == [("PIC", "CRITICAL", 0.5)]
    assert found["sites"][0]["endpoint"] == endpoint_at("PIC")
    assert [e["text"].partition(":")[0] for e in found["journal"]] == ["Set up", "CRITICAL"]
    assert (found["outcome"], found["round"]) == (None, 1)


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("log", NAME, "PIC", "It hung."), "journal", {"site": "PIC", "text": "It hung.", "call_expert": False}),
        (
            ("log", NAME, "PIC", "It hung.", "--call-expert"),
            "journal",
            {"site": "PIC", "text": "It hung.", "call_expert": True},
        ),
        (("roll-back", NAME, "PIC", "--reason", "It hangs."), "roll-back", {"site": "PIC", "reason": "It hangs."}),
        (("success", NAME, "--reason", "It works."), "success", {"reason": "It works."}),
    ],
)
def test_what_is_said_goes_through_airflow_which_knows_the_user(
    front: Front, pilot: APilot, airflow: AskingAirflow, words: tuple[str, ...], path: str, body: object
) -> None:
    airflow.response = Response(201, {"rollout": NAME, "site": "PIC", "new": True})
    assert pps(front, "pilot", *words)[0] == 0
    assert airflow.posted == [(f"pps/api/v1/rollouts/{NAME}/{path}", body)]
    assert as_json(front, "pilot", *words)["new"] is True


@pytest.mark.parametrize(
    ("status", "content", "sentence"),
    [
        (422, {"detail": "Only the administrators of PIC may."}, "Only the administrators"),
        (409, {"detail": "PIC takes no part in it."}, "takes no part"),
        (503, {"detail": "The service has a problem."}, "has a problem"),
        (200, "<html>", "without JSON"),
    ],
)
def test_a_refusal_is_a_sentence(
    front: Front, pilot: APilot, airflow: AskingAirflow, status: int, content: object, sentence: str
) -> None:
    airflow.response = Response(status, content)
    code, _, err = pps(front, "pilot", "log", NAME, "PIC", "It hung.")
    assert code == 1
    assert sentence in one_line(err)


def test_what_is_no_pilot_is_refused(front: Front, pilot: APilot, airflow: AskingAirflow) -> None:
    other = opened(pilot.store).name
    for words in (("journal", other), ("log", other, "PIC", "It hung.")):
        code, _, err = pps(front, "pilot", *words)
        assert (code, "It is no pilot" in one_line(err)) == (1, True)
    assert airflow.posted == []
