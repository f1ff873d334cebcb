"""A run in which something has changed is the next that Airflow's scheduler looks at (docs/adr/0040)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbag import DBDagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.models.tasklog import LogTemplate
from sqlalchemy.orm import Session, sessionmaker

from pps.orchestration import executor, turns
from pps.orchestration.executor import SafeLocalExecutor
from pps.orchestration.turns import changed_runs_first
from pps.sandbox.airflow.postgres import EmbeddedPostgres

DAG = "minor_server_pilot"
#: No moment of these tests is that of the machine.
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AT_ONCE = 2
STATES = ("running", "queued", "scheduled", "deferred", "awaiting_input", "restarting")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Scheduler:
    """Its database; the runs in it were looked at one after the other, one a second from noon on."""

    def __init__(self, session: sessionmaker[Session]) -> None:
        self.session = session

    def waits(self, runs: int) -> None:
        """So many runs; in each a task has ended, one waits, and one has not begun."""
        with self.session.begin() as session:
            for number in range(runs):
                self._insert(
                    session,
                    DagRun,
                    run_id=f"pilot-{number}",
                    state="running",
                    run_type="manual",
                    run_after=at(number - 9e5),
                    conf={},
                    span_status="not_started",
                    log_template_id=1,
                    clear_number=0,
                    last_scheduling_decision=at(number),
                )
                for task, state in (
                    ("open_pilot", "success"),
                    ("accept_request", "awaiting_input"),
                    ("end_pilot", None),
                ):
                    self._insert(
                        session,
                        TaskInstance,
                        id=uuid.uuid4(),
                        run_id=f"pilot-{number}",
                        task_id=task,
                        state=state,
                        map_index=-1,
                        try_number=1,
                        pool="p",
                        pool_slots=1,
                        queue="q",
                        span_status="not_started",
                        updated_at=at(-3600),
                    )

    def _insert(self, session: Session, model: Any, **values: Any) -> None:
        session.execute(sa.insert(model.__table__).values(dag_id=DAG, **values))

    def becomes(self, run: str, state: str | None, when: datetime, task: str = "accept_request") -> None:
        of_task = (TaskInstance.run_id == run, TaskInstance.task_id == task)
        with self.session.begin() as session:
            session.execute(sa.update(TaskInstance).where(*of_task).values(state=state, updated_at=when))

    def changed(self, seconds: float) -> list[str]:
        return [run for _, run in changed_runs_first(at(seconds), AT_ONCE)]

    def looks_at(self, when: datetime | None = None) -> list[str]:
        """What Airflow itself looks at in its next loop; it notes when, if that is said."""
        with self.session.begin() as session:
            runs = list(DagRun.get_running_dag_runs_to_examine(session=session))
            for run in runs if when else ():
                run.last_scheduling_decision = when
            return [run.run_id for run in runs]


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres) -> Iterator[sessionmaker[Session]]:
    """With Airflow's own tables, and the DAG of all these runs."""
    postgres_server.create_database("turns")
    import_all_models()
    # whoever waits for a lock fails, and keeps nobody waiting
    engine = sa.create_engine(postgres_server.url("turns"), connect_args={"options": "-c lock_timeout=2s"})
    Base.metadata.create_all(engine)
    maker = sessionmaker(engine)
    with maker.begin() as session:
        session.add(DagBundleModel(name="dags"))
        session.add(LogTemplate(id=1, filename="x", elasticsearch_id="x"))
        session.flush()
        session.add(DagModel(dag_id=DAG, bundle_name="dags", is_paused=False, is_stale=False))
    yield maker
    engine.dispose()


@pytest.fixture
def scheduler(database: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    monkeypatch.setattr(turns, "create_session", database.begin)
    monkeypatch.setattr(executor, "create_session", database.begin)
    monkeypatch.setattr(DagRun, "DEFAULT_DAGRUNS_TO_EXAMINE", AT_ONCE)
    with database.begin() as session:
        session.execute(sa.delete(DagRun))
    return Scheduler(database)


@pytest.mark.parametrize("ended", ["success", "failed", "skipped", "upstream_failed", "removed", None])
def test_a_run_in_which_a_task_has_ended_or_was_cleared_comes_before_all_that_wait(
    scheduler: Scheduler, ended: str | None
) -> None:
    scheduler.waits(20)
    assert scheduler.looks_at() == ["pilot-0", "pilot-1"], "in turn, and the last is nine loops away"
    scheduler.becomes("pilot-19", ended, at(30))
    assert scheduler.changed(31) == ["pilot-19"]
    assert scheduler.looks_at() == ["pilot-19", "pilot-0"]
    assert scheduler.changed(32) == [], "once"


def test_of_many_runs_that_change_again_and_again_none_waits_for_long(scheduler: Scheduler) -> None:
    """Airflow would take the oldest runs first, as long as these have something to do."""
    scheduler.waits(20)
    seen: set[str] = set()
    for loop in range(5):
        for number in range(10):
            scheduler.becomes(f"pilot-{number}", "success", at(30 + loop))
        scheduler.changed(30.5 + loop)
        seen |= set(scheduler.looks_at(when=at(30.8 + loop)))
    assert seen == {f"pilot-{number}" for number in range(10)}


def test_a_new_run_does_not_wait_for_older_ones_that_have_changed(scheduler: Scheduler) -> None:
    scheduler.waits(20)
    with scheduler.session.begin() as session:
        new = sa.update(DagRun).where(DagRun.run_id.in_(["pilot-18", "pilot-19"]))
        session.execute(new.values(last_scheduling_decision=None, run_after=at(29)))
    for number in range(10):
        scheduler.becomes(f"pilot-{number}", "success", at(30))
    assert len(scheduler.changed(31)) == 10, "so Airflow does not sleep"
    assert scheduler.looks_at(when=at(32)) == ["pilot-18", "pilot-19"]
    scheduler.changed(33)
    assert set(scheduler.looks_at()) == {"pilot-0", "pilot-1"}


def test_a_run_of_a_dag_that_is_paused_keeps_airflow_from_no_sleep(scheduler: Scheduler) -> None:
    scheduler.waits(2)
    with scheduler.session.begin() as session:
        session.execute(sa.update(DagModel).values(is_paused=True))
    scheduler.becomes("pilot-1", "success", at(30))
    assert scheduler.changed(31) == []
    with scheduler.session.begin() as session:
        session.execute(sa.update(DagModel).values(is_paused=False))
    assert scheduler.changed(32) == ["pilot-1"]


@pytest.mark.parametrize("state", STATES)
def test_a_task_that_works_or_waits_puts_no_run_first(scheduler: Scheduler, state: str) -> None:
    scheduler.waits(5)
    scheduler.becomes("pilot-4", state, at(30))
    assert scheduler.changed(31) == []


def test_what_has_changed_before_the_last_look_is_no_news(scheduler: Scheduler) -> None:
    scheduler.waits(5)
    scheduler.becomes("pilot-4", "success", at(3.5))
    assert scheduler.changed(31) == []


def test_a_run_that_has_ended_stays_so(scheduler: Scheduler) -> None:
    scheduler.waits(2)
    with scheduler.session.begin() as session:
        session.execute(sa.update(DagRun).values(state="success"))
    scheduler.becomes("pilot-1", "success", at(30))
    assert scheduler.changed(31) == []


def test_a_task_that_is_to_be_tried_again_has_its_run_looked_at_every_five_seconds(scheduler: Scheduler) -> None:
    scheduler.waits(2)
    scheduler.becomes("pilot-1", "up_for_retry", at(1.5))
    assert scheduler.changed(5.9) == []
    assert scheduler.changed(6.1) == ["pilot-1"]


def test_a_machine_whose_clock_is_ahead_keeps_nobody_busy(scheduler: Scheduler) -> None:
    """Else its run would have changed after each look, until the clock of the scheduler has come there."""
    scheduler.waits(2)
    scheduler.becomes("pilot-1", "success", at(60))
    assert scheduler.changed(30) == []
    assert scheduler.changed(60) == ["pilot-1"]


def test_a_run_that_another_scheduler_looks_at_is_left_to_it(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.waits(2)
    scheduler.becomes("pilot-0", "success", at(30))
    with scheduler.session.begin() as other:
        other.execute(sa.select(DagRun.id).where(DagRun.run_id == "pilot-0").with_for_update())
        assert scheduler.changed(31) == []
    assert not caplog.records, "and nobody waits for it"
    assert scheduler.changed(31) == ["pilot-0"]


def test_airflow_goes_on_at_once_when_a_run_has_changed_and_does_nothing_else_about_it(scheduler: Scheduler) -> None:
    scheduler.waits(2)
    workers = SafeLocalExecutor(parallelism=1)

    def reports() -> int:
        with scheduler.session() as session:
            return SchedulerJobRunner.process_executor_events(
                executor=workers, job_id=1, scheduler_dag_bag=DBDagBag(), session=session
            )

    assert reports() == 0, "and it sleeps"
    scheduler.becomes("pilot-1", "success", at(30))
    workers.success(TaskInstanceKey(DAG, "accept_request", "pilot-1", 1, -1))
    assert reports() == 1, "this is what keeps it from sleeping"
    assert scheduler.looks_at()[0] == "pilot-1"
    with scheduler.session() as session:
        states = session.execute(
            sa.select(TaskInstance.task_id, TaskInstance.state).where(TaskInstance.run_id == "pilot-1")
        )
        assert dict(states.all()) == {"open_pilot": "success", "accept_request": "success", "end_pilot": None}
    assert reports() == 0


def test_an_airflow_whose_database_does_not_answer_goes_on(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = sessionmaker(sa.create_engine("postgresql+psycopg://127.0.0.1:1/none"))
    monkeypatch.setattr(turns, "create_session", nowhere.begin)
    assert SafeLocalExecutor(parallelism=1).get_event_buffer() == {}
