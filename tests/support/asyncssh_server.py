"""An SSH server in Python, in a thread of its own: the other kind of server that adapters must get on with."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncssh
import pytest
from tests.support.sshd import SshServer


async def _run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", process.command or "", stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )

    async def feed() -> None:
        # As sshd does: a command that stops reading ends its input, not the connection.
        with suppress(OSError, asyncssh.Error):
            while data := await process.stdin.read(65536):
                child.stdin.write(data)
                await child.stdin.drain()
        child.stdin.close()

    async def pass_on(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
        with suppress(OSError, asyncssh.Error):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

    feeding = asyncio.create_task(feed())
    try:
        await asyncio.gather(pass_on(child.stdout, process.stdout), pass_on(child.stderr, process.stderr))
        process.exit(await child.wait())
    finally:
        feeding.cancel()
        child.stdin.close()
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await asyncio.gather(child.stdout.read(), child.stderr.read(), child.wait())


@contextmanager
def running_asyncssh(folder: Path) -> Iterator[SshServer]:
    """Start it; every public key of `folder`/id.pub may log in."""
    folder.mkdir(parents=True, exist_ok=True)
    host_key, key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(folder / "id")
    (folder / "id").chmod(0o600)
    key.write_public_key(folder / "id.pub")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=str(folder / "id.pub"),
            process_factory=_run,
            encoding=None,
        )

    async def stop(acceptor: asyncssh.SSHAcceptor) -> None:
        acceptor.close()
        await acceptor.wait_closed()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        shown = " ".join(host_key.export_public_key().decode().split()[:2])
        yield SshServer(folder, acceptor.get_port(), shown, folder / "id")
    finally:
        asyncio.run_coroutine_threadsafe(stop(acceptor), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="session")
def asyncssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_asyncssh(tmp_path_factory.mktemp("asyncssh")) as server:
        yield server
