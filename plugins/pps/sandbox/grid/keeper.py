"""A process of its own that keeps the sandbox's servers: starts, restarts and, above all, ends them.

The owner (demo, `pps sandbox`, a test) talks to it over a pipe, one JSON object per line. When the
pipe closes, because the owner is done or was killed, everything that was started ends too. On Linux
the keeper is the reaper of all its descendants, so that a grandchild whose parent died is still ours:
nothing is looked for by name, and no process that we did not start is ever touched.

Standard library and psutil only: it must start at once and need little memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TICK_S = 0.2
_ORPHAN_GRACE_S = 3.0
_LONGEST_PAUSE_S = 30.0


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with_keeper() -> None:
    # Only a second net, for when the keeper itself was killed hard. The keeper has one thread, so this is safe.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class _Server:
    name: str
    argv: list[str]
    env: dict[str, str] | None
    cwd: str | None
    log: str
    stop_signal: int
    grace_s: float
    restart: bool
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again_at: float | None = None


@dataclass
class _Keeper:
    folder: Path
    servers: dict[str, _Server] = field(default_factory=dict)
    orphans: dict[psutil.Process, float] = field(default_factory=dict)
    strays: set[psutil.Process] = field(default_factory=set)
    """macOS has no subreaper: descendants are remembered while their parents still live"""
    output: IO[str] = sys.stdout

    def say(self, event: str, **what: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):
            print(json.dumps({"event": event, **what}), file=self.output, flush=True)

    def write_register(self) -> None:
        """Note who is ours, for the next start after a power cut; pid and start time name a process for good."""
        running = [s.process.pid for s in self.servers.values() if s.process]
        entries = []
        for pid in [os.getpid(), *running]:
            with contextlib.suppress(psutil.Error):
                entries.append([pid, psutil.Process(pid).create_time()])
        aside = self.folder / ".keeper.json.new"
        aside.write_text(json.dumps(entries), encoding="utf-8")
        aside.rename(self.folder / "keeper.json")

    def spawn(self, server: _Server) -> None:
        with Path(server.log).open("ab") as log:
            try:
                server.process = subprocess.Popen(
                    server.argv,
                    env=server.env,
                    cwd=server.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_keeper if _LINUX else None,  # noqa: PLW1509 (one thread, see there)
                )
            except (OSError, subprocess.SubprocessError) as error:
                self.say("failed", name=server.name, why=str(error))
                server.again_at = None
                return
        server.started, server.again_at = time.monotonic(), None
        self.say("started", name=server.name, pid=server.process.pid)
        self.write_register()

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for server in self.servers.values():
                if server.process and server.process.pid == pid:
                    self.ended(server, os.waitstatus_to_exitcode(status))

    def ended(self, server: _Server, code: int) -> None:
        assert server.process is not None  # noqa: S101
        server.process.returncode = code
        server.process = None
        ran = time.monotonic() - server.started
        server.failures = 1 if ran > _LONGEST_PAUSE_S else server.failures + 1
        if server.restart:
            server.again_at = time.monotonic() + min(_LONGEST_PAUSE_S, 2.0 ** (server.failures - 1) - 0.5)
        self.say("ended", name=server.name, code=code, ran_s=round(ran, 1), restarting=server.restart)

    def descendants(self) -> set[psutil.Process]:
        found = set(psutil.Process().children(recursive=True))
        if not _LINUX:
            self.strays = {p for p in self.strays | found if p.is_running()}
            return self.strays
        return found

    def end_orphans(self) -> None:
        """End what a died server left behind: children of ours that we did not start ourselves."""
        mine = {s.process.pid for s in self.servers.values() if s.process}
        if _LINUX:
            left = {p for p in psutil.Process().children() if p.pid not in mine}
        else:
            left = {p for p in self.descendants() if p.pid not in mine and p.ppid() == 1}
        now = time.monotonic()
        for process in left:
            first_seen = self.orphans.setdefault(process, now)
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    process.send_signal(signal.SIGTERM if now - first_seen < _ORPHAN_GRACE_S else signal.SIGKILL)
        self.orphans = {p: since for p, since in self.orphans.items() if p in left}

    def stop(self, names: list[str]) -> None:
        """End these servers together: each by its own signal, and when the time of grace is over, by force."""
        chosen = [self.servers[n] for n in names if n in self.servers]
        for server in chosen:
            server.restart, server.again_at = False, None
            if (
                server.process
            ):  # not by its own method: that would reap it, if it has just ended, and we would never know
                os.kill(server.process.pid, server.stop_signal)
        deadline = time.monotonic() + max((s.grace_s for s in chosen), default=0)
        while any(s.process for s in chosen):
            for server in chosen:
                if server.process and time.monotonic() > deadline:
                    os.kill(server.process.pid, signal.SIGKILL)
            time.sleep(0.05)
            self.reap()

    def stop_all(self) -> None:
        self.stop(list(self.servers))
        deadline = time.monotonic() + _ORPHAN_GRACE_S
        while left := self.descendants():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(0.05)
            self.reap()
        (self.folder / "keeper.json").unlink(missing_ok=True)
        self.say("stopped")

    def obey(self, line: bytes) -> None:
        order = json.loads(line)
        if "start" in order:
            server = _Server(**order["start"])
            self.servers[server.name] = server
            self.spawn(server)
        elif "stop" in order:
            self.stop(order["stop"])
            for name in order["stop"]:
                self.servers.pop(name, None)
            self.say("done", names=order["stop"])

    def run(self) -> None:
        """Serve until the pipe closes or SIGTERM comes."""
        waiting = b""
        swept = 0.0
        while True:
            readable, _, _ = select.select([0], [], [], _TICK_S)
            if readable:
                data = os.read(0, 1 << 20)
                if not data:
                    break
                *lines, waiting = (waiting + data).split(b"\n")
                for line in lines:
                    self.obey(line)
            self.reap()
            now = time.monotonic()
            for server in self.servers.values():
                if server.again_at is not None and now >= server.again_at:
                    self.spawn(server)
            if now - swept > 1.0:
                swept = now
                self.end_orphans()


def end_leftovers(folder: Path, grace_s: float = 5.0) -> int:
    """End what an earlier run left in this folder after a hard kill; return how many processes.

    Only processes that keeper.json names by pid *and* start time, and their descendants.
    """
    register = folder / "keeper.json"
    try:
        entries = json.loads(register.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0
    left: list[psutil.Process] = []
    for pid, created in entries:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 0.02:
                left += [process, *process.children(recursive=True)]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_s)
    register.unlink(missing_ok=True)
    return len(left)


class _TerminatedError(Exception):
    pass


def _on_term(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _TerminatedError


def main(folder: Path) -> int:
    """Keep servers for the folder; exit code 3 if another keeper has it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's; it will close the pipe
    lock = (folder / "keeper.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 3
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    end_leftovers(folder)
    keeper = _Keeper(folder)
    signal.signal(signal.SIGTERM, _on_term)
    keeper.write_register()
    keeper.say("ready")
    with contextlib.suppress(_TerminatedError):
        keeper.run()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keeper.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
