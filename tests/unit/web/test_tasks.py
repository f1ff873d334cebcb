"""Questions that wait for people, as pages: whose they are, and that an answer says what has become of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
)
from tests.unit.web.test_api import airflow_user, ticking
from tests.unit.web.test_credits import manages
from tests.unit.web.test_pages import Read

from pps.domain.record.facts import FactKind
from pps.web.app import create_app
from pps.workflow.answers import Place

PLACE = Place("non_bc_client_update", "non-bc-client-4711-1", "site.configure", 3)
PAGE = f"/tasks/{PLACE.dag}/{PLACE.run}/{PLACE.task}/{PLACE.map_index}"
STORED = "2026-03-01T12:30:00+00:00"
FIELDS: dict[str, Any] = {
    "problems": {"value": None, "schema": {"type": ["null", "string"], "format": "multiline", "title": "Problems"}},
    "settings": {"value": "A=1", "schema": {"type": "string", "maxLength": 99}, "description": "One a line."},
    "ready": {"value": False, "schema": {"type": "boolean", "title": "All is ready"}},
    "hours": {"value": 2, "schema": {"type": "integer"}},
}


class OneQuestion:
    """Airflow with one human task."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.refusal: HTTPException | None = None
        self.body = "Configure **the client**."

    async def __call__(
        self, request: Request, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        where = "dags/non_bc_client_update/dagRuns/non-bc-client-4711-1/taskInstances/site.configure/3/hitlDetails"
        if path != where:
            raise HTTPException(404, "There is no such task.")
        if method == "PATCH":
            if self.refusal:
                raise self.refusal
            self.taken.append(body)
            return {"responded_at": STORED}
        assigned = [{"id": "user:ada", "name": "ada"}]
        answered = bool(self.taken)
        return {
            "subject": "configure",
            "body": self.body,
            "options": ["Configured", "Not here"],
            "params": FIELDS,
            "assigned_users": assigned,
            "response_received": answered,
        }


@pytest.fixture
def airflow() -> OneQuestion:
    return OneQuestion()


@pytest.fixture
def web(services: MemoryServices, airflow: OneQuestion) -> TestClient:
    a_preview_that_is_out(services.facts)
    for subject, whose, hours in (("PIC", "user:ada", 48), ("CNAF", "user:bruno", 24), ("EMT", "role:Viewer", 12)):
        link = Place(PLACE.dag, PLACE.run, PLACE.task, hours).link("https://pps.example.org")
        due = (NOW + timedelta(hours=hours)).isoformat()
        asked = {"due": due, "title": f"Configure at {subject}", "assigned_to": [whose], "link": link}
        services.facts.record(happened(FactKind.QUESTION_ASKED, subject, "local-configuration", **asked))
    app = create_app(lambda: services, airflow_user, ticking(), airflow=airflow)
    signed_in = {"Authorization": "Bearer good", "Accept": "text/html"}
    return TestClient(app, base_url="https://pps.example.org", headers=signed_in, follow_redirects=False)


def test_what_waits_for_me_comes_first_and_the_most_urgent_of_it_on_top(web: TestClient) -> None:
    words = Read(web.get("/tasks").text).words
    order = [words.index(text) for text in ("Waits for you", "at EMT", "at PIC", "Waits for others", "at CNAF")]
    assert order == sorted(order)
    assert f'href="./tasks/{PLACE.dag}/{PLACE.run}/{PLACE.task}/48"' in web.get("/tasks").text


def test_a_regional_manager_sees_what_waits_for_sites_of_the_own_region_before_what_waits_for_others(
    web: TestClient, services: MemoryServices
) -> None:
    manages(services, "North")
    words = Read(web.get("/tasks").text).words
    order = [words.index(text) for text in ("Waits for you", "at PIC", "Waits for sites of North", "at CNAF")]
    assert order == sorted(order) and "Waits for others" not in words


def test_who_comes_from_a_mail_and_has_not_signed_in_is_led_there_and_back(web: TestClient) -> None:
    turned_away = web.get(f"{PAGE}?x=1", headers={"Authorization": ""})
    assert turned_away.status_code == 401
    way = urlencode({"next": f"{PAGE}?x=1"})
    assert f'href="../../../../../api/v2/auth/login?{way}"' in turned_away.text
    assert "auth/login" not in web.get("/tasks/x", headers={"Accept": "text/html"}).text, "404: signing in helps nobody"


def test_home_names_what_is_most_urgent_for_me_and_says_nothing_to_who_has_not_signed_in(
    web: TestClient, services: MemoryServices
) -> None:
    asked_by_script = {"X-PPS-Part": "1"}
    part = web.get("/tasks/waiting", headers=asked_by_script)
    words = Read(part.text).words
    assert "2 questions wait" in words and words.index("at EMT") < words.index("at PIC") and "CNAF" not in words
    assert f'href="./tasks/{PLACE.dag}/{PLACE.run}/{PLACE.task}/12"' in part.text
    assert part.headers["cache-control"] == "no-store"
    for hours in (3, 4, 5):
        asked = {"due": (NOW + timedelta(hours=hours)).isoformat(), "title": f"In {hours}", "assigned_to": ["user:ada"]}
        services.facts.record(happened(FactKind.QUESTION_ASKED, f"S{hours}", "release-test", link="", **asked))
    words = Read(web.get("/tasks/waiting").text).words
    assert "5 questions wait" in words and [t for t in ("In 3", "In 4", "In 5", "EMT", "PIC") if t in words] == [
        "In 3",
        "In 4",
        "In 5",
    ]
    nobody = {"Authorization": "", **asked_by_script}
    assert (web.get("/tasks/waiting", headers=nobody).status_code, web.get("/tasks", headers=nobody).text) == (204, "")
    assert web.get("/tasks/waiting", headers={"Authorization": ""}).status_code == 401, "it is closed all the same"
    home = web.get("/home").text
    assert home == web.get("/home", headers={"Authorization": ""}).text, "one page for all"
    assert "at EMT" not in home and 'href="tasks"' in home


def test_an_answer_goes_through_airflow_as_its_form_wants_it_and_says_what_has_become_of_it(
    web: TestClient, airflow: OneQuestion, services: MemoryServices
) -> None:
    shown = Read(web.get(PAGE).text)
    assert shown.fields["settings"]["maxlength"] == "99"
    assert "checked" not in shown.fields["ready"]
    typed = {"answer": "Configured", "problems": "", "settings": "A=2\r\nB=3", "ready": "yes", "hours": "3"}
    done = web.post(PAGE, data=typed)
    assert done.status_code == 303
    form = {"problems": None, "settings": "A=2\nB=3", "ready": True, "hours": 3}
    assert airflow.taken == [{"chosen_options": ["Configured"], "params_input": form}]
    waiting = web.get(done.headers["location"]).text
    assert "is being looked at" in waiting and 'http-equiv="refresh"' in waiting


def test_nothing_is_said_to_be_looked_at_where_nobody_has_answered(web: TestClient) -> None:
    shown = web.get(PAGE, params={"answered": STORED})
    assert "is being looked at" not in shown.text
    assert "settings" in Read(shown.text).fields


@pytest.mark.parametrize("status", [403, 409, 422])
def test_a_refused_answer_comes_back_with_the_reason_and_with_what_was_typed(
    web: TestClient, airflow: OneQuestion, status: int
) -> None:
    airflow.refusal = HTTPException(status, "The variable <B> is not one of those that are asked for.")
    refused = web.post(PAGE, data={"answer": "Configured", "settings": "B=3", "problems": "None <b>here</b>"})
    assert refused.status_code == status
    assert "The variable &lt;B&gt; is not one" in refused.text
    assert Read(refused.text).fields["settings"]["value"] == "B=3"
    assert "None &lt;b&gt;here&lt;/b&gt;</textarea>" in refused.text


def test_what_is_no_answer_does_not_reach_airflow(web: TestClient, airflow: OneQuestion) -> None:
    assert web.post(PAGE, data={"answer": "Something else"}).status_code == 422
    assert web.post(PAGE, data={"answer": "Configured"}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert web.post(PAGE, json={"answer": "Configured"}).status_code == 415
    assert airflow.taken == []
    assert web.get(PAGE.replace("site.configure", "nothing")).status_code == 404
    assert web.get(PAGE, params={"answered": "yesterday"}).status_code == 422


def test_an_answered_question_has_no_form_any_more(web: TestClient, airflow: OneQuestion) -> None:
    airflow.taken.append("before")
    assert "has been answered" in web.get(PAGE).text
    assert Read(web.get(PAGE).text).fields == {}


@pytest.mark.parametrize("text", [text for text in HTML if "<" in text])
def test_no_text_of_a_question_is_markup(web: TestClient, airflow: OneQuestion, text: str) -> None:
    airflow.body = text
    assert text not in web.get(PAGE).text


def test_a_place_is_read_from_the_link_that_was_mailed() -> None:
    for place in (PLACE, Place("a", "manual__2026-03-01T12:00:00+00:00", "t"), Place("d", "r..x", "a b", 0)):
        assert Place.read(place.link("https://pps.example.org/air")) == place
        assert Place.read(f"https://pps.example.org/air/{place.form}") == place, "as in mails of before"
    assert Place.read("https://pps.example.org/dags/x/runs/y") is None
    assert Place.read("javascript:alert(1)") is None
