"""A real Roundup of a test's own, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pps.adapters.trackers.http import Secret
from pps.sandbox.grid.sockets import LOOPBACK, port_of, reserve_port
from pps.sandbox.grid.tracker import SECRET_FILE, tracker_app
from pps.sandbox.grid.web_server import WebServer


@contextmanager
def real_roundup(folder: Path) -> Iterator[tuple[str, Secret]]:
    """Its address, and our user there."""
    socket = reserve_port()
    url = f"http://{LOOPBACK}:{port_of(socket)}/"
    server = WebServer(tracker_app(folder, url), socket)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(20)
        yield url, Secret.of((folder / SECRET_FILE).read_text().strip())
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
