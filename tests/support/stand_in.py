"""An HTTP server of a test's own that stands for somebody else's service, and looks at what it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    """not yet unquoted"""
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: Any
    """parsed JSON; None where there was none"""

    @property
    def steps(self) -> list[str]:
        return [unquote(step) for step in self.path.strip("/").split("/")]

    def first(self, name: str, otherwise: str = "") -> str:
        return dict(reversed(self.query)).get(name, otherwise)


@dataclass(frozen=True)
class Answered:
    """An answer."""

    status: int
    body: Any = None
    """JSON, or bytes as they are"""
    headers: Mapping[str, str] = field(default_factory=dict)


class Judge(Protocol):
    """Whoever knows what may be asked, and answered."""

    def wrong_with(self, asked: Asked) -> list[str]: ...

    def wrong_with_answer(self, asked: Asked, answer: Answered) -> list[str]: ...


class StandIn:
    """Answers one request at a time, so that a service is written as plain functions."""

    def __init__(self, judge: Judge) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.wrong: list[str] = []
        """what was asked, or answered, and is not in the service's description"""
        self.next: list[Answered] = []
        """answers to give first, one for each request"""
        self._judge = judge
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Answered:
        raise NotImplementedError

    def take(self, asked: Asked) -> Answered:
        with self._lock:
            self.asked.append(asked)
            if self.next:
                return self.next.pop(0)
            wrong = self._judge.wrong_with(asked)
            answer = Answered(500, {"message": "; ".join(wrong)}) if wrong else self.answer(asked)
            if not wrong:
                wrong = self._judge.wrong_with_answer(asked, answer)
            self.wrong += [f"{asked.method} {asked.path}: {why}" for why in wrong]
            return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    stand_in: StandIn

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qsl(parts.query, keep_blank_values=True)
        answer = self.stand_in.take(
            Asked(
                self.command,
                parts.path,
                query,
                {n.lower(): v for n, v in self.headers.items()},
                json.loads(data) if data else None,
            )
        )
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        if answer.body is None:
            body = b""
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **answer.headers}.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(stand_in: StandIn, host: str = "127.0.0.1") -> Iterator[None]:
    """Serve it at a free port of this machine, `stand_in.url`."""
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    server = ThreadingHTTPServer((host, 0), handler)
    stand_in.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
