"""`pps sandbox`, as typed."""

from __future__ import annotations

import json
import signal
import smtplib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from tests.support.sandbox_grid import RunningGrid, sandbox_grid, wait_until  # noqa: F401
from typer.testing import CliRunner

from pps.cli.sandbox.grid import app
from pps.config.patch_documents import patch_document
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind
from pps.domain.sites.site import Platform
from pps.sandbox.provider.scenario import demo_patch

PATCH = demo_patch(
    Repository(RepositoryKind.YUM, "http://repository.example.org/yum"),
    [PackageRef("glite-wn", "3.1.23-1", "noarch")],
    platform=Platform("debian12", "amd64"),
)


def pps(grid: RunningGrid, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments, "--folder", str(grid.folder)])
    assert result.exit_code == code, result.output
    return result.output


def pps_json(grid: RunningGrid, *arguments: str) -> Any:
    return json.loads(pps(grid, *arguments, "--json"))


def test_the_help_names_every_command():
    text = CliRunner().invoke(app, ["--help"]).output
    for command in ("up", "status", "break", "repair", "wipe", "mails", "submit", "certify", "reject", "flag"):
        assert f" {command} " in text


def test_a_site_is_broken_shown_and_repaired(sandbox_grid: RunningGrid):
    site = sandbox_grid.sites[2].name
    assert pps_json(sandbox_grid, "break", site, "unreachable")["faults"] == ["unreachable"]
    assert "unreachable" in pps(sandbox_grid, "status")
    assert pps_json(sandbox_grid, "repair", site)["faults"] == []
    assert pps_json(sandbox_grid, "wipe", site)["previews"] == []


def test_a_site_s_people_act_on_their_service(sandbox_grid: RunningGrid):
    site = sandbox_grid.sites[1].name
    shown = pps_json(sandbox_grid, "service", site, "upgrade", "3.1.23")
    assert requests.get(shown["endpoint"], timeout=5).json()["version"] == "3.1.23"
    assert f"{site}: version 3.1.23 does not answer" in pps(sandbox_grid, "service", site, "stop")
    with pytest.raises(requests.ConnectionError):
        requests.get(shown["endpoint"], timeout=5)
    assert "version 3.1.22 answers" in pps(sandbox_grid, "service", site, "roll-back")
    assert "no earlier version" in pps(sandbox_grid, "service", site, "roll-back", code=1)
    assert pps_json(sandbox_grid, "service", site, "withdraw")["published"] is False


def test_a_site_that_is_not_there_is_said_so(sandbox_grid: RunningGrid):
    assert "site '../x': is not in this grid" in pps(sandbox_grid, "break", "../x", "quota", code=1)
    pps(sandbox_grid, "break", sandbox_grid.sites[0].name, "meteor", code=2)


def test_a_patch_is_submitted_flagged_and_certified(sandbox_grid: RunningGrid, tmp_path: Path):
    file = tmp_path / "patch.yaml"
    file.write_text(yaml.safe_dump(patch_document(PATCH) | {"basic_certification_passed": False}))
    for _ in range(2):
        assert '"In certification", basic-certification flag not set' in pps(sandbox_grid, "submit", str(file))
    assert pps_json(sandbox_grid, "flag", "4711")["basic_certification_passed"]
    assert not pps_json(sandbox_grid, "flag", "4711", "--clear")["basic_certification_passed"]
    assert pps_json(sandbox_grid, "certify", "4711")["state"] == "Certified"
    assert pps_json(sandbox_grid, "reject", "4711", "-m", "too slow")["state"] == "Rejected"
    assert sandbox_grid.tracker.comments(4711)[-1].text == "too slow"
    assert "cannot go from" in pps(sandbox_grid, "certify", "4711", code=1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("number: [", "line 1"),
        ("a: 1\na: 2", "stands twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("number: 1\nversion: 1.10", "version: Input should be a valid string"),
        ("!!python/object/apply:os.system [id]", "constructor"),
    ],
)
def test_a_bad_patch_file_is_refused_in_words(sandbox_grid: RunningGrid, tmp_path: Path, text: str, why: str):
    file = tmp_path / "patch.yaml"
    file.write_text(text)
    assert why in pps(sandbox_grid, "submit", str(file), code=1)


def test_mails_are_listed_found_and_shown_without_steering_the_terminal(sandbox_grid: RunningGrid):
    service = sandbox_grid.configuration.service
    with smtplib.SMTP(service.smtp_host, service.smtp_port) as smtp:
        data = b"Subject: [red]markup[/red] [/]\r\n\r\nHello \x1b[2J[bold]\r\n"
        smtp.sendmail("a@example.org", ["lhcb-vo-support@example.org"], data)
    assert "[red]markup[/red] [/]" in pps(sandbox_grid, "mails", "--to", "lhcb")
    (mail,) = pps_json(sandbox_grid, "mails", "--to", "lhcb")
    shown = pps(sandbox_grid, "mails", "--show", str(mail["number"]))
    assert "Hello  [2J[bold]" in shown and "\x1b" not in shown
    assert pps_json(sandbox_grid, "mails", "--to", "nobody-at-all") == []
    pps(sandbox_grid, "mails", "--show", "999", code=1)


def test_without_a_grid_every_command_says_how_to_start_one(tmp_path: Path):
    for arguments in (["status"], ["repair", "X"], ["mails"], ["certify", "1"]):
        result = CliRunner().invoke(app, [*arguments, "--folder", str(tmp_path)])
        assert result.exit_code == 1
        assert "pps sandbox up" in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_runs_until_ctrl_c_and_then_the_commands_say_that_it_is_down(tmp_path: Path, number: signal.Signals):
    folder = tmp_path / "g"
    command = (
        sys.executable,
        "-c",
        "from pps.cli.sandbox.grid import app; app()",
        "up",
        "-f",
        str(folder),
        "--sites",
        "3",
        "--json",
    )
    env = {"PYTHONPATH": str(Path(__file__).resolve().parents[3] / "plugins"), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        wait_until((folder / "grid.json").exists, "the grid is up", 60.0)
        process.send_signal(number)
        output, _ = process.communicate(timeout=15)
        assert process.returncode == 0
    assert len(json.loads(output)["sites"]) == 3
    result = CliRunner().invoke(app, ["status", "-f", str(folder)])
    assert (result.exit_code, "the grid is not running" in result.output) == (1, True)
