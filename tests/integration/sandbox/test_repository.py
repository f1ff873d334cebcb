"""The package repository over HTTP."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from tests.support.sandbox_grid import RunningGrid, sandbox_grid  # noqa: F401

from pps.config.loader import Configuration

SECRET = b"outside"


@pytest.fixture(scope="module")
def address(sandbox_grid: RunningGrid) -> str:
    folder = Path(sandbox_grid.control.description["repository_folder"])
    (folder / "apt/pool").mkdir(parents=True)
    (folder / "apt/pool/a_1.0~rc1+b_amd64.deb").write_bytes(os.urandom(3_000_000))
    (folder / "apt/empty").write_bytes(b"")
    (folder.parent / "outside").write_bytes(SECRET)
    (folder / "link").symlink_to(folder.parent / "outside")
    (folder / "way").symlink_to(folder.parent)
    return str(sandbox_grid.control.description["services"]["repository"])


def test_files_come_whole_and_with_their_size(sandbox_grid: RunningGrid, address: str):
    for name in ("apt/pool/a_1.0~rc1+b_amd64.deb", "apt/empty"):
        expected = (sandbox_grid.folder / "repository" / name).read_bytes()
        answer = requests.get(f"{address}/{name}", timeout=10)
        assert answer.status_code == 200
        assert answer.content == expected
        assert answer.headers["Content-Length"] == str(len(expected))
        assert requests.head(f"{address}/{name}", timeout=10).headers["Content-Length"] == str(len(expected))


@pytest.mark.parametrize(
    "target",
    [
        "/../outside",
        "/../../outside",
        "/apt/../../outside",
        "/%2e%2e/outside",
        "/%2e%2e%2foutside",
        "/..%2foutside",
        "/..%5coutside",
        "//outside",
        "/.//../outside",
        "/apt/%2e%2e/%2e%2e/outside",
        "/%252e%252e/outside",
        "/..%00/outside",
        "/link",
        "/way/outside",
        "/%2fetc/passwd",
        "//etc/passwd",
        "http://x/../outside",
        "/" + "a" * 5000,
        "/apt",
        "/apt/",
        "/",
    ],
)
def test_nothing_outside_the_folder_and_no_listing_is_ever_sent(address: str, target: str):
    """Through a bare socket, since clients clean such paths up."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), 5) as line:
        line.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := line.recv(65536):
            data += piece
    assert data.split()[1] in (b"404", b"400", b"405", b"401")
    assert SECRET not in data and b"root:" not in data and b"pool" not in data


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_it_is_read_only(sandbox_grid: RunningGrid, address: str, method: str):
    assert requests.request(method, f"{address}/apt/empty", data=b"x", timeout=5).status_code == 405
    assert (sandbox_grid.folder / "repository/apt/empty").read_bytes() == b""


def test_mirrors_for_pilots_are_served_beside_the_provider_s_packages(sandbox_grid: RunningGrid, address: str):
    service = Configuration(sandbox_grid.folder / "config").service
    assert service.mirror_url == f"{address}/mirror"
    folder = sandbox_grid.folder / "store" / "mirror"
    assert service.mirror_folder == folder.resolve().as_uri()
    (folder / "a" / "pool").mkdir(parents=True)
    (folder / "a" / "pool" / "x.deb").write_bytes(b"package")
    (folder / "a" / "way").symlink_to(sandbox_grid.folder)
    assert requests.get(f"{service.mirror_url}/a/pool/x.deb", timeout=5).content == b"package"
    for target in ("a/pool/", "a/way/outside", "..%2fartefacts", "a/%2e%2e/%2e%2e/%2e%2e/outside", ""):
        assert requests.get(f"{service.mirror_url}/{target}", timeout=5).status_code == 404, target
