"""A worker's tasks reach the execution API through a proxy, and the api-server is still starting (docs/adr/0015)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

#: What the scheduler does with its executor, on a real queue with a real worker: one queued task until it is reported.
SCHEDULER = """
import json, sys, time, uuid
from datetime import UTC, datetime
import sqlalchemy as sa
from airflow import settings
from airflow.executors.workloads import ExecuteTask
from airflow.executors.workloads.base import BundleInfo
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from pps.orchestration.executor import SafeLocalExecutor

import_all_models()
Base.metadata.create_all(settings.engine)
task, run = uuid.uuid4(), {"dag_id": "d", "run_id": "r"}
about = {"map_index": -1, "try_number": 1, "pool_slots": 1, "queue": "q"}
with settings.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    connection.execute(sa.text("PRAGMA foreign_keys = OFF"))
    now = {"run_after": datetime.now(UTC), "span_status": "not_started", "clear_number": 0, "log_template_id": 1}
    connection.execute(sa.insert(DagRun.__table__).values(**run, **now, run_type="manual", conf={}))
    connection.execute(sa.insert(TaskInstance.__table__).values(
        id=task, **run, **about, task_id="t", pool="p", span_status="not_started", state="queued"))
settings.engine.dispose()

executor = SafeLocalExecutor(parallelism=1)
executor.start()
dto = TaskInstanceDTO(id=task, dag_version_id=uuid.uuid4(), task_id="t", priority_weight=1, **run, **about)
workload = ExecuteTask(ti=dto, dag_rel_path="d.py", token="", bundle_info=BundleInfo(name="b"), log_path="t.log")
executor.queued_tasks[workload.key] = workload
executor.running.add(workload.key)
try:
    executor._process_workloads([workload])
    while executor.running:
        time.sleep(0.02)
        executor.sync()
except BaseException:
    for worker in executor.workers.values():
        worker.kill()
    raise
events = {key.task_id: [str(state), str(why)] for key, (state, why) in executor.get_event_buffer().items()}
executor.end()
with settings.engine.begin() as connection:
    state = connection.execute(sa.select(TaskInstance.__table__.c.state)).scalar_one()
print(json.dumps({"events": events, "state": state}))
"""


class _Proxy(BaseHTTPRequestHandler):
    """nginx, before the server behind it listens; or, with a `status` of its own, that server."""

    status = 502
    asked: list[str]

    def do_PATCH(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        html = f"<html><head><title>{self.status}</title></head></html>".encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(html)))
        self.end_headers()
        self.wfile.write(html)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def proxy() -> Iterator[ThreadingHTTPServer]:
    handler = type("Proxy", (_Proxy,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def what_the_scheduler_learns(folder: Path, port: int) -> dict[str, object]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")} | {
        "PYTHONPATH": str(Path(__file__).parents[2] / "plugins"),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",  # and no address of the execution API itself
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
    }
    command = [sys.executable, "-c", SCHEDULER]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_proxy_that_answers_502_ends_no_scheduler_and_costs_no_try(
    proxy: ThreadingHTTPServer, tmp_path: Path
) -> None:
    learnt = what_the_scheduler_learns(tmp_path, proxy.server_address[1])
    assert [path.rsplit("/", 1)[-1] for path in proxy.RequestHandlerClass.asked] == ["run"]
    assert learnt == {"events": {}, "state": "scheduled"}


def test_what_the_execution_api_itself_refuses_is_a_failure_with_its_reason(
    proxy: ThreadingHTTPServer, tmp_path: Path
) -> None:
    proxy.RequestHandlerClass.status = 403
    learnt = what_the_scheduler_learns(tmp_path, proxy.server_address[1])
    assert learnt["state"] == "queued"
    state, why = learnt["events"]["t"]
    assert state == "failed"
    assert why.startswith("HTTPStatusError: Client error '403 Forbidden' for url")
