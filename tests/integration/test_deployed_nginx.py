"""deploy/nginx/pps.conf in a real nginx, in front of a server that says what it was sent."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from tests.support.sshd import free_port

pytestmark = [
    pytest.mark.needs("nginx"),
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]
CONF = Path(__file__).parents[2] / "deploy" / "nginx" / "pps.conf"
TOKEN = "canary-of-an-invitation"


class Echo(BaseHTTPRequestHandler):
    """Says which headers came, and how long the body was."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
                length += size
            self.rfile.readline()
        else:
            self.rfile.read(length)
        body = json.dumps({"headers": list(self.headers.items()), "path": self.path, "body": length}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Proxy:
    https: int
    http: int
    folder: Path

    def ask(self, path: str, method: str = "GET", host: str = "pps.example.org", **more: object) -> requests.Response:
        headers = {"Host": host, **more.pop("headers", {})}  # type: ignore[dict-item]
        url = f"https://127.0.0.1:{self.https}{path}"
        return requests.request(method, url, headers=headers, verify=False, timeout=20, allow_redirects=False, **more)  # type: ignore[arg-type]

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted((self.folder / "log").iterdir()))


@pytest.fixture
def proxy(open_folder: Path, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """The file as it is, with ports, certificate and folders of the test; the parameter: who is in the pools."""
    echo = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=echo.serve_forever, daemon=True).start()
    at = Proxy(free_port(), free_port(), open_folder)
    for name in ("log", "state", "var"):
        (open_folder / name).mkdir()
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    ends = ["-subj", "/CN=pps.example.org", "-keyout", str(open_folder / "key"), "-out", str(open_folder / "cert")]
    subprocess.run([*make, *ends], check=True, capture_output=True)
    conf = CONF.read_text()
    for theirs, ours in {
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
        "listen 80;": f"listen 127.0.0.1:{at.http};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{at.https} ssl http2;",
        "/etc/ssl/certs/pps.pem": str(open_folder / "cert"),
        "/etc/ssl/private/pps.key": str(open_folder / "key"),
        "/var/log/nginx/": f"{open_folder}/log/",
        "/var/lib/pps": str(open_folder / "var"),
        "allow 127.0.0.1;": f"allow {getattr(request, 'param', '127.0.0.1')};",
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{echo.server_address[1]};",
    }.items():
        assert theirs in conf, f"{theirs} is no longer in pps.conf"
        conf = conf.replace(theirs, ours)
    state = "".join(
        f"{kind}_temp_path {open_folder}/state/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (open_folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {open_folder}/pid;\nerror_log {open_folder}/log/error.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\n{state}{conf}\n}}\n"
    )
    nginx = ["nginx", "-p", str(open_folder), "-e", f"{open_folder}/log/start.log", "-c", f"{open_folder}/nginx.conf"]
    checked = subprocess.run([*nginx, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0 and "warn" not in checked.stderr, checked.stderr
    process = subprocess.Popen(nginx)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                requests.get(f"http://127.0.0.1:{at.http}/", timeout=5, allow_redirects=False)
                break
            except requests.ConnectionError:
                assert process.poll() is None and time.monotonic() < until, at.logs()
                time.sleep(0.05)
        yield at
    finally:
        process.terminate()
        process.wait(10)
        echo.shutdown()
        echo.server_close()


def test_an_address_that_a_client_claims_is_replaced(proxy: Proxy) -> None:
    claimed = {
        "X-Forwarded-For": "203.0.113.7, 198.51.100.1",
        "Forwarded": "for=203.0.113.7",
        "X-Real-IP": "203.0.113.7",
    }
    came = proxy.ask("/pps/bulletin", headers=claimed).json()["headers"]
    by_name = [(name.lower(), value) for name, value in came]
    assert [value for name, value in by_name if name == "x-forwarded-for"] == ["127.0.0.1"]
    assert ("x-forwarded-proto", "https") in by_name and ("host", "pps.example.org") in by_name
    assert not [name for name, _ in by_name if name in ("forwarded", "x-forwarded-host")]


def test_guesses_and_floods_end_and_everybody_else_goes_on(proxy: Proxy) -> None:
    def codes(path: str, times: int, method: str = "POST") -> list[int]:
        return [proxy.ask(path, method).status_code for _ in range(times)]

    for way in ("/auth/token", "/auth/login/", "/ui/auth/login"):
        assert 429 in codes(way, 16), way
    answers = codes(f"/pps/api/v1/rollouts/bc-client-4711-1/feedback?token={TOKEN}", 30)
    assert answers[:5] == [200] * 5 and 429 in answers
    assert codes("/pps/rollouts/bc-client-4711-1", 40, "GET") == [200] * 40


def test_a_body_has_a_limit_and_a_provider_s_package_has_its_own(proxy: Proxy) -> None:
    large = b"x" * (1024 * 1024 + 1)
    assert proxy.ask("/pps/api/v1/rollouts/x/pause", "POST", data=large).status_code == 413
    taken = proxy.ask("/pps/api/v1/provider/uploads?name=a.deb", "PUT", data=large)
    assert (taken.status_code, taken.json()["body"]) == (200, len(large))


def test_no_log_has_a_query_whatever_becomes_of_the_request(proxy: Proxy) -> None:
    path = f"/pps/feedback/bc-client-4711-1?token={TOKEN}"
    codes = {proxy.ask(path, headers={"Referer": f"https://pps.example.org{path}"}).status_code for _ in range(40)}
    assert codes == {200, 429}
    assert proxy.ask(path, "POST", data=b"x" * (1024 * 1024 + 1)).status_code in (413, 429)
    plain = requests.get(f"http://127.0.0.1:{proxy.http}{path}", timeout=5, allow_redirects=False)
    assert (plain.status_code, TOKEN in plain.headers["Location"]) == (301, False)
    logs = proxy.logs()
    assert "GET /pps/feedback/bc-client-4711-1 200" in logs
    assert TOKEN not in logs


def test_tasks_of_strangers_report_to_nobody(proxy: Proxy) -> None:
    assert proxy.ask("/execution/health").status_code == 404


def test_what_is_published_is_read_and_nothing_beside_it(proxy: Proxy) -> None:
    var = proxy.folder / "var"
    files = {
        "production/apt/InRelease": 200,
        "mirrors/minor-pilot-4711-1/aa/InRelease": 200,
        "uploads/globus/a.deb": 200,
        "mirrors/.new/InRelease": 404,
        "production/apt/.part": 404,
        "production/release-test/4711/InRelease": 404,
        "artefacts/aa.tar": 404,
        "airflow/airflow.cfg": 404,
        "backup/x": 404,
    }
    for name, code in files.items():
        (var / name).parent.mkdir(parents=True, exist_ok=True)
        (var / name).write_text(name)
        said = proxy.ask(f"/{name}", host="packages.example.org")
        assert (said.status_code, said.text if code == 200 else "") == (code, name if code == 200 else ""), name
        assert proxy.ask(f"/{name}", "PUT", host="packages.example.org", data=b"x").status_code in (403, 404, 405)
        assert (var / name).read_text() == name
    pool = proxy.ask("/release-test/4711/InRelease", host="packages.example.org")
    assert (pool.status_code, pool.text) == (200, "production/release-test/4711/InRelease")
    for way_out in ("/release-test/../../artefacts/aa.tar", "/release-test/.x", "/release-test/4711/../.x"):
        assert proxy.ask(way_out, host="packages.example.org").status_code in (400, 404), way_out


@pytest.mark.parametrize("proxy", ["192.0.2.0/24"], indirect=True)
def test_sites_outside_the_pools_do_not_see_a_release_test(proxy: Proxy) -> None:
    (proxy.folder / "var/production/release-test").mkdir(parents=True)
    (proxy.folder / "var/production/release-test/x").write_text("x")
    assert proxy.ask("/release-test/x", host="packages.example.org").status_code == 403
