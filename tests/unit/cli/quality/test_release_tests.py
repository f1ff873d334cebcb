"""`pps pools` and `pps release-test`: for people and as JSON, through whichever door is open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support import examples
from tests.support.front import PATCH, MemoryAirflow, front, services  # noqa: F401
from tests.support.release_tests import DUE, LATE, RUN, AReleaseTest
from tests.unit.cli import test_commands
from tests.unit.cli.test_commands import as_json, one_line

from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.cli.front import Front
from pps.domain.packages.patch import PatchState

NORTH = {"name": "north", "roc": "North", "sites": ["PIC", "CNAF"], "services": ["CREAM-CE"]}
NAME = "release-test-4711-1"


@dataclass
class Done:
    exit_code: int
    output: str


def pps(front: Front, *words: str) -> Done:
    code, out, err = test_commands.pps(front, *words)
    return Done(code, out + err)


@dataclass
class Response:
    status_code: int
    content: Any

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> Any:
        if isinstance(self.content, str):
            raise ValueError("no JSON")
        return self.content


@dataclass
class AskingAirflow(MemoryAirflow):
    waiting: list[AirflowQuestion] = field(default_factory=list)
    answered: list[tuple[AirflowQuestion, list[str], Mapping[str, Any]]] = field(default_factory=list)
    posted: list[tuple[str, Any]] = field(default_factory=list)
    response: Response = field(default_factory=lambda: Response(500, {}))
    verdict: str = "taken"
    reasons: tuple[str, ...] = ()

    def questions(self, dag: str, run: str) -> Sequence[AirflowQuestion]:
        assert (dag, run) == tuple(RUN.split("/"))
        return self.waiting

    def answer(self, question: AirflowQuestion, options: Sequence[str], params: Mapping[str, Any]) -> datetime:
        self.answered.append((question, list(options), params))
        return DUE

    def request(self, method: str, path: str, **arguments: Any) -> Response:  # type: ignore[override]
        if method == "GET":
            assert path == "pps/api/v1/verdict"
            return Response(200, {"standing": self.verdict, "reasons": list(self.reasons)})
        self.posted.append((path, arguments["json"]))
        return self.response


def declare(front: Front, *pools: Mapping[str, Any]) -> Front:
    (front.services.config.folder / "pools.yaml").write_text(json.dumps({"pools": pools}))
    front.services.config.__dict__.pop("pools", None)  # read once by each command
    return front


def certified(front: Front) -> Front:
    front.services.tracker.known[4711] = replace(PATCH, state=PatchState.CERTIFIED)
    return front


@pytest.fixture
def airflow(front: Front) -> AskingAirflow:
    front.__dict__["airflow"] = AskingAirflow()
    return front.airflow


@pytest.fixture
def test(front: Front) -> AReleaseTest:
    made = AReleaseTest().asked()
    front.services.__dict__["facts"] = made.store
    return made


# --- pools


def test_pools_are_listed_with_who_would_not_take_part(front: Front) -> None:
    assert "No pools yet" in pps(front, "pools", "list").output
    declare(front, NORTH)
    said = one_line(pps(front, "pools", "list").output)
    assert "north" in said and "CREAM-CE" in said and "PIC, CNAF" in said
    found = as_json(front, "pools", "list")
    assert [p["name"] for p in found["pools"]] == ["north"]
    assert found["left_out"] == {}


def test_every_mistake_in_the_pools_is_listed(front: Front) -> None:
    assert pps(front, "pools", "check").exit_code == 0
    declare(front, NORTH, NORTH | {"name": "south", "roc": "South", "sites": ["PIC", "CNAF", "NOWHERE"]})
    done = pps(front, "pools", "check")
    assert done.exit_code == 1
    for reason in ("PIC is in two pools, north and south.", "NOWHERE of pool south is not in sites.yaml."):
        assert reason in one_line(done.output)
    declare(front, {"name": "a b", "roc": "North", "sites": [], "leader": "x"})
    problems = json.loads(pps(front, "pools", "check", "--json").output)["problems"]
    assert len(problems) == 3
    declare(front, NORTH)
    assert as_json(front, "pools", "check")["problems"] == []


def test_pools_that_contradict_themselves_start_nothing(front: Front) -> None:
    declare(certified(front), NORTH, NORTH | {"name": "south"})
    done = pps(front, "release-test", "start", "4711")
    assert done.exit_code == 1
    assert "in two pools" in one_line(done.output)
    assert front.airflow.started == []


# --- start


def test_a_dry_run_tells_who_would_be_asked_until_when_and_starts_nothing(front: Front) -> None:
    declare(certified(front), NORTH)
    found = as_json(front, "release-test", "start", "4711", "--dry-run")
    assert (found["rollout"], found["admitted"], found["pools"]) == (NAME, True, {"north": ["PIC", "CNAF"]})
    # asked on a Sunday: Monday is the working day
    assert found["answer_until"]["PIC"] == "2026-03-03T00:00:00+00:00"
    assert "2026-03-03 00:00 UTC" in pps(front, "release-test", "start", "4711", "--dry-run").output
    assert front.airflow.started == []


def test_what_the_rules_refuse_is_not_started(front: Front) -> None:
    declare(front, NORTH)
    done = pps(front, "release-test", "start", "4711")
    assert done.exit_code == 1
    assert 'The patch is "In certification"' in one_line(done.output)
    assert pps(front, "release-test", "start", "4711", "--dry-run").exit_code == 1
    assert front.airflow.started == []


def test_a_start_names_the_pools_that_were_chosen(front: Front) -> None:
    declare(certified(front), NORTH)
    assert as_json(front, "release-test", "start", "4711", "--pool", "north")["rollout"] == NAME
    assert "Started release-test-4711-1" in pps(front, "release-test", "start", "4711").output
    assert front.airflow.started == [
        ("release_testing", {"patch": 4711, "pools": ["north"]}),
        ("release_testing", {"patch": 4711}),
    ]
    assert "pool south" in one_line(pps(front, "release-test", "start", "4711", "--pool", "south").output)


# --- show


def test_show_tells_answers_late_ones_and_the_decision(front: Front, test: AReleaseTest) -> None:
    assert "under way" in pps(front, "release-test", "show", NAME).output
    test.answers("PIC", "Accept").time_is_up().late("INFN-T1").decided("Hold", "We wait for INFN-T1.")
    said = one_line(pps(front, "release-test", "show", NAME).output)
    for words in ("Hold (grace)", "We wait for INFN-T1.", "no: late", "Jobs are"):
        assert words in said
    found = as_json(front, "release-test", "show", NAME)
    assert found["decision"]["choice"] == "Hold"
    assert [s["answer"]["choice"] if s["answer"] else None for s in found["sites"]] == ["Accept", None, None]


def test_another_rollout_is_no_release_test(front: Front) -> None:
    store = examples.sqlite_store()
    examples.opened(store)
    front.services.__dict__["facts"] = store
    assert "not a release test" in one_line(pps(front, "release-test", "show", "bc-client-4711-1").output)


# --- answer


def test_in_time_it_answers_airflow_s_question(front: Front, airflow: AskingAirflow, test: AReleaseTest) -> None:
    front.now = lambda: DUE
    asked = AirflowQuestion(*RUN.split("/"), "ask_site", 0, "PIC: please answer", ("Accept", "Reject"))
    airflow.waiting = [replace(asked, subject="INFN-T1: please answer", map_index=2), asked]
    done = pps(front, "release-test", "answer", NAME, "PIC", "accept", "--services", "CREAM-CE")
    assert "The answer was taken." in one_line(done.output)
    assert airflow.answered == [(asked, ["Accept"], {"services": "CREAM-CE", "report": None})]
    assert airflow.posted == []


@pytest.mark.parametrize(
    ("verdict", "code", "said"),
    [
        ("not taken", 1, "Not taken: PIC is closed."),
        ("without effect", 0, "It is kept and decides nothing"),
        ("not judged", 0, "It is stored, and not judged yet."),
    ],
)
def test_it_says_what_became_of_the_answer(
    front: Front, airflow: AskingAirflow, test: AReleaseTest, verdict: str, code: int, said: str
) -> None:
    front.now, front.pause = (lambda: DUE), (lambda _: None)
    asked = AirflowQuestion(*RUN.split("/"), "ask_site", 0, "PIC: please answer", ("Accept", "Reject"))
    airflow.waiting, airflow.verdict, airflow.reasons = [asked], verdict, ("PIC is closed.",)
    done = pps(front, "release-test", "answer", NAME, "PIC", "accept", "--services", "CREAM-CE")
    assert (done.exit_code, said in one_line(done.output)) == (code, True), done.output


def test_late_it_takes_the_other_door(front: Front, airflow: AskingAirflow, test: AReleaseTest) -> None:
    front.now = lambda: LATE
    airflow.response = Response(201, {"site": "PIC", "choice": "Reject", "late": True, "counts": False})
    done = pps(front, "release-test", "answer", NAME, "PIC", "reject", "--report", "Jobs are lost.")
    assert "does not count" in one_line(done.output)
    form = {"services": None, "report": "Jobs are lost."}
    body = {"step": "release-test", "subject": "PIC", "choice": "Reject", "form": form}
    assert airflow.posted == [(f"pps/api/v1/rollouts/{NAME}/answers", body)]


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (Response(403, {"detail": "You were not asked for PIC."}), "You were not asked for PIC."),
        (Response(409, {"detail": "still open"}), "still open"),
        (Response(503, {"detail": "The service has a problem."}), "Try again later."),
        (Response(502, "<html>"), "without JSON"),
    ],
)
def test_why_a_late_answer_is_not_taken_is_told(
    front: Front, airflow: AskingAirflow, test: AReleaseTest, response: Response, why: str
) -> None:
    front.now, airflow.response = (lambda: LATE), response
    done = pps(front, "release-test", "answer", NAME, "PIC", "cannot", "--report", "No hands.")
    assert done.exit_code == 1
    assert why in one_line(done.output)


def test_an_answer_that_says_too_little_or_comes_too_soon_goes_nowhere(
    front: Front, airflow: AskingAirflow, test: AReleaseTest
) -> None:
    front.now = lambda: DUE - timedelta(hours=1)
    for words, why in (
        (("PIC", "accept"), "to which services"),
        (("PIC", "reject"), "does not say why"),
        (("NOWHERE", "cannot", "--report", "x"), "nobody has asked this site"),
        (("PIC", "cannot", "--report", "x"), "Try again in a moment"),
    ):
        done = pps(front, "release-test", "answer", NAME, *words)
        assert done.exit_code == 1
        assert why in one_line(done.output)
    assert pps(front, "release-test", "answer", NAME, "PIC", "maybe").exit_code == 2
    assert (airflow.answered, airflow.posted) == ([], [])
