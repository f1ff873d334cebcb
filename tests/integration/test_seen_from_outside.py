"""What is measured leaves by Airflow's own OpenTelemetry exporter, and is kept in PostgreSQL as the application may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint
from tests.support.examples import NOW, PATCH, previewed, sqlite_store

from pps.activities.operations.numbers import GAUGES
from pps.activities.ports.people import Mail
from pps.activities.ports.record import LastSeen
from pps.adapters.record.store import FactStore

ROOT = Path(__file__).resolve().parents[2]


class Receiver(ThreadingHTTPServer):
    """As much of an OpenTelemetry collector as takes metrics by HTTP."""

    def __init__(self) -> None:
        self.points: dict[str, list[NumberDataPoint]] = {}
        super().__init__(("127.0.0.1", 0), _Receives)

    def take(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.points[metric.name] = list(metric.gauge.data_points)


class _Receives(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Receiver)
        assert (self.path, self.headers["content-type"]) == ("/v1/metrics", "application/x-protobuf")
        self.server.take(decompress(body) if self.headers["content-encoding"] == "gzip" else body)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def serve(folder: Path, receiver: Receiver, **settings: str) -> str:
    """Let an api-server begin and end beside us; what it says of its exporter."""
    store = sqlite_store(folder)
    previewed(store)
    store.dispose()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
        **settings,
    }
    command = [sys.executable, "-m", "tests.support.sends_gauges", str(folder), str(folder / "config")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def test_our_gauges_leave_by_the_exporter_of_airflows_own_metrics(tmp_path: Path, receiver: Receiver) -> None:
    assert serve(tmp_path, receiver, AIRFLOW__METRICS__OTEL_ON="True") == "sent"
    sites = {
        tuple(a.value.string_value for a in point.attributes): point.as_double
        for point in receiver.points["pps_preview_sites"]
    }
    assert sites[PATCH.metapackage, PATCH.version, "available"] == 2
    assert {tuple(a.key for a in point.attributes) for point in receiver.points["pps_preview_sites"]} == {
        ("product", "version", "state")
    }
    assert [point.as_double for point in receiver.points["pps_night_failed"]] == [1]
    without_value = {"pps_backup_seconds", "pps_signatures_valid_seconds", "pps_tracker_seconds"}
    never = without_value | {"pps_tracker_missed_seconds"}  # the tracker is asked by the first look
    assert {g.name for g in GAUGES} - never <= receiver.points.keys()
    assert "airflow.pps.serving" in receiver.points, "Airflow's own go the same way"


def test_where_airflow_sends_no_metrics_neither_do_we(tmp_path: Path, receiver: Receiver) -> None:
    assert serve(tmp_path, receiver, AIRFLOW__METRICS__OTEL_ON="False") == "nothing is sent"
    assert receiver.points == {}


@pytest.mark.needs("postgres")
def test_the_applications_role_notes_what_it_has_seen_and_how_long_messages_wait(fact_store: FactStore) -> None:
    record = previewed(fact_store)
    before = datetime.now(UTC)
    fact_store.record(mails=[Mail(f"{record.name}/{n}", "a@example.org", "s", "t", "") for n in range(2)])
    after = datetime.now(UTC)
    fact_store.mark_refused({f"{record.name}/0": "550"}, after)
    (waiting,) = fact_store.waiting(after).values()
    assert waiting.number == 2
    assert waiting.oldest is not None
    assert before <= waiting.oldest == waiting.due_since <= after
    fact_store.mark_sent([f"{record.name}/{n}" for n in range(2)], after)
    assert fact_store.waiting(after) == {}
    for hours in (0, 1):
        fact_store.missed("tracker", NOW + timedelta(hours=hours))
    assert fact_store.last_seen() == {"tracker": LastSeen(None, NOW)}
    fact_store.saw("tracker", NOW + timedelta(hours=2))
    assert fact_store.last_seen() == {"tracker": LastSeen(NOW + timedelta(hours=2), None)}


LOGS_SOMETHING = """
from airflow.logging_config import configure_logging
configure_logging()
import logging
from pps.domain.base.errors import ServiceError
try:
    raise ServiceError("the tracker", "does not answer.", "Wait.")
except ServiceError:
    logging.getLogger("pps.web.problems").warning("It said: %s", "no\\nanswer", exc_info=True)
"""


def test_with_airflows_json_logs_each_line_of_ours_is_one_object(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "plugins"),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__LOGGING__JSON_LOGS": "True",
    }
    done = subprocess.run([sys.executable, "-c", LOGS_SOMETHING], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    (ours,) = [line for line in lines if line.get("logger") == "pps.web.problems"]
    assert (ours["level"], ours["event"]) == ("warning", "It said: no\nanswer")
    assert "timestamp" in ours
    assert "ServiceError" in json.dumps(ours), "and its traceback is in it"
