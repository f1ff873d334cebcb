"""`pps pilot`: how a pilot runs, and what is said of it, for people and as JSON."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.examples import NOW, opened
from tests.support.front import front, services  # noqa: F401
from tests.support.pilot_runs import APilot, endpoint_at
from tests.unit.cli.quality.test_release_tests import AskingAirflow, Response
from tests.unit.cli.test_commands import as_json, one_line, pps

from pps.cli.front import Front
from pps.domain.sites.probes import ProbeState

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
        (("interest", NAME, "atlas", "--text", "We try it."), "interest", {"vo": "atlas", "text": "We try it."}),
        (
            ("move-meeting", NAME, "kick-off", "--to", "2025-12-04T14:00+01:00", "--reason", "They are away."),
            "meetings/kick-off",
            {"to": "2025-12-04T13:00:00+00:00", "reason": "They are away."},
        ),
        (
            ("move-meeting", NAME, "wrap-up", "--to", "2025-12-04 13:00 UTC"),
            "meetings/wrap-up",
            {"to": "2025-12-04T13:00:00+00:00", "reason": ""},
        ),
        (("justify", NAME, "--reason", "It cannot wait."), "justification", {"reason": "It cannot wait."}),
    ],
)
def test_what_is_said_goes_through_airflow_which_knows_the_user(
    front: Front, pilot: APilot, airflow: AskingAirflow, words: tuple[str, ...], path: str, body: object
) -> None:
    airflow.response = Response(201, {"rollout": NAME, "site": "PIC", "reason": "It cannot wait.", "new": True})
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


@pytest.mark.parametrize("to", ["2025-12-04T14:00", "tomorrow", "", "25:00"])
def test_a_meeting_does_not_move_to_a_moment_without_its_zone(
    front: Front, pilot: APilot, airflow: AskingAirflow, to: str
) -> None:
    code, _, err = pps(front, "pilot", "move-meeting", NAME, "kick-off", "--to", to)
    assert (code, "its zone" in one_line(err), airflow.posted) == (2, True, [])


@pytest.mark.parametrize(
    ("words", "new", "again"),
    [
        (("interest", NAME, "atlas", "--text", "We try it."), "atlas wants to take part", "on record already"),
        (("move-meeting", NAME, "wrap-up", "--to", "2025-12-04T13:00Z"), "moves to 2025-12-04 13:00", "at that time"),
        (("justify", NAME, "--reason", "x"), "is on record: It cannot wait.", "justified before: It cannot wait."),
    ],
)
def test_what_was_said_before_is_told_from_what_is_new(
    front: Front, pilot: APilot, airflow: AskingAirflow, words: tuple[str, ...], new: str, again: str
) -> None:
    for said, is_new in ((new, True), (again, False)):
        airflow.response = Response(201 if is_new else 200, {"reason": "It cannot wait.", "new": is_new})
        assert said in one_line(pps(front, "pilot", *words)[1])
