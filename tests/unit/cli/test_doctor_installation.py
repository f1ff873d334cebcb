"""`pps doctor` on an installation: folders of the account that runs Airflow, its settings, its clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.support.front import NOW, front, services  # noqa: F401
from tests.unit.cli.test_doctor import (  # noqa: F401
    _ExecutionApi,
    change,
    doctor,
    execution_api,
    healthy,
    mail_server,
    shell,
)

from pps.cli.doctor_airflow import executor_finding
from pps.cli.front import Front
from pps.domain.base.errors import ServiceError

SOMEBODY = 54321
FOLDERS = ["artefact store", "production repository", "publication folder"]


def by_account(here: Front, uid: int, *groups: int) -> None:
    """Airflow runs as another account than whoever asks."""
    here.airflow.settings |= {"user": "ppsair", "uid": uid, "groups": list(groups)}


def tree(folder: Path) -> list[str]:
    return sorted(str(p) for p in folder.rglob("*"))


@pytest.fixture
def var(healthy: Front) -> Iterator[Path]:
    """Our folders where other accounts may come; the temporary folders of tests are for their owner only."""
    with TemporaryDirectory(prefix="pps-doctor-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for subject in FOLDERS:
            key = subject.replace(" ", "_")
            (folder / key).mkdir()
            (folder / key).chmod(0o755)
            change(healthy.services.config.folder / "service.yaml", **{key: (folder / key).as_uri()})
        yield folder


@pytest.mark.parametrize("subject", FOLDERS)
def test_a_folder_that_the_account_of_airflow_cannot_use_is_a_failure_with_the_command_that_helps(
    healthy: Front, var: Path, subject: str
) -> None:
    folder = var / subject.replace(" ", "_")
    by_account(healthy, SOMEBODY)
    code, found = doctor(healthy)
    health, text = found[subject]
    assert (code, health) == (1, "FAIL")
    assert "cannot be written by ppsair" in text and f"chown -R ppsair {folder}" in text
    folder.chmod(0o777)
    assert doctor(healthy)[1][subject][0] == "OK"
    folder.chmod(0o750)
    assert "cannot be read or written by ppsair" in doctor(healthy)[1][subject][1]
    by_account(healthy, SOMEBODY, os.getegid())
    folder.chmod(0o770)
    assert doctor(healthy)[1][subject][0] == "OK", "by its group"


def test_what_root_has_left_in_a_folder_is_named(healthy: Front, var: Path) -> None:
    folder = var / "production_repository"
    folder.chmod(0o777)
    (folder / "dists").mkdir(mode=0o755)
    by_account(healthy, SOMEBODY)
    health, text = doctor(healthy)[1]["production repository"]
    assert health == "FAIL"
    assert "dists in" in text and f"chown -R ppsair {folder}" in text


def test_nothing_is_made_that_is_not_there(healthy: Front, tmp_path: Path) -> None:
    folder = healthy.services.config.folder
    wanted = tmp_path / "var" / "lib" / "pps"
    names = ("artefact_store", "production_repository", "publication_folder", "mirror_folder")
    change(folder / "service.yaml", **{name: (wanted / name).as_uri() for name in names})
    assert healthy.services.seal  # the test's own key
    before = tree(tmp_path)
    found = doctor(healthy)[1]
    for subject in (*FOLDERS, "mirror folder"):
        health, text = found[subject]
        assert health == "OK" and "is not there yet" in text, found[subject]
    assert tree(tmp_path) == before
    by_account(healthy, SOMEBODY)
    found = doctor(healthy)[1]
    for subject, name in zip(FOLDERS, names, strict=False):
        health, text = found[subject]
        assert health == "FAIL" and f"install -d -o ppsair {wanted / name}" in text, "it could not make them"
    assert tree(tmp_path) == before


def test_root_leaves_no_cache_where_the_account_of_airflow_would_find_it(
    healthy: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "pps"
    monkeypatch.setenv("PPS_CACHE", str(cache))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    by_account(healthy, SOMEBODY)
    doctor(healthy)
    assert not cache.parent.exists()
    assert os.environ["PPS_CACHE"] == str(cache)


@pytest.mark.parametrize("program", ["gpgv", "gpg"])
def test_a_program_that_is_missing_is_named(healthy: Front, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor(healthy)[1][program][0] == "OK"
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name == program else f"/usr/bin/{name}")
    health, text = doctor(healthy)[1][program]
    assert health == "FAIL" and f"Install {program}" in text


def test_a_keyring_that_workers_cannot_read_is_a_failure(healthy: Front) -> None:
    keyring = healthy.services.signing_keyring
    assert doctor(healthy)[1]["keyring of ours"][0] == "OK"
    keyring.chmod(0o600)
    by_account(healthy, SOMEBODY)
    health, text = doctor(healthy)[1]["keyring of ours"]
    assert health == "FAIL" and f"chmod a+r {keyring}" in text


@pytest.mark.parametrize(
    ("executors", "good"),
    [
        ("pps.orchestration.executor.SafeLocalExecutor", True),
        ("CeleryExecutor", True),
        ("airflow.providers.celery.executors.celery_executor.CeleryExecutor", True),
        ("CeleryExecutor,KubernetesExecutor", True),
        ("quick:CeleryExecutor", True),
        ("LocalExecutor", False),
        ("CeleryExecutor,LocalExecutor", False),
        ("SequentialExecutor", False),
        ("airflow.executors.local_executor.LocalExecutor", False),
        ("", False),
    ],
)
def test_the_executor_is_ours_or_one_of_many_machines(executors: str, good: bool) -> None:
    finding = executor_finding(executors, 20)
    assert (finding.health == "OK") is good
    assert good or "SafeLocalExecutor" in finding.next_step


def test_few_runs_in_each_loop_are_for_an_executor_that_puts_those_first_that_have_changed() -> None:
    assert executor_finding("pps.orchestration.executor.SafeLocalExecutor", 2).health == "OK"
    for others in ("CeleryExecutor", "pps.orchestration.executor.SafeLocalExecutor,KubernetesExecutor"):
        finding = executor_finding(others, 2)
        assert finding.health == "WARN" and "MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE" in finding.next_step


@pytest.mark.parametrize(
    ("changed", "subject", "health", "says"),
    [
        ({"executor": "LocalExecutor"}, "executor", "FAIL", "LocalExecutor is set"),
        ({"secrets_backend": ""}, "secrets backend", "FAIL", "AIRFLOW__SECRETS__BACKEND=pps."),
        ({"worker_secrets_backend": ""}, "secrets backend", "FAIL", "AIRFLOW__WORKERS__SECRETS_BACKEND=pps."),
        ({"secrets_backend": "a.Vault"}, "secrets backend", "WARN", "a.Vault has to make the Connections"),
        ({"execution_api": ""}, "execution API", "FAIL", "every task talks through https://pps.example.org"),
        ({"execution_api": "http://127.0.0.1:1/execution/"}, "execution API", "FAIL", "does not answer"),
        ({"at": (NOW + timedelta(minutes=3)).isoformat()}, "clock of the api-server", "FAIL", "is 180 s ahead of"),
        ({"at": (NOW - timedelta(minutes=3)).isoformat()}, "clock of the api-server", "FAIL", "is 180 s behind"),
        ({"at": (NOW - timedelta(seconds=9)).isoformat()}, "clock of the api-server", "OK", "agrees"),
    ],
)
def test_how_airflow_is_set_is_judged_with_what_to_do(
    healthy: Front, changed: dict[str, Any], subject: str, health: str, says: str
) -> None:
    healthy.airflow.settings |= changed
    code, found = doctor(healthy)
    assert found[subject][0] == health and says in found[subject][1], found[subject]
    assert code == (health == "FAIL")
    assert health == "OK" or len(found[subject][1].split(". ")) > 1 or found[subject][1].endswith("chrony.")


def test_a_proxy_in_place_of_the_execution_api_is_no_execution_api(
    healthy: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ExecutionApi, "answer", b"<html>Welcome to nginx!</html>")
    assert doctor(healthy)[1]["execution API"][0] == "FAIL"


def test_a_database_whose_clock_is_another_one_is_a_failure(healthy: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthy.services.facts, "clock", lambda: NOW - timedelta(hours=1))
    health, text = doctor(healthy)[1]["clock of the database"]
    assert health == "FAIL" and "is 3600 s behind" in text and "NTP" in text


def test_an_airflow_without_our_plugin_does_not_say_how_it_is_set(
    healthy: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Callable[..., Any] = healthy.airflow.request

    def older(method: str, path: str, **arguments: Any) -> Any:
        if path.endswith("settings"):
            raise ServiceError("Airflow", "HTTP 404")
        return asked(method, path, **arguments)

    monkeypatch.setattr(healthy.airflow, "request", older)
    assert doctor(healthy)[1]["Airflow settings"][0] == "FAIL"


def test_a_tracker_without_a_token_is_a_failure(healthy: Front) -> None:
    without = replace(healthy, services=replace(healthy.services, credentials=lambda _: None))
    without.__dict__["airflow"] = healthy.airflow
    health, text = doctor(without)[1]["tracker"]
    assert health == "FAIL" and "pps_tracker" in text
