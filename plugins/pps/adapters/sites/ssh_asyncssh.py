"""The way to a site with asyncssh, for machines without an OpenSSH client. Costs Python's time for every byte."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncssh

from pps.activities.ports.sites import SiteChannel, SiteLimits, SshTarget
from pps.activities.sites import login_errors
from pps.activities.sites.conversation import Conversation, start_command
from pps.domain.base.errors import RolloutError, SiteError

_PIECE = 1 << 18
_SAID_KEPT = 4096
_FOREIGN = (asyncssh.Error, OSError, ValueError)
"""ValueError: what asyncssh makes of broken packets"""
_KEXINIT = 20
_LISTS = ("key exchange", "host key", "cipher", "cipher", "MAC", "MAC")
"""the first name lists of a KEXINIT, in their order (RFC 4253, 7.1)"""


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


class _Client(asyncssh.SSHClient):
    """Remembers what the server shows and says before there is a session."""

    shown = ""
    banner = ""
    asked = False

    def begin_auth(self, username: str) -> None:
        """The host is the right one; now it is asked to let us in."""
        self.asked = True

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Asked about any key but the pinned one."""
        self.shown = key.get_fingerprint()
        return False

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """Kept for the reason, in case we are not let in."""
        self.banner = (self.banner + msg)[-_SAID_KEPT:]


class _AsyncsshChannel(Conversation):
    _connection: asyncssh.SSHClientConnection | None = None
    _process: asyncssh.SSHClientProcess[bytes]
    _listener: asyncio.Task[None] | None = None
    _complaints = b""

    async def start(self, target: SshTarget, command: str) -> None:
        """Log in and start the command; within `connect_s`, like the greeting."""
        self._client = _Client()
        kind = target.host_key.split(maxsplit=1)[0]
        try:
            trusted = asyncssh.import_public_key(target.host_key)
            keys: list[asyncssh.SSHKey] = []
            if target.private_key is not None:
                keys = [asyncssh.import_private_key(target.private_key)]
            elif target.key_file is not None:
                keys = [asyncssh.read_private_key(target.key_file)]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, OSError) as error:
            raise login_errors.unreadable_key(target.site) from error
        algorithms = {
            "host key": login_errors.host_key_algorithms(kind),
            "key exchange": login_errors.KEY_EXCHANGES,
            "cipher": login_errors.CIPHERS,
            "MAC": login_errors.MACS,
        }
        async with self._in_time():
            try:
                async with asyncio.timeout_at(self._began + self._limits.connect_s):
                    self._connection = await asyncssh.connect(
                        target.host,
                        target.port,
                        client_factory=lambda: self._client,
                        username=target.user,
                        known_hosts=([trusted], [], []),
                        server_host_key_algs=algorithms["host key"],
                        client_keys=keys or None,
                        preferred_auth="publickey",
                        agent_path=None,
                        config=None,
                        kex_algs=algorithms["key exchange"],
                        encryption_algs=algorithms["cipher"],
                        mac_algs=algorithms["MAC"],
                        compression_algs=None,
                        keepalive_interval=max(1.0, self._limits.silence_s / 3),
                        keepalive_count_max=3,
                    )
            except asyncssh.HostKeyNotVerifiable as error:
                raise login_errors.other_host_key(self.site, self._client.shown) from error
            except asyncssh.PermissionDenied as error:
                ours = keys[0].get_algorithm().removeprefix("ssh-").partition("-")[0] if keys else ""
                raise login_errors.not_let_in(self.site, ours, self._client.banner) from error
            except _FOREIGN as error:
                if isinstance(error, TimeoutError):
                    raise
                if self._client.asked:
                    raise login_errors.hung_up(self.site, self._client.banner) from error
                raise await self._not_connected(target, kind, algorithms, error) from error
            with self._our_errors():
                try:
                    self._process = await self._connection.create_process(command, encoding=None)
                except asyncssh.ChannelOpenError as error:
                    raise login_errors.no_session(self.site, self._said_aside()) from error
                self._listener = asyncio.create_task(self._listen())

    async def _not_connected(
        self, target: SshTarget, kind: str, ours: Mapping[str, Sequence[str]], error: Exception
    ) -> RolloutError:
        """Why no connection came about; where that was for want of an algorithm, asyncssh does not always know."""
        with suppress(OSError, asyncio.IncompleteReadError, ValueError, IndexError):
            for what, theirs in await _offer(target.host, target.port):
                if theirs and not set(theirs) & set(ours[what]):
                    return login_errors.nothing_in_common(self.site, what, theirs, kind)
        own = f"{type(error).__name__} {error}" if isinstance(error, OSError) else ""
        return login_errors.no_connection(self.site, own)

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except _FOREIGN as error:
            if isinstance(error, TimeoutError):
                raise
            raise login_errors.broke(self.site) from error

    async def _listen(self) -> None:
        """Keep standard error out of the answers: the site sends it beside them, in no order, even inside a line."""
        with suppress(asyncssh.Error, OSError):  # the reader of the answers tells of a broken connection
            while piece := await self._process.stderr.read(1 << 14):
                self._complaints = (self._complaints + piece)[-_SAID_KEPT:]
                self._heard(len(piece))

    def _said_aside(self) -> str:
        return f"{self._client.banner}\n{self._complaints.decode(errors='replace')}"

    async def _receive(self) -> bytes:
        with self._our_errors():
            return await self._process.stdout.read(1 << 14)

    async def _send(self, data: bytes) -> None:
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (asyncssh.Error, OSError):
            return  # nobody reads any more; what was said, or the exit code, tells why
        self._moved(len(data))

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
        if self._listener is not None:
            await self._listener
        code = self._process.returncode
        if code is None:
            raise login_errors.broke(self.site)
        if code < 0:
            raise login_errors.killed_there(self.site)
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


async def _offer(host: str, port: int) -> list[tuple[str, list[str]]]:
    """What an sshd has to offer, from the first packet that it sends in clear (RFC 4253, 7.1)."""
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 16)
    try:
        writer.write(b"SSH-2.0-pps\r\n")
        for _ in range(20):
            if (await reader.readline()).startswith(b"SSH-"):
                break
        length = int.from_bytes(await reader.readexactly(4))
        packet = await reader.readexactly(min(length, 35_000))
        if packet[1] != _KEXINIT:
            return []
        at, found = 1 + 1 + 16, []
        for what in _LISTS:
            end = at + 4 + int.from_bytes(packet[at : at + 4])
            found.append((what, packet[at + 4 : end].decode("ascii").split(",")))
            at = end
        return found
    finally:
        writer.close()
