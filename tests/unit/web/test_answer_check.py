"""The answer check alone, behind a route of the shape of Airflow's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from pps.domain.base.errors import ConfigurationError, RolloutError, ServiceError
from pps.domain.people.questions import Given
from pps.web.airflow_routes import put_checks
from pps.web.answer_check import ANSWER, AnswerCheck
from pps.workflow.answers import Place

PATH = "/api/v2/dags/non_bc_client_update/dagRuns/r-1/taskInstances/site.configure/2/hitlDetails"
FIELDS = {
    "settings": {"type": ["null", "string"], "maxLength": 20},
    "count": {"type": "integer", "minimum": 0},
}
WHOLE = {"settings": "X=1", "count": 1}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
USER = SimpleNamespace(get_id=lambda: 7, get_name=lambda: "ana", roles=[SimpleNamespace(name="Site Administrator")])


@dataclass
class World:
    """Airflow behind the check, and what it knows of the task."""

    state: str = "awaiting_input"
    answered: bool = False
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: FIELDS)
    options: tuple[str, ...] = ("Configured", "Cannot")
    assigned_to: tuple[str, ...] = ("user:ana",)
    known: bool = True
    reasons: tuple[str, ...] = ()
    says: RolloutError | None = None
    """what the rule raises"""
    meanwhile: str = "awaiting_input"
    """the task's state when the rule has been asked"""
    looked_at: list[tuple[Place, bool]] = field(default_factory=list)
    judged: list[Given] = field(default_factory=list)
    reached: list[Any] = field(default_factory=list)

    def look(self, place: Place, session: Any, *, hold: bool) -> World | None:
        assert session == "Airflow's own"
        self.looked_at.append((place, hold))
        return self if self.known else None

    def judge(self, place: Place, given: Given) -> tuple[str, ...]:
        assert self.looked_at == [(place, False)], "a slow rule holds no row of Airflow's"
        self.judged.append(given)
        self.state = self.meanwhile
        if self.says:
            raise self.says
        return self.reasons

    def call(self, body: Any, path: str = PATH) -> tuple[int, str]:
        app = FastAPI()

        @app.patch(ANSWER[1])
        def update(
            dag_id: str,
            dag_run_id: str,
            task_id: str,
            update_hitl_detail_payload: UpdateHITLDetailPayload,
            user: Annotated[Any, Depends(lambda: USER)],
            session: str = "Airflow's own",
            map_index: int = -1,
        ) -> str:
            self.reached.append(update_hitl_detail_payload.model_dump())
            return "airflow"

        put_checks(app, {ANSWER: AnswerCheck(self.look, self.judge, lambda: NOW)})
        answer = TestClient(app).patch(path, json=body)
        return answer.status_code, str(answer.json()["detail"] if answer.status_code >= 400 else answer.json())


def an_answer(**form: Any) -> dict[str, Any]:
    return {"chosen_options": ["Configured"], "params_input": form}


def test_a_whole_form_reaches_airflow_as_it_was_sent() -> None:
    world = World()
    assert world.call(an_answer(**WHOLE)) == (200, "airflow")
    assert world.reached == [an_answer(**WHOLE)]
    place = Place("non_bc_client_update", "r-1", "site.configure", 2)
    assert world.looked_at == [(place, False), (place, True)]
    assert world.judged == [Given("Configured", WHOLE, "ana", NOW)]


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"settings": "X=1"}, "params_input: count is missing."),
        ({**WHOLE, "evil": 1}, "params_input: unknown key evil"),
        ({**WHOLE, "settings": 7}, "params_input.settings: must be null or string."),
        ({**WHOLE, "settings": "x" * 21}, "params_input.settings: breaks the rule maxLength 20."),
        ({**WHOLE, "count": True}, "params_input.count: must be integer."),
        ({**WHOLE, "count": -1}, "params_input.count: breaks the rule minimum 0."),
    ],
)
def test_a_form_that_airflow_would_store_and_fail_on_is_refused_before_it_is_stored(form: Any, why: str) -> None:
    world = World()
    status, body = world.call({"chosen_options": ["Configured"], "params_input": form})
    assert status == 422
    assert why in body
    assert world.reached == []


def test_an_option_alone_is_for_the_rule_to_judge() -> None:
    for body in ({"chosen_options": ["Configured"]}, an_answer()):
        assert World().call(body)[0] == 200
        assert World(reasons=("Say why.",)).call(body) == (422, "Say why.")


def test_what_the_rule_would_refuse_is_refused_with_its_reasons_before_it_is_stored() -> None:
    world = World(reasons=("The answer does not say how X was set.", "Name each variable with its value."))
    status, why = world.call(an_answer(**WHOLE))
    assert (status, why) == (422, "The answer does not say how X was set. Name each variable with its value.")
    assert world.reached == []


@pytest.mark.parametrize(
    "error", [ServiceError("tracker", "does not answer."), ConfigurationError("policies.yaml", "is wrong.")]
)
def test_a_service_that_is_down_keeps_nobody_from_answering(error: RolloutError) -> None:
    assert World(says=error).call(an_answer(**WHOLE)) == (200, "airflow")


@pytest.mark.parametrize(
    ("assigned_to", "options", "is_judged"),
    [
        (("user:eva",), ["Configured"], False),
        (("user:eva", "role:Site Administrator"), ["Configured"], True),
        ((), ["Configured"], True),
        (("user:ana",), ["Perhaps"], False),
        (("user:ana",), ["Configured", "Cannot"], False),
    ],
)
def test_who_may_not_answer_so_gets_airflows_own_word_and_hears_nothing_of_the_rule(
    assigned_to: tuple[str, ...], options: list[str], is_judged: bool
) -> None:
    world = World(assigned_to=assigned_to, reasons=("A secret.",))
    status, _ = world.call({"chosen_options": options, "params_input": WHOLE})
    assert (status, bool(world.judged)) == ((422, True) if is_judged else (200, False))


def test_a_question_that_closes_while_the_rule_is_asked_takes_no_answer() -> None:
    world = World(meanwhile="success")
    assert world.call(an_answer(**WHOLE))[0] == 409
    assert world.reached == []


@pytest.mark.parametrize("state", ["scheduled", "queued", "running", "up_for_retry"])
def test_an_answer_in_the_instant_in_which_the_task_parks_is_refused_instead_of_lost(state: str) -> None:
    world = World(state=state)
    status, body = world.call(an_answer(**WHOLE))
    assert status == 409
    assert "in a moment" in body
    assert world.reached == []


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "removed", ""])
def test_an_answer_after_the_end_is_refused_and_says_so(state: str) -> None:
    world = World(state=state)
    assert world.call(an_answer(**WHOLE))[0] == 409
    assert world.reached == []


def test_a_second_answer_and_an_unknown_task_get_airflows_own_word() -> None:
    for world in (World(answered=True, state="success"), World(known=False)):
        assert world.call(an_answer(**WHOLE)) == (200, "airflow")


@pytest.mark.parametrize("spelling", ["2", "02", "+2", "2.0", "%202", "2%20", "%32", "0000000002", "2_0", "%2B2"])
def test_however_the_map_index_is_spelt_the_check_reads_it_as_the_handler_does(spelling: str) -> None:
    world = World()
    status, _ = world.call(an_answer(evil=1), PATH.replace("/2/", f"/{spelling}/"))
    assert status == 422
    assert world.reached == []
