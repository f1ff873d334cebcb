"""`pps tracker init`: a real Roundup tracker home, made once and brought up to date afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from roundup import instance
from typer.testing import CliRunner

from pps.adapters.trackers.http import Secret
from pps.cli.main import app

CONFIG = Path(__file__).resolve().parents[3] / "config"
URL = "http://127.0.0.1:8917/"


def init(folder: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["--config", str(CONFIG), "tracker", "init", str(folder), *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_it_makes_a_tracker_and_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "tracker"
    said = " ".join(init(folder, "--url", URL).split())
    for step in ("roundup-server", "connection pps_tracker", "tracker.yaml", "roundup-admin", "pps tracker check"):
        assert step in said
    secret_file = folder / "pps.connection"
    assert secret_file.stat().st_mode & 0o077 == 0 and folder.stat().st_mode & 0o077 == 0
    secret = Secret.of(secret_file.read_text().strip())
    assert secret.user == "pps" and len(secret.password) > 40 and secret.password not in said
    db = instance.open(str(folder)).open("admin")
    try:
        names = [db.state.get(i, "name") for i in db.state.list()]
        assert "In certification" in names and db.user.lookup("pps")
    finally:
        db.close()


def test_once_more_brings_the_rules_up_to_date_and_leaves_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "tracker"
    init(folder, "--url", URL)
    secret = (folder / "pps.connection").read_text()
    db = instance.open(str(folder)).open("admin")
    db.bug.create(number="77", title="kept")
    db.commit()
    db.close()
    (folder / "schema.py").write_text((CONFIG / "tracker" / "schema.py").read_text() + "\n# old\n")
    (folder / "html" / "page.html").write_text("old")
    data = json.loads(init(folder, "--url", "http://127.0.0.1:9999", "--json"))
    assert data["made"] is False and data["url"] == "http://127.0.0.1:9999/"
    assert (folder / "pps.connection").read_text() == secret.replace("8917", "9999"), "the same password"
    assert (folder / "html" / "page.html").read_text() == (CONFIG / "tracker" / "html" / "page.html").read_text()
    assert "web = http://127.0.0.1:9999/" in (folder / "config.ini").read_text()
    db = instance.open(str(folder)).open("admin")
    try:
        assert db.bug.get(db.bug.lookup("77"), "title") == "kept"
    finally:
        db.close()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert "is not empty, and no tracker home" in " ".join(init(tmp_path, code=1).split())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["letter.txt"]


def test_without_roundup_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "roundup", None)
    assert "pip install pps-rollout[tracker]" in " ".join(init(tmp_path / "tracker", code=1).split())


def test_roundups_own_programs_take_it(tmp_path: Path) -> None:
    folder = tmp_path / "tracker"
    init(folder, "--url", URL)
    program = Path(sys.executable).with_name("roundup-admin")
    asked = subprocess.run([program, "-i", str(folder), "list", "severity"], capture_output=True, text=True)
    assert asked.returncode == 0 and "critical" in asked.stdout
