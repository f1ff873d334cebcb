"""Runs functions of ours on a stranger's files in a child process that can do little harm, and for a short time only.

A parser that a hostile file leads astray then costs no more than an error: it takes no more memory, computing time,
time on the clock, file size and open files than it is given, has none of our secrets (a clean environment, no open
files of ours), and what it answers is JSON, which cannot make its reader run anything.

The first call starts one Python, which has imported what it needs when the second call comes; it forks for every
call, so that nothing of one stranger's file is left for the next. It ends with the object that started it, with the
process that did, and after a while without work.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import json
import os
import pathlib
import resource
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from pps.domain.base import errors
from pps.domain.base.errors import PackageError, RolloutError, ServiceError

_ANSWER_BYTES = 64 << 20
_IDLE_S = 60.0
_CHUNK = 1 << 16
_LENGTH = struct.Struct("!I")
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from pps.adapters.packages.confined import serve; serve()"
)
#: Without these some Pythons do not start.
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_NEXT = "Nothing of it was used. Ask the provider."


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take; policies.yaml, `strangers_files`, says why so much."""

    memory_bytes: int = 1 << 30
    """address space"""
    cpu_s: int = 300
    wall_s: int = 900
    file_bytes: int = 8 << 30
    open_files: int = 32


class Confined:
    """A place to run functions in; calls from several threads come one after the other."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._of = 0

    def call(self, subject: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function at the top of a module of ours answers; arguments and answer are plain JSON.

        Args:
            subject: the stranger's file, for the sentence if this ends badly.

        Raises:
            RolloutError: the very one that the function raised.
            PackageError: it took more than it may, or came to an unexpected end.
            ServiceError: this machine cannot start the child.
        """
        request = json.dumps([subject, function.__module__, function.__qualname__, arguments, asdict(self._limits)])
        if self._of not in (0, os.getpid()):  # forked meanwhile: lock and child belong to the other process
            self._lock, self._process = threading.Lock(), None
        with self._lock:
            try:
                answer = self._ask(request.encode())
            except BaseException:
                self._end()  # or the next call would read this one's answer
                raise
        if answer is None:
            raise ServiceError("child process", "cannot be started, or was ended from outside.", "Try again.")
        kind, value = json.loads(answer)
        if kind == "error":
            name, *words = value
            known = getattr(errors, name, None)
            fitting = known if isinstance(known, type) and issubclass(known, RolloutError) else PackageError
            raise fitting(*(map(str, words)))
        return value

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _ask(self, request: bytes) -> bytes | None:
        for _ in range(2):  # one that had no work for a while has left
            fresh = self._started()
            process = self._process
            assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: S101
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(_LENGTH.pack(len(request)) + request)
                process.stdin.flush()
                if answer := _received(process.stdout.fileno(), time.monotonic() + self._limits.wall_s + 30):
                    return answer
            self._end()
            if fresh:
                break
        return None

    def _started(self) -> bool:
        """Start the child unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return False
        self._end()
        path = [str(pathlib.Path(folder).absolute()) for folder in sys.path]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"} | {k: v for k, v in os.environ.items() if k in _KEPT},
                cwd="/",
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
            )
        except OSError as error:
            raise ServiceError(
                "child process", f"cannot be started ({error.strerror}).", "Look at this machine."
            ) from error
        self._of = os.getpid()
        self._finalizer = weakref.finalize(self, _end, self._process, self._of)
        return True

    def _end(self) -> None:
        if self._process is not None:
            self._finalizer()
        self._process = None


def _end(process: subprocess.Popen[bytes], of: int) -> None:
    if of != os.getpid():
        return
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.kill()
    process.wait()


def _received(descriptor: int, deadline: float) -> bytes | None:
    """One answer, or None if there is none in time or its sender is gone."""
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            chunk = os.read(descriptor, _CHUNK)
            if not chunk:
                return None
            data += chunk
            if len(data) >= _LENGTH.size and len(data) >= _LENGTH.size + _LENGTH.unpack_from(data)[0]:
                return bytes(data[_LENGTH.size :])
    return None


# --- in the child ------------------------------------------------------------------------------


def serve() -> None:
    """Take requests from standard input until it ends, or nobody has asked for a while."""
    gc.disable()  # every fork is short-lived, and would copy what the collector touches
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    while selector.select(_IDLE_S):
        head = _exactly(_LENGTH.size)
        if head is None or (request := _exactly(_LENGTH.unpack(head)[0])) is None:
            return
        answer = _answered(selector, *json.loads(request))
        _write(1, _LENGTH.pack(len(answer)) + answer)


def _answered(
    selector: selectors.BaseSelector, subject: str, module: str, name: str, arguments: list[Any], limits: dict[str, int]
) -> bytes:
    """Run one request in a fork; return what it says, or why it says nothing."""
    function = getattr(importlib.import_module(module), name)  # before the fork: imported once for all calls
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _work(writer, subject, function, arguments, Limits(**limits))
    os.close(writer)
    deadline = time.monotonic() + limits["wall_s"]
    data, in_time = bytearray(), True
    selector.register(reader, selectors.EVENT_READ)
    try:
        while len(data) <= _ANSWER_BYTES and in_time:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            in_time = bool(ready)
            if any(key.fd == 0 for key, _ in ready):  # whoever asked is gone: there is nothing else to read yet
                os.kill(child, signal.SIGKILL)
                os._exit(0)
            if ready:
                if not (chunk := os.read(reader, _CHUNK)):
                    break
                data += chunk
    finally:
        selector.unregister(reader)
        os.close(reader)
        if not in_time or len(data) > _ANSWER_BYTES:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    if not in_time:
        return _error(subject, f"takes longer than {limits['wall_s']} s to read.")
    if len(data) > _ANSWER_BYTES:
        return _error(subject, "says more than any package needs to.")
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 and data:
        return bytes(data)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return _error(subject, f"takes more than {limits['cpu_s']} s of computing time to read.")
    return _error(subject, "brings the program that reads it to an unexpected end.")


def _work(writer: int, subject: str, function: Callable[..., Any], arguments: list[Any], limits: Limits) -> NoReturn:
    """The fork's whole life: it never returns to the loop of its parent."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        _confine(limits)
        try:
            answer = json.dumps(["answer", function(*arguments)]).encode()
        except RolloutError as error:
            answer = json.dumps(["error", [type(error).__name__, error.subject, error.why, error.next_step]]).encode()
        except MemoryError:
            answer = _error(subject, f"takes more than {limits.memory_bytes} bytes of memory to read.")
        except OSError as error:
            if error.errno == errno.EFBIG:
                answer = _error(subject, f"unpacks to more than {limits.file_bytes} bytes.")
            else:
                answer = json.dumps(["error", _machine(error)]).encode()
        except Exception as error:
            # whatever a parser makes of a file that nobody foresaw
            answer = _error(subject, f"cannot be read ({type(error).__name__}).")
        _write(writer, answer)
        os._exit(0)
    finally:
        os._exit(1)


def _confine(limits: Limits) -> None:
    for name, value in (
        ("RLIMIT_AS", limits.memory_bytes),
        ("RLIMIT_FSIZE", limits.file_bytes),
        ("RLIMIT_NOFILE", limits.open_files),
        ("RLIMIT_CORE", 0),
    ):
        # macOS does not let everybody set each of them; time and answer stay limited from outside
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))
    # first a signal that tells why; a process that does not heed it is killed
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the parent
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        if os.getppid() == 1:
            os._exit(1)


def _error(subject: str, why: str) -> bytes:
    return json.dumps(["error", ["PackageError", subject, why, _NEXT]]).encode()


def _machine(error: OSError) -> list[str]:
    """What is wrong is a disk of ours: nobody must blame the provider."""
    why = f"cannot read or write its files ({error.strerror})."
    return ["ServiceError", "child process", why, "Look at this machine (disk, rights), then try again."]


def _exactly(size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        if not (chunk := os.read(0, size - len(data))):
            return None
        data += chunk
    return data


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
