"""A tracker that says that something has changed makes us look; nobody else does, and nothing it sends is believed."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.front import PATCH, MemoryServices, MemoryTracker, a_preview_that_is_out, services  # noqa: F401
from tests.unit.web.test_api import airflow_user, ticking

from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import BugState
from pps.domain.record.facts import FactKind
from pps.web.app import create_app

SECRET = "a-secret-of-the-hook"
WHERE = "/tracker/changed"
BODY = b'{"issue": "<script>alert(1)</script>"}'


class Bugs(MemoryTracker):
    asked = 0
    away = False

    def bug_states(self) -> dict[int, BugState]:
        self.asked += 1
        if self.away:
            raise ServiceError("tracker", "does not answer.")
        return {PATCH.bugs[0].number: BugState.REOPENED}


@pytest.fixture
def tracker(services: MemoryServices) -> Bugs:
    a_preview_that_is_out(services.facts)
    services.__dict__["tracker"] = Bugs(PATCH)
    return services.tracker


@pytest.fixture
def web(services: MemoryServices, tracker: Bugs) -> TestClient:
    object.__setattr__(services, "credentials", lambda c: f"http://:{SECRET}@hook" if c == "pps_tracker_hook" else None)
    return TestClient(create_app(lambda: services, airflow_user, ticking()), base_url="https://pps.example.org")


def signature(body: bytes = BODY, secret: str = SECRET, by: str = "sha256") -> str:
    return f"{by}=" + hmac.new(secret.encode(), body, by).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": signature()},
        {"X-Hub-Signature": signature(by="sha1")},
        {"X-Gitlab-Token": SECRET},
        {"X-Hub-Signature-256": signature(), "X-Hub-Signature": signature(by="sha1")},
    ],
)
def test_who_signs_makes_us_look(web: TestClient, tracker: Bugs, services: MemoryServices, headers: Any) -> None:
    assert web.post(WHERE, content=BODY, headers=headers).status_code == 202
    assert tracker.asked == 1
    seen = [f for f in services.facts.dossier(4711).facts if f.kind is FactKind.BUG_SEEN]
    assert [(f.payload["state"], f.actor) for f in seen] == [("reopened", "pps:tracker hook")]
    assert web.post(WHERE, content=BODY, headers=headers).status_code == 202
    assert len(services.facts.dossier(4711).facts) == len(seen), "looking twice records nothing twice"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": signature(secret="another secret of somebody")},
        {"X-Hub-Signature-256": signature(b"{}")},
        {"X-Hub-Signature-256": signature(by="sha1")},
        {"X-Hub-Signature": signature()},
        {"X-Hub-Signature-256": signature(), "X-Hub-Signature": "sha1=0"},
        {"X-Hub-Signature-256": "sha256=0", "X-Gitlab-Token": SECRET},
        {"X-Gitlab-Token": SECRET[:-1]},
        {"X-Gitlab-Token": ""},
        {"Authorization": f"Bearer {SECRET}"},
    ],
)
def test_who_does_not_sign_is_refused_and_makes_nobody_look(web: TestClient, tracker: Bugs, headers: Any) -> None:
    answer = web.post(WHERE, content=BODY, headers=headers)
    assert answer.status_code == 401
    assert SECRET not in answer.text
    assert tracker.asked == 0


@pytest.mark.parametrize("name", ["X-Zammad-Delivery", "X-GitHub-Delivery", "X-Gitlab-Event-UUID"])
def test_a_delivery_that_comes_again_is_the_same(web: TestClient, tracker: Bugs, name: str) -> None:
    headers = {"X-Hub-Signature-256": signature(), name: "one"}
    answers = [web.post(WHERE, content=BODY, headers=headers).json() for _ in range(3)]
    assert answers == [{"new": True}, {"new": False}, {"new": False}]
    assert tracker.asked == 1
    web.post(WHERE, content=BODY, headers={**headers, name: "two"})
    assert tracker.asked == 2


def test_a_delivery_without_a_good_signature_takes_no_place_of_a_good_one(web: TestClient, tracker: Bugs) -> None:
    web.post(WHERE, content=BODY, headers={"X-GitHub-Delivery": "one"})
    headers = {"X-Hub-Signature-256": signature(), "X-GitHub-Delivery": "one"}
    assert web.post(WHERE, content=BODY, headers=headers).json() == {"new": True}


def test_a_tracker_that_is_away_is_no_error_of_the_hook(web: TestClient, tracker: Bugs) -> None:
    tracker.away = True
    assert web.post(WHERE, content=BODY, headers={"X-Gitlab-Token": SECRET}).status_code == 202


@pytest.mark.parametrize("connection", [None, "http://:short@hook", "http://hook"])
def test_without_a_good_secret_there_is_no_hook(
    web: TestClient, tracker: Bugs, services: MemoryServices, connection: str | None
) -> None:
    object.__setattr__(services, "credentials", lambda _: connection)
    secret = (connection or "").partition("http://:")[2].partition("@")[0]
    answer = web.post(WHERE, content=BODY, headers={"X-Gitlab-Token": secret})
    assert (answer.status_code, "pps_tracker_hook" in answer.json()["detail"]) == (404, True)
    assert tracker.asked == 0


def test_too_much_and_too_often_is_refused(web: TestClient, tracker: Bugs) -> None:
    assert web.post(WHERE, content=b"x" * 70_000, headers={"X-Gitlab-Token": SECRET}).status_code == 413
    answers = [web.post(WHERE, content=BODY).status_code for _ in range(70)]
    assert set(answers) == {401, 429}
