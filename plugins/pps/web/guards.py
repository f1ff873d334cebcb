"""What stands between the public and the application: size, kind, origin and rate of requests."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 * 1024
_BODY_S = 20.0
#: An IPv4 address behind a translator (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class RateLimit:
    """A bucket of tokens for each client address, in this process; forgets the longest unseen.

    Enough against a runaway script. Against somebody who can send from ten thousand addresses, set a
    limit at the proxy in front (docs/production.md).
    """

    def __init__(
        self, burst: int, per_s: float, clients: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._per_s, self._clients, self._clock = burst, per_s, clients, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def seconds_to_wait(self, client: str) -> float:
        """Take a token: 0 if there was one, else the seconds until there will be."""
        with self._lock:
            now = self._clock()
            left, seen = self._buckets.pop(client, (float(self._burst), now))
            left = min(self._burst, left + (now - seen) * self._per_s)
            wait = 0.0 if left >= 1 else (1 - left) / self._per_s
            self._buckets[client] = (left - 1 if left >= 1 else left, now)
            while len(self._buckets) > self._clients:
                self._buckets.popitem(last=False)
            return wait


def client_of(request: Request) -> str:
    """The client a request counts for: an IPv4 address, or an IPv6 network of 64 bits (one household)."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if (old := address.ipv4_mapped) is not None:  # a socket for both: else all of IPv4 were one household
            return str(old)
        if address in _NAT64:
            return str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return host


def check_rate(request: Request, limit: RateLimit) -> None:
    """429 with Retry-After when this client asks too often."""
    wait = limit.seconds_to_wait(client_of(request))
    if wait:
        seconds = int(wait) + 1
        raise HTTPException(
            429, f"Too many requests from your address; try again in {seconds} s.", {"Retry-After": str(seconds)}
        )


def check_origin(request: Request, public_url: str) -> None:
    """403 for a browser that sends data from a page of another site. Programs send no Origin."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    ours = {request.headers.get("host", ""), urlsplit(public_url).netloc}
    if origin == "null" or urlsplit(origin).netloc not in ours:
        raise HTTPException(403, "This is taken from our own pages and from programs, not from other sites' pages.")


def check_type(request: Request, wanted: str) -> None:
    """415 unless the body is of the wanted type, in UTF-8."""
    kind, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    if kind != wanted or any(p and p.replace('"', "") != "charset=utf-8" for p in parameters):
        raise HTTPException(415, f"Send {wanted}, in UTF-8.")


async def read_text(request: Request) -> str:
    """The body, at most `BODY_BYTES` of UTF-8: 413, 408 or 422 otherwise. Never holds more than that."""
    body = bytearray()
    too_large = HTTPException(413, f"The request is larger than {BODY_BYTES} bytes.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > BODY_BYTES:
        raise too_large
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise too_large
    except TimeoutError as error:
        raise HTTPException(408, f"The request did not arrive within {_BODY_S:.0f} s.") from error
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise HTTPException(422, "The request is not UTF-8.") from error


def strict_json(text: str) -> Any:
    """Parse JSON; 422 for a key that occurs twice, NaN, infinities, and nesting beyond reason."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def number(literal: str) -> float:
        if (value := float(literal)) in (float("inf"), float("-inf")):
            raise ValueError("a number is too large")
        return value

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=once, parse_float=number, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise HTTPException(422, f"The request is not JSON: {why}.") from error


class SecurityHeaders:
    """Headers that every answer carries, unless the route has set its own."""

    _HEADERS = (
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._HEADERS:
                    headers.setdefault(name, value)
            await send(message)

        return await self._app(scope, receive, send_with_headers)
