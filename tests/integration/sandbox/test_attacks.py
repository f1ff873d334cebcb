"""`pps sandbox demo --rollout attacks`: it shows what the kit refuses, and fails where the kit refuses less."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pps
from pps.sandbox.demo import attacks
from pps.sandbox.kit.attacks import ATTACKS

pytestmark = pytest.mark.needs("openssh", "linux")
PACKAGE = Path(pps.__file__).parent


def _demo(folder: Path, package: Path = PACKAGE) -> tuple[int, Any]:
    """As it is typed; its exit code and its summary."""
    typed = ["sandbox", "demo", "--rollout", "attacks", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", "from pps.cli.main import app; app()", *typed],
        capture_output=True, text=True, check=False, timeout=300, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package.parent), "TMPDIR": str(folder)},
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


@pytest.mark.needs("sudo", "root")
def test_every_attack_is_refused_by_the_one_who_should_and_nothing_is_left_behind(tmp_path: Path) -> None:
    code, summary = _demo(tmp_path)

    assert (code, summary["problems"], summary["remarks"]) == (0, [], [])
    rows = {row["tried"]: row for row in summary["attacks"]}
    assert list(rows) == [attack.tried for attack in ATTACKS]
    assert len(rows) >= 10
    assert {row["changed"] for row in rows.values()} == {"nothing"}
    refused_by = [row["refused_by"].split(":")[0] for row in rows.values()]
    assert {"sshd (the kit's line in authorized_keys)", "the receiver", "the signature check", "the file system"} <= {
        *refused_by
    }
    assert rows["a program of an installed release writes to kit, keys, memory, previews"]["said"] == (
        "10 times, as ppsprobe: Permission denied"
    )
    assert not list(tmp_path.iterdir())


def test_with_one_account_what_needs_three_is_not_claimed() -> None:
    summary = attacks.play(lambda line: None, accounts=False)

    assert summary.problems == []
    assert len(summary.tables[0].rows) == len(ATTACKS) - 1
    assert "Not tried, since one account does everything here" in summary.remarks[0]
    assert summary.remarks[0].endswith("a program of an installed release writes to kit, keys, memory, previews.")
    assert summary.done.startswith(f"{len(ATTACKS) - 1} of {len(ATTACKS) - 1} attacks were refused")


#: what is missing -> the kit's file, what is taken out of it, what stands there then, the attack that comes through
BROKEN = {
    "whose signature it is": (
        "kit/documents.sh",
        'ssh-keygen -Y verify -f "$2.allowed" -I "$3" -n "$4" -s "$2" <"$1" >/dev/null 2>&1',
        "true",
        "a release that one person has signed twice, under two names",
    ),
    "the numbers of keys": (
        "kit/state.sh",
        '[ "$number" -eq $((keys_number + 1)) ] ||',
        "true ||",
        "a list of keys two ahead, so that the one between is not seen",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_it_fails_where_a_check_of_the_kit_is_missing(broken: str, tmp_path: Path) -> None:
    file, check, instead, attack = BROKEN[broken]
    copy = tmp_path / "copy/pps"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    script = copy / "activities/sites/scripts" / file
    assert check in script.read_text()
    script.write_text(script.read_text().replace(check, instead))

    code, summary = _demo(tmp_path, copy)

    assert code == 1
    said = "\n".join(summary["problems"])
    assert f"NOT REFUSED: {attack};" in said
    assert f"CHANGED by an attack ({attack})" in said
