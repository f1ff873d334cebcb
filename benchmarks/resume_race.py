"""How often a task that resumes at once is failed by the scheduler (docs/adr/0001), under one executor after the other.

`python -m benchmarks.resume_race [--tries 60] [--rounds 1] [EXECUTOR ...]`: human tasks that are answered as soon as
they ask, and deferrable sensors whose moment has passed; the DAGs of tests/e2e/dags/soak.py. Executors: `local`
(Airflow's own), `safe` (ours), `celery` (Airflow's own, with a broker and a worker of eight slots). Each gets a fresh
PostgreSQL and Airflow. The exit code is 1 if ours, or Celery's, failed any.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.airflow_waits import wait_for_run
from tests.support.nodes import Broker

from pps.adapters.record.store import upgrade
from pps.adapters.services.airflow_rest import AirflowClient
from pps.sandbox.airflow.postgres import EmbeddedPostgres
from pps.sandbox.airflow.server import EmbeddedAirflow
from pps.sandbox.grid.processes import Servers

ROOT = Path(__file__).resolve().parents[1]
SLOTS = 8
EXECUTORS = {
    "local": "LocalExecutor",
    "safe": "pps.orchestration.executor.SafeLocalExecutor",
    "celery": "CeleryExecutor",
}


def main() -> int:
    parser = argparse.ArgumentParser(description="How often is a task failed that resumes at once?")
    parser.add_argument("executors", nargs="*", metavar="EXECUTOR", default=list(EXECUTORS))
    parser.add_argument("--tries", type=int, default=60, help="tasks of each kind in a round")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    harmed = False
    for name in given.executors:
        failed, tries = {"answers": 0, "waits": 0}, given.tries * given.rounds
        began = time.monotonic()
        with running(name) as airflow:
            client = AirflowClient(airflow.url, "admin", airflow.password("admin"), timeout_s=120)
            for _ in range(given.rounds):
                failed["answers"] += answered_at_once(client, given.tries)
                failed["waits"] += already_over(client, given.tries)
                print(f"{name}: so far {failed} failed", flush=True)
        harmed |= name != "local" and any(failed.values())
        took = time.monotonic() - began
        print(
            f"{name}: failed {failed['answers']} of {tries} answers, {failed['waits']} of {tries} waits; {took:.0f} s"
        )
    return int(harmed)


@contextmanager
def running(name: str) -> Iterator[EmbeddedAirflow]:
    with tempfile.TemporaryDirectory(prefix="pps-race-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        dags, config = folder / "dags", folder / "config"
        dags.mkdir()
        shutil.copytree(ROOT / "config", config)
        shutil.copyfile(ROOT / "tests" / "e2e" / "dags" / "soak.py", dags / "soak.py")
        servers = Servers(folder / "process")
        with EmbeddedPostgres(folder / "postgres") as postgres, servers:
            upgrade(postgres.url("pps", role="owner"), application=postgres.url("pps", role="application"))
            broker = Broker(folder, servers) if name == "celery" else None
            if broker is not None:
                broker.start()
            environment = {
                "PPS_CONFIG": str(config),
                "AIRFLOW_CONN_PPS_STORE": postgres.url("pps", role="application").replace("+psycopg", ""),
                "AIRFLOW__CORE__EXECUTOR": EXECUTORS[name],
                "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
                **(broker.environment if broker else {}),
            }
            airflow = EmbeddedAirflow(
                folder / "airflow", dags, ROOT / "plugins", postgres.url("airflow"), extra_env=environment
            )
            with airflow:
                if broker is not None:
                    start_worker(servers, airflow.environment(), folder, "worker", SLOTS)
                yield airflow


def start_worker(servers: Servers, environment: Mapping[str, str], folder: Path, name: str, slots: int) -> None:
    """Airflow's own Celery worker, on this machine."""
    words = ["celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip", "-c", str(slots)]
    servers.start(
        name,
        [sys.executable, "-m", "airflow", *words, "--celery-hostname", name],
        env={**environment, "USER": os.environ.get("USER", "")},
        cwd=folder,
        log=folder / f"{name}.log",
        grace_s=2.0,
    )


def answered_at_once(client: AirflowClient, tries: int) -> int:
    """How many of so many human tasks did not succeed at their first try."""
    run = client.trigger("soak_answers", {"count": tries})
    answered: set[int] = set()
    deadline = time.monotonic() + 900
    with ThreadPoolExecutor(4) as pool:
        while len(answered) < tries and time.monotonic() < deadline:
            asked = [q for q in client.questions("soak_answers", run) if q.map_index not in answered]
            list(pool.map(lambda question: client.answer(question, ["Yes"]), asked))
            answered |= {question.map_index for question in asked}
            time.sleep(0.2)
    wait_for_run(client, "soak_answers", run, 900)
    return _failed(client, "soak_answers", run, "ask")


def already_over(client: AirflowClient, tries: int) -> int:
    """As above, of deferrable sensors."""
    run = client.trigger("soak_waits", {"count": tries})
    wait_for_run(client, "soak_waits", run, 900)
    return _failed(client, "soak_waits", run, "wait")


def _failed(client: AirflowClient, dag: str, run: str, task: str) -> int:
    tasks = [t for t in client.tasks(dag, run) if t.task == task]
    return sum((t.state, t.try_number) != ("success", 1) for t in tasks)


if __name__ == "__main__":
    sys.exit(main())
