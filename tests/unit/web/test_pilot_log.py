"""The door for what people say of a running pilot: who may speak for a site, and that nothing is doubled."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, JSON, NAMES, TEXTS
from tests.support.described import as_described
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.support.pilot_runs import SERVER, APilot
from tests.support.withdrawals import Postbox
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store

from pps.domain.record.facts import FactKind
from pps.web.app import create_app

BASE = "/api/v1/rollouts/major-pilot-4711-1"
ENTRY = {"site": "PIC", "text": "Raised the limit of open files."}
ROLL_BACK = {"site": "PIC", "reason": "Jobs are lost when the queue is full."}


@pytest.fixture
def pilot(tmp_path: Path) -> Any:
    store = shared_store(tmp_path)
    yield APilot(store=store).set_up()
    store.dispose()


@pytest.fixture
def web(services: MemoryServices, pilot: APilot) -> TestClient:
    sites = [site("PIC", administrators=["ana"]), site("CNAF", administrators=["bruno"])]
    config = write_config(services.config.folder, sites)
    given = {"facts": pilot.store, "tracker": MemoryTracker(SERVER), "templates": templates(), "mailer": Postbox()}
    clock = Clock(NOW + timedelta(hours=9))
    app = create_app(lambda: MemoryServices(config, lambda _: None, given), airflow_user, clock)
    return TestClient(app, base_url="https://pps.example.org")


def post(web: TestClient, what: str, body: Any, who: str = "ana", **headers: str) -> Any:
    given = {"Content-Type": "application/json", **headers} | ({"Authorization": f"Bearer {who}"} if who else {})
    return as_described(web, web.post(f"{BASE}/{what}", content=json.dumps(body), headers=given))


def test_an_entry_is_kept_once_and_goes_to_the_support_list(web: TestClient, pilot: APilot) -> None:
    first, again = post(web, "journal", ENTRY), post(web, "journal", ENTRY)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() | {"new": False} == again.json()
    assert (first.json()["user"], first.json()["site"]) == ("ana", "PIC")
    assert [to for to, _ in pilot.mails()] == ["pps-support@localhost"]


def test_an_expert_gets_a_copy(web: TestClient, pilot: APilot) -> None:
    assert post(web, "journal", ENTRY | {"call_expert": True}).status_code == 201
    assert sorted(to for to, _ in pilot.mails()) == ["pps-support@localhost", "wms-developers@example.org"]


@pytest.mark.parametrize(("who", "status"), [("", 401), ("bruno", 422), ("eve:Site Administrator", 422)])
def test_nobody_else_speaks_for_the_site(web: TestClient, pilot: APilot, who: str, status: int) -> None:
    for what, body in (("journal", ENTRY), ("roll-back", ROLL_BACK), ("success", {"reason": "It works very well."})):
        assert post(web, what, body, who).status_code == status
    assert not pilot.kinds(FactKind.JOURNAL_ENTRY) and not pilot.kinds(FactKind.ROLL_BACK_ASKED)


def test_the_coordinator_asks_for_a_roll_back_and_declares_success(web: TestClient, pilot: APilot) -> None:
    who = "carla:PPS Coordinator"
    assert post(web, "roll-back", ROLL_BACK, who).status_code == 201
    assert post(web, "roll-back", ROLL_BACK, "ana").status_code == 200
    (asked,) = pilot.kinds(FactKind.ROLL_BACK_ASKED)
    assert asked.payload["by"] == "PPS Coordinator"
    declared = post(web, "success", {"reason": "It works very well."}, who)
    assert (declared.status_code, post(web, "success", {"reason": "It works very well."}, who).status_code) == (
        201,
        200,
    )


def test_what_is_not_there_is_404_and_what_is_not_so_yet_409(web: TestClient, pilot: APilot) -> None:
    assert post(web, "journal", ENTRY | {"site": "NOWHERE"}).status_code == 404
    assert post(web, "journal", ENTRY | {"site": "CNAF"}, "bruno").status_code == 409
    response = web.post("/api/v1/rollouts/none-1/journal", json=ENTRY, headers={"Authorization": "Bearer ana"})
    assert response.status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_site_does_harm(web: TestClient, name: str) -> None:
    assert post(web, "journal", ENTRY | {"site": name}).status_code in (404, 422)


@pytest.mark.parametrize("text", [*HTML, *TEXTS])
def test_any_text_is_kept_as_text_or_refused(web: TestClient, text: str) -> None:
    assert post(web, "journal", ENTRY | {"text": text}).status_code in (201, 422)


@pytest.mark.parametrize("body", JSON)
def test_no_body_does_harm(web: TestClient, body: Any) -> None:
    content = body if isinstance(body, str | bytes) else repr(body)
    headers = {"Authorization": "Bearer ana", "Content-Type": "application/json"}
    for what in ("journal", "roll-back", "success"):
        assert web.post(f"{BASE}/{what}", content=content, headers=headers).status_code in (400, 413, 422)


def test_other_sites_pages_cannot_write_with_a_user_s_cookie(web: TestClient) -> None:
    assert post(web, "journal", ENTRY, Origin="https://evil.example.net").status_code == 403
    form = {"Authorization": "Bearer ana", "Content-Type": "text/plain"}
    assert web.post(f"{BASE}/journal", content="{}", headers=form).status_code == 415
