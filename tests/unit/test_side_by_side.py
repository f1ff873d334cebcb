"""What runs side by side with what, and that all of it counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.side_by_side import UNITS, place_of, unit_of

ROOT = Path(__file__).parents[2]


def test_all_that_ask_the_small_airflow_are_one_unit_and_no_other_end_to_end_test_is_among_them() -> None:
    files = {p.name: p.read_text() for p in (ROOT / "tests/e2e").glob("test_*.py")}
    asking = {name for name, text in files.items() if "from tests.support.airflow import RunningAirflow" in text}
    assert {name for name, unit in UNITS.items() if unit == "small Airflow"} == asking
    assert {unit_of(f"tests/e2e/{name}::test_x") for name in asking} == {"small Airflow"}
    assert UNITS.keys() <= files.keys()


def test_long_units_begin_and_a_file_stays_together() -> None:
    order = [
        "tests/e2e/test_server_pilots.py::c",
        "tests/e2e/test_b.py::c",
        "tests/integration/test_b.py::c",
        "tests/e2e/test_the_database_of_before.py::c",
        "tests/e2e/test_resume_race.py::c",
        "tests/integration/test_tag_lists.py::c",
        "tests/unit/a/test_b.py::c[d::e]",
    ]
    assert sorted(set(order), key=place_of) == order
    assert [unit_of(node) for node in order[-2:]] == ["tests/integration/test_tag_lists.py", "tests/unit/a/test_b.py"]


@pytest.mark.slow
@pytest.mark.parametrize("side_by_side", [(), ("-n", "2", "--dist", "loadfile")])
def test_a_group_that_is_left_out_fails_the_run_of_ci(tmp_path: Path, side_by_side: tuple[str, ...]) -> None:
    test = tmp_path / "test_needs.py"
    test.write_text("import pytest\n@pytest.mark.needs('toybox')\ndef test_a(): pass\ndef test_b(): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(tmp_path), *side_by_side]
    for all_groups, code in (("1", 1), ("0", 0)):
        # where no toybox is: the tests' own look at PATH adds only what the system has for its administrator
        environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT}/plugins"}
        environment |= {"PPS_ALL_GROUPS": all_groups}
        done = subprocess.run([*command, test], capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        assert "LEFT OUT: group toybox, 1 tests" in done.stdout
        assert "1 passed" in done.stdout
