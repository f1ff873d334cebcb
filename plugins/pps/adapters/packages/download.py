"""Downloads over HTTP for the package repositories: limits on time and size, digests on the way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import requests
import urllib3

from pps.adapters.http_session import arranged, why_no_answer
from pps.adapters.packages.folders import aside
from pps.domain.base.digests import Digest
from pps.domain.base.errors import PackageError, ServiceError
from pps.domain.packages.repository_trust import Address

_CHUNK = 1 << 16
_REDIRECTS = 5
_NEXT = "Ask the provider of the repository."
#: Not "no such file", but "not now": 408 Request Timeout, 429 Too Many Requests.
_LATER = (408, 429)
#: What to do about a repository that is too large to be taken whole.
TOO_MANY = "See policies.yaml, mirror; or ask the provider for a repository of this update alone."


class NotServedError(PackageError):
    """The server does not give a file: 404, or 403 (S3's answer to those who may not list), or another 4xx."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(
            url, f"is not there: the server does not have it, or does not give it (it answers {status}).", _NEXT
        )
        self.status = status


@dataclass(frozen=True)
class Downloader:
    """Fetches files below one base URL, and from nowhere but its server."""

    base: str
    connect_s: float = 15.0
    silence_s: float = 60.0
    total_s: float = 1800.0
    """for one file"""
    _session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        arranged(self._session, self.base)

    @cached_property
    def address(self) -> Address:
        """The base, in its one spelling; `PackageError` for one that is not plain."""
        return Address.parse(self.base)

    def text(self, path: str, at_most: int) -> str:
        """A small text file; `NotServedError` if the server does not give it."""
        with self._get(self.address, path) as response:
            data = b"".join(self._chunks(response, at_most))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise PackageError(f"{self.base}/{path}", "is not UTF-8 text.", _NEXT) from error

    def file(
        self, path: str, to: BinaryIO | None, size: int | None, digest: Digest, *, at_most: int = 0, base: str = ""
    ) -> str:
        """A file of known size and digest; `PackageError` if either differs. Returns its sha256.

        Args:
            to: None: it is only read.
            size: None: the index does not say; then `at_most` counts.
            base: what the path is below, where that is another place on the same server.
        """
        place = self.address.leads_to(base) if base else self.address
        given, sha256, got = hashlib.new(digest.algorithm), hashlib.sha256(), 0
        with self._get(place, path) as response:
            for chunk in self._chunks(response, at_most if size is None else size):
                given.update(chunk)
                sha256.update(chunk)
                got += len(chunk)
                if to is not None:
                    to.write(chunk)
        if got != (got if size is None else size) or given.hexdigest() != digest.value:
            what = (
                f"its size is {got}, not {size}"
                if size not in (None, got)
                else f"its {digest.algorithm} is {given.hexdigest()}, not {digest.value}"
            )
            raise PackageError(place.below(path), f"is not what the index says: {what}.", "Do not use it. " + _NEXT)
        return sha256.hexdigest()

    def save(self, path: str, to: Path, size: int, sha256: str, base: str = "") -> Path:
        """Like `file`, into a file that is there only if it is right."""
        with aside(to) as part, part.open("xb") as file:
            self.file(path, file, size, Digest("sha256", sha256), base=base)
        return to

    def _get(self, place: Address, path: str) -> requests.Response:
        url = place.below(path)
        for _ in range(_REDIRECTS):
            response = self._ask(url)
            if response.is_redirect or response.is_permanent_redirect:
                response.close()
                url = Address.parse(url).leads_to(response.headers["location"]).url
                continue
            if response.status_code == 200:
                return response
            response.close()
            if response.status_code >= 500 or response.status_code in _LATER:
                raise ServiceError(url, f"answers {response.status_code}.", "Try again later.")
            if response.status_code >= 400:
                raise NotServedError(url, response.status_code)
            raise PackageError(url, f"answers {response.status_code}.", _NEXT)
        raise PackageError(url, "redirects in a circle.", _NEXT)

    def _ask(self, url: str) -> requests.Response:
        # bytes as they lie there: the index's digests are of those
        request = requests.Request("GET", url, headers={"Accept-Encoding": "identity"})
        try:
            prepared = self._session.prepare_request(request)
            prepared.url = url  # requests would write %7E as ~ again
            settings = self._session.merge_environment_settings(url, {}, True, None, None)
            return self._session.send(
                prepared, allow_redirects=False, timeout=(self.connect_s, self.silence_s), **settings
            )
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            raise ServiceError(self.base, *why_no_answer(error, "Try again later.")) from error

    def _chunks(self, response: requests.Response, at_most: int) -> Iterator[bytes]:
        deadline = time.monotonic() + self.total_s
        got = 0
        try:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                got += len(chunk)
                if got > at_most:
                    raise PackageError(str(response.url), f"is larger than {at_most} bytes.", _NEXT)
                if time.monotonic() > deadline:
                    raise ServiceError(str(response.url), f"took longer than {self.total_s:.0f} s.", "Try again later.")
                yield chunk
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise ServiceError(str(response.url), f"broke off ({type(error).__name__}).", "Try again later.") from error
