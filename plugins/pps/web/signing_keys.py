"""The public keys that sign our repositories: a page for people, a file for apt and dnf."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, Response

from pps.domain.base.errors import ConfigurationError
from pps.domain.packages.repository_seals import KEYRING, PublicKey
from pps.domain.people.links import keyring_link
from pps.services import Services
from pps.web.shell import page


def router(services: Callable[[], Services]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()
    kept: dict[bytes, tuple[PublicKey, ...]] = {}

    def published() -> tuple[bytes, tuple[PublicKey, ...]]:
        """The file as it stands, and the keys in it; GnuPG reads each version of it once."""
        from pps.adapters.packages.openpgp import keys_in

        try:
            data = services().signing_keyring.read_bytes()
        except FileNotFoundError as error:
            raise HTTPException(404, "No key has been made yet.") from error
        except OSError as error:
            raise ConfigurationError("our public keys", "cannot be read.", "Run: pps doctor") from error
        if data not in kept:
            found = keys_in(data)
            kept.clear()
            kept[data] = found
        return data, kept[data]

    @api.get("/keys")
    def keys() -> HTMLResponse:
        """The keys with their fingerprints."""
        _, found = published()
        url = services().config.service.public_url
        view = {"keys": found, "keyring_link": keyring_link(url), "keyring": KEYRING}
        return page(services().templates, "keys.html", view, "keys")

    @api.get("/keys/{file}")
    def keyring(file: str) -> Response:
        """All of them in one file."""
        if file != KEYRING:
            raise HTTPException(404, f"There is only {KEYRING}.")
        data, _ = published()
        return Response(data, media_type="application/pgp-keys", headers={"Cache-Control": "no-cache"})

    return api
