"""Downloads over HTTP for the package repositories: limits on time and size, digests on the way."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3

from pps.domain.errors import PackageError, ServiceError

_CHUNK = 1 << 16
_REDIRECTS = 5
_NEXT = "Ask the provider of the repository."
#: What to do about a repository that is too large to be taken whole.
TOO_MANY = "See policies.yaml, mirror; or ask the provider for a repository of this update alone."


@dataclass(frozen=True)
class Downloader:
    """Fetches files below one base URL and from nowhere else."""

    base: str
    connect_s: float = 15.0
    silence_s: float = 60.0
    total_s: float = 1800.0
    """for one file"""
    _session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base)
            plain = (
                parts.scheme in ("http", "https")
                and bool(parts.hostname)
                and parts.port != 0
                and parts.username is None
            )
        except ValueError:
            plain = False
        # one spelling for each place: signatures are asked for by prefix
        if (
            not plain
            or not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._+~-]+)*", self.base)
            or "/." in self.base
        ):
            raise PackageError(
                f"repository {self.base[:120]!r}", "is not a plain http or https address.", "Correct the patch."
            )

    def text(self, path: str, at_most: int) -> str | None:
        """A small text file, or None if the server does not have it (404)."""
        response = self._get(path)
        if response is None:
            return None
        with response:
            data = b"".join(self._chunks(response, path, at_most))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise PackageError(f"{self.base}/{path}", "is not UTF-8 text.", _NEXT) from error

    def file(self, path: str, to: BinaryIO, size: int, sha256: str) -> None:
        """A file of known size and digest; `PackageError` if either differs or the server does not have it."""
        response = self._get(path)
        if response is None:
            raise PackageError(f"{self.base}/{path}", "is in the index, but the server does not have it.", _NEXT)
        digest = hashlib.sha256()
        got = 0
        with response:
            for chunk in self._chunks(response, path, size):
                digest.update(chunk)
                got += len(chunk)
                to.write(chunk)
        if got != size or digest.hexdigest() != sha256:
            what = (
                f"its size is {got}, not {size}" if got != size else f"its sha256 is {digest.hexdigest()}, not {sha256}"
            )
            raise PackageError(f"{self.base}/{path}", f"is not what the index says: {what}.", "Do not use it. " + _NEXT)

    def save(self, path: str, to: Path, size: int, sha256: str) -> Path:
        """Like `file`, into a file that is there only if it is right."""
        part = to.with_name(to.name + ".part")
        try:
            with part.open("wb") as file:
                self.file(path, file, size, sha256)
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)
        return to

    def _get(self, path: str) -> requests.Response | None:
        url = f"{self.base.rstrip('/')}/{quote(path, safe='/+~._-=:')}"
        for _ in range(_REDIRECTS):
            try:
                response = self._session.get(
                    url,
                    stream=True,
                    allow_redirects=False,
                    timeout=(self.connect_s, self.silence_s),
                    # bytes as they lie there: the index's digests are of those
                    headers={"Accept-Encoding": "identity"},
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                raise ServiceError(
                    self.base, f"does not answer ({type(error).__name__}).", "Try again later."
                ) from error
            if response.is_redirect or response.is_permanent_redirect:
                response.close()
                url = self._same_host(url, response.headers["location"])
                continue
            if response.status_code == 200:
                return response
            response.close()
            if response.status_code in (404, 410):
                return None
            if response.status_code >= 500 or response.status_code == 429:
                raise ServiceError(url, f"answers {response.status_code}.", "Try again later.")
            raise PackageError(url, f"answers {response.status_code}.", _NEXT)
        raise PackageError(url, "redirects in a circle.", _NEXT)

    def _same_host(self, url: str, location: str) -> str:
        # an open redirect would let the provider's server make ours ask any address inside our network
        to = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(to)
        same = (new.scheme, new.hostname, new.port) == (old.scheme, old.hostname, old.port)
        upgraded = (
            (old.scheme, new.scheme, new.hostname) == ("http", "https", old.hostname) and not old.port and not new.port
        )
        if not (same or upgraded):
            raise PackageError(
                url, f"redirects to another server ({new.hostname}).", "Put that address into the patch if it is right."
            )
        return to

    def _chunks(self, response: requests.Response, path: str, at_most: int) -> Iterator[bytes]:
        deadline = time.monotonic() + self.total_s
        got = 0
        try:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                got += len(chunk)
                if got > at_most:
                    raise PackageError(f"{self.base}/{path}", f"is larger than {at_most} bytes.", _NEXT)
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"{self.base}/{path}", f"took longer than {self.total_s:.0f} s.", "Try again later."
                    )
                yield chunk
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise ServiceError(
                f"{self.base}/{path}", f"broke off ({type(error).__name__}).", "Try again later."
            ) from error
