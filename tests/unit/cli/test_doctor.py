"""`pps doctor`: OK, WARN or FAIL a line, what to do, and exit code 1 only for failures."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import signing
from tests.support.front import front, services  # noqa: F401
from tests.unit.activities.sites.test_diagnosis import GOOD, Shell
from typer.testing import CliRunner

from pps.activities.ports.tracker import Reading
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import ServiceError, SiteUnreachableError


class _Greeter(socketserver.StreamRequestHandler):
    """As much of an SMTP server as EHLO needs."""

    answer = b"250 mail.example.org\r\n"

    def handle(self) -> None:
        self.wfile.write(b"220 mail.example.org\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(self.answer)


@pytest.fixture
def mail_server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Greeter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


class _ExecutionApi(BaseHTTPRequestHandler):
    """As much of the api-server as a look at it needs."""

    answer = b'{"status":"healthy"}'

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/execution/health" else 404)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def execution_api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _ExecutionApi) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/execution/"
        server.shutdown()
        thread.join()


@pytest.fixture
def shell() -> Shell:
    return Shell({})


@pytest.fixture
def healthy(front: Front, mail_server: int, execution_api: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Front:
    """A front end to whom everything is well, also with the Python that runs the tests."""
    monkeypatch.setattr("pps.domain.packages.interpreter.warning", lambda version: "")
    services = front.services
    change(services.config.folder / "service.yaml", smtp_host="127.0.0.1", smtp_port=mail_server, smtp_security="none")
    change(services.config.folder / "service.yaml", production_url="https://packages.example.org")
    services.information_system.published = {s.subcluster: frozenset() for s in services.config.sites.values()}
    given = {**services.given, "shell": shell, "ssh_client": "/usr/bin/ssh"}
    with_token = replace(services, given=given, credentials={"pps_tracker": "https://:token@tracker"}.get)
    made = replace(front, services=with_token, now=front.now)
    front.airflow.settings["execution_api"] = execution_api
    made.__dict__["airflow"] = front.airflow
    made.services.shell.answers = {
        name: [*GOOD[:-2], f"clock {int(made.now().timestamp())}", "end 1"] for name in ("PIC", "CNAF")
    }
    return made


def change(file: Path, **values: Any) -> None:
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))


def doctor(front: Front, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    result = CliRunner().invoke(app, ["doctor", "--json", *words], obj=front)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    found = json.loads(result.stdout)
    return result.exit_code, {f["subject"]: (f["health"], f"{f['text']} {f['next_step']}".strip()) for f in found}


def test_a_healthy_grid_is_ok_line_by_line(healthy: Front) -> None:
    code, found = doctor(healthy)
    assert {health for health, _ in found.values()} == {"OK"}, found
    assert code == 0
    assert {
        "service.yaml",
        "database",
        "tracker",
        "mail server",
        "artefact store",
        "Airflow scheduler",
        "PIC",
        "CNAF",
    } <= set(found)
    assert "SARA" not in found  # takes no previews
    assert not list(Path(healthy.services.config.folder / "artefact_store").iterdir())


def test_people_get_a_table_and_a_count(healthy: Front) -> None:
    out = CliRunner().invoke(app, ["doctor"], obj=healthy).stdout
    assert "0 warnings, 0 failures." in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_python_with_known_holes_is_a_warning(healthy: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("sys.version_info", (3, 11, 7, "final", 0))
    code, found = doctor(healthy)
    health, text = found["Python"]
    assert (code, health) == (0, "WARN")
    assert "CVE-2024-6232" in text and "3.11.14" in text


def test_one_site_only(healthy: Front) -> None:
    code, found = doctor(healthy, "--site", "PIC")
    assert (code, set(found)) == (0, {"PIC"})
    assert CliRunner().invoke(app, ["doctor", "--site", "NOWHERE"], obj=healthy).exit_code == 1


def test_a_site_that_is_down_fails_alone(healthy: Front, shell: Shell) -> None:
    shell.answers["PIC"] = SiteUnreachableError("PIC", "no answer on port 22 in 20 s.")
    code, found = doctor(healthy)
    assert code == 1
    assert found["PIC"] == (
        "FAIL",
        "no answer on port 22 in 20 s. Check for a downtime, then ask admin@pic.example.org.",
    )
    assert found["CNAF"][0] == "OK"


def test_a_warning_does_not_fail(healthy: Front) -> None:
    del healthy.services.information_system.published["ce.pic.example.org"]
    code, found = doctor(healthy)
    assert code == 0
    assert found["information system"][0] == "WARN"
    assert "PIC" in found["information system"][1]


def test_every_problem_of_every_file_is_listed_and_the_rest_is_still_checked(healthy: Front) -> None:
    folder = healthy.services.config.folder
    change(folder / "people.yaml", colour="red")
    (folder / "sites.yaml").write_text("sites: [{name: A}]")
    code, found = doctor(healthy)
    assert code == 1
    assert found["people.yaml"] == ("FAIL", "colour: is not a key that we know. Correct the file.")
    assert found["sites.yaml"][0] == "FAIL"
    assert found["tracker"][0] == "OK"


def test_each_service_that_is_away_is_a_failure_of_its_own(healthy: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise ServiceError("it", "does not answer.", "Start it.")

    services = healthy.services
    monkeypatch.setattr(services.tracker, "readings", away)
    monkeypatch.setattr(services.information_system, "tags_of", away)
    monkeypatch.setattr(services.facts, "rollouts", away)
    monkeypatch.setattr(healthy.airflow, "request", away)
    change(services.config.folder / "service.yaml", smtp_port=1, artefact_store="file:///proc/no/such/place")
    healthy = replace(healthy, services=replace(services, config=type(services.config)(services.config.folder)))
    healthy.__dict__["airflow"] = type("Away", (), {"request": away, "dags": away})()
    code, found = doctor(healthy)
    assert code == 1
    for subject in ("database", "tracker", "information system", "mail server", "artefact store", "Airflow"):
        assert found[subject][0] == "FAIL", subject
        assert found[subject][1].endswith("."), subject
    assert found["PIC"][0] == "OK"


def test_a_mail_server_that_only_greets_is_a_failure(healthy: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Greeter, "answer", b"554 no service\r\n")
    code, found = doctor(healthy)
    assert (code, found["mail server"][0]) == (1, "FAIL")


def test_an_old_schema_says_how_to_upgrade(healthy: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(healthy.services), "store_is_current", lambda _: False)
    assert doctor(healthy)[1]["database"] == (
        "FAIL",
        "its schema is older than this version needs. Run: pps db upgrade",
    )


def test_each_component_of_airflow_is_judged(healthy: Front) -> None:
    healthy.airflow.components |= {"triggerer": {"status": "unhealthy"}, "dag_processor": {"status": None}}
    healthy.airflow.paused = {"bc_client_update": True}
    code, found = doctor(healthy)
    assert code == 1
    assert found["Airflow triggerer"][0] == found["Airflow dag_processor"][0] == "FAIL"
    assert found["Airflow scheduler"][0] == "OK"
    health, text = found["DAG bc_client_update"]
    assert health == "FAIL" and "airflow dags unpause bc_client_update" in text


def test_the_mirror_folder_is_looked_at_where_there_is_one(healthy: Front, tmp_path: Path) -> None:
    assert "mirror folder" not in doctor(healthy)[1]
    config = healthy.services.config

    def found(**values: Any) -> dict[str, tuple[str, str]]:
        change(config.folder / "service.yaml", **values)
        config.__dict__.pop("service", None)
        return doctor(healthy)[1]

    folder = (tmp_path / "mirrors").as_uri()
    assert found(mirror_folder=folder)["mirror_url"][0] == "WARN"
    both = found(mirror_url="https://mirror.example.org/pps")
    assert (both["mirror folder"][0], "mirror_url" in both) == ("OK", False)
    assert found(mirror_folder="file:///proc/no/such/place")["mirror folder"][0] == "FAIL"


def test_it_says_which_repositories_are_believed_without_a_signature_and_which_keyring_is_none(healthy: Front) -> None:
    file = healthy.services.config.folder / "service.yaml"
    (file.parent / "empty.gpg").touch()
    change(
        file,
        package_keys={
            "http://a.example.org": {"unsigned_over_http": "The provider signs from June on."},
            "https://b.example.org/apt": {"keyring": "empty.gpg"},
        },
    )
    result = CliRunner().invoke(app, ["doctor", "--json"], obj=healthy)
    said = {(f["health"], f["text"]) for f in json.loads(result.stdout) if f["subject"] == "package_keys"}
    assert ("WARN", "http://a.example.org is believed without a signature: The provider signs from June on.") in said
    assert [health for health, text in said if text.startswith("the keyring of https://b.example.org/apt ")] == ["FAIL"]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("days", "later", "health", "says"),
    [
        (400, 0, "OK", "must be signed by"),
        (30, 0, "WARN", "the last key for https://a.example.org/apt expires on"),
        (30, 31, "FAIL", "have expired or are revoked"),
    ],
)
def test_a_provider_s_keys_that_end_soon_or_have_ended_are_said(
    healthy: Front, days: int, later: int, health: str, says: str
) -> None:
    folder = healthy.services.config.folder
    (folder / "provider.asc").write_text(signing.key(f"Provider {days} <p@example.org>", days).public)
    change(folder / "service.yaml", package_keys={"https://a.example.org/apt": {"keyring": "provider.asc"}})
    made = replace(healthy, now=lambda: datetime.now(UTC) + timedelta(days=later))
    made.__dict__["airflow"] = healthy.airflow
    found = doctor(made)[1]["package_keys"]
    assert found[0] == health and says in found[1], found


@pytest.mark.parametrize("url", [None, "https://packages.example.org/rt"])
def test_it_says_that_the_address_of_release_tests_is_missing(healthy: Front, url: str | None) -> None:
    (healthy.services.config.folder / "pools.yaml").write_text("pools: []\n")
    change(healthy.services.config.folder / "service.yaml", release_test_url=url)
    assert doctor(healthy)[1].get("release_test_url", ("OK",))[0] == ("OK" if url else "WARN")


@pytest.mark.parametrize("name", ["production_repository", "publication_folder"])
def test_a_folder_that_is_published_from_and_cannot_be_written_is_a_failure(healthy: Front, name: str) -> None:
    file = healthy.services.config.folder / "no-folder"
    file.write_text("")
    change(healthy.services.config.folder / "service.yaml", **{name: f"{file.as_uri()}/below"})
    found = doctor(healthy)[1][name.replace("_", " ")]
    assert found[0] == "FAIL" and "cannot be written" in found[1]


def test_the_trackers_address_of_a_version_before_is_named(healthy: Front) -> None:
    change(healthy.services.config.folder / "service.yaml", tracker_url="https://tracker.example.org")
    code, found = doctor(healthy)
    assert code == 0
    assert found["tracker"][0] == "WARN" and "tracker.yaml" in found["tracker"][1]


def test_patches_that_cannot_be_used_are_counted(healthy: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Reading(1, "x", "", None, ("version: is missing",))
    good = healthy.services.tracker.readings()
    monkeypatch.setattr(healthy.services.tracker, "readings", lambda: (*good, bad))
    code, found = doctor(healthy)
    assert code == 0
    assert found["tracker"] == (
        "WARN",
        f"answers; 1 of its {len(good) + 1} patches cannot be used. Run: pps tracker check --unusable",
    )


def test_a_node_with_another_configuration_fails_and_one_that_may_have_got_the_change_is_asked_about(
    healthy: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPS_NODE", "central")
    facts, folder, now = healthy.services.facts, healthy.services.config.folder, healthy.now()
    doctor(healthy)  # it makes a keyring, too
    for file in folder.rglob("*"):
        os.utime(file, (0, (now - timedelta(hours=1)).timestamp()))
    doctor(healthy)
    mine = facts.kept_nodes["central"]
    other = dict(mine.files) | {"sites.yaml": "0" * 64}
    minutes = {name: now - timedelta(minutes=ago) for name, ago in (("worker-1", 5), ("worker-2", 5), ("worker-3", 90))}
    facts.keep_node(replace(mine, name="worker-1", seen_at=minutes["worker-1"]))
    facts.keep_node(replace(mine, name="worker-2", seen_at=minutes["worker-2"], files=other, version="0.0.1"))
    facts.keep_node(replace(mine, name="worker-3", seen_at=minutes["worker-3"], files=other))
    facts.keep_node(replace(mine, name="gone", seen_at=now - timedelta(days=8), files=other))
    code, found = doctor(healthy)
    about = {subject: said for subject, said in found.items() if subject.startswith("node")}
    assert {subject: health for subject, (health, _) in about.items()} == {
        "nodes": "OK",
        "node worker-2": "FAIL",
        "node worker-3": "WARN",
    }
    assert code == 1
    assert about["nodes"][1].startswith("central, worker-1: the same configuration")
    assert f"differed from this node: version 0.0.1 instead of {mine.version}, sites.yaml." in about["node worker-2"][1]
    assert "has not told since the configuration here changed: sites.yaml" in about["node worker-3"][1]
