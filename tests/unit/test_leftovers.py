"""What runs our tests notices a process that one of them leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping

import pytest
from tests.support.leftovers import environment


def run(script: str, grace: float = 0.2, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    code = f"from tests.support import leftovers as l; import sys; l.GRACE_S = {grace}; sys.exit(l.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "sh", "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(more or {})}, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize(
    "starts", ["sleep 1000 &", "(setsid sleep 1000 &)", "env -i /bin/sleep 1000 &"], ids=["child", "session", "bare"]
)
def test_a_process_that_is_left_behind_is_named_and_ended_and_fails_the_run(starts: str) -> None:
    done = run(f"{starts}\necho fine >&2")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("LEFT BEHIND")]
    assert "sleep 1000" in line
    pid = int(line.split()[3].rstrip(":"))
    with pytest.raises(ProcessLookupError):
        while True:  # SIGKILL has been sent; it takes a moment
            os.kill(pid, 0)


def test_the_test_that_started_it_is_named() -> None:
    done = run("sleep 1000 &", more={"PYTEST_CURRENT_TEST": "tests/unit/test_x.py::test_y (call)"})
    assert "started in tests/unit/test_x.py::test_y" in done.stderr


def test_what_ends_in_time_is_not_blamed() -> None:
    done = run("sleep 0.3 & exit 0", grace=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exit_code_of_the_command_is_kept() -> None:
    assert run("exit 3").returncode == 3
    assert run("kill -TERM $$").returncode == 128 + 15


def test_the_machine_sets_nothing_that_hides_a_fault() -> None:
    given = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/x", "QUOTING_STYLE": "shell", "PATH": "/bin", "CI": "true"}
    assert environment(given) == {"PATH": "/bin", "CI": "true"}
