"""`pps keys`: made once, never overwritten, followed by another one, and its secret is nowhere but in its file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from tests.support import signing
from tests.support.front import NOW, front, services  # noqa: F401
from tests.unit.cli.test_doctor import change, doctor
from typer.testing import CliRunner
from upath import UPath

from pps.adapters.packages.openpgp import from_connection, keys_in
from pps.adapters.packages.repository_writer import publish_packages
from pps.cli.front import Front
from pps.cli.main import app
from pps.config.loader import problems_in
from pps.config.service_models import ServiceFile
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.packages.repository_seals import KEYRING
from pps.sandbox.provider.packages import make_sample_packages
from pps.services import SIGNING_CONNECTIONS, Services

pytestmark = pytest.mark.needs("gpg")


@pytest.fixture
def here(front: Front) -> Front:
    """Services with no key yet, that look for one as in production; Connections are in memory."""
    connections: dict[str, str] = {}
    made = Services(front.services.config, connections.get)
    made.__dict__["facts"] = front.services.facts
    return Front(made, now=lambda: NOW)


def again(here: Front, **connections: str) -> Front:
    """A new process, with these Connections."""
    made = Services(here.services.config, connections.get)
    made.__dict__["facts"] = here.services.facts
    return Front(made, now=lambda: NOW)


def pps(here: Front, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["keys", *words], obj=here)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


def secret_in(file: Path) -> tuple[str, str]:
    name, _, uri = file.read_text().strip().partition("=")
    return name, uri


def test_a_key_is_made_once_shown_by_its_fingerprint_and_its_secret_is_in_one_private_file(
    here: Front, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    code, said = pps(here, "make", "--secret-file", str(file))
    assert code == 0
    keyring = here.services.config.folder / KEYRING
    (key,) = keys_in(keyring.read_bytes())
    assert key.spaced in said
    assert "https://pps.example.org/pps/keys" in said
    assert file.stat().st_mode & 0o777 == 0o600
    name, uri = secret_in(file)
    assert name == "AIRFLOW_CONN_PPS_SIGNING"
    assert uri[8:60] not in said
    assert b"PRIVATE" not in keyring.read_bytes()
    assert keys_in(from_connection(unquote(urlsplit(uri).password or "")))[0].fingerprint == key.fingerprint
    before = keyring.read_bytes(), file.read_bytes()
    assert pps(here, "make", "--secret-file", str(tmp_path / "other"))[0] == 1
    assert not (tmp_path / "other").exists()
    code, said = pps(here, "make", "--next", "--secret-file", str(file))
    assert (code, "It is there already" in said) == (1, True)
    assert (keyring.read_bytes(), file.read_bytes()) == before


def test_what_airflow_imports_is_a_connection(here: Front, tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    assert pps(here, "make", "--secret-file", str(file))[0] == 0
    (uri,) = json.loads(file.read_text()).values()
    from airflow.models.connection import Connection

    found = Connection(uri=uri)
    assert found.conn_type == "pgp"
    assert len(found.password) < 3500, "encrypted it fits into Airflow's 5000 characters"
    assert again(here, pps_signing=found.get_uri()).services.seal.signs_soundly()


def test_without_a_key_nothing_is_published_and_doctor_says_what_to_do(here: Front, tmp_path: Path) -> None:
    code, said = pps(here, "show")
    assert (code, "pps keys make" in said) == (1, True)
    file = tmp_path / "secret"
    pps(here, "make", "--secret-file", str(file))
    code, said = pps(again(here), "show")
    assert (code, "connection pps_signing" in said, "signs no" in said) == (0, True, True)
    assert pps(again(here, pps_signing="pgp://:nonsense@signing"), "show")[1].count("holds no key") == 1
    other = signing.as_connection(signing.key().secret)
    assert "is not in" in pps(again(here, pps_signing=other), "show")[1]


def test_one_key_follows_another(here: Front, tmp_path: Path) -> None:
    assert pps(here, "make", "--next", "--secret-file", str(tmp_path / "none"))[0] == 1
    pps(here, "make", "--secret-file", str(tmp_path / "first"))
    pps(again(here), "make", "--next", "--secret-file", str(tmp_path / "second"), "--name", "The next one")
    first, second = (secret_in(tmp_path / name)[1] for name in ("first", "second"))
    assert secret_in(tmp_path / "second")[0] == "AIRFLOW_CONN_PPS_SIGNING_NEXT"
    both = again(here, pps_signing=first, pps_signing_next=second)
    one, two = (key.fingerprint for key in both.services.seal.signers)
    assert both.services.seal.signs_soundly()
    assert pps(both, "make", "--next", "--secret-file", str(tmp_path / "third"))[0] == 1
    code, said = pps(both, "retire", one)
    assert (code, "still signs" in said) == (1, True)
    alone = again(here, pps_signing=second)
    assert pps(alone, "retire", "ABCD")[0] == 1
    assert pps(alone, "retire", one)[0] == 0
    assert [key.fingerprint for key in keys_in(alone.services.signing_keyring.read_bytes())] == [two]
    assert again(here, pps_signing=second).services.seal.signs_soundly()


def test_an_index_of_an_older_version_is_signed_when_somebody_answers_for_it(here: Front, tmp_path: Path) -> None:
    pps(here, "make", "--secret-file", str(tmp_path / "secret"))
    here = again(here, pps_signing=secret_in(tmp_path / "secret")[1])
    made = make_sample_packages(tmp_path / "made", "3.1.23")
    root = UPath(here.services.config.folder / "production_repository" / "apt")
    publish_packages(root, Repository(RepositoryKind.APT, "", "production", ("main",)), made.files, NOW)
    code, said = pps(here, "sign")
    assert (code, "pps keys sign --unsigned" in said) == (1, True)
    code, said = pps(here, "sign", "--unsigned", "--json")
    assert (code, json.loads(said)["signed"]) == (0, [root.as_uri()])
    assert pps(here, "sign") == (0, "All signatures are good for now.")
    assert {p.name for p in Path(root.path, "dists/production").iterdir()} >= {"InRelease", "Release", "Release.gpg"}


@pytest.mark.parametrize(
    ("days", "health", "says"), [(200, "OK", "good until"), (40, "WARN", "--next"), (-1, "FAIL", "expired")]
)
def test_doctor_sees_the_end_of_a_key(front: Front, days: int, health: str, says: str) -> None:
    key = signing.key()
    assert key.key.ends is not None
    ends = key.key.ends
    made = replace(front.services, given={**front.services.given, "seal": signing.seal(front.services.config.folder)})
    late = Front(made, now=lambda: ends - timedelta(days=days))
    late.__dict__["airflow"] = front.airflow
    found = doctor(late)[1]["signing key"]
    assert found[0] == health, found
    assert says in found[1]


@pytest.mark.parametrize("name", ["public_url", "production_url", "release_test_url", "mirror_url"])
@pytest.mark.parametrize("url", ["http://pps.example.org/x", "http://localhost@pps.example.org", "http://127.0.0.2/"])
def test_sites_are_not_sent_to_a_plain_http_address_unless_somebody_says_why(
    front: Front,
    name: str,
    url: str,
) -> None:
    file = front.services.config.folder / "service.yaml"
    change(file, **{name: url})
    (problem,) = problems_in(file, ServiceFile)
    assert f"{name} is a plain http address" in problem
    change(file, plain_http_because="yes")
    assert problems_in(file, ServiceFile)
    change(file, plain_http_because="A closed test network without any certificate.")
    assert problems_in(file, ServiceFile) == ()
    assert yaml.safe_load(file.read_text())[name] == url


def test_the_connections_are_those_of_the_documentation() -> None:
    text = (Path(__file__).resolve().parents[4] / "docs" / "production.md").read_text()
    assert all(f"`{name}`" in text for name in SIGNING_CONNECTIONS)
