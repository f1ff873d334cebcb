"""Run a command, and fail if it leaves a process behind: `python -m tests.support.leftovers COMMAND ...`.

Orphans of the command become our children (Linux: PR_SET_CHILD_SUBREAPER), however they cleaned their environment or
made a session of their own. We reap them as init would. What still runs when the command has ended gets some
seconds to end by itself; then it is named, with the test that started it where that can be seen, and ended.

The command starts in an environment of its own: what a developer's machine sets for Python, or for tools that our
scripts call, must neither hide a fault nor make one (a machine that set PYTHONDONTWRITEBYTECODE hid for months that
using a preview destroyed it).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

GRACE_S = 10.0
_PR_SET_CHILD_SUBREAPER = 36
_LEFT_OUT = ("PYTHON", "LC_", "LS_", "GREP_", "TAR_", "GZIP", "QUOTING_STYLE", "POSIXLY_CORRECT", "CDPATH", "BASH_ENV")
_KEPT = ("PYTHON",)  # `make PYTHON=...` names an interpreter


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What the command gets of our environment."""
    return {name: value for name, value in given.items() if name in _KEPT or not name.startswith(_LEFT_OUT)}


def main(command: Sequence[str]) -> int:
    """Run it; its exit code, or 1 if it left something behind."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with subprocess.Popen(command, env=environment(os.environ)) as process:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command as well; we wait
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = _reap_until_end(process)
    left = _left_after(GRACE_S)
    for pid, what in left.items():
        print(f"LEFT BEHIND: process {pid}: {what}", file=sys.stderr)
    _end(left)
    if left:
        print(f"{len(left)} processes were left behind; what starts a process must end it.", file=sys.stderr)
    return code or int(bool(left))


def _reap_until_end(process: subprocess.Popen[bytes]) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _left_after(seconds: float) -> dict[int, str]:
    """Descendants that still run: pid -> what it is."""
    until = time.monotonic() + seconds
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        left = _descendants(os.getpid())
        if not left or time.monotonic() > until:
            return {pid: _described(pid) for pid in left}
        time.sleep(0.1)


def _descendants(of: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found, to_see = [], [of]
    while to_see:
        some = children.get(to_see.pop(), [])
        found.extend(some)
        to_see.extend(some)
    return found


def _described(pid: int) -> str:
    folder = Path(f"/proc/{pid}")
    what, test = "?", ""
    with suppress(OSError):
        what = folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
        for entry in folder.joinpath("environ").read_bytes().split(b"\0"):
            if entry.startswith(b"PYTEST_CURRENT_TEST="):
                test = entry.partition(b"=")[2].decode(errors="replace")
    return f"{what} (started in {test})" if test else what


def _end(left: Mapping[int, str]) -> None:
    for pid in left:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
