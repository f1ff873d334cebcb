"""A run that has failed is said to have failed, with its cause, wherever somebody asks for its rollout."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from fastapi.testclient import TestClient
from tests.support.front import (  # noqa: F401
    ROLLOUT,
    MemoryServices,
    a_preview_that_is_out,
    front,
    happened,
    services,
)
from tests.support.tasks import tasks_work_with
from tests.unit.web.test_api import airflow_user, ticking
from tests.unit.web.test_pages import Read
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.record.facts import FactKind
from pps.domain.record.halts import halt_of
from pps.orchestration import halts, runtime
from pps.web.app import create_app

RUN = SimpleNamespace(dag_id="bc_client_update", run_id="bc-client-4711-1", triggering_user_name="carla")
ERROR = NotYetAllowedError("patch 4711", "its tag list is locked by ada@example.org.", "Unlock it.")
IN_WORDS = "at the task release_to_production"


@pytest.fixture(autouse=True)
def out(services: MemoryServices, monkeypatch: pytest.MonkeyPatch) -> MemoryServices:
    a_preview_that_is_out(services.facts)
    opened = services.facts.rollout(ROLLOUT).need(FactKind.ROLLOUT_OPENED, "")
    opened.payload["run"] = f"{RUN.dag_id}/{RUN.run_id}"  # type: ignore[index]
    tasks_work_with(monkeypatch, lambda: services, ticking())
    return services


def context(
    error: Any = ERROR, task: str = "release_to_production", tried: int = 3, run: Any = RUN, **params: str
) -> Any:
    ti = SimpleNamespace(task_id=task, map_index=-1, try_number=tried)
    return {"dag_run": run, "ti": ti, "exception": error, "params": params}


def begins(monkeypatch: pytest.MonkeyPatch, task: str = "release_to_production", tried: int = 4) -> None:
    """A task of the run opens its desk."""
    monkeypatch.setattr(halts, "get_current_context", lambda: context(None, task, tried))
    with runtime.desk(ROLLOUT):
        pass


def pps(front: Front, *words: str) -> str:
    done = CliRunner().invoke(app, list(words), obj=front)
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_whoever_asks_for_a_rollout_whose_run_has_failed_reads_that_and_why(
    services: MemoryServices, front: Front
) -> None:
    halts.note_failure(context())
    halts.note_failure(context())  # by the task, and by Airflow once more
    shown = pps(front, "rollout", "show", ROLLOUT)
    assert "failed Its run has failed on" in shown
    for said in (shown, pps(front, "rollout", "list"), pps(front, "why", "4711")):
        assert IN_WORDS in said and "its tag list is locked" in said
        assert "have an Admin of Airflow clear that task" in said
    assert "answer It does not go on. Its run has failed" in pps(front, "why", "4711")
    (row,) = json.loads(CliRunner().invoke(app, ["rollout", "list", "--json"], obj=front).stdout)
    data = json.loads(CliRunner().invoke(app, ["rollout", "show", ROLLOUT, "--json"], obj=front).stdout)
    assert row["failed"] == data["failed"]
    assert row["failed"]["task"] == "release_to_production" and "is locked" in row["failed"]["reason"]

    web = TestClient(create_app(lambda: services, airflow_user, ticking()), base_url="https://pps.example.org")
    signed_in = {"Authorization": "Bearer good", "X-Test-Role": "EMT"}
    page = Read(web.get(f"/rollouts/{ROLLOUT}", headers=signed_in).text).words
    assert "in preview run failed" in page, "beside where it stands, not only below it"
    assert IN_WORDS in page and "its tag list is locked" in page and "ada@example.org" not in page
    (listed,) = web.get("/api/v1/rollouts", headers=signed_in).json()["rollouts"]
    assert IN_WORDS in listed["failed"] and "ada@example.org" not in listed["failed"]
    public = Read(web.get("/patches/4711").text).words
    assert IN_WORDS in public and "its tag list is locked" not in public, "the cause may quote a site"


def test_a_task_that_is_tried_again_is_no_failure_any_more_and_another_one_is(
    services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    halts.note_failure(context())
    begins(monkeypatch, "another_task")
    assert halt_of(services.facts.rollout(ROLLOUT))
    begins(monkeypatch)
    begins(monkeypatch)
    record = services.facts.rollout(ROLLOUT)
    assert halt_of(record) is None
    assert sum(f.kind is FactKind.TASK_WENT_ON for f in record.facts) == 1
    halts.note_failure(context(tried=6))
    assert halt_of(services.facts.rollout(ROLLOUT))


@pytest.mark.parametrize("kind", [FactKind.ROLLOUT_STOPPED, FactKind.ROLLOUT_CLOSED])
def test_what_is_over_has_not_failed(services: MemoryServices, kind: FactKind) -> None:
    halts.note_failure(context())
    services.facts.record(happened(kind, after=9, reasons=["The failure budget is used up."], outcome="stopped"))
    assert halt_of(services.facts.rollout(ROLLOUT)) is None


def test_a_withdrawal_that_fails_is_shown_and_a_night_that_fails_comes_again(services: MemoryServices) -> None:
    night = SimpleNamespace(dag_id="nightly_distribution", run_id="tonight")
    halts.note_failure(context(run=night))
    assert halt_of(services.facts.rollout(ROLLOUT)) is None
    services.facts.record(happened(FactKind.WITHDRAWAL_ASKED, reason="It loses jobs."))
    by_hand = SimpleNamespace(dag_id="withdraw_rollout", run_id="manual")
    halts.note_failure(context(None, "remove_previews", run=by_hand, rollout=ROLLOUT))
    halt = halt_of(services.facts.rollout(ROLLOUT))
    assert halt and halt.task == "remove_previews" and "was killed" in halt.reason


def test_a_failure_that_cannot_be_put_on_record_breaks_nothing(
    services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ERROR

    monkeypatch.setattr(services.facts, "with_payload", away)
    halts.note_failure(context())


def test_every_task_of_ours_tells_of_its_failure() -> None:
    dags = Path(__file__).parents[3] / "dags"
    bag = DagBag(dag_folder=str(dags), bundle_path=dags, bundle_name="dags")
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]
    assert len(tasks) > 100
    told = (halts.note_failure, [halts.note_failure], (halts.note_failure,))
    silent = [t.task_id for t in tasks if t.on_failure_callback not in told]
    assert silent == []
