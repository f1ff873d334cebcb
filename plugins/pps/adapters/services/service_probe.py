"""Knocks at services of sites: `service_ports.ServiceProbes` over HTTP, LDAP and plain TCP.

What answers may be anything: an endless stream, a redirect into our own network, nonsense. So there is one time
limit for the whole look, a limit on what is read, and one host to which we connect.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from ldap3 import BASE, NONE, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException

from pps.activities.ports.services import ServiceAnswer
from pps.domain.base.texts import one_line
from pps.domain.sites.endpoints import Endpoint, version_in
from pps.domain.sites.probes import ProbeResult, ProbeState

_REDIRECTS = 3
_BODY_BYTES = 64 * 1024
_BANNER_BYTES = 512
_GRID_CAS = Path("/etc/grid-security/certificates")
_LDAP_BASE = "o=grid"
_LDAP_VERSION = "GlueServiceVersion"
#: A service that wants to know who asks has answered.
_WANTS_LOGIN = (401, 403)


class NetworkProbes:
    """Looks at endpoints over the network."""

    def __init__(self, *, total_s: float = 15.0, grid_cas: Path = _GRID_CAS) -> None:
        """Args:
        total_s: for one look, whatever the service does.
        grid_cas: folder with the certificates of the grid's CAs, used besides the system's where it exists.
        """
        self._total_s = total_s
        self._grid_cas = grid_cas

    def look(self, endpoint: Endpoint) -> ServiceAnswer:
        """Knock; every trouble is an answer."""
        kinds: dict[str, Callable[[Endpoint, float], ServiceAnswer]] = {
            "http": self._http,
            "https": self._http,
            "ldap": self._ldap,
            "ldaps": self._ldap,
            "tcp": self._tcp,
        }
        began = time.monotonic()
        try:
            found = kinds[endpoint.scheme](endpoint, began + self._total_s)
        except ssl.SSLCertVerificationError as error:
            # we may lack its CA, which says nothing of the service
            why = one_line(error.verify_message, 100)
            return _says(ProbeState.UNKNOWN, f"{endpoint.url} shows a certificate that is not trusted here: {why}")
        except socket.gaierror as error:
            temporary = error.errno == socket.EAI_AGAIN
            state = ProbeState.UNKNOWN if temporary else ProbeState.CRITICAL
            return _says(state, f"the name {endpoint.host} leads nowhere ({one_line(error.strerror or '', 80)})")
        except (OSError, http.client.HTTPException, ValueError) as error:
            spent = time.monotonic() - began
            late = spent >= self._total_s or isinstance(error, TimeoutError)
            why = f"not within {self._total_s:g} s" if late else one_line(_why(error), 120)
            return _says(ProbeState.CRITICAL, f"{endpoint.url} does not answer: {why}")
        took = f"time={time.monotonic() - began:.3f}s"
        result = found.result
        return ServiceAnswer(ProbeResult(result.probe, result.state, result.text, took), found.version)

    # --- HTTP ---

    def _http(self, endpoint: Endpoint, deadline: float) -> ServiceAnswer:
        path = endpoint.path or "/"
        for _ in range(_REDIRECTS + 1):
            with self._connected(endpoint, deadline) as sock:
                response = _ask(sock, endpoint, path)
                target = response.headers.get("location", "")
                if 300 <= response.status < 400 and target:
                    path = _same_place(endpoint, path, target)
                    if not path:
                        where = one_line(target, 80)
                        return _says(ProbeState.CRITICAL, f"{endpoint.url} sends us to another server: {where}")
                    continue
                body = response.read(_BODY_BYTES)
                _in_time(deadline)
                return _judge(endpoint, response, body)
        return _says(ProbeState.CRITICAL, f"{endpoint.url} redirects in a circle")

    # --- TCP ---

    def _tcp(self, endpoint: Endpoint, deadline: float) -> ServiceAnswer:
        with self._connected(endpoint, deadline) as sock:
            if endpoint.version_at != "banner":
                return _says(ProbeState.OK, f"{endpoint.url} takes connections")
            banner = b""
            while b"\n" not in banner and len(banner) < _BANNER_BYTES and (more := sock.recv(_BANNER_BYTES)):
                banner += more
            _in_time(deadline)
        line = one_line(banner[:_BANNER_BYTES].partition(b"\n")[0].decode("utf-8", "replace"), 120)
        if not line:
            return _says(ProbeState.CRITICAL, f"{endpoint.url} closes the connection without a word")
        return _says(ProbeState.OK, f"{endpoint.url} says: {line}", version_in(line))

    # --- LDAP: a BDII ---

    def _ldap(self, endpoint: Endpoint, deadline: float) -> ServiceAnswer:
        """Ask for the base, then for the BDII's own entry, which may say its version."""
        with self._connected(endpoint, deadline):
            pass  # the same rules for where a name may lead
        patience = max(1, int(deadline - time.monotonic()))
        secure = endpoint.scheme == "ldaps"
        tls = Tls(validate=ssl.CERT_REQUIRED) if secure else None
        try:
            server = Server(
                endpoint.host, endpoint.port, use_ssl=secure, tls=tls, get_info=NONE, connect_timeout=patience
            )
            connection = Connection(
                server, read_only=True, auto_referrals=False, check_names=False, receive_timeout=patience
            )
        except LDAPException as error:
            raise OSError(str(error)) from error
        alarm = threading.Timer(max(deadline - time.monotonic(), 0.001), lambda: _cut_ldap(connection))
        alarm.daemon = True
        alarm.start()
        try:
            if not connection.bind():
                return _says(ProbeState.CRITICAL, f"{endpoint.url} refuses us")
            connection.search(_LDAP_BASE, "(objectClass=*)", BASE, attributes=["objectClass"], time_limit=patience)
            if (code := connection.result["result"]) != 0:
                return _says(ProbeState.CRITICAL, f"{endpoint.url} does not serve {_LDAP_BASE} (LDAP result {code})")
            own = f"(&(objectClass=GlueService)(GlueServiceEndpoint=*:{endpoint.port}/*)(GlueServiceType=*bdii*))"
            connection.search(_LDAP_BASE, own, SUBTREE, attributes=[_LDAP_VERSION], size_limit=5, time_limit=patience)
            versions = {
                version_in(value.decode("utf-8", "replace"))
                for entry in connection.response or []
                for value in entry.get("raw_attributes", {}).get(_LDAP_VERSION, [])
            }
        except Exception as error:
            # ldap3's BER decoder lets through whatever a server's nonsense makes of it (KeyError, struct.error, ...)
            _in_time(deadline)
            raise OSError(f"its answer is not LDAP ({type(error).__name__})") from error
        finally:
            alarm.cancel()
            with suppress(LDAPException, OSError, AttributeError):
                connection.unbind()
        _in_time(deadline)
        version = versions.pop() if len(versions) == 1 else ""
        return _says(ProbeState.OK, f"{endpoint.url} answers{_named(version)}", version)

    @contextmanager
    def _connected(self, endpoint: Endpoint, deadline: float) -> Iterator[socket.socket]:
        """A connection that is cut when the time is up: a socket's own limit is one for each read."""
        sock = _connect(endpoint, deadline)
        alarm = threading.Timer(max(deadline - time.monotonic(), 0.001), lambda: _cut(sock))
        alarm.daemon = True
        alarm.start()
        try:
            if endpoint.scheme == "https":
                # TLS takes the file descriptor over; the alarm must then cut the new one
                alarm.cancel()
                sock = self._tls().wrap_socket(sock, server_hostname=endpoint.host, do_handshake_on_connect=False)
                alarm = threading.Timer(max(deadline - time.monotonic(), 0.001), lambda: _cut(sock))
                alarm.daemon = True
                alarm.start()
                sock.do_handshake()
            yield sock
        finally:
            alarm.cancel()
            sock.close()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._grid_cas.is_dir():
            context.load_verify_locations(capath=self._grid_cas)
        return context


def _connect(endpoint: Endpoint, deadline: float) -> socket.socket:
    """Connect to the first address that answers. A name that leads to this machine, or to the link, is no site's."""
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    trouble: OSError | None = None
    for family, kind, protocol, _, address in found:
        host = str(address[0])
        if host != endpoint.host and _is_inside(host):
            trouble = trouble or OSError(f"{endpoint.host} leads to {host}, which is no address of a site")
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            trouble = error
    raise trouble or OSError("it has no address")


def _is_inside(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


def _ask(sock: socket.socket, endpoint: Endpoint, path: str) -> http.client.HTTPResponse:
    default = {"http": 80, "https": 443}[endpoint.scheme]
    host = endpoint.host if endpoint.port == default else f"{endpoint.host}:{endpoint.port}"
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json, */*\r\n"
        "Accept-Encoding: identity\r\nUser-Agent: pps-rollout\r\nConnection: close\r\n\r\n"
    )
    sock.sendall(request.encode("ascii"))
    response = http.client.HTTPResponse(sock, method="GET")
    response.begin()
    return response


def _same_place(endpoint: Endpoint, path: str, target: str) -> str:
    """The path that a redirect leads to, or "" if it leads away: it could lead to any address inside our network."""
    here = f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}{path}"
    try:
        there = urlsplit(urljoin(here, target))
        port = there.port or {"http": 80, "https": 443}.get(there.scheme, 0)
    except ValueError:
        return ""
    if (there.scheme, (there.hostname or "").lower(), port) != (
        endpoint.scheme,
        endpoint.host.lower(),
        endpoint.port,
    ):
        return ""
    path = (there.path or "/") + (f"?{there.query}" if there.query else "")
    return path if path.isascii() and path.isprintable() and " " not in path else ""


def _judge(endpoint: Endpoint, response: http.client.HTTPResponse, body: bytes) -> ServiceAnswer:
    status = response.status
    if 200 <= status < 300:
        version = _version(endpoint, response, body)
        return _says(ProbeState.OK, f"{endpoint.url} answers {status}{_named(version)}", version)
    if status in _WANTS_LOGIN:
        version = _version(endpoint, response, body)
        text = f"{endpoint.url} answers {status}: it wants to know who asks{_named(version)}"
        return _says(ProbeState.WARNING, text, version)
    return _says(ProbeState.CRITICAL, f"{endpoint.url} answers {status}")


def _named(version: str) -> str:
    return f", version {version}" if version else ""


def _version(endpoint: Endpoint, response: http.client.HTTPResponse, body: bytes) -> str:
    kind, _, name = endpoint.version_at.partition(":")
    if kind == "header":
        return version_in(response.headers.get(name, ""))
    try:
        value: Any = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return ""
    for key in (name or "version").split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return version_in(value) if isinstance(value, str) else ""


def _says(state: ProbeState, text: str, version: str = "") -> ServiceAnswer:
    return ServiceAnswer(ProbeResult("service", state, text.replace("|", "/")), version)


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__} {error}" if str(error) else type(error).__name__


def _in_time(deadline: float) -> None:
    """A connection that was cut looks like one that has ended."""
    if time.monotonic() >= deadline:
        raise TimeoutError


def _cut_ldap(connection: Connection) -> None:
    with suppress(OSError, AttributeError):
        connection.socket.shutdown(socket.SHUT_RDWR)


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
