"""A command at a sandbox site: a real `/bin/sh -c` in its own session, streamed over an SSH channel.

No process outlives its channel: when the client goes away, or the command ends, everything in the
command's session is killed, also what moved to a process group of its own (as `timeout` does).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal as signals
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

log = logging.getLogger(__name__)

_CHUNK = 128 * 1024
_MOST_UNREAD = 256 * 1024
#: SSH window of a channel, bytes; with `_MOST_UNREAD` it bounds what a slow command makes us hold.
WINDOW = 512 * 1024


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a site is: seconds before a command starts, and bytes per second in each direction."""

    delay_s: float
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Login:
    """What a command gets when it starts."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    home: Path
    pace: Pace | None = None


class CommandSession(asyncssh.SSHServerSession[bytes]):
    """One channel and its command. Neither terminal nor subsystem: the base class refuses both.

    Not asyncssh's ready-made SSHServerProcess: when that is paused, the channel (2.24) reopens its whole
    window with each packet that it delivers, whatever still waits in it, so that memory grows with the stream.
    Here reading is paused only after everything that waited was taken, and resumed only when all is used up.
    """

    def __init__(self, log_in: Callable[[str | None], Login], commands: set[asyncio.Task[None]]) -> None:
        """Args:
        log_in: what a command (None: a shell that reads its commands) gets.
        commands: where the running command is entered, so that the site can end it.
        """
        self._log_in = log_in
        self._commands = commands
        self._command: str | None = None
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._paused = False
        self._ended = False
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._session_id = 0

    # --- what asyncssh tells ---

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is open."""
        self._channel = chan

    def shell_requested(self) -> bool:
        """A shell without a terminal."""
        return True

    def exec_requested(self, command: str) -> bool:
        """The usual way."""
        self._command = command
        return True

    def session_started(self) -> None:
        """Data may flow now."""
        task = asyncio.get_running_loop().create_task(self._serve())
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Input for the command."""
        self._unread.append(data)
        self._unread_bytes += len(data)
        self._news.set()
        if self._unread_bytes >= _MOST_UNREAD:
            # later, when what waited in the channel has been delivered as well; see the class
            asyncio.get_running_loop().call_soon(self._pause)

    def eof_received(self) -> bool:
        """The end of the input; the output goes on."""
        self._ended = True
        self._news.set()
        return True

    def signal_received(self, signal: str) -> None:
        """The client wants the command to get a signal."""
        number = getattr(signals, f"SIG{signal}", None)
        if self._session_id and isinstance(number, signals.Signals):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._session_id, number)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed, by whichever side."""
        self._gone.set()
        self._writable.set()

    # --- what we do ---

    async def _serve(self) -> None:
        try:
            await self._run(self._log_in(self._command))
        except (asyncssh.Error, OSError) as error:
            log.warning("a command could not be served: %s", error)
            with contextlib.suppress(asyncssh.Error, OSError):
                self._channel.exit(255)

    async def _run(self, login: Login) -> None:
        """Run the command until it ends or the client goes away; pass its exit status or signal on."""
        gone = asyncio.ensure_future(self._gone.wait())
        helpers: list[asyncio.Future[Any]] = [gone]
        process: asyncio.subprocess.Process | None = None
        try:
            if login.pace:
                await asyncio.wait((gone,), timeout=login.pace.delay_s)
            if gone.done():
                return
            process = await asyncio.create_subprocess_exec(
                *login.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=login.home,
                env=dict(login.environment),
                start_new_session=True,
                limit=_CHUNK,
            )
            self._session_id = process.pid
            ending = asyncio.ensure_future(self._until_end(process, login.pace))
            helpers += [asyncio.ensure_future(self._feed(process, login.pace)), ending]
            await asyncio.wait((ending, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return
            code = ending.result()
            if code >= 0:
                self._channel.exit(code)
            else:
                self._channel.exit_with_signal(_signal_name(-code))
        finally:
            for helper in helpers:
                helper.cancel()
            if process:
                self._session_id = 0
                kill_session(process.pid)
                # Some Pythons let wait() wait for the pipes as well, which a process that fled its session may hold.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 2)
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _feed(self, process: asyncio.subprocess.Process, pace: Pace | None) -> None:
        """Client to command; `drain` is what makes a slow command slow the client down."""
        stdin = process.stdin
        assert stdin is not None  # noqa: S101 (PIPE)
        reads = True
        while data := await self._next_input():
            # A command that stops reading (`head`) is no error: what still comes is swallowed, as by a real shell.
            if reads:
                try:
                    stdin.write(data)
                    await stdin.drain()
                except (BrokenPipeError, ConnectionResetError):
                    reads = False
            if pace:
                await asyncio.sleep(len(data) / pace.bytes_per_s)
        # A lost connection is no end of input, since it would look like a complete stream; then all is killed.
        if not self._gone.is_set():
            stdin.close()

    async def _next_input(self) -> bytes:
        """All that came meanwhile; empty at the end."""
        while not self._unread:
            if self._paused:
                self._paused = False
                self._channel.resume_reading()
            elif self._ended:
                return b""
            else:
                self._news.clear()
                await self._news.wait()
        data = b"".join(self._unread)
        self._unread.clear()
        self._unread_bytes = 0
        return data

    def _pause(self) -> None:
        if self._unread_bytes >= _MOST_UNREAD and not self._paused:
            self._paused = True
            self._channel.pause_reading()

    async def _until_end(self, process: asyncio.subprocess.Process, pace: Pace | None) -> int:
        """Command to client; as with OpenSSH the end is when the outputs are closed and the command is dead."""
        assert process.stdout is not None and process.stderr is not None  # noqa: S101 (PIPE)
        await asyncio.gather(
            self._copy(process.stdout, self._channel.write, pace),
            self._copy(process.stderr, self._channel.write_stderr, pace),
        )
        return await process.wait()

    async def _copy(self, source: asyncio.StreamReader, write: Callable[[bytes], None], pace: Pace | None) -> None:
        while data := await source.read(_CHUNK):
            await self._writable.wait()
            if self._gone.is_set():
                return
            write(data)
            if pace:
                await asyncio.sleep(len(data) / pace.bytes_per_s)


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name.removeprefix("SIG")
    except ValueError:  # real-time signals have no name
        return "KILL"


def processes_of_session(session: int) -> list[int]:
    """Live processes of a POSIX session (its id is the pid of its first process)."""
    found = []
    for pid in _all_processes():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == session:
                found.append(pid)
    return found


def _all_processes() -> list[int]:
    if Path("/proc/self").exists():
        return [int(p) for p in os.listdir("/proc") if p.isdigit()]  # noqa: PTH208 (only the names)
    listing = subprocess.run(("ps", "-A", "-o", "pid="), capture_output=True, text=True, check=True)
    return [int(pid) for pid in listing.stdout.split()]


def kill_session(session: int) -> None:
    """Kill every process of a session, also those in process groups of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signals.SIGKILL)
    # Twice: a process may fork while the list is read. Zombies stay listed until they are reaped.
    for _ in range(2):
        for pid in processes_of_session(session):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signals.SIGKILL)
