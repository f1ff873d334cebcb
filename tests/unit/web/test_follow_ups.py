"""What those in charge say to an answer: who may, and that release notes which are out say that it came later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.desks import front as at_front
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    SECRET,
    Answer,
    MemoryServices,
    a_preview_that_is_out,
    front,
    happened,
    services,
)
from tests.unit.cli.test_commands import pps
from tests.unit.web.test_api import FEEDBACK, airflow_user, ticking

from pps.activities.people.tokens import invitation_token
from pps.activities.release.notes import write_release_notes
from pps.cli.front import Front
from pps.domain.base.errors import ServiceError
from pps.domain.record.facts import FactKind
from pps.web.app import create_app

NOTES = f"/release-notes/{ROLLOUT}.html"
FORM = f"/rollouts/{ROLLOUT}/feedback"
FIXED = "Fixed in *patch* 4720; ask ada.lovelace@example.org."
MANAGER, COORDINATOR = "Release Manager", "PPS Coordinator"


@dataclass
class World:
    """A preview on which atlas has reported a problem."""

    services: MemoryServices
    http: TestClient
    answer: str = ""

    def notes(self) -> None:
        desk = at_front(self.services, ROLLOUT)
        desk.now = NOW + timedelta(days=15)
        write_release_notes(desk, self.services.publication_folder)

    def by(self, role: str) -> dict[str, str]:
        return {"Authorization": "Bearer good", "X-Test-Role": role, "Origin": "https://pps.example.org"}

    def follow(self, text: str = FIXED, role: str = MANAGER, answer: str = "") -> Any:
        url = f"{FEEDBACK}/{answer or self.answer}/follow-up"
        return self.http.post(url, json={"text": text}, headers=self.by(role))

    def type(self, text: str = FIXED, role: str = COORDINATOR) -> Any:
        typed = {"answer": self.answer, "text": text}
        return self.http.post(FORM, data=typed, headers=self.by(role), follow_redirects=False)

    def facts(self, kind: FactKind) -> list[Any]:
        return [f for f in self.services.facts.rollout(ROLLOUT).facts if f.kind is kind]


@pytest.fixture
def world(services: MemoryServices) -> World:
    a_preview_that_is_out(services.facts)
    app = create_app(lambda: services, airflow_user, ticking(NOW + timedelta(days=16)))
    made = World(services, TestClient(app, base_url="https://pps.example.org"))
    early = TestClient(create_app(lambda: services, airflow_user, lambda: NOW + timedelta(hours=1)))
    token = invitation_token(SECRET, ROLLOUT, "atlas", NOW + timedelta(days=14))
    said = {"vo": "atlas", "opinion": "problem", "text": "It hangs.", "token": token}
    made.answer = early.post(FEEDBACK, json=said).json()["identity"]
    return made


def test_a_follow_up_stands_under_its_answer_on_pages_in_json_and_in_release_notes_without_persons(
    world: World,
) -> None:
    first = world.follow()
    assert (first.status_code, first.json()["release_notes"]) == (201, "It will be in the release notes.")
    again = world.follow()
    assert (again.status_code, again.json()["new"]) == (200, False)
    assert len(world.facts(FactKind.FEEDBACK_FOLLOWED_UP)) == 1
    world.notes()
    for place in (NOTES, NOTES.replace(".html", ".txt"), "/bulletin", "/patches/4711", "/bulletin.json"):
        text = world.http.get(place).text
        assert "patch" in text
        assert "4720" in text, place
        assert "lovelace" not in text, place
    assert "<em>patch</em> 4720" in world.http.get(NOTES).text
    assert "first been written" not in world.http.get(NOTES).text
    closed = world.http.get("/api/v1/feedback", params={"rollout": ROLLOUT}, headers=world.by("Viewer")).json()
    assert closed["answers"][0]["follow_ups"][0]["role"] == MANAGER


def test_release_notes_that_are_out_are_written_anew_on_record_and_say_that_the_follow_up_came_later(
    world: World,
) -> None:
    world.notes()
    before = world.http.get(NOTES).text
    world.services.facts.record(happened(FactKind.ROLLOUT_CLOSED, outcome="released"))
    done = world.follow()
    assert done.json()["release_notes"] == "The release notes show it now, as one that came later."
    text = world.http.get(NOTES).text
    assert text != before
    assert "Tue 17 Mar 2026, 12:00 UTC, after these notes had first been written" in text
    first, second = world.facts(FactKind.RELEASE_NOTES_WRITTEN)
    assert ("because" not in first.payload, second.payload["because"]) == (True, "a follow-up to the answer of atlas")
    assert "written anew, for a follow-up to the answer of atlas." in world.http.get("/patches/4711").text
    world.follow()
    assert len(world.facts(FactKind.RELEASE_NOTES_WRITTEN)) == 2, "the same again changes nothing"


def test_while_the_tracker_is_away_the_follow_up_is_kept_and_whoever_sends_it_again_has_the_notes_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(number: int) -> None:
        raise ServiceError("the tracker", "is away.")

    world.notes()
    with monkeypatch.context() as then:
        then.setattr(world.services.tracker, "patch", away)
        said = world.type()
        assert said.status_code == 200, "it is kept, and what is missing is said"
        assert "do not show it yet: is away. Send the same again later." in said.text
    assert "4720" not in world.http.get(NOTES).text
    assert world.type().status_code == 303
    assert "4720" in world.http.get(NOTES).text


@pytest.mark.parametrize("role", ["Viewer", "VO Representative", "Site Administrator", "Regional Manager", "Admin"])
def test_nobody_but_those_in_charge_writes_follow_ups(world: World, role: str) -> None:
    for refused in (world.follow(role=role), world.type(text="a long story", role=role)):
        assert refused.status_code == 422
        assert "Only a Release Manager or a PPS Coordinator writes follow-ups." in refused.text
    page = world.http.get(FORM, headers=world.by(role))
    assert page.status_code == 200
    assert "It hangs." in page.text
    assert "<form" not in page.text
    assert world.facts(FactKind.FEEDBACK_FOLLOWED_UP) == []


def test_a_stranger_and_another_sites_page_are_turned_away(world: World) -> None:
    assert world.http.get(FORM).status_code == 401
    assert world.http.post(FORM, data={"answer": world.answer, "text": FIXED}).status_code == 401
    hostile = world.by(MANAGER) | {"Origin": "https://evil.example.org"}
    assert (
        world.http.post(f"{FEEDBACK}/{world.answer}/follow-up", json={"text": "x"}, headers=hostile).status_code == 403
    )
    assert world.http.post(FORM, data={"answer": world.answer, "text": "x"}, headers=hostile).status_code == 403
    assert world.facts(FactKind.FEEDBACK_FOLLOWED_UP) == []


def test_what_cannot_be_taken_comes_back_with_the_reason_and_what_was_typed(world: World) -> None:
    refused = world.type(text="x" * 2001)
    assert refused.status_code == 422
    assert "at most 2000 are kept" in refused.text
    assert "x" * 2001 in refused.text
    assert "There is no such answer" in world.follow(answer="0" * 32).json()["detail"]
    world.services.facts.record(happened(FactKind.FEEDBACK_WITHDRAWN, "atlas", world.answer))
    assert "nothing to follow up" in world.follow().json()["detail"]
    assert world.facts(FactKind.FEEDBACK_FOLLOWED_UP) == []


def test_the_command_says_whether_the_release_notes_show_it(world: World, front: Front) -> None:
    class Airflow:
        def request(self, method: str, path: str, **given: Any) -> Answer:
            said = world.http.request(method, path.removeprefix("pps"), headers=world.by(MANAGER), **given)
            return Answer(said.text, said.status_code)

    front.__dict__["airflow"] = Airflow()
    world.notes()
    code, out, _ = pps(front, "feedback", "follow-up", ROLLOUT, world.answer, "--text", FIXED)
    assert (code, "is on record. The release notes show it now" in " ".join(out.split())) == (0, True)
    code, out, _ = pps(front, "feedback", "list", ROLLOUT)
    assert "-> Release Manager: Fixed in *patch* 4720" in " ".join(out.split())
    code, _, err = pps(front, "feedback", "follow-up", ROLLOUT, "nonsense", "--text", FIXED)
    assert (code, "There is no such answer" in err) == (1, True)
