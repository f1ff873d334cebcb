"""What Airflow shows of steps: labels that count sites, and a note that fails no step.

The steps are the real ones, and so are scripts, store and sites (folders of this machine); only Airflow's context is
given, and its api-server is a socket.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.previews import SMALL
from tests.support.withdrawals import World, world  # noqa: F401

from pps.activities.clients.run_note import DOOR, NoteAsked
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.orchestration import labels, run_notes
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps.distribution import bring_to_sites

pytestmark = [pytest.mark.needs("shells"), pytest.mark.usefixtures("usual_umask")]

SECRET = "s" * 40
RUN = SimpleNamespace(dag_id="bc_client_update", run_id="bc-client-4711-1")


class ApiServer(ThreadingHTTPServer):
    """What is said to it; answers with `status`."""

    status = 204

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_POST(self) -> None:
        self.server.said.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    given: dict[str, Any] = {"dag_run": RUN}
    for module in (labels, run_notes):
        monkeypatch.setattr(module, "get_current_context", lambda: given)
    return given


@pytest.fixture
def api_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("PPS_FEEDBACK_SECRET", SECRET)
        monkeypatch.setenv(
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"http://127.0.0.1:{server.server_port}/execution/"
        )
        yield server
        server.shutdown()
        thread.join()


def test_the_label_counts_how_the_sites_of_a_batch_ended_and_a_second_try_counts_the_same(
    world: World, context: dict[str, Any], api_server: ApiServer
) -> None:
    name = world.opens(SMALL, "1.0")
    shutil.rmtree(world.sites["C"].preview_root)
    Path(world.sites["C"].preview_root).write_text("no folder")
    distribute = bring_to_sites
    assert distribute(rollout=name, batch="fleet-1") == {"full": 1, "failed": 1}
    assert context["label"] == "fleet-1: 1 reached, 1 failed"

    steps.run_probe_tests.function(rollout=name, batch="fleet-1")
    assert world.record(name).progress("B").state is SiteState.NOT_ANNOUNCED, "these files are no client"
    assert context["label"] == "fleet-1: 0 passed, 1 failed"

    world.facts.record(world.fact(name, FactKind.PROBES_PASSED, "B"))
    for _ in range(2):
        steps.publish_tag.function(rollout=name, batch="fleet-1")
        assert context["label"] == "fleet-1: 1 tagged"
    assert distribute(rollout=name, batch="fleet-1") == {"already": 1, "failed": 1}
    assert context["label"] == "fleet-1: 1 reached, 1 failed"


def test_a_batch_of_a_night_is_named_with_its_rollout_and_that_of_one_site_by_the_site(context: dict[str, Any]) -> None:
    assert labels.say_how_it_went("bc-client-4711-1", "night-2026-03-02", {"reached": 0}) == (
        "bc-client-4711-1, night-2026-03-02: 0 reached"
    )
    assert labels.say_how_it_went("x", "at-PIC", {"tagged": 1, "failed": 0}) == "PIC: 1 tagged"
    assert len(labels.say_how_it_went("x" * 300, "night", {"reached": 1})) == 250


def test_each_step_has_the_note_of_its_run_written_also_when_it_refuses(
    world: World, context: dict[str, Any], api_server: ApiServer
) -> None:
    name = world.opens(SMALL, "1.0")
    steps.run_probe_tests.function(rollout=name, batch="canary")
    world.asks(name)
    with pytest.raises(NotYetAllowedError):
        bring_to_sites(rollout=name, batch="canary")
    asked = NoteAsked(RUN.dag_id, RUN.run_id, name)
    assert [(path, NoteAsked.read(SECRET.encode(), said.decode())) for path, said in api_server.said] == [
        (f"/pps{DOOR}", asked)
    ] * 2


def test_a_note_that_cannot_be_written_is_logged_and_fails_no_step(
    world: World,
    context: dict[str, Any],
    api_server: ApiServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = world.opens(SMALL, "1.0")

    def probes() -> str:
        caplog.clear()
        steps.run_probe_tests.function(rollout=name, batch="canary")
        (said,) = [r.getMessage() for r in caplog.records if r.name == run_notes.__name__]
        assert said.startswith("The note of this run was not written: ")
        return said

    api_server.status = 500
    assert "HTTP 500" in probes()
    api_server.server_close()
    assert "Connection" in probes()
    monkeypatch.setenv("PPS_FEEDBACK_SECRET", "short")
    del world.services.__dict__["feedback_secret"]
    assert "PPS_FEEDBACK_SECRET" in probes()
