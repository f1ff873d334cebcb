"""`/pps/metrics` and the health page: for users and for collectors with a token, and for nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from tests.support.described import as_described
from tests.support.front import NOW, MemoryServices, a_preview_that_is_out, happened, services  # noqa: F401
from tests.unit.web.test_api import airflow_user

from pps.activities.operations.numbers import GAUGES
from pps.activities.ports.operations import Night
from pps.activities.ports.record import Waiting
from pps.domain.base.errors import ServiceError
from pps.domain.record.facts import FactKind
from pps.web.app import create_app
from pps.web.metrics import SETTING

TOKEN = "canary-collector-0123456789abcdef"
USER = {"Authorization": "Bearer good"}


@pytest.fixture
def web(services: MemoryServices) -> TestClient:
    a_preview_that_is_out(services.facts)
    night = Night(NOW - timedelta(hours=9), failed=False)
    app = create_app(lambda: services, airflow_user, lambda: NOW, last_night=lambda: night)
    return TestClient(app, base_url="https://pps.example.org")


def with_token(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_users_with_a_role_read_the_numbers_and_others_do_not(web: TestClient) -> None:
    assert web.get("/metrics", headers=USER).status_code == 200
    assert web.get("/metrics").status_code == 401
    nobody = web.get("/metrics", headers={**USER, "x-test-role": ""})
    assert nobody.status_code == 403
    assert "no role" in nobody.json()["detail"]
    assert web.post("/metrics", headers=USER).status_code == 405


def test_a_collector_is_let_in_by_its_token_alone_and_only_to_the_numbers(
    web: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert web.get("/metrics", headers=with_token(TOKEN)).status_code == 401, "no token is set"
    assert web.get("/metrics", headers=with_token("")).status_code == 401
    monkeypatch.setenv(SETTING, TOKEN)
    assert web.get("/metrics", headers=with_token(TOKEN)).status_code == 200
    for wrong in (TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "", "ü" * 40):
        shown = {"Authorization": f"Bearer {wrong}".encode()}
        assert web.get("/metrics", headers=shown).status_code == 401, wrong
    assert web.get("/metrics", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
    for closed in ("/health", "/api/v1/health", "/tasks", "/api/v1/rollouts"):
        assert web.get(closed, headers=with_token(TOKEN)).status_code == 401, closed
    assert web.get("/metrics", headers=USER).status_code == 200, "users come in as before"
    monkeypatch.setenv(SETTING, f"{'n' * 32}, {TOKEN}")
    assert web.get("/metrics", headers=with_token(TOKEN)).status_code == 200, "both are good while they change"
    assert TOKEN not in caplog.text
    assert web.get(f"/metrics?token={TOKEN}").status_code == 401, "addresses are logged, so a token in one is none"


def test_a_token_that_could_be_guessed_lets_nobody_in_and_the_health_page_says_so(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = "canary-of-31-characters-0123456"
    assert len(short) == 31
    monkeypatch.setenv(SETTING, short)
    assert web.get("/metrics", headers=with_token(short)).status_code == 401
    found = web.get("/api/v1/health", headers=USER)
    assert any(c["subject"] == "collectors" and c["state"] == "WARN" for c in found.json()["checks"])
    assert short not in found.text


def test_what_is_exposed_is_read_by_prometheus_own_parser(web: TestClient) -> None:
    answer = web.get("/metrics", headers=USER)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    found = {family.name: family for family in prometheus(answer.text)}
    assert list(found) == [gauge.name for gauge in GAUGES], "each gauge is there, also without a value"
    assert {family.type for family in found.values()} == {"gauge"}
    sites = {s.labels["state"]: s.value for s in found["pps_preview_sites"].samples}
    assert {state: n for state, n in sites.items() if n} == {"available": 2, "failed": 1}
    assert [s.value for s in found["pps_night_seconds"].samples] == [9 * 3600]
    assert [s.value for s in found["pps_unread"].samples] == [0] * 5


def test_openmetrics_are_sent_to_whoever_asks_for_them(web: TestClient) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"
    answer = web.get("/metrics", headers={**USER, "Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    found = {family.name: len(family.samples) for family in openmetrics(answer.text)}
    assert found["pps_rollouts_open"] == 1


def test_names_that_providers_have_chosen_cannot_break_what_is_exposed(services: MemoryServices) -> None:
    hostile = 'x"} 1\npps_night_failed 1\n# '
    a_preview_that_is_out(services.facts)
    first, *rest = services.facts.facts
    services.facts.facts = [
        happened(FactKind.ROLLOUT_OPENED, **{**first.payload, "metapackage": hostile, "version": "\\"}),
        *rest,
    ]
    services.facts.in_outbox = {hostile: Waiting(1, NOW, None)}
    web = TestClient(create_app(lambda: services, airflow_user, lambda: NOW), base_url="https://pps.example.org")
    for accept, parse in (("text/plain", prometheus), ("application/openmetrics-text", openmetrics)):
        families: Callable[..., object] = parse
        found = {f.name: f.samples for f in families(web.get("/metrics", headers={**USER, "Accept": accept}).text)}  # type: ignore[attr-defined]
        assert {s.labels["product"] for s in found["pps_preview_sites"]} == {hostile}
        assert {s.labels["version"] for s in found["pps_preview_sites"]} == {"\\"}
        assert found["pps_night_failed"] == []


def test_the_health_page_and_its_data_say_the_same_and_only_to_users(web: TestClient) -> None:
    answer = as_described(web, web.get("/api/v1/health", headers=USER)).json()
    assert answer["state"] == "WARN", "nobody has written a bulletin, asked the tracker, or made a backup"
    checks = {c["subject"]: c["state"] for c in answer["checks"]}
    assert checks == {
        "database": "OK",
        "outbox": "OK",
        "last night": "OK",
        "publication folder": "WARN",
        "signatures": "OK",
        "tracker": "WARN",
        "backup": "WARN",
    }
    page = web.get("/health", headers=USER)
    assert page.status_code == 200
    for check in answer["checks"]:
        assert check["subject"] in page.text
    assert "something wants to be looked at" in page.text
    assert web.get("/health").status_code == 401
    assert web.get("/api/v1/health").status_code == 401


def test_without_an_airflow_around_nobody_claims_that_the_night_was_good(services: MemoryServices) -> None:
    def away(*_: object, **__: object) -> object:
        raise ServiceError("the store", "OperationalError: canary-host refuses.", "Check the database.")

    web = TestClient(create_app(lambda: services, airflow_user, lambda: NOW), base_url="https://pps.example.org")
    services.facts.waiting = services.facts.is_current = away  # type: ignore[assignment]
    answer = as_described(web, web.get("/api/v1/health", headers=USER))
    assert answer.status_code == 200
    assert answer.json()["state"] == "FAIL"
    failed = {c["subject"] for c in answer.json()["checks"] if c["state"] == "FAIL"}
    assert failed == {"database", "outbox", "last night"}
    assert "canary-host" not in answer.text, "why a service fails is for the log"
    assert "Something does not do its work" in web.get("/health", headers=USER).text
