"""Other ways to people than mail (port `Channel`): a signed webhook, and chats through apprise.

What is at the other end is an operator's choice. It gets a fixed time, no redirect is followed, no proxy or password
of the environment is used for a webhook, and no error of ours repeats an address that holds a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from pps.activities.ports.people import Mail
from pps.adapters.http_session import arranged, why_no_answer
from pps.domain.base.errors import ConfigurationError, RolloutError, ServiceError
from pps.domain.base.texts import one_line
from pps.domain.people.channels import connection_of, for_chat, notice_of

DEADLINE_S = 10.0
"""for one message, whatever the other end does"""
T = TypeVar("T")
_CONNECT_S = 4.0
_WRONG, _BUSY, _TOO_MANY = 400, 500, (408, 425, 429)
#: Chats and push services that apprise reaches over HTTP. None of the others: they run programs, or write files.
SCHEMES = frozenset(
    {
        "discord",
        "gchat",
        "gotify",
        "gotifys",
        "json",
        "jsons",
        "matrix",
        "matrixs",
        "mmost",
        "mmosts",
        "msteams",
        "nctalk",
        "nctalks",
        "ntfy",
        "ntfys",
        "rocket",
        "rockets",
        "signal",
        "signals",
        "slack",
        "tgram",
        "workflows",
        "zulip",
    }
)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What `X-PPS-Signature` holds: HMAC-SHA256 of time and body, so that neither can be changed later."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Webhook:
    """POSTs each message as JSON to one address, signed."""

    name: str
    url: str
    secret: Callable[[], str | None] = field(repr=False)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    deadline_s: float = DEADLINE_S

    def send(self, message: Mail) -> str:
        """See the port."""
        key = self._key()
        body = json.dumps(
            {
                "version": 1,
                "channel": self.name,
                "notice": notice_of(message.key) or "test",
                "rollout": message.key.partition("/")[0],
                "subject": message.subject,
                "link": message.text,
            },
            ensure_ascii=False,
        ).encode()
        timestamp = str(int(self.clock().timestamp()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "pps-rollout",
            # the same at each try, so that a receiver can tell a message that comes twice
            "X-PPS-Delivery": hashlib.sha256(message.key.encode("utf-8", "replace")).hexdigest()[:32],
            "X-PPS-Timestamp": timestamp,
            "X-PPS-Signature": signature(key, timestamp, body),
        }
        status = _in_time(self.deadline_s, self.name, lambda: _posted(self.url, body, headers))
        if status >= _BUSY or status in _TOO_MANY:
            raise _away(self.name, f"answers with HTTP {status}.")
        if not 200 <= status < 300:
            why = " A redirect is not followed: write the address that it leads to." if status < _WRONG else ""
            return f"channel {self.name}: answers with HTTP {status}.{why}"
        return ""

    def check(self) -> str:
        """See the port."""
        self._key()
        url = urlsplit(self.url)
        _in_time(self.deadline_s, self.name, lambda: _reached(self.url))
        return f"{url.hostname} can be reached; each message is signed with the secret of its Connection."

    def _key(self) -> bytes:
        secret = self.secret()
        if not secret or len(secret) < 16:
            raise _no_secret(self.name, "the secret that signs, of 16 characters at least")
        return secret.encode()


@dataclass(frozen=True)
class AppriseChannel:
    """A chat, by an apprise URL that is the password of a Connection."""

    name: str
    url: Callable[[], str | None] = field(repr=False)
    deadline_s: float = DEADLINE_S

    def send(self, message: Mail) -> str:
        """See the port."""
        words = f"{for_chat(message.subject)}\n{message.text}"
        if not _in_time(self.deadline_s, self.name, lambda: bool(self._chat().notify(body=words, body_format="text"))):
            # apprise tells only its log why, and there with the address
            raise _away(self.name, "has not taken the message, or does not answer.")
        return ""

    def check(self) -> str:
        """See the port."""
        _in_time(self.deadline_s, self.name, self._chat)
        return (
            f"its address is one of apprise's ({self._scheme()}://); whether it answers: pps channels test {self.name}"
        )

    def _scheme(self) -> str:
        return (self.url() or "").partition("://")[0].lower()

    def _chat(self) -> Any:
        import apprise

        url = self.url()
        if not url:
            raise _no_secret(self.name, "the apprise URL of its room")
        if self._scheme() not in SCHEMES:
            raise ConfigurationError(
                f"channel {self.name}",
                "the address in its Connection is of no kind that is allowed.",
                f"Allowed: {', '.join(sorted(SCHEMES))}.",
            )
        asset = apprise.AppriseAsset(
            app_id="PPS",
            app_desc="PPS Rollout",
            async_mode=False,
            secure_logging=True,
            http_redirects=False,
            image_url_mask="",
            image_url_logo="",
        )
        try:
            # the plugin itself: `Apprise.notify` would work, and log, in threads of its own
            chat = apprise.Apprise.instantiate(url, asset=asset)
        except Exception:  # they raise what they like, with the address in it
            chat = None
        if chat is None:
            raise ConfigurationError(
                f"channel {self.name}", "apprise cannot read the address in its Connection.", "Correct the password."
            )
        return chat


def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer; its words are not read."""
    with requests.Session() as session:
        arranged(session, url, proxies=False)
        with session.post(
            url, data=body, headers=headers, timeout=(_CONNECT_S, DEADLINE_S), allow_redirects=False, stream=True
        ) as answer:
            return answer.status_code


def _reached(url: str) -> int:
    with requests.Session() as session:
        arranged(session, url, proxies=False)
        with session.head(url, timeout=(_CONNECT_S, DEADLINE_S), allow_redirects=False, stream=True) as answer:
            return answer.status_code


#: These write addresses, with the secrets in them, into the log.
_TALKATIVE = ("apprise", "urllib3.connectionpool", "urllib3.connection", "urllib3.poolmanager", "urllib3.util.retry")
_THREAD = "pps channel "
_WAITING = "Its messages wait in the outbox."


def _of_no_channel(record: logging.LogRecord) -> bool:
    return not str(record.threadName).startswith(_THREAD)


def _in_time(seconds: float, name: str, call: Callable[[], T]) -> T:
    """The result of a call to the other end, which may do what it likes: hang, drip, lie. It gets so many seconds."""
    done: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(call())
        except Exception as error:  # whatever a library raises is the other end's
            done.put(error)

    for logger in _TALKATIVE:  # again and again: adding the same filter twice adds it once
        logging.getLogger(logger).addFilter(_of_no_channel)
    threading.Thread(target=run, name=f"{_THREAD}{name}", daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except queue.Empty:
        raise _away(name, f"has not answered within {seconds:.0f} s.") from None
    if isinstance(found, RolloutError):
        raise found
    if isinstance(found, Exception):
        # not `from`: its words, and so a traceback, would repeat the address
        raise _away(name, *why_no_answer(found, _WAITING)) from None
    return found


def _away(name: str, why: str, next_step: str = _WAITING) -> ServiceError:
    return ServiceError(f"channel {name}", one_line(why, 200), next_step)


def _no_secret(name: str, what: str) -> ConfigurationError:
    connection = connection_of(name)
    return ConfigurationError(
        f"channel {name}", f"the Connection {connection} is not set.", f"Its password is {what}: docs/production.md."
    )
