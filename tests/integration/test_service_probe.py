"""Knocking at services: real HTTP, TCP and LDAP servers, and servers that behave badly."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.slapd import GlueSlapd, slapd  # noqa: F401
from tests.support.slow_servers import tcp_server

from pps.activities.ports.services import ServiceAnswer
from pps.adapters.services import service_probe
from pps.adapters.services.service_probe import NetworkProbes
from pps.domain.sites.endpoints import Endpoint, parse_endpoint
from pps.domain.sites.probes import ProbeState

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def http_server(answer: Callable[[str], Answer]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def look(port: int, scheme: str = "http", path: str = "/", version_at: str = "", within_s: float = 2) -> ServiceAnswer:
    return NetworkProbes(total_s=within_s).look(parse_endpoint(f"{scheme}://127.0.0.1:{port}{path}", version_at))


def answering(body: bytes, status: int = 200, **headers: str) -> Callable[[str], Answer]:
    return lambda path: (status, headers, body)


def test_a_service_says_its_version_in_json_where_it_was_said_to_be() -> None:
    with http_server(answering(json.dumps({"version": "3.1.24", "info": {"release": "9.9"}}).encode())) as port:
        assert look(port).result.line.startswith(f"OK - http://127.0.0.1:{port} answers 200, version 3.1.24|time=")
        assert look(port).version == "3.1.24"
        assert look(port, version_at="json:info.release").version == "9.9"
        assert look(port, version_at="json:info.none").version == ""


def test_a_service_says_its_version_in_a_header() -> None:
    with http_server(answering(b"hello", X_Service="glite-wms/3.1.24-2")) as port:
        assert look(port, version_at="header:X_Service".replace("_", "-")).version == ""
    with http_server(lambda path: (200, {"X-Service": "glite-wms/3.1.24-2"}, b"hello")) as port:
        assert look(port, version_at="header:X-Service").version == "3.1.24-2"


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, ProbeState.OK), (204, ProbeState.OK), (401, ProbeState.WARNING), (403, ProbeState.WARNING)]
    + [(status, ProbeState.CRITICAL) for status in (301, 400, 404, 500, 503)],
)
def test_the_status_decides(status: int, state: ProbeState) -> None:
    with http_server(answering(b"{}", status)) as port:
        assert look(port).result.state is state


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 50_000,
        b'{"version": 3}',
        b'{"version": null}',
        b'{"version": "\\u0000<script>"}',
        b'{"version": "%s"}' % (b"9" * 60_000),
    ],
)
def test_a_hostile_body_is_no_version(body: bytes) -> None:
    with http_server(answering(body)) as port:
        answer = look(port)
        assert (answer.result.state, answer.version) == (ProbeState.OK, "")


def test_it_follows_a_redirect_on_the_same_server_only() -> None:
    def answer(path: str) -> Answer:
        if path == "/old":
            return 302, {"Location": "/new"}, b""
        return 200, {}, b'{"version": "1.2.3"}'

    asked: list[str] = []
    with http_server(answer) as port:
        assert look(port, path="/old").version == "1.2.3"
    with http_server(lambda path: asked.append(path) or (200, {}, b"secret")) as inside:
        for target in (
            f"http://127.0.0.1:{inside}/",
            f"http://localhost:{inside}/",
            "file:///etc/passwd",
            "//[",
            "/a b",
        ):
            with http_server(answering(b"", 302, Location=target)) as port:
                answer_of_server = look(port)
                assert answer_of_server.result.state is ProbeState.CRITICAL
                assert "sends us to another server" in answer_of_server.result.text
    assert asked == []


def test_a_redirect_in_a_circle_ends() -> None:
    with http_server(answering(b"", 302, Location="/")) as port:
        assert "in a circle" in look(port).result.text


def _silent(connection: socket.socket, end: threading.Event) -> None:
    end.wait()


def _dripping(connection: socket.socket, end: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not end.wait(0.1):
        connection.sendall(b"x")


def _dripping_header(connection: socket.socket, end: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not end.wait(0.1):
        connection.sendall(b"X")


def _nonsense(connection: socket.socket, end: threading.Event) -> None:
    connection.recv(1000)
    connection.sendall(os.urandom(4000))


def _closing(connection: socket.socket, end: threading.Event) -> None:
    connection.recv(1000)


BAD = [_silent, _dripping, _dripping_header, _nonsense, _closing]


@pytest.mark.parametrize("scheme", ["http", "https", "ldap", "tcp"])
@pytest.mark.parametrize("serve", BAD)
def test_a_server_that_behaves_badly_is_critical_within_the_time_limit(scheme: str, serve) -> None:
    with tcp_server(serve) as port:
        began = time.monotonic()
        found = look(port, scheme, path="", version_at="banner" if scheme == "tcp" else "", within_s=1)
        assert time.monotonic() - began < 15
        if scheme == "tcp" and serve in (_dripping, _dripping_header, _nonsense):
            return  # a banner of any kind is a banner
        assert found.result.state is ProbeState.CRITICAL, found


def test_an_endless_body_is_cut_off() -> None:
    def endless(connection: socket.socket, end: threading.Event) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not end.is_set():
            connection.sendall(b"x" * 65536)

    with tcp_server(endless) as port:
        began = time.monotonic()
        assert look(port, within_s=30).result.state is ProbeState.OK
        assert time.monotonic() - began < 20


def test_a_banner_says_the_version_and_a_port_alone_says_nothing() -> None:
    def greet(connection: socket.socket, end: threading.Event) -> None:
        connection.sendall(b"220 gridftp.example.org GridFTP Server 3.28 (gcc64) ready.\r\n\x1b[2J")

    with tcp_server(greet) as port:
        found = look(port, "tcp", path="", version_at="banner")
        assert (found.result.state, found.version) == (ProbeState.OK, "3.28")
        assert "\x1b" not in found.result.text
        assert look(port, "tcp", path="").version == ""


def test_nobody_there_is_critical_and_a_name_that_leads_nowhere_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for scheme in ("http", "https", "ldap", "tcp"):
        found = look(port, scheme, path="")
        assert found.result.state is ProbeState.CRITICAL
        assert "connection refused" in found.result.text


def test_a_name_that_leads_to_this_machine_is_no_site_s(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with http_server(lambda path: asked.append(path) or (200, {}, b"{}")) as port:
        for address in ("127.0.0.1", "0.0.0.0"):
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
            monkeypatch.setattr(service_probe.socket, "getaddrinfo", lambda *_, found=found, **__: found)
            answer = NetworkProbes(total_s=2).look(Endpoint("http", "wms.pic.es", port))
            assert "no address of a site" in answer.result.text
    assert asked == []


def test_a_certificate_that_is_not_trusted_here_says_nothing_of_the_service(tmp_path) -> None:
    import ssl
    import subprocess

    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def serve(connection: socket.socket, end: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"version": "1.2.3"}')

    with tcp_server(serve) as port:
        assert look(port, "https").result.state is ProbeState.UNKNOWN
    cas = tmp_path / "certificates"
    cas.mkdir()
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", cert], capture_output=True, text=True, check=True
    )
    (cas / f"{name.stdout.strip()}.0").write_bytes(cert.read_bytes())
    with tcp_server(serve) as port:
        trusted = NetworkProbes(total_s=2, grid_cas=cas).look(parse_endpoint(f"https://127.0.0.1:{port}/"))
        assert (trusted.result.state, trusted.version) == (ProbeState.OK, "1.2.3")


@pytest.mark.needs("slapd")
def test_a_bdii_answers_and_says_its_version(slapd: GlueSlapd) -> None:
    port = int(slapd.url.rpartition(":")[2])
    found = look(port, "ldap", path="")
    assert (found.result.state, found.version) == (ProbeState.OK, "")
    slapd.add_service(
        slapd.add_folder("SITE"), "site_bdii", "bdii_site", "5.2.22", f"ldap://127.0.0.1:{port}/mds-vo-name=SITE,o=grid"
    )
    assert look(port, "ldap", path="").version == "5.2.22"
