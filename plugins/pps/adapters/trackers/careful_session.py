"""The ways of `CarefulHttp` for libraries that bring their own HTTP: a `requests` session that they are given."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from pps.adapters.http_session import arranged, why_no_answer
from pps.domain.base.errors import ServiceError

_CONNECT_S, _SILENCE_S = 5.0, 10.0


class RedirectedError(ServiceError):
    """It sends us elsewhere; our token does not go there."""


class CarefulSession(requests.Session):
    """Asks one tracker, and nobody else, whatever the library above it was told by an answer.

    Reads are tried three times, writes once. No redirect is followed, no netrc entry used, no cookie kept. What goes
    wrong is a `ServiceError`, which no library catches.
    """

    def __init__(self, url: str, *, total_s: float = 30.0, most_bytes: int = 16 * 1024 * 1024) -> None:
        """Args:
        url: every request is below it.
        total_s: longest time that one answer may take.
        most_bytes: largest answer that is read.
        """
        super().__init__()
        self.tracker = url.rstrip("/")
        arranged(self, url)  # the library sets its own header
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self.tracker, total_s, most_bytes))

    def fault(self, why: str) -> ServiceError:
        """Something that the tracker should not have said."""
        return fault(self.tracker, why)


def fault(tracker: str, why: str) -> ServiceError:
    """Something that the tracker should not have said."""
    return ServiceError(f"tracker {tracker}", why, "Try again; if it goes on, tell the tracker's operators.")


def one_line(text: object, most: int = 500) -> str:
    """A sentence from outside, short and on one line."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:most]).strip()


class _Adapter(HTTPAdapter):
    def __init__(self, tracker: str, total_s: float, most_bytes: int) -> None:
        self._tracker, self._total_s, self._most_bytes = tracker, total_s, most_bytes
        super().__init__(
            max_retries=Retry(
                total=2,
                redirect=0,
                allowed_methods={"GET"},
                status_forcelist={502, 503, 504},
                backoff_factor=0.2,
                raise_on_status=False,
                raise_on_redirect=False,
                respect_retry_after_header=False,
            )
        )

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send it, and read the whole answer within the limits."""
        url = str(request.url)
        if not _below(self._tracker, url):
            raise fault(self._tracker, f"it sends us to {one_line(url, 200)!r}, where we do not go.")
        request.headers["Accept-Encoding"] = "identity"
        deadline = time.monotonic() + self._total_s
        try:
            response = super().send(request, True, (_CONNECT_S, _SILENCE_S), verify, cert, proxies)
            with response:
                data = self._read(response, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            why, step = why_no_answer(error, "Try again; check url in tracker.yaml.")
            raise ServiceError(f"tracker {self._tracker}", why, step) from error
        if 300 <= response.status_code < 400:
            where = one_line(response.headers.get("Location", "?"), 200)
            raise RedirectedError(
                f"tracker {self._tracker}",
                f"it redirects to {where!r}, which is not followed.",
                "Check url and project in tracker.yaml.",
            )
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            # some libraries would sleep as long as they are told
            raise ServiceError(f"tracker {self._tracker}", "asks us to wait.", "Try again later.")
        # with it goes where requests would look for cookies
        response.raw = io.BytesIO(data)
        return response

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            # nobody asked for it, and a small answer could unpack to a huge one
            raise fault(self._tracker, "it answers in a compressed form that nobody asked for.")
        body = bytearray()
        while chunk := response.raw.read1(65536, decode_content=False):
            body += chunk
            if len(body) > self._most_bytes:
                raise fault(self._tracker, f"its answer is larger than {self._most_bytes} bytes.")
            if time.monotonic() > deadline:
                raise fault(self._tracker, f"its answer took longer than {self._total_s:.0f} s.")
        return bytes(body)


def _below(tracker: str, url: str) -> bool:
    """Whether an address is one of this tracker: same scheme, host and port."""
    return _origin(tracker) == _origin(url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
