"""The keeper: nothing that it started outlives its owner, and nothing else is touched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.sandbox.grid.processes import Servers

#: A server with a grandchild in a session of its own, which no process group reaches.
SERVER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)

OWNER = """
import sys, time
from pathlib import Path
from pps.sandbox.grid.processes import Servers
servers = Servers(Path(sys.argv[1]))
servers.open()
servers.start("server", [sys.executable, "-c", sys.argv[2]], log=Path(sys.argv[1]) / "log")
while "up" not in (Path(sys.argv[1]) / "log").read_text(): time.sleep(0.02)
print(servers._process.pid, flush=True)
time.sleep(600)
"""


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def owner(tmp_path: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A running owner, and its keeper with all below it."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), SERVER], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    keeper = psutil.Process(int(process.stdout.readline()))
    family = [keeper, *keeper.children(recursive=True)]
    assert len(family) == 3
    return process, family


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_an_owner_however_it_ends(
    owner: tuple[subprocess.Popen[str], list[psutil.Process]], how: signal.Signals
) -> None:
    process, family = owner
    process.send_signal(how)
    process.wait(10)
    assert psutil.wait_procs(family, timeout=15)[1] == []


def test_after_owner_and_keeper_were_killed_hard_the_next_start_cleans_up_and_touches_nobody_else(
    owner: tuple[subprocess.Popen[str], list[psutil.Process]], tmp_path: Path
) -> None:
    process, family = owner
    stranger = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.DEVNULL)
    try:
        server = family[1]
        server.suspend()  # so that it cannot follow its keeper by itself
        family[0].kill()
        process.kill()
        process.wait(10)
        with Servers(tmp_path) as servers:
            assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
            servers.start("next", [sys.executable, "-c", SERVER], log=tmp_path / "log")
        assert stranger.poll() is None
    finally:
        for child in psutil.Process(stranger.pid).children():
            child.kill()
        stranger.kill()
        stranger.wait()
        for left in family:
            if left.is_running():
                left.kill()


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with Servers(tmp_path), pytest.raises(ConfigurationError, match="in use by another run"):
        Servers(tmp_path).open(wait_s=0.5)
    with Servers(tmp_path):
        pass


def test_a_server_that_dies_is_said_and_started_again_without_its_orphans(tmp_path: Path) -> None:
    said: list[str] = []
    servers = Servers(tmp_path, on_end=lambda end: said.append(str(end)))
    servers.open()
    try:
        servers.start("server", [sys.executable, "-c", SERVER], log=tmp_path / "log", restart=True)
        wait_until(lambda: "up" in (tmp_path / "log").read_text())
        first = psutil.Process(servers.pids["server"])
        (orphan,) = first.children()
        first.kill()
        wait_until(lambda: bool(said) and servers.pids.get("server") not in (None, first.pid))
        assert said == [str(servers.ended[0])]
        assert "server ended with code -9" in said[0]
        assert "started again" in said[0]
        wait_until(lambda: not orphan.is_running())
    finally:
        servers.stop()
    assert servers.stop() is None


def test_a_server_that_will_not_stop_is_made_to_after_its_grace(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        servers.start("stubborn", [sys.executable, "-c", STUBBORN], log=tmp_path / "log", grace_s=0.3)
        wait_until(lambda: "up" in (tmp_path / "log").read_text())
        process = psutil.Process(servers.pids["stubborn"])
        servers.end("stubborn")
        assert not process.is_running()


def test_a_program_that_is_not_there_is_a_service_error(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers, pytest.raises(ServiceError, match="cannot be started"):
        servers.start("nothing", ["/does/not/exist"], log=tmp_path / "log")


def test_a_server_that_ends_just_before_it_is_stopped_keeps_nobody_waiting(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        assert servers._process is not None and servers._process.stdin is not None
        orders = [{"start": order("quick", "exit 0")}]
        orders += [{"start": order(f"other-{n}", "exec sleep 600")} for n in range(10)]  # meanwhile it has ended
        orders += [{"stop": ["quick"]}]
        servers._process.stdin.write(b"".join(json.dumps(o).encode() + b"\n" for o in orders))
        servers._process.stdin.flush()
        while servers._answers.get(timeout=20)["event"] != "done":
            pass


def order(name: str, script: str) -> dict[str, object]:
    fixed = {"env": None, "cwd": None, "log": "/dev/null", "stop_signal": 15, "grace_s": 5, "restart": False}
    return {"name": name, "argv": ["sh", "-c", script], **fixed}
