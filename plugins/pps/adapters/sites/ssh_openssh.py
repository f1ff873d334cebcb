"""The way to a site with the system's OpenSSH client (7.4 or newer), one process per connection.

Bytes of files go from the page cache into the client's standard input inside the kernel; Python only waits. That input
is a socket: it tells us that there is room when three quarters of it are free, a pipe with each page that was read.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from pps.activities.ports.sites import SiteChannel, SiteLimits, SshTarget
from pps.activities.sites import login_errors
from pps.activities.sites.conversation import Conversation, start_command
from pps.domain.base.errors import ConfigurationError, RolloutError, SiteUnreachableError

_PIECE = 1 << 18
_BUFFER = 1 << 20
_STDERR_KEPT = 4096
_LOG_KEPT = 1 << 16
# Algorithms are named in full, since the `^` that only moves one to the front is unknown to older clients.
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "GlobalKnownHostsFile": "none",
    "UpdateHostKeys": "no",
    "CheckHostIP": "no",
    "VerifyHostKeyDNS": "no",
    "HostKeyAlias": "pps-site",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "PreferredAuthentications": "publickey",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "ControlMaster": "no",
    "ControlPath": "none",
    "Compression": "no",
    "KexAlgorithms": ",".join(login_errors.KEY_EXCHANGES),
    "Ciphers": ",".join(login_errors.CIPHERS),
    "MACs": ",".join(login_errors.MACS),
    # Only here does the client tell whether 255 was its own end or the script's; to a log of its own, not among
    # what the site says.
    "LogLevel": "DEBUG1",
}


class OpenSshShell:
    """`ports.SiteShell` with the client `program` of OpenSSH."""

    def __init__(self, program: str = "ssh") -> None:
        self._program = program

    @asynccontextmanager
    async def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AsyncIterator[SiteChannel]:
        """See `ports.SiteShell`."""
        nonce = f"pps-{secrets.token_hex(16)}"
        command = start_command(script, arguments, nonce)
        # The folder (0700) with the pinned key, and the private key if it came as text, lives until the login.
        with tempfile.TemporaryDirectory(prefix="pps-ssh-") as folder:
            log = Path(folder) / "log"
            os.mkfifo(log, 0o600)
            words = [self._program, "-E", str(log), *_words(target, limits, Path(folder)), "--", target.host, command]
            kind = target.host_key.split(maxsplit=1)[0]
            channel = await _OpenSshChannel.start(words, log, kind, target.site, limits, nonce)
            try:
                await channel.greet()
            except BaseException:
                await channel.close()
                raise
        try:
            yield channel
        finally:
            await channel.close()


def _words(target: SshTarget, limits: SiteLimits, folder: Path) -> list[str]:
    kind, _, key = target.host_key.strip().partition(" ")
    if not re.fullmatch(r"[a-z0-9@.-]+", kind) or not re.fullmatch(r"[A-Za-z0-9+/=]+", key):
        raise ConfigurationError(
            f"host key of {target.site}", "is not `<type> <base64>`.", "Correct it in the site registry."
        )
    known = folder / "known_hosts"
    known.write_text(f"pps-site {kind} {key}\n")
    options = {
        **_OPTIONS,
        "UserKnownHostsFile": str(known),
        "HostKeyAlgorithms": ",".join(login_errors.host_key_algorithms(kind)),
        # Ours ends first, and says so in our words.
        "ConnectTimeout": str(int(limits.connect_s) + 2),
        "ServerAliveInterval": str(int(limits.silence_s / 3) + 1),
        "ServerAliveCountMax": "3",
    }
    identity = target.key_file
    if target.private_key is not None:
        identity = folder / "identity"
        identity.touch(mode=0o600, exist_ok=False)
        identity.write_text(target.private_key.rstrip("\n") + "\n")
    elif identity is not None and not os.access(identity, os.R_OK):
        raise login_errors.unreadable_key(target.site)
    words = ["-T", "-F", "none", "-e", "none", "-p", str(target.port), "-l", target.user]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return [*words, "-i", str(identity)] if identity is not None else words


class _OpenSshChannel(Conversation):
    def __init__(
        self,
        process: asyncio.subprocess.Process,
        pipe: int,
        log: int,
        kind: str,
        site: str,
        limits: SiteLimits,
        nonce: str,
    ) -> None:
        super().__init__(site, limits, nonce)
        self._process = process
        self._pipe: int | None = pipe
        self._log_pipe: int | None = log
        self._log = b""
        self._kind = kind
        self._complaints = b""
        self._loop.add_reader(log, self._read_log)
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, words: list[str], log: Path, kind: str, site: str, limits: SiteLimits, nonce: str
    ) -> _OpenSshChannel:
        reading, writing = _socket_pair()
        # to read and to write, so that it has no end while we listen; a pipe, since a file could fill the disk
        logged = os.open(log, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # A session of its own: Ctrl-C reaches us, and we end the conversation in order.
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=reading,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                env={k: os.environ[k] for k in ("PATH", "HOME", "LD_LIBRARY_PATH") if k in os.environ}
                | {"LC_ALL": "C"},
            )
        except OSError as error:
            os.close(writing)
            os.close(logged)
            raise SiteUnreachableError(
                site, f"the SSH client could not be started ({error}).", "Install OpenSSH's client."
            ) from error
        except BaseException:
            os.close(writing)
            os.close(logged)
            raise
        finally:
            os.close(reading)
        return cls(process, writing, logged, kind, site, limits, nonce)

    async def _listen(self) -> None:
        """Keep the end of what client and site write to standard error."""
        stream = self._process.stderr
        while stream is not None and (piece := await stream.read(_STDERR_KEPT)):
            self._complaints = (self._complaints + piece)[-_STDERR_KEPT:]
            self._heard(len(piece))

    def _read_log(self) -> None:
        """Keep the end of what the client tells of itself; it must never wait for us."""
        with suppress(BlockingIOError):
            while self._log_pipe is not None and (piece := os.read(self._log_pipe, _PIECE)):
                self._log = (self._log + piece)[-_LOG_KEPT:]

    def _said_aside(self) -> str:
        # the one line that the client writes there, whatever it is told
        return re.sub(
            r"(?m)^Connection to .* closed( by remote host)?\.\r?$", "", self._complaints.decode(errors="replace")
        )

    async def _receive(self) -> bytes:
        stream = self._process.stdout
        return await stream.read(1 << 16) if stream is not None else b""

    async def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            moved = await self._when_writable(partial(_write, rest))
            if not moved:
                return
            rest = rest[moved:]

    async def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            at = 0
            while moved := await self._when_writable(partial(_send_piece, file.fileno(), at)):
                at += moved

    async def _when_writable(self, act: Callable[[int], int]) -> int:
        """Do `act` as soon as the pipe takes something; 0 when nobody reads it any more."""
        while self._pipe is not None:
            try:
                moved = act(self._pipe)
            except BlockingIOError:
                await self._writable(self._pipe)
            except (BrokenPipeError, ConnectionResetError):
                return 0
            else:
                self._moved(moved)
                return moved
        return 0

    async def _writable(self, pipe: int) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(pipe, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(pipe)

    async def _end_input(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    async def _exit_code(self) -> int:
        code = await self._process.wait()
        await self._listener
        self._read_log()
        log = self._log.decode(errors="replace").replace("\r", "")
        if code < 0 or (code == 255 and not re.search(r"(?m)^debug1: Exit status 255$", log)):
            raise self._lost(log)
        return code

    def _lost(self, log: str) -> RolloutError:
        """The client ended by itself: which of our errors is that?"""
        if re.search(r"(?m)^debug1: client_input_channel_req: .*exit-signal", log):
            return login_errors.killed_there(self.site)
        if re.search(r"(?m)^(channel \d+: open failed|(exec|shell) request failed)", log):
            return login_errors.no_session(self.site, self._said_aside())
        if self._greeted or re.search(r"(?m)^(debug1: )?(Authenticated to|Authentication succeeded)", log):
            return login_errors.broke(self.site)
        return self._not_let_in(log)

    def _not_let_in(self, log: str) -> RolloutError:
        # each from the line's beginning: what the server wrote comes after a prefix of the client's
        if offer := re.search(
            r"(?m)^Unable to negotiate .*: no matching (host key|key exchange|cipher|MAC)\b.*Their offer: (.*)$", log
        ):
            return login_errors.nothing_in_common(self.site, offer[1], offer[2].split(","), self._kind)
        if re.search(r"(?m)^Host key verification failed|^@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED", log):
            shown = re.findall(r"(?m)^(?:debug1: Server host key: \S+ )?(SHA256:[A-Za-z0-9+/]{43})", log)
            return login_errors.other_host_key(self.site, shown[-1] if shown else "")
        if re.search(r"(?m)^Load key ", log):
            return login_errors.unreadable_key(self.site)
        if re.search(r"(?m)^(\S+: )?Permission denied \(|^Received disconnect .*Too many authentication fail", log):
            ours = re.findall(r"(?m)^debug1: (?:Will attempt|Offering public) key: .* (ED25519|RSA|ECDSA)\b", log)
            return login_errors.not_let_in(self.site, ours[-1].lower() if ours else "", self._said_aside())
        if re.search(r"(?m)^debug1: SSH2_MSG_SERVICE_ACCEPT received", log):
            return login_errors.hung_up(self.site, self._said_aside())
        own = re.findall(r"(?m)^(?:ssh: |debug1: connect to address ).*", log)
        return login_errors.no_connection(self.site, "\n".join(own))

    def _abort(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """End the client, whatever it does, and reap it."""
        await self._end_input()
        if self._process.returncode is None:
            self._abort()
        # Until the end of both outputs: only then is asyncio done with a process.
        while await self._receive():
            pass
        await self._listener
        await self._process.wait()
        if self._log_pipe is not None:
            self._loop.remove_reader(self._log_pipe)
            os.close(self._log_pipe)
            self._log_pipe = None


def _write(data: memoryview, pipe: int) -> int:
    return os.write(pipe, data)


def _send_piece(file: int, at: int, pipe: int) -> int:
    try:
        return os.sendfile(pipe, file, at, _PIECE)
    except OSError as error:
        # Not on this file system.
        if isinstance(error, (BlockingIOError, BrokenPipeError, ConnectionResetError)):
            raise
        return os.write(pipe, os.pread(file, _PIECE, at))


def _socket_pair() -> tuple[int, int]:
    """Both ends of what will be the client's standard input: its own, and ours, which never makes us wait."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    with suppress(OSError):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return theirs.detach(), ours.detach()
