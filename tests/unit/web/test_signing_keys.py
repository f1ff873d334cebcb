"""Anybody may fetch the public keys, and compare them."""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.testclient import TestClient
from tests.support import signing
from tests.support.front import MemoryServices, services  # noqa: F401

from pps.adapters.packages.openpgp import keys_in
from pps.domain.packages.repository_seals import KEYRING
from pps.web.app import create_app


def nobody() -> None:
    raise HTTPException(401)


def test_the_page_shows_fingerprints_and_the_file_is_the_key(services: MemoryServices) -> None:
    client = TestClient(create_app(lambda: services, nobody))
    assert client.get("/keys").status_code == 404
    assert client.get(f"/keys/{KEYRING}").status_code == 404
    signing.connection(services.config.folder)
    page = client.get("/keys")
    (key,) = keys_in(signing.key().public.encode())
    assert page.status_code == 200
    assert key.spaced in page.text
    assert "PPS tests &lt;pps@example.org&gt;" in page.text
    assert "https://pps.example.org/pps/keys/pps-archive-keyring.asc" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    file = client.get(f"/keys/{KEYRING}")
    assert file.content == signing.key().public.encode()
    assert file.headers["content-type"] == "application/pgp-keys"
    assert client.get("/keys/service.yaml").status_code == 404
    assert client.get("/keys/..%2fservice.yaml").status_code == 404
