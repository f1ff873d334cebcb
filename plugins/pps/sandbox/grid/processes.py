"""The owner's end of the keeper: start and stop servers that never outlive us."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pps
from pps.domain.base.errors import ConfigurationError, ServiceError


@dataclass(frozen=True, slots=True)
class ServerEnded:
    """A server ended without having been asked to."""

    name: str
    code: int
    ran_s: float
    restarting: bool

    def __str__(self) -> str:
        then = "it is being started again" if self.restarting else "it is not started again"
        return f"{self.name} ended with code {self.code} after {self.ran_s} s; {then}."


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Servers:
    """Servers kept by a keeper process for one folder. All end when `stop` is called, or when we die."""

    def __init__(self, folder: Path, on_end: Callable[[ServerEnded], None] | None = None) -> None:
        self.folder = folder
        self._on_end = on_end
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.ended: list[ServerEnded] = []
        self.pids: dict[str, int] = {}

    def open(self, wait_s: float = 20.0) -> None:
        """Start the keeper, after what a killed run left behind has ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + wait_s
        while True:
            process = subprocess.Popen(
                [sys.executable, "-m", "pps.sandbox.grid.keeper", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle, in good order
                cwd="/",
                env=_keeper_environment(),
            )
            assert process.stdout is not None  # noqa: S101
            line = process.stdout.readline()
            if line:
                break
            if process.wait() != 3 or time.monotonic() > deadline:
                raise ConfigurationError(
                    str(self.folder), "is in use by another run.", "Stop that one first, or choose another folder."
                )
            time.sleep(0.2)  # a killed owner's keeper needs a moment to end its servers
        self._process, self._answers, self.ended, self.pids = process, queue.Queue(), [], {}
        threading.Thread(target=self._listen, args=(process, self._answers), name="keeper", daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes], answers: queue.Queue[dict[str, Any]]) -> None:
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            said = json.loads(line)
            if said["event"] == "started":
                self.pids[said["name"]] = said["pid"]
            if said["event"] == "ended":
                end = ServerEnded(said["name"], said["code"], said["ran_s"], said["restarting"])
                self.pids.pop(end.name, None)
                self.ended.append(end)
                if self._on_end and self._process is process:
                    self._on_end(end)
            else:
                answers.put(said)
        answers.put({"event": "gone"})

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: int = signal.SIGTERM,
        grace_s: float = 10.0,
        restart: bool = False,
    ) -> None:
        """Start one server; `ServiceError` if its program cannot be run. Output goes to `log`."""
        order = {
            "name": name,
            "argv": list(argv),
            "env": dict(env) if env is not None else None,
            "cwd": str(cwd) if cwd else None,
            "log": str(log),
            "stop_signal": int(stop_signal),
            "grace_s": grace_s,
            "restart": restart,
        }
        answer = self._ask({"start": order}, lambda a: a["event"] in ("started", "failed") and a["name"] == name, 20.0)
        if answer["event"] == "failed":
            raise ServiceError(name, f"cannot be started ({answer['why']}).")

    def end(self, *names: str, wait_s: float = 60.0) -> None:
        """Stop these servers, in order, and wait."""
        self._ask({"stop": list(names)}, lambda a: a["event"] == "done" and a["names"] == list(names), wait_s)

    def stop(self, wait_s: float = 60.0) -> None:
        """Stop all servers and the keeper; a second call does nothing."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(wait_s)

    def _ask(self, order: dict[str, Any], is_answer: Callable[[dict[str, Any]], bool], wait_s: float) -> dict[str, Any]:
        with self._lock:
            if self._process is None or self._process.stdin is None:
                raise ServiceError(str(self.folder), "its keeper is not running.", "Call open first.")
            try:
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()
            except OSError as error:
                raise ServiceError(str(self.folder), "its keeper has died.", "Start the sandbox again.") from error
            deadline = time.monotonic() + wait_s
            while True:
                try:
                    answer = self._answers.get(timeout=max(0.01, deadline - time.monotonic()))
                except queue.Empty:
                    raise ServiceError(str(self.folder), f"its keeper did not answer in {wait_s:g} s.") from None
                if answer["event"] == "gone":
                    raise ServiceError(str(self.folder), "its keeper has died.", "Start the sandbox again.")
                if is_answer(answer):
                    return answer

    def __enter__(self) -> Servers:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _keeper_environment() -> dict[str, str]:
    # the package is found wherever it was imported from, installed or not
    paths = [str(Path(pps.__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
