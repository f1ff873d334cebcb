"""Questions and verdicts by REST, and the script for Airflow's own pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.front import (  # noqa: F401
    NOW,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
)
from tests.unit.web.test_api import airflow_user, ticking

from pps.domain.record.facts import FactKind
from pps.web.app import create_app


def asked(step: str, subject: str, hours: int, *assigned_to: str) -> Any:
    return happened(
        FactKind.QUESTION_ASKED,
        subject,
        step,
        step=step,
        due=(NOW + timedelta(hours=hours)).isoformat(),
        to="",
        title=f"{subject}: please",
        assigned_to=list(assigned_to),
        link=f"https://pps.example.org/dags/d/runs/r/tasks/{step}/required_actions",
    )


def about(step: str) -> dict[str, str]:
    return {"dag": "d", "run": "r", "task": step, "at": (NOW + timedelta(minutes=30)).isoformat()}


@pytest.fixture
def client(services: MemoryServices) -> TestClient:
    a_preview_that_is_out(services.facts)
    opened = next(f for f in services.facts.facts if f.kind is FactKind.ROLLOUT_OPENED)
    services.facts.facts.remove(opened)
    services.facts.facts.insert(0, replace(opened, payload={**opened.payload, "run": "d/r"}))
    services.facts.record(
        asked("late", "CNAF", 9, "user:eva"), asked("soon", "PIC", 1, "user:ada"), asked("role", "EMT", 5, "role:EMT")
    )
    app = create_app(lambda: services, airflow_user, ticking())
    return TestClient(app, base_url="https://pps.example.org", headers={"Authorization": "Bearer good"})


def test_questions_come_with_their_dates_the_most_urgent_first_and_say_which_are_mine(client: TestClient) -> None:
    found = client.get("/api/v1/questions", headers={"x-test-role": "EMT"}).json()["questions"]
    assert [(q["subject"], q["mine"]) for q in found] == [("PIC", True), ("EMT", True), ("CNAF", False)]
    assert found[0]["due"] == (NOW + timedelta(hours=1)).isoformat()
    assert found[0]["link"] == "https://pps.example.org/pps/tasks/d/r/soon/-1", "ours, though it was put with Airflow's"
    found = client.get("/api/v1/questions", headers={"x-test-role": "Viewer"}).json()["questions"]
    assert [q["subject"] for q in found if q["mine"]] == ["PIC"]


def test_a_verdict_is_read_from_the_record_and_shows_no_address(client: TestClient, services: MemoryServices) -> None:
    assert client.get("/api/v1/verdict", params=about("soon")).json() == {"standing": "not judged", "reasons": []}
    said = {"step": "soon", "choice": "Yes", "form": {}, "user": "ada", "link": "", "next_step": "Again."}
    services.facts.record(
        happened(FactKind.ANSWER_REFUSED, "PIC", "soon/1", after=30, reasons=["Ask bob@example.org."], **said)
    )
    found = client.get("/api/v1/verdict", params=about("soon")).json()
    assert found == {"standing": "not taken", "reasons": ["Ask b***@example.org.", "Again."]}
    assert client.get("/api/v1/verdict", params=about("late")).json()["standing"] == "not judged"


def test_a_moment_without_a_zone_is_no_moment(client: TestClient) -> None:
    assert client.get("/api/v1/verdict", params=about("soon") | {"at": "2026-03-01T12:00:00"}).status_code == 422


def test_nobody_reads_questions_without_an_account_and_everybody_gets_the_script(client: TestClient) -> None:
    nobody = {"Authorization": ""}
    assert client.get("/api/v1/questions", headers=nobody).status_code == 401
    assert client.get("/api/v1/verdict", params=about("soon"), headers=nobody).status_code == 401
    script = client.get("/answers.js", headers=nobody)
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert 'globalThis["PPS answers"]' in script.text
