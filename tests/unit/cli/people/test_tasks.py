"""`pps tasks`: whose turn it is until when, and whether an answer was taken."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from tests.support.front import NOW, MemoryAirflow, front, services  # noqa: F401
from tests.unit.cli.test_commands import one_line, pps

from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.cli.front import Front
from pps.domain.base.errors import RefusedError

PIC = AirflowQuestion(
    "minor_server_pilot",
    "minor-pilot-4711-1",
    "site.set_up",
    0,
    "PIC: please set it up (until some day)",
    ("Set up", "Cannot"),
    "What to do.",
    {"version": {"value": "3.1.22"}, "remarks": {"value": None}},
    ("user:ana",),
)
EMT = AirflowQuestion("overrule_policies", "overrule-4712-1", "ask_emt", -1, "EMT: overrule?", ("Agree", "Refuse"))
OLD = AirflowQuestion("overrule_policies", "overrule-4700-1", "ask_emt", -1, "EMT: old?", ("Agree", "Refuse"))


@dataclass
class Response:
    content: Any
    status_code: int = 200

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> Any:
        return self.content


@dataclass
class Judging(MemoryAirflow):
    """An Airflow whose answers are judged after a while."""

    refuses: RefusedError | None = None
    verdicts: list[Any] = field(default_factory=list)
    """one for each look; the last one stays"""
    looks: list[Mapping[str, str]] = field(default_factory=list)

    def answer(self, question: AirflowQuestion, options: Sequence[str], params: Any = None) -> Any:
        if self.refuses:
            raise self.refuses
        super().answer(question, options, params)
        return NOW

    def request(self, method: str, path: str, **arguments: Any) -> Any:  # type: ignore[override]
        assert method == "GET"
        if path == "pps/api/v1/questions":
            return Response({"questions": [_known(EMT, 2, mine=False), _known(PIC, 30, mine=True)]})
        assert path == "pps/api/v1/verdict"
        self.looks.append(arguments["params"])
        said = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if said == "down":
            return Response({"detail": "Try again."}, 503)
        return Response({"standing": said, "reasons": ["It does not answer."] if said != "taken" else []})


def _known(q: AirflowQuestion, hours: int, *, mine: bool) -> dict[str, Any]:
    place = f"dags/{q.dag}/runs/{q.run}/tasks/{q.task}" + (f"/mapped/{q.map_index}" if q.map_index >= 0 else "")
    due = (NOW + timedelta(hours=hours)).isoformat()
    link = f"https://pps.example.org/{place}/required_actions"
    return {"title": f"{q.subject[:3]}: its title", "due": due, "mine": mine, "link": link}


@pytest.fixture
def airflow(front: Front) -> Judging:
    front.__dict__["airflow"] = Judging(asked=[OLD, PIC, EMT])
    return front.airflow  # type: ignore[return-value]


def answer(front: Front, *more: str) -> tuple[int, str, str]:
    return pps(front, "tasks", "answer", "PIC", "set up", "--field", "remarks=So it is.", *more)


def test_tasks_stand_by_their_dates_and_mine_are_those_put_to_me(
    front: Front, airflow: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = pps(front, "tasks", "list")
    assert one_line(out).index("EMT: its title") < one_line(out).index("PIC: its title") < one_line(out).index("old?")
    assert "2026-03-01 14:00 UTC" in one_line(out)
    assert "Answer in a browser: https://pps.example.org/pps/tasks" in out
    _, out, _ = pps(front, "tasks", "list", "--mine", "--json")
    (mine,) = json.loads(out)
    assert (mine["task"], mine["due"]) == ("minor-pilot-4711-1/site.set_up/0", "2026-03-02T18:00:00+00:00")
    page = "https://pps.example.org/pps/tasks/minor_server_pilot/minor-pilot-4711-1/site.set_up/0"
    assert page in pps(front, "tasks", "show", "PIC")[1]
    airflow.asked = [EMT]
    assert pps(front, "tasks", "list", "--mine")[1].strip() == "Nothing waits for you."


def test_a_no_at_the_door_is_said_with_its_reasons_and_nothing_is_waited_for(front: Front, airflow: Judging) -> None:
    airflow.refuses = RefusedError("PATCH dags/x", ("Version 3.1.22 was installed.", "Correct the form."))
    code, out, err = answer(front)
    assert (code, out) == (1, "")
    assert "Not taken: Version 3.1.22 was installed. Correct the form." in one_line(err)
    assert "PATCH" not in err
    code, out, _ = answer(front, "--json")
    assert code == 1
    assert json.loads(out)["verdict"] == "not taken"
    assert json.loads(out)["reasons"] == ["Version 3.1.22 was installed.", "Correct the form."]
    assert airflow.looks == []


@pytest.mark.parametrize(
    ("verdicts", "code", "said"),
    [
        (["not judged", "down", "taken"], 0, "The answer was taken."),
        (["not judged", "not taken"], 1, "Not taken: It does not answer."),
        (["set aside"], 0, "taken as soon as that is possible: It does not answer."),
        (["without effect"], 0, "decides nothing"),
        (["not judged"], 0, "not judged yet"),
    ],
)
def test_where_the_verdict_comes_later_it_is_waited_for_and_said(
    front: Front, airflow: Judging, verdicts: list[str], code: int, said: str
) -> None:
    airflow.verdicts = list(verdicts)
    found, out, err = answer(front)
    assert found == code
    assert said in one_line(out + err)
    assert airflow.looks[0] == {
        "dag": "minor_server_pilot",
        "run": "minor-pilot-4711-1",
        "task": "site.set_up",
        "map_index": "0",
        "at": "2026-03-01T12:00:00+00:00",
    }
    airflow.verdicts = list(verdicts)
    found, out, _ = answer(front, "--json")
    assert (found, json.loads(out)["verdict"]) == (code, verdicts[-1])


def test_who_does_not_wait_is_told_no_more_than_is_known(front: Front, airflow: Judging) -> None:
    code, out, _ = answer(front, "--no-wait")
    assert code == 0
    assert "not judged yet" in one_line(out)
    assert airflow.looks == []
    assert airflow.answered[0][2] == {"version": "3.1.22", "remarks": "So it is."}, "what was typed before stands"
