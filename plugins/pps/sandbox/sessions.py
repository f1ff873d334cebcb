"""A command at a sandbox site: a real `/bin/sh -c` in its own session, streamed over an SSH channel.

No process outlives its channel: when the client goes away, or the command ends, everything in the
command's session is killed, also what moved to a process group of its own (as `timeout` does).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

_CHUNK = 128 * 1024


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a site is: seconds before a command starts, and bytes a second in each direction."""

    delay_s: float
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Login:
    """What a command gets when it starts."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    home: Path
    pace: Pace | None = None


async def serve_command(channel: asyncssh.SSHServerProcess[bytes], login: Login) -> None:
    """Run the command until it ends or the client goes away; pass its exit status or signal on."""
    gone = asyncio.ensure_future(channel.channel.wait_closed())
    process: asyncio.subprocess.Process | None = None
    feeding: asyncio.Task[None] | None = None
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
        feeding = asyncio.ensure_future(_feed(channel, process, login.pace))
        ending = asyncio.ensure_future(_until_end(channel, process, login.pace))
        await asyncio.wait((ending, gone), return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            ending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ending
        elif gone.done() or ending.exception():
            return
        elif (code := ending.result()) >= 0:
            channel.exit(code)
        else:
            channel.exit_with_signal(_signal_name(-code))
    finally:
        gone.cancel()
        if feeding:
            feeding.cancel()
        if process:
            kill_session(process.pid)
            # Some Pythons let wait() wait for the pipes as well, which a process that fled its session may hold.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 2)


async def _feed(
    channel: asyncssh.SSHServerProcess[bytes], process: asyncio.subprocess.Process, pace: Pace | None
) -> None:
    """Client to command; `drain` is what makes a slow command slow the client down."""
    assert process.stdin is not None  # noqa: S101 (PIPE)
    try:
        while True:
            try:
                data = await channel.stdin.read(_CHUNK)
            except asyncssh.SignalReceived as request:
                with contextlib.suppress(ProcessLookupError, AttributeError):
                    os.killpg(process.pid, getattr(signal, f"SIG{request.signal}"))
                continue
            except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                continue
            if not data:
                process.stdin.close()
                return
            process.stdin.write(data)
            await process.stdin.drain()
            if pace:
                await asyncio.sleep(len(data) / pace.bytes_per_s)
    except (BrokenPipeError, ConnectionResetError):
        # The command reads no more (`head` does that): what the client still sends is swallowed, as by a real shell.
        with contextlib.suppress(asyncssh.Error, OSError):
            while await channel.stdin.read(_CHUNK):
                pass
    except (asyncssh.Error, OSError):
        # The connection is lost. No end of input is passed on: it would look like a complete stream.
        return


async def _until_end(
    channel: asyncssh.SSHServerProcess[bytes], process: asyncio.subprocess.Process, pace: Pace | None
) -> int:
    """Command to client; as with OpenSSH the end is when the outputs are closed and the command is dead."""
    assert process.stdout is not None and process.stderr is not None  # noqa: S101 (PIPE)
    await asyncio.gather(_copy(process.stdout, channel.stdout, pace), _copy(process.stderr, channel.stderr, pace))
    return await process.wait()


async def _copy(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes], pace: Pace | None) -> None:
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
        if pace:
            await asyncio.sleep(len(data) / pace.bytes_per_s)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
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
        os.killpg(session, signal.SIGKILL)
    # Twice: a process may fork while the list is read. Zombies stay listed until they are reaped.
    for _ in range(2):
        for pid in processes_of_session(session):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
