"""Wall time, CPU and memory of a command, and the CPU of the sites that it serves. Linux only.

A child of ours, which does nothing else, runs the command and adopts what of it daemonises away (Ansible's
ControlPersist masters): it accounts for the controller. What sshd starts, and what of that is left without a parent
and comes to us, is the sites' side.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOK_AT_MEMORY_EVERY_S = 0.1


@dataclass(frozen=True)
class Result:
    """Of one run."""

    wall_s: float
    cpu_s: float
    """user + system, of the controller with its clients"""
    sites_cpu_s: float
    """of sshd and all that it started"""
    memory_mib: float
    """peak of the sum of PSS over the controller's tree; 0: not looked at"""


def become_subreaper() -> None:
    """Adopt what is left without a parent below us, so that it is counted."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def measured(command: list[str], sshd: int, *, memory: bool) -> Result:
    """Run a command to its end; `SystemExit` with its last words if it fails.

    Args:
        sshd: process number of the sites' server.
    """
    children, at_sites = _children_cpu(), _tree_cpu(sshd)
    reading, writing = os.pipe()
    with tempfile.TemporaryFile("w+") as words:
        observer = os.fork()
        if observer == 0:
            os.close(reading)
            _observe(command, words.fileno(), writing, memory)
        os.close(writing)
        try:
            with os.fdopen(reading) as report:
                told = json.loads(report.read() or "{}")
        except BaseException:
            for process in [*psutil.Process(observer).children(recursive=True), psutil.Process(observer)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            raise
        finally:
            _, _, usage = os.wait4(observer, 0)
        _wait_for_sites(sshd)
        if told.get("code") != 0:
            words.seek(0)
            raise SystemExit(f"{command[:4]} failed ({told.get('code')}):\n{words.read()[-3000:]}")
    orphans = _children_cpu() - children - usage.ru_utime - usage.ru_stime
    return Result(told["wall"], told["cpu"], _tree_cpu(sshd) - at_sites + orphans, told["peak"])


def _observe(command: list[str], words: int, report: int, memory: bool) -> None:
    """In a process of its own: run, look, tell; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        become_subreaper()
        peak, began = 0.0, time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
        while memory and process.poll() is None:
            peak = max(peak, _memory_below(os.getpid()))
            time.sleep(_LOOK_AT_MEMORY_EVERY_S)
        ended = process.wait()
        wall = time.monotonic() - began
        for left in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                left.terminate()
        _reap_all()
        told = {"code": ended, "wall": wall, "cpu": _children_cpu(), "peak": peak}
        os.write(report, json.dumps(told).encode())
        code = 0
    finally:
        os._exit(code)


def _reap_all() -> None:
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _wait_for_sites(sshd: int) -> None:
    """Until all connections have ended, and what is left of them was adopted and reaped."""
    server = psutil.Process(sshd)
    deadline = time.monotonic() + 120
    while server.children() or any(p.pid != sshd for p in psutil.Process().children()):
        with suppress(ChildProcessError):
            for process in psutil.Process().children():
                if process.pid != sshd:
                    os.waitpid(process.pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise SystemExit(f"still at work at the sites: {server.children()} {psutil.Process().children()}")
        time.sleep(0.02)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree_cpu(pid: int) -> float:
    return float(sum(psutil.Process(pid).cpu_times()[:4]))


def _memory_below(pid: int) -> float:
    return sum(_pss_mib(process.pid) for process in psutil.Process(pid).children(recursive=True))


def _pss_mib(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
