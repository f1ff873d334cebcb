"""The sandbox that a person tries out gives people the time that people need."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from pps.config.loader import read_model
from pps.config.policy_models import Policies
from pps.sandbox.airflow.configuration import DEFAULT_CONFIG, HUMAN_PACE, change_policies, demo_policies
from pps.sandbox.airflow.installation import Installation


def test_at_a_person_s_pace_nobody_is_silent_within_an_hour(tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text((DEFAULT_CONFIG / "policies.yaml").read_text())
    change_policies(tmp_path, demo_policies(DEFAULT_CONFIG / "policies.yaml"))
    change_policies(tmp_path, HUMAN_PACE)
    policies = read_model(tmp_path / "policies.yaml", Policies)
    pilots = policies.pilots
    for given in (
        policies.feedback.open_for,
        policies.local_configuration.answer_within,
        policies.deployment_test.answer_within,
        policies.overrule.answer_within,
        pilots.answer_within,
        pilots.set_up_within,
        pilots.roll_back_within,
        pilots.report_within,
        pilots.wrap_up_within,
        pilots.feedback_within,
    ):
        assert given >= timedelta(hours=4)
    assert pilots.minor_runs_for <= timedelta(hours=1)  # the machines' part can be seen in an afternoon


def test_the_file_for_a_shell_brings_pps_and_its_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(tmp_path / "a folder", 6)
    monkeypatch.setattr(installation, "environment", dict)
    monkeypatch.setattr(Installation, "_store_owner_url", "postgresql+psycopg://owner@127.0.0.1/pps")

    class Airflow:
        def password(self, user: str) -> str:
            return "it's a secret"

    installation.airflow = Airflow()  # type: ignore[assignment]
    installation.folder.mkdir()
    installation._write_environment_file()
    script = '. "$1"; . "$1"; command -v pps; echo "$PPS_SANDBOX"; echo "$PPS_AIRFLOW_PASSWORD"; echo "$PATH"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(installation.folder / "env.sh")],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    pps, sandbox, password, path = done.stdout.splitlines()
    assert Path(pps).name == "pps"
    assert sandbox == str(installation.grid_folder)
    assert password == "it's a secret"
    assert path.count(str(Path(pps).parent)) == 1
