"""An ASGI application on a loopback port, inside the grid's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from pps.sandbox.grid.sockets import LOOPBACK, about_to_listen, port_of


class _QuietServer(uvicorn.Server):
    """The grid's process handles signals itself; uvicorn would take them over."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves one application; `start` returns when it listens."""

    def __init__(self, app: Any, sock: socket.socket) -> None:
        self.port = port_of(sock)
        self._socket = sock
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Listen; raises what binding raises."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[about_to_listen(self._socket)]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise OSError(f"the web server on port {self.port} ended at once")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Answer what is under way for at most a second, then close."""
        self._server.should_exit = True
        if self._serving:
            await self._serving
        self._socket.close()
