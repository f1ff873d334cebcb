"""`package_keys` of service.yaml: who must have signed a provider's repository, or in so many words why not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.support.front import front, services  # noqa: F401
from tests.unit.cli.test_doctor import change

from pps.cli.front import Front
from pps.config.loader import Configuration
from pps.config.service_models import ServiceFile
from pps.domain.base.errors import ConfigurationError
from pps.domain.packages.repository_trust import Trust
from pps.services import Services

WHY = "The developer does not sign yet."
HTTP, HTTPS = "http://repo.example.org/x", "https://repo.example.org/x"


def problems(**package_keys: object) -> str:
    fields = dict.fromkeys(ServiceFile.model_fields) | {"package_keys": package_keys}
    try:
        ServiceFile.model_validate(fields)
    except ValidationError as error:
        return " ".join(e["msg"] for e in error.errors() if e["loc"][0] == "package_keys")
    return ""


@pytest.mark.parametrize(
    ("place", "entry", "words"),
    [
        (HTTPS, {"keyring": "a.asc"}, ""),
        (HTTPS, {"unsigned": WHY}, ""),
        (HTTP, {"unsigned_over_http": WHY}, ""),
        (HTTP, {"unsigned": WHY}, "is plain http, where anybody on the way"),
        (HTTPS, {"unsigned_over_http": WHY}, "is https; use `unsigned` there"),
        (HTTPS, {"keyring": "a.asc", "unsigned": WHY}, "one of keyring, unsigned and unsigned_over_http"),
        (HTTPS, {}, "one of keyring, unsigned and unsigned_over_http"),
        (HTTPS, {"unsigned": "x"}, "three words at least"),
        (HTTPS, {"unsigned": "one line\nand another one"}, "one line of text"),
        ("https://ada@repo.example.org/x", {"unsigned": WHY}, "a user or a password"),
        ("https://repo.example.org/x/../y", {"unsigned": WHY}, "empty parts, . or .."),
        ("repo.example.org", {"unsigned": WHY}, "its scheme is"),
    ],
)
def test_an_entry_says_one_thing_about_one_plain_address(place: str, entry: dict[str, str], words: str) -> None:
    assert (words in problems(**{place: entry})) if words else problems(**{place: entry}) == ""


def test_keyrings_are_found_beside_service_yaml_and_what_nobody_decided_is_refused(front: Front) -> None:
    folder = front.services.config.folder
    change(
        folder / "service.yaml",
        package_keys={
            HTTPS: {"keyring": "keys/a.asc"},
            "http://old.example.org": {"unsigned_over_http": WHY},
            "https://abs.example.org": {"keyring": "/etc/pps/abs.gpg"},
        },
    )
    services = Services(Configuration(folder))
    assert services.trust_in(HTTP) == Trust(folder.resolve() / "keys/a.asc")
    assert services.trust_in("https://abs.example.org/y") == Trust(Path("/etc/pps/abs.gpg"))
    assert services.trust_in("http://old.example.org/y") == Trust(unsigned=WHY)
    for url, key in (("https://old.example.org/y", "unsigned"), ("http://new.example.org/y", "unsigned_over_http")):
        with pytest.raises(ConfigurationError, match=rf"Add to package_keys .* {url}: {{{key}: "):
            services.trust_in(url)


def test_what_was_decided_on_a_repository_is_said_in_lines_that_a_verification_is_the_digest_of(front: Front) -> None:
    folder = front.services.config.folder
    (folder / "a.asc").write_text("keys")
    old = "http://old.example.org"
    keyrings = {HTTPS: {"keyring": "a.asc"}, old: {"unsigned_over_http": WHY}}
    change(folder / "service.yaml", package_keys=keyrings)
    services = Services(Configuration(folder))

    def line(address: str) -> str:
        policies, decided = services.decisions_on(f"{address}/Release")
        assert (
            policies == f"policies.yaml, sha256 {hashlib.sha256((folder / 'policies.yaml').read_bytes()).hexdigest()}"
        )
        return decided.removeprefix(f"package_keys of service.yaml, for {address}/Release: ")

    assert line(HTTPS) == f"keyring, sha256 {hashlib.sha256(b'keys').hexdigest()}"
    assert line(old) == f"unsigned, because: {WHY}"
    assert line("https://elsewhere.example.org") == "names nobody for it now"
    (folder / "a.asc").unlink()
    assert line(HTTPS) == "a keyring that cannot be read now", (
        "a release does not fail for that: the index was checked before"
    )
