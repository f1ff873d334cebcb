"""The way to a site with the system's OpenSSH client (7.4 or newer), one process per connection.

Bytes of files go from the page cache into the client's pipe inside the kernel; Python only waits.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from pps.activities.conversation import Conversation, cleaned, start_command
from pps.activities.ports import SiteChannel, SiteLimits, SshTarget
from pps.domain.errors import ConfigurationError, HostKeyError, SiteError, SiteUnreachableError

_PIECE = 1 << 18
_STDERR_KEPT = 4096
# Named in full, since the `^` that only moves one to the front is unknown to older clients. curve25519 and
# aes128-gcm first: they cost the controller least (ARCHITECTURE.md, "Where work happens").
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
    "KexAlgorithms": "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,diffie-hellman-group14-sha256",
    "Ciphers": "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr",
    # Not ERROR: the client tells of a missing host key type, or a closed connection, at INFO.
    "LogLevel": "INFO",
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
            words = [self._program, *_words(target, limits, Path(folder)), "--", target.host, command]
            channel = await _OpenSshChannel.start(words, target.site, limits, nonce)
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
        "HostKeyAlgorithms": "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind,
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
    words = ["-T", "-F", "none", "-e", "none", "-p", str(target.port), "-l", target.user]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return [*words, "-i", str(identity)] if identity is not None else words


class _OpenSshChannel(Conversation):
    def __init__(
        self, process: asyncio.subprocess.Process, pipe: int, site: str, limits: SiteLimits, nonce: str
    ) -> None:
        super().__init__(site, limits, nonce)
        self._process = process
        self._pipe: int | None = pipe
        self._complaints = b""
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, words: list[str], site: str, limits: SiteLimits, nonce: str) -> _OpenSshChannel:
        reading, writing = os.pipe()
        try:
            os.set_blocking(writing, False)
            with suppress(OSError, AttributeError):
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIECE)
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
            raise SiteUnreachableError(
                site, f"the SSH client could not be started ({error}).", "Install OpenSSH's client."
            ) from error
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        return cls(process, writing, site, limits, nonce)

    async def _listen(self) -> None:
        """Keep the end of what client and site write to standard error."""
        stream = self._process.stderr
        while stream is not None and (piece := await stream.read(_STDERR_KEPT)):
            self._complaints = (self._complaints + piece)[-_STDERR_KEPT:]
            self._heard(len(piece))

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
            while moved := await self._when_writable(partial(_splice, file.fileno(), at)):
                at += moved

    async def _when_writable(self, act: Callable[[int], int]) -> int:
        """Do `act` as soon as the pipe takes something; 0 when nobody reads it any more."""
        while self._pipe is not None:
            try:
                moved = act(self._pipe)
            except BlockingIOError:
                await self._writable(self._pipe)
            except BrokenPipeError:
                return 0
            else:
                self._moved()
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
        if code == 255 or code < 0:
            raise self._lost()
        return code

    def _lost(self) -> SiteError:
        """The client ended by itself: which of our errors is that?"""
        said = self._complaints.decode(errors="replace")
        last = cleaned(said.strip().rpartition("\n")[2]) or "no reason given"
        if self._greeted:
            return SiteUnreachableError(
                self.site, f"the connection broke ({last}).", "The nightly distribution tries again."
            )
        if re.search(r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED|no matching host key type", said):
            shown = re.search(r"SHA256:[A-Za-z0-9+/]{43}", said)
            return HostKeyError(
                self.site,
                f"shows another host key than the registry has ({shown[0] if shown else last}).",
                "Confirm the new key with the site's administrator by another way, then correct it in the registry.",
            )
        if "Permission denied" in said:
            return SiteUnreachableError(
                self.site,
                f"does not let us log in ({last}).",
                "Ask the site's administrator whether our key is still authorised.",
            )
        return SiteUnreachableError(
            self.site, f"cannot be reached ({last}).", "Check for a downtime; the nightly distribution tries again."
        )

    def _abort(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """End the client, whatever it does, and reap it."""
        await self._end_input()
        if self._process.returncode is None:
            self._abort()
        # Until the end of both outputs: only then asyncio has done with a process.
        while await self._receive():
            pass
        await self._listener
        await self._process.wait()


def _write(data: memoryview, pipe: int) -> int:
    return os.write(pipe, data)


def _splice(file: int, at: int, pipe: int) -> int:
    try:
        return os.splice(file, pipe, _PIECE, offset_src=at, flags=os.SPLICE_F_NONBLOCK)
    except (AttributeError, OSError) as error:
        # Not on this system, or not on this file system.
        if isinstance(error, (BlockingIOError, BrokenPipeError)):
            raise
        return os.write(pipe, os.pread(file, _PIECE, at))
