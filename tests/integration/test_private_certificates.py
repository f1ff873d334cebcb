"""Behind a certification authority of one's own: the environment says who is believed, never who we are."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pps.adapters.packages.download import Downloader
from pps.adapters.services.airflow_rest import AirflowClient
from pps.adapters.services.channels import Webhook
from pps.adapters.sites.gocdb import read_listing
from pps.adapters.trackers.careful_session import CarefulSession
from pps.adapters.trackers.http import CarefulHttp, Secret
from pps.domain.base.errors import ServiceError

PLUGINS = Path(__file__).parents[2] / "plugins" / "pps"
HEALTH = {"scheduler": {"status": "healthy"}}


def _airflow(url: str) -> object:
    return AirflowClient(url, "ada", "ours").request("GET", "api/v2/monitor/health").json() == HEALTH


#: Everything of ours that asks a server: true, when the server has answered.
ASKS: dict[str, Callable[[str], object]] = {
    "Airflow": _airflow,
    "a tracker": lambda url: CarefulHttp(url, Secret("ours")).ask("GET", "/patches").body == HEALTH,
    "a tracker by a library": lambda url: CarefulSession(url).get(f"{url}/patches").json() == HEALTH,
    "a repository": lambda url: json.loads(Downloader(url).text("Release", 1000)) == HEALTH,
    "GOCDB": lambda url: read_listing(f"{url}/get_site.xml").sites == (),
    "a webhook": lambda url: Webhook("portal", url, lambda: "0123456789abcdef").check(),
}


@dataclass
class Server:
    url: str
    authority: Path
    """the file with the certificate of whoever has signed the server's"""
    logins: list[str] = field(default_factory=list)
    """what requests have shown as Authorization"""


def _signed(folder: Path, host: str, ends: datetime) -> tuple[Path, Path]:
    """A CA, and a certificate of it for a server: the CA's file, and the server's with its key."""
    now = datetime.now(UTC)

    def made(name: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None, until: datetime) -> tuple:  # type: ignore[type-arg]
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        building = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by[0].subject if by else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        )
        return building.sign(by[1] if by else key, hashes.SHA256()), key

    authority = made("A private CA", None, now + timedelta(days=9))
    server, key = made(host, authority, ends)
    pem = serialization.Encoding.PEM
    ca, chain = folder / "ca.pem", folder / "server.pem"
    ca.write_bytes(authority[0].public_bytes(pem))
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(server.public_bytes(pem) + plain)
    return ca, chain


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts TLS servers on loopback; a .netrc file of the machine knows another login for them."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # not for this machine
    started: list[tuple[ThreadingHTTPServer, Thread]] = []

    def start(host: str = "localhost", ends: timedelta = timedelta(days=9)) -> Server:
        ca, chain = _signed(tmp_path, host, datetime.now(UTC) + ends)
        told: list[str] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (_Handler,), {"logins": told}))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        return Server(f"https://localhost:{server.server_address[1]}", ca, told)

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    logins: list[str]

    def _answer(self) -> None:
        self.logins.append(self.headers.get("Authorization", ""))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = {"access_token": "token"} if self.path.endswith("/auth/token") else HEALTH
        body = b"<results/>" if self.path.endswith(".xml") else json.dumps(said).encode()
        self.send_response(201 if "access_token" in said else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = _answer

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_who_is_believed_is_taken_from_the_environment_and_who_we_are_is_not(
    asked: str, variable: str, tls: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tls()
    monkeypatch.setenv(variable, str(server.authority))
    assert ASKS[asked](server.url)
    assert server.logins
    assert not any(login.startswith("Basic") for login in server.logins), "somebody's password was sent"


@pytest.mark.parametrize("asked", ASKS)
def test_a_certificate_that_is_not_believed_is_said_as_such_with_what_to_do(
    asked: str, tls: Callable[..., Server]
) -> None:
    server = tls()
    with pytest.raises(ServiceError, match="certificate that is not believed: unable to get local issuer") as refused:
        ASKS[asked](server.url)
    assert "REQUESTS_CA_BUNDLE" in str(refused.value)
    assert server.logins == []


@pytest.mark.parametrize(
    ("how", "says"),
    [({"ends": timedelta(days=-1)}, "has expired"), ({"host": "elsewhere"}, "not valid for 'localhost'")],
)
def test_what_is_wrong_with_a_certificate_is_said(
    how: dict[str, timedelta], says: str, tls: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tls(**how)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.authority))
    with pytest.raises(ServiceError, match=says):
        _airflow(server.url)


def test_a_file_of_authorities_that_is_not_there_is_named(
    tls: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    for ask in ASKS.values():
        with pytest.raises(ServiceError, match=r"REQUESTS_CA_BUNDLE names ./no/such/file.pem., which is not there"):
            ask(tls().url)


def test_a_proxy_to_the_world_outside_is_used_with_our_own_login(
    tls: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Proxy", (_Handler,), {"logins": told})) as proxy:
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("no_proxy", "")
        assert _airflow("http://airflow.example.org")
        proxy.shutdown()
        thread.join()
    assert told == ["", "Bearer token"]


def test_every_session_of_ours_is_arranged_in_the_same_way() -> None:
    made = [p for p in PLUGINS.rglob("*.py") if "requests.Session(" in p.read_text() and "sandbox" not in p.parts]
    assert len(made) >= 5
    assert [p.name for p in made if "arranged(" not in p.read_text()] == []
    assert requests.Session().trust_env, "what `arranged` is there for"
