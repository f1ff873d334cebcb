"""How a question is shown again, behind routes of the shape of Airflow's, with Airflow's own models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from airflow.api_fastapi.core_api.datamodels import hitl
from airflow.api_fastapi.core_api.datamodels.task_instances import TaskInstanceResponse
from airflow.models.hitl import HITLDetail
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pps.domain.base.errors import ServiceError
from pps.web import asked_again
from pps.web.airflow_routes import put_checks
from pps.workflow.answers import AskedAgain, Place

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = "/api/v2/dags/pilot/dagRuns/r-1"
SET_UP = f"{RUN}/taskInstances/set_up/{{}}/hitlDetails"
AGAIN = AskedAgain("**Your answer was not taken**: no.\n\n", {"version": "3.1.22", "published": False})


_TASK = dict.fromkeys(TaskInstanceResponse.model_fields) | {
    "id": UUID(int=0),
    "dag_id": "pilot",
    "run_id": "r-1",
    "task_id": "set_up",
    "task_display_name": "set_up",
    "run_after": NOW,
    "state": "awaiting_input",
    "pool": "default_pool",
    **{"try_number": 1, "max_tries": 0, "pool_slots": 1},
    "dag_run": SimpleNamespace(dag_model=SimpleNamespace(dag_display_name="pilot")),
    "rendered_task_instance_fields": SimpleNamespace(rendered_fields={}),
}


def row(map_index: int, *, answered: bool = False) -> Any:
    """A question as the database holds it."""
    read = HITLDetail(
        ti_id=UUID(int=map_index),
        options=["Set up", "Cannot"],
        subject="PIC: please set it up",
        body="What to do.",
        params={
            "version": {"value": None, "description": "Which.", "schema": {"type": ["null", "string"]}},
            "remarks": {"value": "as before", "description": None, "schema": {}},
        },
        multiple=False,
        created_at=NOW + timedelta(minutes=map_index),
        responded_at=NOW if answered else None,
        params_input={},
    )
    task = SimpleNamespace(**_TASK | {"map_index": map_index})
    return SimpleNamespace(**_columns(read), task_instance=task, assigned_users=[], responded_by_user=None)


def _columns(read: HITLDetail) -> dict[str, Any]:
    names = ("options", "subject", "body", "params", "multiple", "created_at", "responded_at", "params_input")
    return {name: getattr(read, name) for name in names} | {
        "defaults": None,
        "chosen_options": None,
        "response_received": read.responded_at is not None,
    }


@dataclass
class World:
    """Airflow with three questions, of which the record knows that the answer to the second was not taken."""

    rows: list[Any] = field(default_factory=lambda: [row(0), row(1), row(2, answered=True)])
    is_down: bool = False
    asked: list[tuple[datetime, list[int]]] = field(default_factory=list)

    def recall(self, since: datetime, places: Iterable[Place]) -> Mapping[Place, AskedAgain]:
        self.asked.append((since, [place.map_index for place in places]))
        if self.is_down:
            raise ServiceError("record", "does not answer.")
        return {Place("pilot", "r-1", "set_up", 1): AGAIN}

    def get(self, path: str) -> Any:
        app = FastAPI()

        @app.get(asked_again.ONE[1])
        def one(dag_id: str, dag_run_id: str, task_id: str, map_index: int = -1) -> hitl.HITLDetail:
            return hitl.HITLDetail.model_validate(self.rows[map_index])

        @app.get(asked_again.ONE_TRY[1], response_model=hitl.HITLDetailHistory)
        def one_try(dag_id: str, dag_run_id: str, task_id: str, try_number: int, map_index: int = -1) -> Any:
            return self.rows[map_index]  # as Airflow: an object of its database

        @app.get(asked_again.LIST[1])
        def several(dag_id: str, dag_run_id: str) -> hitl.HITLDetailCollection:
            return hitl.HITLDetailCollection(hitl_details=iter(self.rows), total_entries=3)

        put_checks(app, asked_again.checks(self.recall))
        answer = TestClient(app).get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.mark.parametrize("end", ["", "/tries/1"])
def test_a_question_that_waits_again_says_why_first_and_holds_what_was_typed(end: str) -> None:
    world = World()
    shown = world.get(SET_UP.format(1) + end)
    assert shown["body"] == "**Your answer was not taken**: no.\n\nWhat to do."
    assert {name: spec["value"] for name, spec in shown["params"].items()} == {
        "version": "3.1.22",
        "remarks": "as before",
    }, "a field that the form has no more is not shown"
    assert shown["params"]["version"]["schema"] == {"type": ["null", "string"]}
    assert world.rows[1].body == "What to do.", "Airflow would store what is changed in its own objects"
    assert world.rows[1].params["version"]["value"] is None


@pytest.mark.parametrize("end", ["", "/tries/1"])
def test_another_question_is_shown_as_it_is(end: str) -> None:
    assert World().get(SET_UP.format(0) + end)["body"] == "What to do."
    world = World()
    assert world.get(SET_UP.format(2) + end)["body"] == "What to do."
    assert world.asked == [], "nothing is looked for that has its answer"


def test_in_the_list_each_question_says_its_own_and_the_record_is_asked_once() -> None:
    world = World()
    found = world.get(f"{RUN}/hitlDetails")
    assert [detail["body"].startswith("**Your answer") for detail in found["hitl_details"]] == [False, True, False]
    assert found["hitl_details"][1]["params"]["version"]["value"] == "3.1.22"
    assert found["total_entries"] == 3
    assert world.asked == [(NOW, [0, 1])]


def test_without_the_record_questions_are_shown_as_they_were_put() -> None:
    world = World(is_down=True)
    assert world.get(SET_UP.format(1))["body"] == "What to do."
    assert [d["body"] for d in world.get(f"{RUN}/hitlDetails")["hitl_details"]] == ["What to do."] * 3
