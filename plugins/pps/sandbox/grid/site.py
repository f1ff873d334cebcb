"""One sandbox site: an SSH server on loopback with an account, a disk and, at times, a fault."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import asyncssh

from pps.sandbox.grid.landscape import Fault, SitePlan
from pps.sandbox.grid.sessions import WINDOW, CommandSession, Login, Pace
from pps.sandbox.grid.site_folder import SiteFolder
from pps.sandbox.grid.sockets import LOOPBACK, about_to_listen, port_of, reserve_port

_SLOW = Pace(delay_s=3.0, bytes_per_s=64 * 1024)
_PATH = "/usr/local/bin:/usr/bin:/bin"
# One block of 512 bytes: a lock or a pid can still be written, no real file. SIGXFSZ is ignored, so that
# writers see an error ("File too large") as from a full quota, and do not die of a signal.
_QUOTA = "trap '' XFSZ; ulimit -f 1 || exit 125; "


class SandboxSite:
    """Runs one site; `start`, `stop`, `break_` and `repair` may be called in any order, and twice."""

    def __init__(self, plan: SitePlan, folder: SiteFolder, client_key: asyncssh.SSHKey, port: int = 0) -> None:
        """Reserve the port and make the host key, if the folder has none. `client_key`: the only one accepted."""
        self.plan = plan
        self.folder = folder
        self.faults: set[Fault] = set()
        self._socket: socket.socket | None = reserve_port(port)
        self.port = port_of(self._socket)
        self._host_key = kept_key(folder.host_key, plan.name)
        self._client_key = client_key.convert_to_public()
        self._server: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._commands: set[asyncio.Task[None]] = set()
        self._switching = asyncio.Lock()

    @property
    def host_key(self) -> str:
        """`<type> <base64>`, as the registry pins it."""
        return " ".join(self._host_key.export_public_key().decode().split()[:2])

    @property
    def host(self) -> str:
        """Where it listens."""
        return LOOPBACK

    @property
    def listening(self) -> bool:
        """Whether the site can be reached."""
        return self._server is not None

    @property
    def commands_running(self) -> int:
        """How many commands run there now."""
        return len(self._commands)

    async def start(self) -> None:
        """Listen, unless the site is meant to be unreachable."""
        async with self._switching:
            if self._server is None and Fault.UNREACHABLE not in self.faults:
                await self._listen()

    async def stop(self) -> None:
        """End every connection and command; the port is free afterwards."""
        async with self._switching:
            await self._hang_up()
            if self._socket:
                self._socket.close()
                self._socket = None

    async def break_(self, fault: Fault) -> None:
        """Give the site a fault, now."""
        async with self._switching:
            self.faults.add(fault)
            if fault is Fault.PROFILE:
                self.folder.break_profile()
            elif fault is Fault.UNREACHABLE and self._server:
                await self._hang_up()
                self._socket = reserve_port(self.port)

    async def repair(self) -> None:
        """Take all faults away. Raises `OSError` if somebody took the port of an unreachable site."""
        async with self._switching:
            self.folder.repair_profile()
            if self._server is None:
                await self._listen()
            self.faults.clear()

    async def _listen(self) -> None:
        if self._socket is None:  # it was stopped; start again where it was
            self._socket = reserve_port(self.port)
        self._server = await asyncssh.listen(
            sock=about_to_listen(self._socket),
            server_factory=lambda: _Gatekeeper(self.plan.account, self._client_key, self._connections, self._session),
            server_host_keys=[self._host_key],
            encoding=None,
            window=WINDOW,
            line_editor=False,
            allow_pty=False,
            allow_scp=False,
            agent_forwarding=False,
            x11_forwarding=False,
            compression_algs=None,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            login_timeout=20,
            keepalive_interval=15,
        )
        self._socket = None  # it is the server's now

    async def _hang_up(self) -> None:
        if self._server:
            self._server.close()
            for connection in tuple(self._connections):
                connection.abort()
            # a connection that was being accepted just now is not in the list; its login times out by itself
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 2)
            self._server = None
        for command in tuple(self._commands):
            command.cancel()
        await asyncio.gather(*self._commands, return_exceptions=True)

    def _session(self) -> CommandSession:
        return CommandSession(self._login, self._commands)

    def _login(self, command: str | None) -> Login:
        shell = ["/bin/sh", "-c", command] if command is not None else ["/bin/sh"]
        if Fault.QUOTA in self.faults:
            shell = ["/bin/sh", "-c", _QUOTA + 'exec "$@"', "sh", *shell]
        environment = {
            "HOME": str(self.folder.home),
            "LOGNAME": self.plan.account,
            "PATH": _PATH,
            "SHELL": "/bin/sh",
            "TMPDIR": str(self.folder.root / "tmp"),
            "USER": self.plan.account,
        }
        return Login(shell, environment, self.folder.home, _SLOW if Fault.SLOW in self.faults else None)


class _Gatekeeper(asyncssh.SSHServer):
    """One connection: lets in one account with one key, and forwards nothing (the base class refuses)."""

    def __init__(
        self,
        account: str,
        key: asyncssh.SSHKey,
        connections: set[asyncssh.SSHServerConnection],
        session: Callable[[], CommandSession],
    ) -> None:
        self._account = account
        self._key = key
        self._session = session
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Keep it, so that a fault can cut it."""
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._connection:
            self._connections.discard(self._connection)

    def session_requested(self) -> CommandSession:
        """A channel for one command; it is refused whatever else it asks for."""
        return self._session()

    def begin_auth(self, username: str) -> bool:
        """Everybody has to show a key."""
        return True

    def public_key_auth_supported(self) -> bool:
        """The one way in."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Our account, our key."""
        return username == self._account and key == self._key


def kept_key(path: Path, comment: str) -> asyncssh.SSHKey:
    """The private ed25519 key in a file, made at the first call (mode 0600, public part beside it)."""
    try:
        return asyncssh.read_private_key(path)
    except FileNotFoundError:
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_bytes(key.export_private_key())
        key.write_public_key(path.with_name(f"{path.name}.pub"))
        part.rename(path)
        return key
