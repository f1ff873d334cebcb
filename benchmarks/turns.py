"""What Airflow's scheduler takes for runs that wait, and how soon it sees that one has changed. See README.md here.

`python -m benchmarks.turns [RUNS]` (100) fills a real PostgreSQL with runs of the minor pilot that wait, every second
at its first question, the others in the run at a site, and lets the loop of Airflow's scheduler go over them in this
process: in turn, 20 a loop, as Airflow does it; and two a loop, those that have changed first, as with our executor.
Both take turns, so that a busy machine is unfair to none. Nothing but the scheduler runs, and no task begins.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DAG, QUESTION, FOLLOWS = "minor_server_pilot", "accept_request", "request_is_accepted"
IN_RUN = ("site.wait_for_end_or_roll_back", "wait_for_end_of_run")
#: What is done beside the waits of a run.
BESIDE = ("deployment_test_is_missing", "start_deployment_test")
WAYS = {"in turn, 20 a loop": (20, False), "changed first, 2 a loop": (2, True)}
ROUNDS, QUIET_S, ANSWERS = 3, 20.0, 5


def fill(runs: int) -> None:
    """Runs that wait, as the scheduler has left them."""
    from airflow._shared.timezones import timezone
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.tasklog import LogTemplate
    from airflow.models.taskmap import TaskMap
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import select, update

    with create_session() as session:
        session.add_all([DagBundleModel(name="dags-folder"), LogTemplate(filename="x", elasticsearch_id="x")])
    bag = DagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags", bundle_name="dags-folder")
    with create_session() as session:
        sync_bag_to_db(bag, "dags-folder", None, session=session)
    now = timezone.utcnow()
    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=False))
        dag = DBDagBag().get_latest_version_of_dag(DAG, session=session)
        assert dag is not None
        for number in range(runs):
            waits = IN_RUN if number % 2 else (QUESTION,)
            done = {name for task in waits for name in dag.get_task(task).get_flat_relative_ids(upstream=True)}
            done |= set(BESIDE if number % 2 else ())
            run = dag.create_dagrun(
                run_id=f"pilot-{number}",
                run_type=DagRunType.MANUAL,
                run_after=now,
                logical_date=None,
                state=DagRunState.RUNNING,
                triggered_by=DagRunTriggeredByType.REST_API,
                conf={"patch": 1, "scope": "It waits."},
                session=session,
            )
            session.flush()
            if number % 2:
                one: dict[str, Any] = {"task_id": "sites_of_pilot", "map_index": -1, "length": 1, "keys": None}
                session.add(TaskMap(dag_id=DAG, run_id=run.run_id, **one))
            for ti in session.scalars(select(TaskInstance).where(TaskInstance.run_id == run.run_id)).all():
                if number % 2 and ti.task_id.startswith("site."):
                    ti.map_index = 0
                if ti.task_id in waits:
                    ti.state = "deferred" if number % 2 else "awaiting_input"
                elif ti.task_id in done:
                    ti.state, ti.start_date, ti.end_date = "success", now, now


class Scheduler:
    """Its loop, without the parts that have nothing to do with runs."""

    def __init__(self) -> None:
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.utils.session import create_session

        from pps.orchestration.executor import SafeLocalExecutor

        self.job = Job()
        with create_session() as session:
            session.add(self.job)
        self.runner = SchedulerJobRunner(self.job)
        self.ours = SafeLocalExecutor(parallelism=1)

    def loop(self, at_once: int, changed_first: bool) -> None:
        """One loop, and the second of sleep after it if there was nothing to do."""
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session

        DagRun.DEFAULT_DAGRUNS_TO_EXAMINE = at_once
        with create_session() as session:
            queued = self.runner._do_scheduling(session)
            session.expunge_all()
        events = self.ours.get_event_buffer() if changed_first else {}
        if not queued and not events:
            time.sleep(1)

    def cpu(self, seconds: float, *way: Any) -> float:
        """In % of a core, while nothing happens."""
        began, used = time.monotonic(), time.process_time()
        while time.monotonic() < began + seconds:
            self.loop(*way)
        return 100 * (time.process_time() - used) / (time.monotonic() - began)

    def follows(self, run: str, asleep: float, *way: Any) -> float:
        """Seconds from the end of a question's task until the scheduler has found what is next.

        Then all is as it was before.

        Args:
            asleep: for how long the scheduler is still asleep when the task ends.
        """
        from airflow._shared.timezones import timezone
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select, update

        def becomes(task: str, state: str | None) -> None:
            of_task = (TaskInstance.run_id == run, TaskInstance.task_id == task)
            with create_session() as session:
                new = {"state": state, "updated_at": timezone.utcnow()}
                session.execute(update(TaskInstance).where(*of_task).values(**new))

        becomes(QUESTION, "success")
        began = time.monotonic()
        time.sleep(asleep)
        found = False
        next_one = select(TaskInstance.state).where(TaskInstance.run_id == run, TaskInstance.task_id == FOLLOWS)
        while not found:
            self.loop(*way)
            with create_session() as session:
                found = session.scalar(next_one) is not None
        took = time.monotonic() - began
        becomes(QUESTION, "awaiting_input")
        becomes(FOLLOWS, None)
        return took


def measure(runs: int) -> None:
    """Both ways, one after the other, several times."""
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from airflow.settings import engine

    import_all_models()
    Base.metadata.create_all(engine)
    fill(runs)
    scheduler = Scheduler()
    cpu: dict[str, list[float]] = {name: [] for name in WAYS}
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(2 + runs // 20):
        scheduler.loop(20, True)  # each run was looked at
    for turn in range(ROUNDS):
        for name, way in WAYS.items():
            cpu[name].append(scheduler.cpu(QUIET_S, *way))
            for number in range(ANSWERS):
                which = 2 * (37 * (turn * ANSWERS + number) % (runs // 2))
                took[name].append(scheduler.follows(f"pilot-{which}", (number + 0.5) / ANSWERS, *way))
            print(f"{name}: {cpu[name][-1]:.1f} %, {took[name][-ANSWERS:]}", file=sys.stderr, flush=True)
    print(f"{runs} runs wait; load average {os.getloadavg()[0]:.1f}\n")
    print(
        "| the scheduler looks | CPU, % of a core | from the end of a task until the next is found: median, longest |"
    )
    print("|---|---|---|")
    for name in WAYS:
        found = took[name]
        print(f"| {name} | {statistics.median(cpu[name]):.1f} | {statistics.median(found):.2f}, {max(found):.2f} s |")


def main() -> int:
    sys.path[:0] = [str(ROOT / "plugins")]
    from pps.sandbox.airflow.postgres import EmbeddedPostgres

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with (
        tempfile.TemporaryDirectory(prefix="pps-turns-", ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder) / "postgres", databases=("airflow",)) as postgres,
    ):
        os.environ.update(
            AIRFLOW_HOME=folder,
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
            AIRFLOW__CORE__EXECUTOR="pps.orchestration.executor.SafeLocalExecutor",
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgres.url("airflow"),
            AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
            PPS_CONFIG=str(ROOT / "config"),
        )
        measure(runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
