"""The door for late answers: who may use it, when it is open, and that nothing is lost or doubled."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, JSON, NAMES, TEXTS
from tests.support.described import as_described
from tests.support.desks import at_desk
from tests.support.examples import NOW, sqlite_store
from tests.support.front import MemoryServices, services  # noqa: F401
from tests.support.release_tests import DUE, LATE, AReleaseTest

from pps.activities.release import decision as release_decision
from pps.adapters.record.store import FactStore
from pps.domain.base.texts import clean_text
from pps.domain.quality.release_tests import ACCEPT, standings
from pps.domain.record.facts import FactKind
from pps.web.app import create_app

PATH = "/api/v1/rollouts/release-test-4711-1/answers"
GOOD = {
    "step": "release-test",
    "subject": "PIC",
    "choice": "Accept",
    "form": {"services": "CREAM-CE", "report": "It works."},
}


@dataclass
class Role:
    name: str


@dataclass
class User:
    """As Airflow's FAB hands its users over."""

    name: str
    roles: list[Role] = field(default_factory=list)

    def get_id(self) -> str:
        return f"id-{self.name}"

    def get_name(self) -> str:
        return self.name


def airflow_user(request: Request) -> User:
    """`Authorization: Bearer <name>[:<role>]`"""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token:
        raise HTTPException(401, "Not authenticated")
    name, _, role = token.partition(":")
    return User(name, [Role(role or "Site Administrator")])


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at, self.ticks = at, count()

    def __call__(self) -> datetime:
        return self.at + timedelta(microseconds=next(self.ticks))


@pytest.fixture
def test(tmp_path: Path) -> Any:
    store = shared_store(tmp_path)
    yield AReleaseTest(store=store).asked()
    store.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock(LATE)


@pytest.fixture
def web(services: MemoryServices, test: AReleaseTest, clock: Clock) -> TestClient:
    services.__dict__["facts"] = test.store
    return TestClient(create_app(lambda: services, airflow_user, clock), base_url="https://pps.example.org")


def shared_store(folder: Path) -> FactStore:
    """A store that several threads may use."""
    return sqlite_store(folder)


def as_user(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


ADMIN = as_user("admin-pic")


def given(test: AReleaseTest) -> list[Any]:
    return test.kinds(FactKind.ANSWER_GIVEN)


@pytest.mark.sd("4.2.3")
def test_a_late_answer_is_kept_with_its_user_and_credited(web: TestClient, test: AReleaseTest) -> None:
    answer = as_described(web, web.post(PATH, json=GOOD, headers=ADMIN))
    assert answer.status_code == 201
    assert answer.json() == {
        "rollout": "release-test-4711-1",
        "site": "PIC",
        "choice": "Accept",
        "user": "admin-pic",
        "late": True,
        "counts": False,
        "at": LATE.isoformat(),
    }
    [kept] = standings(test.record)[0].others
    assert (kept.user, kept.choice, kept.form) == ("admin-pic", ACCEPT, GOOD["form"])
    assert len(test.kinds(FactKind.CREDITED)) == 1


@pytest.mark.parametrize("user", ["somebody", "admin-ific-lcg2", "x:Admin", "x:Site Administrator", "role:x", "user"])
def test_only_who_was_asked_may_answer(web: TestClient, test: AReleaseTest, user: str) -> None:
    assert web.post(PATH, json=GOOD, headers=as_user(user)).status_code == 403
    assert web.post(PATH, json=GOOD).status_code == 401
    assert given(test) == []


def test_who_holds_the_role_that_was_asked_may_answer(
    web: TestClient, services: MemoryServices, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    without_administrators = AReleaseTest(store=shared_store(tmp_path / "other")).delivered()
    without_administrators.ask("release-test", "PIC", DUE, "role:PPS Coordinator")
    services.__dict__["facts"] = without_administrators.store
    assert web.post(PATH, json=GOOD, headers=as_user("grace:Release Manager")).status_code == 403
    assert web.post(PATH, json=GOOD, headers=as_user("role:PPS Coordinator")).status_code == 201
    assert given(without_administrators)[0].payload["user"] == "role"


def test_while_the_question_is_open_the_way_to_airflow_s_form_is_shown(
    web: TestClient, test: AReleaseTest, clock: Clock
) -> None:
    clock.at = NOW
    answer = as_described(web, web.post(PATH, json=GOOD, headers=ADMIN))
    assert answer.status_code == 409
    assert "https://pps.example.org/answer/PIC" in answer.json()["detail"]
    assert given(test) == []


def test_the_same_answer_twice_is_one_and_another_one_is_another(web: TestClient, test: AReleaseTest) -> None:
    codes = [web.post(PATH, json=GOOD, headers=ADMIN).status_code for _ in range(3)]
    assert codes == [201, 200, 200]
    other = GOOD | {"choice": "Reject", "form": {"report": "It does not work after all."}}
    assert web.post(PATH, json=other, headers=ADMIN).status_code == 201
    assert len(given(test)) == 2
    assert len(test.kinds(FactKind.CREDITED)) == 1


def test_the_same_answer_from_many_at_once_is_one_record(web: TestClient, test: AReleaseTest) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: web.post(PATH, json=GOOD, headers=ADMIN).status_code, range(16)))
    assert set(codes) == {200, 201}
    assert len(given(test)) == len(test.kinds(FactKind.CREDITED)) == 1


def test_different_answers_at_once_are_all_kept(web: TestClient, test: AReleaseTest) -> None:
    bodies = [GOOD | {"form": {"services": f"CE {n}", "report": ""}} for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda body: web.post(PATH, json=body, headers=ADMIN).status_code, bodies))
    assert codes == [201] * 8
    assert {f.payload["form"]["services"] for f in given(test)} == {f"CE {n}" for n in range(8)}
    assert len(test.kinds(FactKind.CREDITED)) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"step": "release-decision"}, 422),
        ({"step": None}, 422),
        ({"subject": "INFN-BARI"}, 404),
        ({"subject": 7}, 422),
        ({"subject": "x" * 65}, 422),
        ({"choice": "Maybe"}, 422),
        ({"choice": "Reject", "form": {"services": "CE"}}, 422),
        ({"form": {"services": "CE", "report": "", "user": "ada"}}, 422),
        ({"form": {"services": ["CE"]}}, 422),
        ({"form": {"services": "x" * 10_001}}, 422),
        ({"form": None}, 422),
        ({"late": False}, 422),
    ],
)
def test_a_body_that_says_something_else_is_refused_and_nothing_is_kept(
    web: TestClient, test: AReleaseTest, change: dict[str, Any], status: int
) -> None:
    assert web.post(PATH, json=GOOD | change, headers=ADMIN).status_code == status
    assert given(test) == []


@pytest.mark.parametrize("content", JSON)
def test_what_is_not_json_is_refused(web: TestClient, test: AReleaseTest, content: Any) -> None:
    data = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
    headers = ADMIN | {"Content-Type": "application/json"}
    assert web.post(PATH, content=data, headers=headers).status_code in (413, 422)
    assert given(test) == []


def test_a_form_of_another_site_s_page_cannot_answer(web: TestClient, test: AReleaseTest) -> None:
    assert web.post(PATH, json=GOOD, headers=ADMIN | {"Origin": "https://evil.example.org"}).status_code == 403
    assert web.post(PATH, data=GOOD["form"], headers=ADMIN).status_code == 415
    assert given(test) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_impossible_site_is_nobody_s(web: TestClient, test: AReleaseTest, name: str) -> None:
    headers = ADMIN | {"Content-Type": "application/json"}
    body = json.dumps(GOOD | {"subject": name}).encode()
    assert web.post(PATH, content=body, headers=headers).status_code in (404, 413, 422)
    assert given(test) == []


def test_an_unknown_rollout_is_404_and_a_preview_has_no_such_questions(web: TestClient) -> None:
    assert web.post("/api/v1/rollouts/release-test-1-1/answers", json=GOOD, headers=ADMIN).status_code == 404


@pytest.mark.parametrize("text", [*HTML, *TEXTS])
def test_texts_are_kept_as_data(web: TestClient, test: AReleaseTest, text: str) -> None:
    body = GOOD | {"form": {"services": "CE", "report": f"x{text[:2000]}"}}
    content = json.dumps(body).encode()
    answer = web.post(PATH, content=content, headers=ADMIN | {"Content-Type": "application/json"})
    assert answer.status_code in (201, 422), answer.text
    if answer.status_code == 201:
        assert given(test)[0].payload["form"]["report"] == clean_text(f"x{text[:2000]}").strip()


def test_an_answer_after_the_end_is_kept_and_changes_nothing(web: TestClient, test: AReleaseTest) -> None:
    test.time_is_up().decided("Hold", "Nobody has tried it.")
    release_decision.close_release_test(at_desk(test.record, test.store, now=LATE, actor="pps"))
    assert web.post(PATH, json=GOOD, headers=ADMIN).status_code == 201
    assert standings(test.record)[0].answer is None
    assert test.record.the(FactKind.ROLLOUT_CLOSED).payload["outcome"] == "held"
