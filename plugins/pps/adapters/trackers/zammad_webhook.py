"""What Zammad sends to us when a ticket changes: from Zammad, once, and never more than a hint to look."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections import OrderedDict

#: Zammad makes up to four further attempts, within hours.
_REMEMBERED = 10_000
_DELIVERY = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether the body was signed with our secret.

    Args:
        signature: the header `X-Hub-Signature`, `sha1=` and the HMAC-SHA1 of the body in hexadecimal digits.
        secret: as entered at Zammad's webhook; without one nothing is signed.
    """
    if not secret:
        return False
    # Zammad signs with SHA-1 and nothing else; an HMAC of it is not broken
    expected = "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))


def ticket_of(body: bytes) -> int | None:
    """The number of the ticket that changed; nothing else of a delivery is believed, it is read from Zammad."""
    try:
        number = json.loads(body)["ticket"]["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return number if type(number) is int and 0 < number < 10**9 else None


class Deliveries:
    """Which deliveries came already, by the header `X-Zammad-Delivery`. For one process: a second look does no harm."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._most, self._lock = most, threading.Lock()

    def is_new(self, delivery: str) -> bool:
        """Whether this is the first time; remember it. One without a proper id is always new."""
        if not _DELIVERY.fullmatch(delivery):
            return True
        with self._lock:
            if delivery in self._seen:
                return False
            self._seen[delivery] = None
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)
            return True

    def forget(self, delivery: str) -> None:
        """It came to nothing, so that the next attempt counts."""
        with self._lock:
            self._seen.pop(delivery, None)
