"""As much of a Matrix home server as a message needs, on a real socket, by the client-server API (v1.11).

Login with a password (or a token that is known), joining by id or alias, sending an event with a transaction id, which
is taken once for each token, and logging out: https://spec.matrix.org/v1.11/client-server-api/
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

USER, PASSWORD, TOKEN = "pps", "canary-password", "canary-token"
ROOM, ALIAS = "!ops:matrix.example.org", "#ops:matrix.example.org"
_API = "/_matrix/client/v3"
Answer = tuple[int, dict[str, Any]]


def _error(status: int, code: str) -> Answer:
    return status, {"errcode": code, "error": code}


@dataclass
class HomeServer:
    """What was said in its one room, and what was asked of it."""

    address: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    joined: set[str] = field(default_factory=set)
    full: bool = False
    """it takes no more messages"""
    _sent: dict[tuple[str, str], str] = field(default_factory=dict)

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> Answer:
        self.asked.append(f"{method} {path}")
        if not path.startswith(_API):
            return _error(404, "M_UNRECOGNIZED")
        path = path.removeprefix(_API)
        if (method, path) == ("POST", "/login"):
            return self._login(body)
        if token not in self.tokens:
            return _error(401, "M_UNKNOWN_TOKEN" if token else "M_MISSING_TOKEN")
        if (method, path) == ("GET", "/account/whoami"):
            return 200, {"user_id": f"@{USER}:matrix.example.org", "device_id": "D"}
        if (method, path) == ("POST", "/logout"):
            self.tokens.discard(token)
            return 200, {}
        if method == "POST" and path.startswith("/join/"):
            if path.removeprefix("/join/") not in (ROOM, ALIAS):
                return _error(403, "M_FORBIDDEN")
            self.joined.add(token)
            return 200, {"room_id": ROOM}
        found = re.fullmatch(r"/rooms/([^/]+)/send/m\.room\.message/([^/]+)", path)
        if method == "PUT" and found:
            return self._send(token, found[1], found[2], body)
        return _error(404, "M_UNRECOGNIZED")

    def _login(self, body: dict[str, Any]) -> Answer:
        who = body.get("identifier") or {}
        right = (body.get("type"), who.get("type"), who.get("user"), body.get("password"))
        if right != ("m.login.password", "m.id.user", USER, PASSWORD):
            return _error(403, "M_FORBIDDEN")
        self.tokens.add(token := f"canary-of-login-{len(self.asked)}")
        return 200, {"access_token": token, "user_id": f"@{USER}:matrix.example.org", "device_id": "D"}

    def _send(self, token: str, room: str, transaction: str, body: dict[str, Any]) -> Answer:
        if room != ROOM or token not in self.joined:
            return _error(403, "M_FORBIDDEN")
        if self.full or body.get("msgtype") not in ("m.text", "m.notice") or not isinstance(body.get("body"), str):
            return _error(400, "M_BAD_JSON")
        if (token, transaction) not in self._sent:
            self.messages.append(body)
            self._sent[token, transaction] = f"$event{len(self.messages)}"
        return 200, {"event_id": self._sent[token, transaction]}


@contextmanager
def home_server() -> Iterator[HomeServer]:
    home = HomeServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            said = json.loads(data) if data.strip() not in (b"", b"null") else {}
            status, answer = home.answer(self.command, unquote(self.path.partition("?")[0]), token, said)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        home.address = f"127.0.0.1:{server.server_port}"
        yield home
        server.shutdown()
        thread.join()
