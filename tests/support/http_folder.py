"""A folder served over real HTTP on a free port of 127.0.0.1."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class HttpFolder:
    """What is served, what is answered otherwise, and what was asked for."""

    folder: Path
    url: str = ""
    redirects: dict[str, str] = field(default_factory=dict)
    """path -> Location"""
    statuses: dict[str, int] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    """path -> bytes after which the connection is closed"""
    endless: dict[str, bytes] = field(default_factory=dict)
    """path -> what is said again and again, until nobody listens"""
    held: dict[str, threading.Event] = field(default_factory=dict)
    """path -> its first half is sent, and the other one when this is set"""
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """of each request"""


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args, served: HttpFolder, **more) -> None:
        self.served = served
        super().__init__(*args, directory=str(served.folder), **more)

    def do_GET(self) -> None:
        self.served.requests.append(self.path)
        self.served.headers.append(dict(self.headers))
        if (to := self.served.redirects.get(self.path)) is not None:
            self.send_response(302)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif (status := self.served.statuses.get(self.path)) is not None:
            self.send_error(status)
        elif (cut := self.served.cut_after.get(self.path)) is not None:
            data = (self.served.folder / self.path[1:]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:cut])
            self.close_connection = True
        elif (again := self.served.endless.get(self.path)) is not None:
            self.send_response(200)
            self.end_headers()
            with suppress(ConnectionError):
                while True:
                    self.wfile.write(again)
        elif (held := self.served.held.get(self.path)) is not None:
            data = (self.served.folder / self.path[1:]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            held.wait(60)
            with suppress(ConnectionError):
                self.wfile.write(data[len(data) // 2 :])
        else:
            super().do_GET()

    def log_message(self, *args) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[HttpFolder]:
    """Serve a folder until the context is left."""
    served = HttpFolder(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, served=served))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def http_folder(tmp_path: Path) -> Iterator[HttpFolder]:
    """An empty folder, served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as served:
        yield served
