"""The start check alone, behind routes of the shape of Airflow's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.core_api.datamodels.backfills import BackfillPostBody
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.web.airflow_routes import put_checks
from pps.web.start_check import BACKFILL, MATERIALIZE, START, StartCheck, StartForm
from pps.workflow.start_forms import CLIENT_UPDATE, reasons_against_dates

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FORM = StartForm(
    {"patch": {"type": "integer", "minimum": 1}, "until": {"type": ["null", "string"], "default": None}}, "bc"
)
FORMS = {"bc_client_update": FORM, "nightly": StartForm({})}


def a_user() -> Any:
    role = SimpleNamespace(name="EMT")
    return SimpleNamespace(get_id=lambda: 7, get_name=lambda: "erika", roles=[role])


class TakenError(Exception):
    """The run id is taken."""


@dataclass
class World:
    """Airflow behind the check, and the register."""

    fails: Exception | None = None
    open: str | None = None
    error: Exception | None = None
    may_not: tuple[str, ...] = ()
    form: StartForm = FORM
    reached: list[TriggerDAGRunPostBody] = field(default_factory=list)

    def open_rollout(self, path: str, patch: int) -> str | None:
        if self.error:
            raise self.error
        return self.open

    def next_run(self, dag: str, path: str, patch: int) -> str:
        return f"{path}-{patch}-1"

    def reasons_against(self, dag: str, conf: Any, mine: frozenset[str]) -> tuple[str, ...]:
        assert mine == {"7", "user:erika", "role:EMT"}
        return self.may_not

    def call(self, body: Any, dag: str = "bc_client_update", path: str = "") -> tuple[int, str]:
        app = FastAPI()

        @app.post(START[1])
        def trigger(dag_id, body: TriggerDAGRunPostBody, user: Any = Depends(a_user)) -> str:  # type: ignore[no-untyped-def]  # noqa: B008
            if self.fails:
                raise self.fails
            self.reached.append(body)
            return "airflow"

        @app.post(BACKFILL[1])
        def backfill(backfill_request: BackfillPostBody) -> str:
            return "airflow"

        @app.post(MATERIALIZE[1], response_model=None)
        def materialize(asset_id: int) -> Any:
            return SimpleNamespace(dag_id="nightly" if asset_id == 1 else "other")

        forms = FORMS | {"bc_client_update": self.form}
        checks = StartCheck(lambda: self, forms, self.reasons_against, TakenError, lambda: NOW)
        put_checks(app, {START: checks.start, BACKFILL: checks.backfill, MATERIALIZE: checks.materialize})
        more = {} if path else {"logical_date": None, "run_after": NOW.isoformat()}
        answer = TestClient(app).post(path or START[1].format(dag_id=dag), json={**more, **body})
        return answer.status_code, str(answer.json()["detail"] if answer.status_code >= 400 else answer.json())


def test_a_good_start_reaches_airflow_with_the_runs_name_for_now() -> None:
    world = World()
    assert world.call({"conf": {"patch": 7}}) == (200, "airflow")
    (body,) = world.reached
    assert (body.dag_run_id, body.conf, body.run_after, body.logical_date) == ("bc-7-1", {"patch": 7}, NOW, None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"conf": {"patch": 7, "x" * 100: 1}}, "unknown key"),
        ({"conf": {"patch": 7.5}}, "must be integer"),
        ({"conf": {"patch": "$(reboot)\n"}}, "must be integer"),
        ({"conf": {"until": 3, "patch": 7}}, "must be null or string"),
        ({"conf": {}}, "patch is missing"),
        ({"conf": None}, "patch is missing"),
        ({}, "patch is missing"),
        ({"conf": {"patch": 7}, "dag_run_id": "mine"}, "dag_run_id"),
        ({"conf": {"patch": 7}, "run_after": "2999-01-01T00:00:00Z"}, "run_after"),
        ({"conf": {"patch": 7}, "run_after": "2026-03-02T12:10:00"}, "run_after"),
        ({"conf": {"patch": 7}, "logical_date": "2026-03-03T00:00:00Z"}, "logical_date"),
        ({"conf": {"patch": 7}, "logical_date": "2026-01-01T00:00:00Z"}, "logical_date"),
        ({"conf": {"patch": 7}, "partition_key": "x"}, "partition_key"),
        ({"conf": {"patch": 7}, "note": "x" * 1001}, "note"),
        (
            {
                "conf": {"patch": 7},
                "data_interval_start": "2026-03-01T00:00:00Z",
                "data_interval_end": "2026-03-02T00:00:00Z",
            },
            "data_interval_start",
        ),
        ({"conf": {"patch": 7}, "state": "success"}, "extra"),
    ],
)
def test_what_is_wrong_does_not_reach_airflow_and_the_answer_says_why(body: Any, why: str) -> None:
    world = World()
    got, text = world.call(body)
    assert (got, world.reached) == (422, [])
    assert why in text
    assert len(text) < 500


def test_a_value_that_breaks_a_rule_is_not_repeated_in_the_answer() -> None:
    assert "reboot" not in World().call({"conf": {"patch": "$(reboot)"}})[1]


@pytest.mark.parametrize("typed", ["2026-03-02T12:00:00+00:00", "2026-03-02T12:59+01:00", "1999-12-31T23:59Z"])
def test_a_date_that_has_passed_is_refused_with_what_was_typed_and_not_silently_replaced(typed: str) -> None:
    world = World(form=StartForm(CLIENT_UPDATE, "bc", reasons_against_dates))
    status, text = world.call({"conf": {"patch": 7, "feedback_until": typed}})
    assert (status, world.reached) == (422, [])
    assert text.startswith(f"conf.feedback_until: '{typed}': ") and "has passed. Give a later date" in text
    for nowhere in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        status, text = world.call({"conf": {"patch": 7, "feedback_until": nowhere}})
        assert (status, text) == (
            422,
            f"conf.feedback_until: '{nowhere}' is on no day of the calendar in UTC. Give another date.",
        )
    for later in (None, "2026-03-02T13:01+01:00"):
        assert world.call({"conf": {"patch": 7, "feedback_until": later}}) == (200, "airflow")


def test_an_open_rollout_is_named() -> None:
    status, text = World(open="bc-7-1").call({"conf": {"patch": 7}})
    assert status == 409
    assert "bc-7-1" in text


def test_who_may_not_ask_so_is_told_why() -> None:
    world = World(may_not=("Only atlas may.",))
    assert world.call({"conf": {"patch": 7}}) == (403, "Only atlas may.")
    assert not world.reached


def test_airflows_conflict_becomes_our_sentence_and_other_answers_stay() -> None:
    status, text = World(fails=TakenError()).call({"conf": {"patch": 7}})
    assert status == 409
    assert "The run bc-7-1 exists already" in text
    assert World(fails=HTTPException(400, "airflow")).call({"conf": {"patch": 7}}) == (400, "airflow")


@pytest.mark.parametrize(
    ("error", "status"),
    [(ServiceError("the store", "is down."), 503), (ConfigurationError("sites.yaml", "is wrong."), 500)],
)
def test_a_register_that_fails_refuses_the_start(error: Exception, status: int) -> None:
    world = World(error=error)
    assert world.call({"conf": {"patch": 7}})[0] == status
    assert not world.reached


def test_runs_of_other_dags_are_left_alone() -> None:
    world = World()
    assert world.call({"conf": {"x": 1}, "dag_run_id": "mine"}, dag="other") == (200, "airflow")
    assert world.reached[0].dag_run_id == "mine"


def test_a_dag_that_opens_no_rollout_is_checked_but_airflow_names_its_run() -> None:
    assert World().call({"conf": {"x": 1}}, dag="nightly")[0] == 422
    assert World().call({"conf": {}, "dag_run_id": "scheduled__2026-03-03T00:00:00+00:00"}, dag="nightly")[0] == 422
    world = World()
    assert world.call({"conf": {}}, dag="nightly") == (200, "airflow")
    assert world.reached[0].dag_run_id is None


def test_what_is_ours_is_neither_backfilled_nor_started_for_an_asset() -> None:
    days = {"from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}
    assert World().call({"dag_id": "nightly", **days}, path=BACKFILL[1])[0] == 422
    assert World().call({"dag_id": "other", **days}, path=BACKFILL[1])[0] == 200
    assert World().call({}, path=MATERIALIZE[1].format(asset_id=1))[0] == 422
    assert World().call({}, path=MATERIALIZE[1].format(asset_id=2))[0] == 200


def test_an_airflow_without_the_route_or_with_another_kind_of_handler_is_not_served() -> None:
    app = FastAPI()
    with pytest.raises(RuntimeError, match="unchecked"):
        put_checks(app, {START: lambda handler, given: None})

    @app.post(START[1])
    async def trigger() -> None: ...

    with pytest.raises(RuntimeError, match="unchecked"):
        put_checks(app, {START: lambda handler, given: None})
