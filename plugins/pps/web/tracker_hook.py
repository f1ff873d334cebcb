"""Where a tracker says that something has changed there, so that we look at once and not within the hour.

What it sends is not believed: it only makes us look. So that nobody else can make us, it is signed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from pps.domain.base.errors import RolloutError
from pps.services import Services
from pps.web.guards import RateLimit, check_rate, read_text
from pps.workflow.desk import FrontOffice

log = logging.getLogger(__name__)

CONNECTION = "pps_tracker_hook"
_AT_ONCE, _PER_S = 60, 2.0
#: What each kind of tracker names a delivery by; one that comes again is the same.
_DELIVERIES = ("X-Zammad-Delivery", "X-GitHub-Delivery", "X-Gitlab-Event-UUID", "X-PPS-Delivery")
_MOST_DELIVERIES = 2000
_SHORTEST_SECRET = 16


class _Deliveries:
    """The newest deliveries, by name."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, name: str) -> bool:
        with self._lock:
            if name in self._known:
                return False
            self._known[name] = None
            while len(self._known) > _MOST_DELIVERIES:
                self._known.popitem(last=False)
            return True


def router(services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """One route; it has its line in `app.PUBLIC`."""
    api = APIRouter()
    deliveries, limit = _Deliveries(), RateLimit(_AT_ONCE, _PER_S)
    looking, waiting = threading.Lock(), threading.Lock()

    def look() -> None:
        # whoever comes while one looks and one waits is served by the one that waits
        if not waiting.acquire(blocking=False):
            return
        with looking:
            waiting.release()
            s = services()
            try:
                office = FrontOffice.of(s, now, "pps:tracker hook")
                office.look_at_advice()
                office.look_at_bugs()
            except RolloutError as error:  # the hourly look sees it
                log.warning("Told of a change in the tracker, and could not look: %s", error)

    @api.post("/tracker/changed")
    async def changed(request: Request) -> JSONResponse:
        """Something has changed in the tracker. 202; 401 without a good signature."""
        check_rate(request, limit)
        secret = _secret(services().credentials(CONNECTION))
        body = (await read_text(request)).encode()
        if not _is_signed(request, body, secret):
            raise HTTPException(401, "The signature is missing or wrong; docs/tracker.md says how a webhook is signed.")
        name = next((f"{h}:{v[:200]}" for h in _DELIVERIES if (v := request.headers.get(h))), "")
        new = not name or deliveries.is_new(name)
        return JSONResponse({"new": new}, 202, background=BackgroundTask(look) if new else None)

    return api


def _secret(connection: str | None) -> bytes:
    secret = unquote(urlsplit(connection or "").password or "").encode()
    if len(secret) < _SHORTEST_SECRET:
        why = f"No webhook is set up: the connection {CONNECTION} needs a password of {_SHORTEST_SECRET} characters."
        raise HTTPException(404, why)
    return secret


def _is_signed(request: Request, body: bytes, secret: bytes) -> bool:
    """GitHub signs by SHA-256, Zammad by SHA-1; GitLab sends the secret itself."""
    given = {name: request.headers.get(name, "").encode() for name in ("X-Hub-Signature-256", "X-Hub-Signature")}
    signed = {
        "X-Hub-Signature-256": b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode(),
        "X-Hub-Signature": b"sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest().encode(),
    }
    if any(given.values()):
        return all(hmac.compare_digest(text, signed[name]) for name, text in given.items() if text)
    return hmac.compare_digest(request.headers.get("X-Gitlab-Token", "").encode(), secret)
