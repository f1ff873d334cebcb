"""People sign in from machines of their own: what they read is what the service's account reads, as their role may."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi.testclient import TestClient
from tests.support.front import (  # noqa: F401
    NOW,
    PATCH,
    ROLLOUT,
    MemoryServices,
    MemoryTracker,
    a_preview_that_is_out,
    front,
    happened,
    services,
)
from tests.support.submitting import record_refused_release
from tests.unit.cli.pilots.test_pilot_doors import Through
from tests.unit.cli.test_commands import one_line, pps
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store
from typer.testing import CliRunner

from pps.activities.people.following import follow
from pps.adapters.services import sign_in
from pps.adapters.services.sign_in import SignIn
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import ConfigurationError
from pps.domain.people.following import Kind, Thing
from pps.domain.record.facts import FactKind
from pps.services.far import Doors, FarServices
from pps.web.app import create_app
from pps.workflow.desk import FrontOffice

MANAGER, VO, ROC = "rita:Release Manager", "ada:VO Representative", "rob:Regional Manager"
#: What people look at. The rest changes something, or is of the service's account.
READING = (
    ("sites", "list"),
    ("sites", "show", "PIC"),
    ("patches", "list"),
    ("patches", "list", "--state", "Rejected"),
    ("patches", "show", "4711"),
    ("rollout", "list"),
    ("rollout", "list", "--open"),
    ("rollout", "show", ROLLOUT),
    ("rollout", "show", ROLLOUT, "--facts"),
    ("rollout", "start", "4711", "--dry-run"),
    ("rollout", "withdraw", ROLLOUT, "--reason", "It breaks proxies at PIC.", "--dry-run"),
    ("rollout", "pause", ROLLOUT, "--reason", "We look at it first.", "--dry-run"),
    ("feedback", "list", ROLLOUT),
    ("bulletin", "show"),
    ("mails", "outbox", ROLLOUT),
    ("credits",),
    ("why", "4711"),
    ("deployment-test", "list"),
    ("release-test", "list"),
    ("pilot", "list"),
    ("scenarios", "list"),
    ("pools", "list"),
    ("mirror", "list"),
    ("sam", "list"),
)


@pytest.fixture
def beside(front: Front, tmp_path: Path) -> Any:
    """Beside the database."""
    memory, store = front.services.facts, shared_store(tmp_path)
    a_preview_that_is_out(memory)
    row = memory.register[0]
    store.open(row.path, row.patch, memory.facts[0], "run")
    store.record(
        *memory.facts[1:],
        happened(
            FactKind.FEEDBACK_GIVEN,
            "atlas",
            "x",
            90,
            opinion="works",
            text="Fine.",
            author="Bob",
            invited=True,
        ),
    )
    record_refused_release(store)
    front.services.__dict__["facts"] = store
    follow(FrontOffice.of(front.services, lambda: NOW, "ada"), "ada", "ada@example.org", Thing(Kind.PATCH, "4711"), ())
    yield front
    store.dispose()


@pytest.fixture
def afar(beside: Front) -> Callable[[str], Front]:
    """The same, read by somebody from a machine of their own."""
    web = TestClient(create_app(lambda: beside.services, airflow_user, Clock(NOW)), base_url="https://pps.example.org")

    def of(who: str) -> Front:
        here = Front(beside.services, now=lambda: NOW)
        here.__dict__["airflow"] = Through(web=web, who=who)
        doors = Doors(
            lambda place, query: here.get(place, query, about=place),
            lambda place, body: here.post(place, body, about=place),
        )
        here.services = FarServices.through(doors)
        here.services.__dict__["information_system"] = beside.services.information_system  # asks no door
        return here

    return of


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_who_has_signed_in_to_decide_on_releases_reads_what_the_services_account_reads(
    beside: Front, afar: Callable[[str], Front], words: tuple[str, ...]
) -> None:
    for one in (words, (*words, "--json")):
        assert pps(afar(MANAGER), *one) == pps(beside, *one)


@pytest.mark.parametrize(
    "words", [("rollout", "show", ROLLOUT, "--facts"), ("patches", "show", "4711"), ("why", "4711")]
)
def test_others_read_it_without_addresses(beside: Front, afar: Callable[[str], Front], words: tuple[str, ...]) -> None:
    whole = pps(beside, *words, "--json")[1]
    code, masked, err = pps(afar(VO), *words, "--json")
    assert (code, err) == (0, "")
    assert "ada@example.org" not in masked
    without = whole.replace("ada@example.org", "a***@example.org").replace('        "author": "Bob",\n', "")
    assert masked.replace("a...@example.org", "a***@example.org") == without


def asked(front: Front, **wanted: Any) -> Any:
    return front.airflow.request("POST", "pps/api/v1/record", json=wanted).json()


def test_nobody_reads_who_follows_what_and_few_what_lies_between_a_provider_and_the_release_management(
    beside: Front,
    afar: Callable[[str], Front],
) -> None:
    canary = happened(FactKind.FEEDBACK_GIVEN, "cms", "y", 95, opinion="works", token="t0ken-of-bob", network="n3twork")
    beside.services.facts.record(canary)
    everything = {"ask": "of-kind", "kinds": [kind.value for kind in FactKind]}
    records = {who: {f["rollout"] for f in asked(afar(who), **everything)["facts"]} for who in (MANAGER, VO)}
    assert "releases" in records[MANAGER] and "releases" not in records[VO]
    for who in (MANAGER, VO):
        assert "following" not in records[who]
        for ask in ("facts", "standing", "about"):
            assert asked(afar(who), ask=ask, names=["following"])["facts"] == []
        assert asked(afar(who), ask="newest", names=["following"])["numbers"] == {}
        assert asked(afar(who), ask="rollouts", paths=["following"])["rows"] == []
        assert asked(afar(who), ask="outbox", names=["following"])["mails"] == []
        said = json.dumps(asked(afar(who), **everything))
        assert "t0ken-of-bob" not in said and "n3twork" not in said
        assert ("Bob" in said) is (who == MANAGER)
    assert asked(afar(VO), ask="facts", names=["releases"])["facts"] == []
    refused = asked(afar(MANAGER), ask="with-payload", kinds=["feedback-given"], key="token", values=["t0ken-of-bob"])
    assert "a key that is shown" in refused["detail"]


def test_files_are_read_by_those_whose_business_they_are(afar: Callable[[str], Front]) -> None:
    code, _, err = pps(afar(VO), "sites", "list")
    assert (code, "sites.yaml is read by those with one of these roles" in one_line(err)) == (1, True)
    code, out, _ = pps(afar(ROC), "sites", "list")
    assert (code, "PIC" in out) == (0, True)
    assert "Release Manager" in pps(afar(ROC), "rollout", "start", "4711", "--dry-run")[2]
    for other in ("../config/people.yaml", "people.yaml.bak", "passwd"):
        answer = afar(MANAGER).airflow.request("GET", f"pps/api/v1/configuration/{other}")
        assert answer.status_code == 404, answer.text


def test_an_embargo_is_kept(beside: Front, afar: Callable[[str], Front]) -> None:
    beside.services.__dict__["tracker"] = MemoryTracker(replace(PATCH, embargo_until=NOW + timedelta(days=1)))
    assert "4711" in pps(afar(MANAGER), "patches", "list")[1]
    assert "4711" not in pps(afar(VO), "patches", "list")[1]
    code, _, err = pps(afar(VO), "patches", "show", "4711")
    assert (code, "is not in the tracker" in err) == (1, True)


def test_a_page_after_the_other_is_read(
    beside: Front, afar: Callable[[str], Front], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pps.web.far._PAGE", 3)
    words = ("rollout", "show", ROLLOUT, "--facts", "--json")
    assert pps(afar(MANAGER), *words) == pps(beside, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        ("db", "upgrade"),
        ("facts", "verify"),
        ("keys", "show"),
        ("channels", "list"),
        ("classify", "4711"),
        ("bulletin", "write"),
    ],
    ids=" ".join,
)
def test_what_is_the_services_own_says_so(afar: Callable[[str], Front], words: tuple[str, ...]) -> None:
    code, out, err = pps(afar(MANAGER), *words)
    assert (code, out) == (1, ""), out
    assert "Run it" in one_line(err) and "docs/production.md" in one_line(err), err


# --- signing in


def token(hours: float = 24) -> str:
    claims = {"exp": (datetime.now(UTC) + timedelta(hours=hours)).timestamp()}
    return f"head.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sign"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nobody has signed in, and which holds nothing of an installation."""
    for name in ("AIRFLOW_CONN_PPS_STORE", "PPS_CONFIG", "PPS_AIRFLOW_URL", "PPS_AIRFLOW_USER", "PPS_AIRFLOW_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "home" / "pps" / "login.json"
    monkeypatch.setenv("PPS_LOGIN_FILE", str(file))
    monkeypatch.setenv("COLUMNS", "200")
    return file


def typed(*words: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), input=stdin)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def installation(alone: Path, beside: Front, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installation whose Airflow knows rita's password, and two tokens."""
    web = TestClient(create_app(lambda: beside.services, airflow_user, Clock(NOW)), base_url="https://pps.example.org")
    good = {token(): MANAGER}

    def request(self: requests.Session, method: str, url: str, **arguments: Any) -> Any:
        assert url.startswith("https://pps.example.org/"), url
        place, body = url.removeprefix("https://pps.example.org"), arguments.get("json")
        if place == "/auth/token":
            if body != {"username": "rita", "password": "s3cret"}:
                return made(401, {"detail": "Invalid credentials"})
            return made(201, {"access_token": next(iter(good))})
        who = good.get(str(self.headers.get("Authorization", "")).removeprefix("Bearer "))
        if who is None:
            return made(401, {"detail": "Invalid JWT"})
        said = web.request(
            method,
            place.removeprefix("/pps"),
            json=body,
            params=arguments.get("params"),
            headers={"Authorization": f"Bearer {who}"},
        )
        return made(said.status_code, said.json())

    monkeypatch.setattr(requests.Session, "request", request)
    return next(iter(good))


def made(status: int, said: Mapping[str, Any]) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer._content = status, json.dumps(said).encode()
    return answer


def test_one_signs_in_once_and_reads_without_anything_of_the_installation(installation: str, alone: Path) -> None:
    code, _, err = typed("rollout", "list")
    assert (code, "pps login" in err) == (1, True), "nobody has signed in"
    code, out, err = typed("login", "https://pps.example.org/", stdin="rita\ns3cret\n")
    assert (code, "Signed in to https://pps.example.org as rita (Release Manager), until" in one_line(out)) == (0, True)
    assert "s3cret" not in out + err + alone.read_text()
    assert stat.S_IMODE(alone.stat().st_mode) == 0o600
    assert ROLLOUT in typed("rollout", "list")[1]
    assert json.loads(typed("whoami", "--json")[1])["roles"] == ["Release Manager"]
    assert installation not in typed("whoami", "--json")[1]
    assert "Nobody was signed in" not in typed("logout")[1]
    assert not alone.exists()
    assert "Nobody was signed in" in typed("logout")[1]


def test_a_wrong_password_is_not_kept_and_a_token_can_be_given_instead(installation: str, alone: Path) -> None:
    code, _, err = typed("login", "https://pps.example.org", stdin="rita\nguess\n")
    assert (code, "Check user and password" in err, alone.exists()) == (1, True, False)
    code, _, err = typed("login", "https://pps.example.org", "--token-stdin", stdin="old.token.here\n")
    assert (code, "Sign in again" in err, alone.exists()) == (1, True, False)
    assert typed("login", "https://pps.example.org", "--token-stdin", stdin=f"{installation}\n")[0] == 0
    assert json.loads(alone.read_text())["user"] == "rita"


def test_a_sign_in_that_has_ended_says_what_to_do(installation: str, alone: Path) -> None:
    sign_in.keep(SignIn("https://pps.example.org", "rita", token(-1)))
    code, _, err = typed("rollout", "list")
    assert (code, "knows the sign-in of rita no more. Sign in again: pps login" in one_line(err)) == (1, True)


@pytest.mark.parametrize(
    "url", ["http://pps.example.org", "ftp://pps.example.org", "pps.example.org", "https://rita:s3cret@pps.example.org"]
)
def test_a_password_is_sent_to_no_address_but_a_safe_one(alone: Path, url: str) -> None:
    code, _, err = typed("login", url, stdin="rita\ns3cret\n")
    assert (code, "login at" in err) == (1, True)


def test_a_kept_token_that_others_can_read_or_have_put_there_is_not_used(alone: Path, tmp_path: Path) -> None:
    sign_in.keep(SignIn("https://pps.example.org", "rita", "t"))
    alone.chmod(0o640)
    with pytest.raises(ConfigurationError, match="others can read"):
        sign_in.kept()
    alone.rename(tmp_path / "elsewhere")
    alone.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        sign_in.kept()
    assert "t)" not in repr(SignIn("u", "rita", "t0ken"))


def test_the_services_account_stays_what_it_is_though_somebody_has_signed_in(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pps.cli.front import opened

    sign_in.keep(SignIn("https://pps.example.org", "rita", token()))
    assert isinstance(opened(None, "").services, FarServices)
    assert not isinstance(opened(Path("/etc/pps"), "").services, FarServices)
    monkeypatch.setenv("AIRFLOW_CONN_PPS_STORE", "postgresql://pps:x@127.0.0.1/pps")
    assert not isinstance(opened(None, "").services, FarServices)


def test_a_name_and_password_without_an_address_go_to_where_one_has_signed_in(
    installation: str, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in.keep(SignIn("https://pps.example.org", "rita", installation))
    monkeypatch.setenv("PPS_AIRFLOW_USER", "rita")
    monkeypatch.setenv("PPS_AIRFLOW_PASSWORD", "s3cret")
    code, out, err = typed("rollout", "list")
    assert (code, ROLLOUT in out) == (0, True), err


def test_the_services_account_starts_nothing_at_another_installation_at_which_somebody_has_signed_in(
    alone: Path,
    front: Front,
) -> None:
    sign_in.keep(SignIn("https://pps.elsewhere.example.org", "rita", token()))
    beside = Front(front.services, now=front.now)
    code, _, err = pps(beside, "rollout", "start", "4711")
    assert (code, "Airflow at https://pps.example.org: wants to know who you are." in one_line(err)) == (1, True)
    assert beside.actor != "rita", "what the service's account records is its own"
