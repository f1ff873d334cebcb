"""One careful HTTP client for all trackers that are asked over plain REST.

A tracker is a stranger's machine: it may be slow, drip, send too much, redirect, or answer with a login page. None of
that may hold us up, fill our memory, or take our token elsewhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from pps.adapters.http_session import arranged, why_no_answer
from pps.domain.base.errors import ConfigurationError, RefusedError, ServiceError

_CONNECT_S, _SILENCE_S = 5.0, 10.0


class ChangedMeanwhileError(ServiceError):
    """Somebody else was faster (HTTP 412)."""


class NotThereError(ServiceError):
    """There is nothing at this address (HTTP 404)."""


class TooLargeError(ServiceError):
    """The answer is larger than we read."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Who we are at a tracker: user and password, or a token alone. Never shown."""

    password: str = ""
    user: str = ""

    @classmethod
    def of(cls, connection: str | None) -> Secret:
        """From a connection's URI: `http://user:password@host`, or `http://:token@host`; nobody where there is none."""
        parts = urlsplit(connection or "")
        return cls(unquote(parts.password or ""), unquote(parts.username or ""))

    def __repr__(self) -> str:
        return f"Secret(user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer."""

    status: int
    body: Any
    """parsed JSON; None where there was none"""
    etag: str


class CarefulHttp:
    """Asks one tracker.

    Reads are tried three times, writes once: those who write look before they act, so that the caller may repeat it.
    No redirect is followed, no proxy or netrc entry is used for a tracker on this machine.
    """

    def __init__(
        self,
        url: str,
        secret: Secret,
        *,
        headers: Mapping[str, str] | None = None,
        reason: Callable[[Any], str] = lambda body: str(body.get("error") or ""),
        total_s: float = 30.0,
        most_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        """Args:
        url: paths are below it.
        reason: the sentence of an error answer, from its parsed JSON object.
        total_s: longest time that one answer may take.
        most_bytes: largest answer that is read.
        """
        self.url = url.rstrip("/")
        self._reason = reason
        self._total_s, self._most_bytes = total_s, most_bytes
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        self._session = requests.Session()
        self._session.auth = HTTPBasicAuth(secret.user, secret.password) if secret.user else _Bearer(secret.password)
        self._session.cookies.set_policy(_NoCookies())
        arranged(self._session, url)
        retries = Retry(
            total=2,
            redirect=0,
            allowed_methods={"GET"},
            status_forcelist={502, 503, 504},
            backoff_factor=0.2,
            raise_on_status=False,
            raise_on_redirect=False,
            respect_retry_after_header=False,
        )
        self._session.mount("http://", HTTPAdapter(max_retries=retries))
        self._session.mount("https://", HTTPAdapter(max_retries=retries))

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Any = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; see the classes of errors above, `RefusedError` and `ConfigurationError` for the rest."""
        deadline = time.monotonic() + self._total_s
        try:
            with self._session.request(
                method,
                self.url + path,
                params=params,
                json=body,
                headers={**self._headers, **(headers or {})},
                timeout=(_CONNECT_S, _SILENCE_S),
                allow_redirects=False,
                stream=True,
            ) as response:
                data = self._read(response, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            why, step = why_no_answer(error, "Try again; check url in tracker.yaml.")
            raise ServiceError(f"tracker {self.url}", why, step) from error
        self._check_status(response, data)
        return Answer(response.status_code, self._parse(data) if data else None, response.headers.get("ETag", ""))

    def fault(self, why: str) -> ServiceError:
        """Something that the tracker should not have said."""
        return ServiceError(f"tracker {self.url}", why, "Try again; if it goes on, tell the tracker's operators.")

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            # nobody asked for it, and a small answer could unpack to a huge one
            raise self.fault("it answers in a compressed form that nobody asked for.")
        body = bytearray()
        # read1 returns what is there: a tracker that drips cannot hold us beyond the deadline
        while chunk := response.raw.read1(65536, decode_content=False):
            body += chunk
            if len(body) > self._most_bytes:
                raise TooLargeError(
                    f"tracker {self.url}", f"its answer is larger than {self._most_bytes} bytes.", "Ask its operators."
                )
            if time.monotonic() > deadline:
                raise self.fault(f"its answer took longer than {self._total_s:.0f} s.")
        return bytes(body)

    def _check_status(self, response: requests.Response, data: bytes) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        why = self._said(data)
        if 300 <= status < 400:
            raise self.fault(f"it redirects to {response.headers.get('Location', '?')[:200]!r}, which is not followed.")
        subject = f"tracker {self.url}"
        if status in (401, 403):
            raise ConfigurationError(
                subject,
                f"refuses our token (HTTP {status}). {why}".rstrip(),
                "Correct the token in the tracker's connection, or what its user may do there.",
            )
        if status == 404:
            raise NotThereError(subject, f"has no such thing. {why}".rstrip(), "Check url and project in tracker.yaml.")
        if status == 412:
            raise ChangedMeanwhileError(subject, "the patch was changed meanwhile.", "Look at it again.")
        if status in (400, 405, 409, 422):
            raise RefusedError(subject, (why or f"HTTP {status}",), "Look at the patch in the tracker.")
        raise self.fault(f"HTTP {status}. {why}".rstrip())

    def _parse(self, data: bytes) -> Any:
        try:
            body = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise self.fault("its answer is not JSON.") from error
        if not isinstance(body, dict | list):
            raise self.fault("its answer is neither a JSON object nor a list.")
        return body

    def _said(self, data: bytes) -> str:
        """The sentence of an error answer, on one line and short; it comes from outside."""
        try:
            text = self._reason(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return ""
        return "".join(c if c.isprintable() else " " for c in text[:500]).strip()


class _NoCookies(DefaultCookiePolicy):
    """Takes none: a session of a tracker's web pages beside our token would have to prove that it is no forgery."""

    def set_ok(self, cookie: Any, request: Any) -> bool:
        return False


class _Bearer(AuthBase):
    """Our token, and never one of a netrc file, which requests would otherwise prefer."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
