"""The way to a site with asyncssh, for machines without an OpenSSH client. Costs Python's time for every byte."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncssh

from pps.activities.conversation import Conversation, cleaned, start_command
from pps.activities.ports import SiteChannel, SiteLimits, SshTarget
from pps.domain.errors import ConfigurationError, HostKeyError, SiteError, SiteUnreachableError

_PIECE = 1 << 18
_KEX = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256")
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)
_HOST_KEYS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)
_AGAIN = "Check for a downtime; the nightly distribution tries again."


class AsyncsshShell:
    """`ports.SiteShell` in Python alone."""

    @asynccontextmanager
    async def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AsyncIterator[SiteChannel]:
        """See `ports.SiteShell`."""
        nonce = f"pps-{secrets.token_hex(16)}"
        channel = _AsyncsshChannel(target.site, limits, nonce)
        try:
            await channel.start(target, start_command(script, arguments, nonce))
            await channel.greet()
            yield channel
        finally:
            await channel.close()


class _AsyncsshChannel(Conversation):
    _connection: asyncssh.SSHClientConnection | None = None
    _process: asyncssh.SSHClientProcess[bytes]
    _listener: asyncio.Task[None] | None = None

    async def start(self, target: SshTarget, command: str) -> None:
        """Log in and start the command; within `connect_s`, as the greeting."""
        kind = target.host_key.split()[0]
        try:
            trusted = asyncssh.import_public_key(target.host_key)
            keys: list[object] = []
            if target.private_key is not None:
                keys = [asyncssh.import_private_key(target.private_key)]
            elif target.key_file is not None:
                keys = [asyncssh.read_private_key(target.key_file)]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, OSError) as error:
            raise ConfigurationError(
                f"keys of {target.site}",
                f"cannot be read ({cleaned(str(error))}).",
                "Correct the site registry or the Connection.",
            ) from error
        async with self._in_time():
            with self._our_errors():
                self._connection = await asyncssh.connect(
                    target.host,
                    target.port,
                    username=target.user,
                    known_hosts=([trusted], [], []),
                    # The pinned type first; the others too, so that we see (and refuse) what a site shows instead.
                    server_host_key_algs=sorted(
                        _HOST_KEYS, key=lambda a: not a.startswith("rsa" if kind == "ssh-rsa" else kind)
                    ),
                    client_keys=keys or None,
                    preferred_auth="publickey",
                    agent_path=None,
                    config=None,
                    kex_algs=_KEX,
                    encryption_algs=_CIPHERS,
                    compression_algs=None,
                    connect_timeout=self._limits.connect_s,
                    login_timeout=self._limits.connect_s,
                    keepalive_interval=max(1.0, self._limits.silence_s / 3),
                    keepalive_count_max=3,
                )
                self._process = await self._connection.create_process(command, encoding=None)
                self._listener = asyncio.create_task(self._listen())

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except asyncssh.HostKeyNotVerifiable as error:
            raise self._host_key_error(error) from error
        except asyncssh.KeyExchangeFailed as error:
            if "host key" in str(error).lower():
                raise self._host_key_error(error) from error
            raise SiteUnreachableError(self.site, f"cannot be reached ({cleaned(str(error))}).", _AGAIN) from error
        except asyncssh.PermissionDenied as error:
            raise SiteUnreachableError(
                self.site,
                f"does not let us log in ({cleaned(str(error))}).",
                "Ask the site's administrator whether our key is still authorised.",
            ) from error
        except (asyncssh.Error, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            how = "the connection broke" if self._greeted else "cannot be reached"
            raise SiteUnreachableError(self.site, f"{how} ({cleaned(str(error))}).", _AGAIN) from error

    def _host_key_error(self, error: Exception) -> HostKeyError:
        return HostKeyError(
            self.site,
            f"shows another host key than the registry has ({cleaned(str(error))}).",
            "Confirm the new key with the site's administrator by another way, then correct it in the registry.",
        )

    async def _listen(self) -> None:
        """Keep standard error out of the answers: the site sends it beside them, in no order, even inside a line."""
        with suppress(asyncssh.Error, OSError):  # the reader of the answers tells of a broken connection
            while piece := await self._process.stderr.read(1 << 14):
                self._heard(len(piece))

    async def _receive(self) -> bytes:
        with self._our_errors():
            return await self._process.stdout.read(1 << 14)

    async def _send(self, data: bytes) -> None:
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (asyncssh.Error, OSError):
            return  # nobody reads any more; what was said, or the exit code, tells why
        self._moved()

    async def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                if self._process.stdin.is_closing() or self._process.exit_status is not None:
                    return
                await self._send(piece)

    async def _end_input(self) -> None:
        if not self._process.stdin.is_closing():
            self._process.stdin.write_eof()

    async def _exit_code(self) -> int:
        with self._our_errors():
            await self._process.wait_closed()
        code = self._process.returncode
        if code is None or code < 0:
            raise SiteUnreachableError(
                self.site,
                "the connection, or our script at the site, was cut.",
                "The nightly distribution tries again.",
            )
        return code

    def _abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    async def close(self) -> None:
        """End the connection, whatever it does."""
        if self._connection is None:
            return
        self._connection.abort()
        with suppress(asyncssh.Error, OSError, SiteError):
            await self._connection.wait_closed()
        if self._listener is not None:
            await self._listener
