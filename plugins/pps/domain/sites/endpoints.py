"""Endpoints of grid services: where one answers, whose it is, and which version it says it is.

An endpoint is what a site's people enter. We then connect to it from inside our own network, so it must be plain,
and at a host of that very site.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pps.domain.base.errors import InvalidNameError
from pps.domain.base.names import checked_host, is_host
from pps.domain.sites.site import Site

#: Scheme -> the port that is meant where none is named; 0: one must be named.
_PORTS = {"http": 80, "https": 443, "ldap": 389, "ldaps": 636, "tcp": 0}
LONGEST = 300
"""characters of an endpoint"""
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9._+~:-]{0,63}")
# A version inside a text, e.g. of `Server: glite-wms/3.1.24-2` or of an SSH banner.
_IN_TEXT = re.compile(r"(?<![A-Za-z0-9.])[0-9]+(?:\.[0-9]+[A-Za-z]?)+(?:[+~._-][A-Za-z0-9]+)*")
_JSON_PATH = re.compile(r"json:[A-Za-z0-9_-]{1,40}(\.[A-Za-z0-9_-]{1,40}){0,5}")
_HEADER = re.compile(r"header:[A-Za-z0-9-]{1,60}")
_DOMAIN_LABELS = 2


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service answers, and where it says its version."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """with its query; of HTTP only"""
    version_at: str = ""
    """`json:<key>[.<key>...]`, `header:<Name>` (HTTP), `banner` (TCP); "": where such a service usually says it"""

    @property
    def url(self) -> str:
        """As people write it."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


def parse_endpoint(text: str, version_at: str = "") -> Endpoint:
    """Read `http(s)://host[:port]/path`, `ldap(s)://host[:port]` or `tcp://host:port`; `InvalidNameError` otherwise."""
    what = f"endpoint {text[:80]!r}"
    try:
        parts = urlsplit(text)
        port = parts.port if parts.port is not None else _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise InvalidNameError(what, "is no address.", "Give it as https://host:port/path.") from None
    if parts.scheme not in _PORTS or not port:
        raise InvalidNameError(
            what, "is not http, https, ldap, ldaps or tcp with a port.", "Give e.g. https://host:8443/path."
        )
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    allowed = parts.scheme.startswith("http") or path in ("", "/")
    if (
        len(text) > LONGEST
        or parts.username is not None
        or parts.fragment
        or not parts.hostname
        or ":" in parts.hostname
        or not allowed
        or not _PATH.fullmatch(path)
    ):
        raise InvalidNameError(
            what, "holds more than scheme, host, port and a plain path.", "No user, password, blank or #."
        )
    host = checked_host(parts.hostname, "host of the endpoint")
    return Endpoint(parts.scheme, host, port, path.rstrip("/") and path, checked_version_at(version_at, parts.scheme))


def checked_version_at(text: str, scheme: str) -> str:
    """Return where the version is said, or raise `InvalidNameError`."""
    http = scheme.startswith("http")
    if text == "" or (http and (_JSON_PATH.fullmatch(text) or _HEADER.fullmatch(text))):
        return text
    if scheme == "tcp" and text == "banner":
        return text
    step = "Leave it empty, or give json:<key> or header:<Name> for HTTP, banner for tcp."
    raise InvalidNameError(f"place of the version {text[:80]!r}", f"does not fit {scheme}.", step)


def reasons_against_host(host: str, site: Site) -> tuple[str, ...]:
    """Say why an endpoint at this host is not this site's; no reasons means that it is.

    It is one of the hosts that the registry knows of the site, or in the domain of one of them. Else whoever fills
    in a form could let us knock at any door of our own network.
    """
    known = {service.host.lower() for service in site.services} | ({site.ssh.host.lower()} if site.ssh else set())
    if is_host(site.subcluster):  # a queue's name is none
        known.add(site.subcluster.lower())
    host = host.lower().rstrip(".")
    domains = {domain for name in known if (domain := _domain(name))}
    if host in known or any(host.endswith(f".{domain}") for domain in domains):
        return ()
    return (f"{host} is no host of {site.name}: the site registry knows {', '.join(sorted(known))}.",)


def _domain(host: str) -> str:
    """`ce01.cern.ch` -> `cern.ch`; "" for an address and for what has no domain of its own."""
    labels = host.split(".")
    if len(labels) <= _DOMAIN_LABELS or labels[-1].isdigit():
        return ""
    return ".".join(labels[1:])


def version_in(text: str) -> str:
    """The version that a service's own text names, or ""; a bare one is taken as it is."""
    text = text.strip()
    if _VERSION.fullmatch(text):
        return text
    found = _IN_TEXT.search(text[:500])
    return found[0][:64] if found else ""


def is_version(text: str) -> bool:
    """Tell whether a text is a version: a digit first, then letters, digits and `. _ + ~ : -`."""
    return _VERSION.fullmatch(text) is not None


def same_version(found: str, wanted: str) -> bool:
    """Tell whether a service that says `found` runs `wanted`: that very version, or a release of its package (`-2`)."""
    return bool(wanted) and (found == wanted or found.startswith(f"{wanted}-"))


@dataclass(frozen=True, slots=True)
class PublishedService:
    """A service as the information system shows it (GLUE 1.3, GlueService)."""

    unique_id: str
    type: str
    version: str
    endpoint: str
    status: str

    def is_at(self, endpoint: Endpoint) -> bool:
        """Tell whether it is the service at this endpoint; spelling and a path beyond it do not count."""
        return _place(self.endpoint) == (endpoint.host.lower(), endpoint.port)


def host_of(endpoint: str) -> str:
    """The host of an endpoint as a site publishes it, in lower case; "" where there is none."""
    return _place(endpoint)[0]


def _place(endpoint: str) -> tuple[str, int]:
    """Sites publish `ldap://h:2170/...`, `https://h:8443/x`, `httpg://h:8443/...`, `h:7512`; else it is ("", 0)."""
    text = endpoint if "://" in endpoint else f"tcp://{endpoint}"
    try:
        parts = urlsplit(text)
        return (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", 0
