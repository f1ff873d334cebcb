"""Reads GOCDB's XML (`get_site`, `get_service`, `get_service_endpoint`) from a file or over HTTP.

It comes from outside and may be hostile: a document type (and so every entity) is refused, and size,
depth, elements and text are limited. The standard library's expat, since it can be told all of
that; defusedxml's last release is from 2021, and it knows no limits on depth or size.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat

import requests
import urllib3

from pps.adapters.http_session import arranged, why_no_answer
from pps.adapters.packages.index_xml import guarded_parser, refuse_zero_bytes
from pps.domain.base.errors import ConfigurationError, InvalidNameError, ServiceError
from pps.domain.base.names import checked_host, checked_name
from pps.domain.packages.repository_trust import shown
from pps.domain.sites.gocdb import ListedService, ListedSite, Listing

_CHUNK = 1 << 16
_REDIRECTS = 3
_PROBLEMS = 100
_AGAIN = "Fetch it from GOCDB anew, and look at it before you import it."


@dataclass(frozen=True, slots=True)
class GocdbLimits:
    """What a document may be. All of EGI's services are about 10 MB in 250,000 elements."""

    bytes_at_most: int = 32 * 1024 * 1024
    depth_at_most: int = 12
    elements_at_most: int = 1_000_000
    text_at_most: int = 65_536
    """characters in one element"""
    attributes_at_most: int = 50
    connect_s: float = 15.0
    silence_s: float = 30.0
    total_s: float = 120.0


LIMITS = GocdbLimits()


def read_listing(source: str, limits: GocdbLimits = LIMITS) -> Listing:
    """Read a file, or an http(s) address.

    Raises:
        ConfigurationError: it is not GOCDB's XML, breaks a limit, or its address will not do.
        ServiceError: the server does not answer as it should; worth a retry.
    """
    if "://" in source:
        return parse_listing(_download(source, limits), _shown(source), limits)
    return parse_listing(_contents(Path(source), limits), source, limits)


def parse_listing(data: bytes, source: str, limits: GocdbLimits = LIMITS) -> Listing:
    """Read a document; `source` is for the errors."""
    if len(data) > limits.bytes_at_most:
        raise ConfigurationError(source, f"is larger than {limits.bytes_at_most} bytes.", _AGAIN)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(source, f"is not UTF-8 (at byte {error.start}).", _AGAIN) from error
    reader = _Reader(source, limits)
    refuse_zero_bytes(data, reader.refuse)
    parser = guarded_parser(reader.refuse, "an answer of GOCDB")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)  # in one piece: expat scans a token that comes in pieces again and again
    except expat.ExpatError as error:
        why = expat.ErrorString(error.code)
        raise ConfigurationError(
            source, f"is not XML in UTF-8 (line {error.lineno}, column {error.offset + 1}: {why}).", _AGAIN
        ) from error
    return reader.listing()


@dataclass
class _Reader:
    """The handlers. Only elements that we know are kept; of all others nothing but the count."""

    source: str
    limits: GocdbLimits
    path: list[str] = field(default_factory=list)
    elements: int = 0
    length: int = 0
    """of the text in the current element"""
    parts: list[str] = field(default_factory=list)
    record: dict[str, list[str]] = field(default_factory=dict)
    """child element -> its texts, of the SITE or SERVICE_ENDPOINT that is being read"""
    extension: dict[str, str] = field(default_factory=dict)
    extensions: list[tuple[str, str]] = field(default_factory=list)
    sites: list[ListedSite] = field(default_factory=list)
    services: list[ListedService] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: int = 0
    complete: bool = True
    unread: set[str] = field(default_factory=set)

    def refuse(self, why: str) -> NoReturn:
        raise ConfigurationError(self.source, why, _AGAIN)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > self.limits.elements_at_most:
            self.refuse(f"has more than {self.limits.elements_at_most} elements.")
        if len(self.path) >= self.limits.depth_at_most:
            self.refuse(f"is nested more than {self.limits.depth_at_most} deep.")
        if len(attributes) > self.limits.attributes_at_most:
            self.refuse(f"has an element with more than {self.limits.attributes_at_most} attributes.")
        if not self.path and name != "results":
            self.refuse(f"begins with <{name[:40]}>; GOCDB's answers begin with <results>.")
        if name == "link" and self.path == ["results", "meta"] and attributes.get("rel") == "next":
            self.complete = False
        self.path.append(name)
        if len(self.path) == 2:
            self.record, self.extensions = {}, []
        if name == "EXTENSION":
            self.extension = {}
        self.parts, self.length = [], 0

    def text(self, data: str) -> None:
        self.length += len(data)
        if self.length > self.limits.text_at_most:
            self.refuse(f"has more than {self.limits.text_at_most} characters in one element.")
        self.parts.append(data)

    def end(self, name: str) -> None:
        text = "".join(self.parts).strip()
        match self.path:
            case ["results", "SITE" | "SERVICE_ENDPOINT", child]:
                self.record.setdefault(child, []).append(text)
            case ["results", "SITE", "EXTENSIONS", "EXTENSION", "KEY" | "VALUE"]:
                self.extension[name] = text
            case ["results", "SITE", "EXTENSIONS", "EXTENSION"]:
                if key := self.extension.get("KEY"):
                    self.extensions.append((key, self.extension.get("VALUE", "")))
            case ["results", "SITE"]:
                self.site()
            case ["results", "SERVICE_ENDPOINT"]:
                self.service()
            case _:
                pass
        self.path.pop()
        self.parts, self.length = [], 0

    def one(self, child: str) -> str:
        """The text of a child that a record may have once."""
        found = set(self.record.get(child, ()))
        if len(found) > 1:
            raise InvalidNameError(child, "is there more than once, each time with another text.")
        return found.pop() if found else ""

    def any(self, child: str) -> str:
        """Every text of a child that is no reason to leave a record out: who reads it judges several, too."""
        return " / ".join(dict.fromkeys(text for text in self.record.get(child, ()) if text))

    def site(self) -> None:
        name = ""
        try:
            name = checked_name(self.one("SHORT_NAME"), "SHORT_NAME")
            site = ListedSite(
                name,
                self.one("ROC"),
                self.one("PRODUCTION_INFRASTRUCTURE"),
                self.one("CERTIFICATION_STATUS"),
                self.one("TIMEZONE"),
                self.one("CONTACT_EMAIL"),
                tuple(self.extensions),
                self.any("LATITUDE"),
                self.any("LONGITUDE"),
            )
        except InvalidNameError as error:
            if name:
                self.unread.add(name.lower())
            self.leave_out("site", name, error)
        else:
            self.sites.append(site)

    def service(self) -> None:
        site = ""
        try:
            site = checked_name(self.one("SITENAME"), "SITENAME")
            service = ListedService(
                site,
                checked_name(self.one("SERVICE_TYPE"), "SERVICE_TYPE"),
                _host(self.one("HOSTNAME")),
                self.one("IN_PRODUCTION").upper() in ("Y", "YES", "TRUE", "1"),
            )
        except InvalidNameError as error:
            self.leave_out("service of", site, error)
        else:
            self.services.append(service)

    def leave_out(self, what: str, name: str, error: InvalidNameError) -> None:
        """One bad entry is no reason against the others; nor are a million of them a reason for a million sentences."""
        self.left_out += 1
        if len(self.problems) < _PROBLEMS:
            where = f"{what} {name}" if name else f"{what.removesuffix(' of')} without a usable name"
            self.problems.append(f"A {where} was left out: {error.subject} {error.why}")

    def listing(self) -> Listing:
        """What was read."""
        more = self.left_out - len(self.problems)
        further = (f"{more} further entries were left out.",) if more else ()
        return Listing(
            tuple(self.sites),
            tuple(self.services),
            (*self.problems, *further),
            self.complete,
            frozenset(self.unread),
        )


def _host(text: str) -> str:
    """A HOSTNAME in one spelling: lower case, no dot at its end, an international one as DNS has it."""
    host = text.removesuffix(".").removeprefix("[").removesuffix("]").lower()
    with suppress(UnicodeError):  # the error shows it as it is
        host = host if host.isascii() else host.encode("idna").decode()
    return checked_host(host, "HOSTNAME")


def _contents(path: Path, limits: GocdbLimits) -> bytes:
    try:
        # a pipe or a terminal would be waited for without end
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(str(path), "is not a file.", "Save GOCDB's answer in one.")
            return file.read(limits.bytes_at_most + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name is possible"
        raise ConfigurationError(str(path)[:200], f"cannot be read ({why}).", "Correct the path.") from error


def _shown(url: str) -> str:
    """An address without login and query, which may hold a key."""
    return shown(url)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        plain = plain and parts.username is None and parts.password is None
    except ValueError:
        plain = False
    if not plain or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ConfigurationError(
            _shown(url), "is not a plain http or https address.", "Give one, or the path of a file without file://."
        )
    return url


def _download(url: str, limits: GocdbLimits) -> bytes:
    deadline = time.monotonic() + limits.total_s
    with requests.Session() as session:
        arranged(session, _checked(url))
        for _ in range(_REDIRECTS + 1):
            try:
                response = session.get(
                    _checked(url),
                    stream=True,
                    allow_redirects=False,
                    timeout=(limits.connect_s, limits.silence_s),
                    headers={"Accept": "application/xml", "Accept-Encoding": "identity"},
                )
            except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
                raise ServiceError(_shown(url), *why_no_answer(error, "Try again later.")) from error
            with response:
                if response.is_redirect or response.is_permanent_redirect:
                    url = _same_host(url, response.headers["location"])
                    continue
                if response.status_code != 200:
                    raise ServiceError(
                        _shown(url),
                        f"answers {response.status_code}.",
                        "Try again later; if it asks for a certificate, fetch it with curl and import the file.",
                    )
                return b"".join(_chunks(response, _shown(url), limits, deadline))
    raise ConfigurationError(
        _shown(url), f"redirects more than {_REDIRECTS} times.", "Give the address that it leads to."
    )


def _same_host(url: str, location: str) -> str:
    # an open redirect would have us ask any address inside our network
    to = urljoin(url, location)
    old, new = urlsplit(url), urlsplit(_checked(to))
    same = (new.scheme, new.hostname, new.port) == (old.scheme, old.hostname, old.port)
    upgraded = (old.scheme, new.scheme, new.hostname) == ("http", "https", old.hostname)
    if not same and not (upgraded and not old.port and not new.port):
        raise ConfigurationError(
            _shown(url), f"redirects to another server ({_shown(to)}).", "Give that address if it is right."
        )
    return to


def _chunks(response: requests.Response, source: str, limits: GocdbLimits, deadline: float) -> Iterator[bytes]:
    got = 0
    try:
        # undecoded: a compressed answer was not asked for, and could unpack to anything
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            got += len(chunk)
            if got > limits.bytes_at_most:
                raise ConfigurationError(source, f"is larger than {limits.bytes_at_most} bytes.", _AGAIN)
            if time.monotonic() > deadline:
                raise ServiceError(source, f"took longer than {limits.total_s:.0f} s.", "Try again later.")
            yield chunk
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise ServiceError(source, f"broke off ({type(error).__name__}).", "Try again later.") from error
