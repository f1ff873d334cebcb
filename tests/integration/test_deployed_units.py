"""deploy/systemd as systemd itself reads it, and deploy/etc-pps as the product does."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pps.activities.sites.diagnosis import Health
from pps.cli import doctor
from pps.cli.front import Front
from pps.config.loader import load_configuration, read_model
from pps.config.role_models import RolesFile
from pps.services import Services

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
#: Begin before it, or on other machines than it.
WITHOUT_API_SERVER = ("api-server", "worker")
#: Of 10, where 10 is no protection at all; what systemd itself calls "OK" ends at 4.9.
EXPOSURE_AT_MOST = 2.5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder in which the units and what they start lie where docs/production.md puts them."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(DEPLOY / "systemd", root / "etc/systemd/system")
    for program in (
        "opt/pps/venv/bin/airflow",
        "opt/pps/venv/bin/pps",
        "opt/pps/venv/bin/python",
        "bin/sh",
        "usr/bin/find",
    ):
        path = root / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    for unit in (
        "network-online.target",
        "sysinit.target",
        "basic.target",
        "shutdown.target",
        "timers.target",
        "multi-user.target",
    ):
        (root / "etc/systemd/system" / unit).write_text("[Unit]\n")
    return root


def units(pattern: str = "*.*") -> list[Path]:
    return sorted(path for path in (DEPLOY / "systemd").glob(pattern) if path.is_file())


def settings(unit: Path) -> list[str]:
    return [line.strip() for line in unit.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.needs("systemd")
def test_systemd_has_nothing_to_say_against_the_units(root: Path) -> None:
    names = [f"/etc/systemd/system/{unit.name}" for unit in units()]
    said = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", "--man=no", "--recursive-errors=no", *names],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    about_ours = [line for line in said.stderr.splitlines() if "pps" in line]
    assert (said.returncode, about_ours) == (0, []), said.stderr


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("name", [f"pps-{name}.service" for name in (*COMPONENTS, "doctor", "backup")])
def test_a_service_is_shut_in(root: Path, name: str) -> None:
    at_most = f"--threshold={int(EXPOSURE_AT_MOST * 10)}"
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--root={root}", at_most, "--no-pager", name],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    assert judged.returncode == 0, judged.stdout[-300:]


def test_each_component_comes_back_and_waits_for_the_api_server() -> None:
    for name in COMPONENTS:
        said = settings(DEPLOY / "systemd" / f"pps-{name}.service")
        assert {"Restart=always", "StartLimitIntervalSec=0", "PartOf=pps.target", "WantedBy=pps.target"} <= set(said)
        after = next(line for line in said if line.startswith("After="))
        assert ("pps-api-server.service" in after) == (name not in WITHOUT_API_SERVER)
    common = settings(DEPLOY / "systemd/pps-.service.d/10-common.conf")
    assert {"User=pps", "EnvironmentFile=/etc/pps/pps.env", "NoNewPrivileges=yes", "CapabilityBoundingSet="} <= set(
        common
    )
    only_backup = [unit.name for unit in units("*.service") if "owner.env" in unit.read_text()]
    assert only_backup == ["pps-backup.service"]


def test_the_example_of_a_configuration_is_well_formed_and_fits_together(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    shutil.copytree(DEPLOY / "etc-pps", folder)
    for name in ("policies.yaml", "activities.yaml"):  # as docs/production.md, 3 says
        shutil.copy(DEPLOY.parent / "config" / name, folder)
    front = Front(Services(load_configuration(folder), {}.get))
    findings = list(doctor._file_findings(front))
    assert {f.subject for f in findings if f.health is Health.OK} >= doctor._FILES.keys()
    assert [f for f in findings if f.health is not Health.OK] == []
    config = front.services.config
    assert [s.name for s in config.sites.values()] == ["EXAMPLE-SITE"]
    assert config.scenarios and config.pools
    users = {user.name for user in read_model(folder / "roles.yaml", RolesFile).all_users}
    named = {name for party in config.people.vos for name in party.representatives}
    named |= {name for roc in config.people.rocs for name in roc.managers}
    named |= {name for names in config.people.roles.values() for name in names}
    named |= {name for provider in config.people.providers for name in provider.representatives}
    named |= {name for one in config.sites.values() for name in one.administrators}
    assert named <= users


def test_the_settings_hold_all_that_is_needed_and_each_secret_is_new(tmp_path: Path) -> None:
    def made(name: str) -> dict[str, str]:
        (tmp_path / name).mkdir()
        environment = {"PATH": "/usr/bin:/bin", "PPS_SETTINGS": str(tmp_path / name)}
        command = [DEPLOY / "bin/make-settings", "https://pps.example.org/"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        again = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (again.returncode, "nothing was written" in again.stderr) == (1, True)
        files = sorted((tmp_path / name).iterdir())
        assert [(file.name, file.stat().st_mode & 0o777) for file in files] == [
            (file, 0o600) for file in ("doctor.env", "owner.env", "pps.env")
        ]
        # as a shell reads it, and as systemd does: nothing in it is special to either
        text = "".join(file.read_text() for file in files)
        assert "@" not in re.sub(r"@127\.0\.0\.1/|TOKEN@|PASSWORD@", "", text)
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert [line for line in lines if not re.fullmatch(r"[A-Z_]+='[^'$\"\\]*'", line)] == []
        shell = f"set -a; for f in {tmp_path / name}/*.env; do . $f; done; unset f; env -0"
        said = subprocess.run(["sh", "-c", shell], env={}, capture_output=True, text=True, check=True).stdout
        return dict(one.partition("=")[::2] for one in said.split("\0") if one)

    one, other = made("one"), made("other")
    assert one["AIRFLOW__API__BASE_URL"] == "https://pps.example.org"
    assert one["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8080/execution/"
    secrets = [name for name, value in one.items() if value != other[name]]
    assert sorted(secrets) == [
        "AIRFLOW_CONN_PPS_STORE",
        "AIRFLOW_CONN_PPS_STORE_OWNER",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "PPS_AIRFLOW_PASSWORD",
        "PPS_FEEDBACK_SECRET",
    ]
    assert len(one["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert len(base64.urlsafe_b64decode(one["AIRFLOW__CORE__FERNET_KEY"])) == 32
