"""The public pages: made from the facts when they are asked for, and never older than they say."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient
from icalendar import Calendar
from tests.support.front import (  # noqa: F401
    NOW,
    ROLLOUT,
    SECRET,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
    site,
    write_config,
)
from tests.unit.web.test_api import airflow_user, ticking

from pps.activities.people.tokens import invitation_token
from pps.domain.base.errors import ConfigurationError
from pps.domain.people.feedback import answers
from pps.domain.record.facts import FactKind
from pps.web.app import create_app

FORM = f"/feedback/{ROLLOUT}"
PAGES = ("/", "/home", "/map", "/map?view=gridmap", "/map?view=table", "/bulletin", "/api/v1/map", "/bulletin.json")
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def anybody(services: MemoryServices) -> TestClient:
    a_preview_that_is_out(services.facts)
    return TestClient(create_app(lambda: services, airflow_user, ticking()), base_url="https://pps.example.org")


class Read(HTMLParser):
    """The words of a page, the choices of its selects, and what is typed in its fields."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._words: list[str] = []
        self.fields: dict[str, dict[str, str | None]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("input", "textarea", "select", "button") and found.get("name"):
            self.fields[str(found["name"])] = found

    def handle_data(self, data: str) -> None:
        self._words += data.split()

    @property
    def words(self) -> str:
        return " ".join(self._words)


def test_a_site_that_joins_is_shown_without_a_restart(services: MemoryServices) -> None:
    now_there = services

    def as_the_files_are() -> MemoryServices:
        return now_there

    web = TestClient(create_app(as_the_files_are, airflow_user, ticking()))  # type: ignore[arg-type]
    assert web.get("/sites/NEW").status_code == 404
    now_there = replace(services, config=write_config(services.config.folder, [site("NEW")]))
    assert web.get("/sites/NEW").status_code == 200
    assert [s["site"] for s in web.get("/api/v1/map").json()["sites"]] == ["NEW"]


@pytest.mark.sd("4.1.1", step=5)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_a_fact_as_soon_as_it_is_on_record(
    anybody: TestClient, services: MemoryServices, path: str
) -> None:
    before = anybody.get(path)
    same = anybody.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert (before.status_code, same.status_code, same.content) == (200, 304, b"")
    services.facts.record(happened(FactKind.SITE_FAILED, "CNAF", "night", reason="no answer"))
    after = anybody.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["etag"] != before.headers["etag"]
    assert "failed" in after.text


def test_what_a_browser_has_kept_stays_under_the_policy_of_the_page(anybody: TestClient) -> None:
    # its headers are replaced by those of the 304: with a policy of its own the page would lose its stylesheet
    page = anybody.get("/map")
    same = anybody.get("/map", headers={"If-None-Match": page.headers["etag"]})
    assert same.headers["content-security-policy"] == page.headers["content-security-policy"]


def test_the_content_is_made_once_for_each_edition(
    anybody: TestClient, services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    really = services.facts.standing
    monkeypatch.setattr(services.facts, "standing", lambda *given: made.append(given) or really(*given))
    for _ in range(3):
        for path in PAGES:
            anybody.get(path)
    assert len(made) == 1


def test_every_moment_can_be_shown_again(anybody: TestClient, services: MemoryServices) -> None:
    then = NOW.isoformat()
    before = anybody.get("/api/v1/map", params={"at": then}).json()
    late = NOW + timedelta(hours=5)
    services.facts.record(happened(FactKind.PREVIEW_REMOVED, "PIC", "x", after=300))
    states = {s["site"]: s["states"] for s in before["sites"]}
    client = TestClient(create_app(lambda: services, airflow_user, ticking(late)))
    assert client.get("/api/v1/map", params={"at": then}).json()["sites"] == before["sites"]
    now = {s["site"]: s["states"] for s in client.get("/api/v1/map").json()["sites"]}
    assert states["PIC"][ROLLOUT]["state"] != now["PIC"][ROLLOUT]["state"] == "withdrawn"
    page = Read(client.get("/map", params={"at": then}).text).words
    assert "as it was on Sun 1 Mar 2026, 12:00 UTC" in page
    assert "back to now" in page
    assert client.get("/api/v1/map", params={"at": "2020-01-01T00:00Z"}).json()["previews"] == []


def test_what_is_recorded_late_changes_the_past_that_a_browser_has_kept(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    anybody = TestClient(create_app(lambda: services, airflow_user, ticking(NOW + timedelta(hours=1))))
    at = {"at": (NOW + timedelta(minutes=30)).isoformat()}
    before = anybody.get("/api/v1/map", params=at)
    services.facts.record(happened(FactKind.PREVIEW_LOST, "PIC", "late", after=20, reason="gone"))
    after = anybody.get("/api/v1/map", params=at, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert anybody.get("/api/v1/map", params=at, headers={"If-None-Match": after.headers["etag"]}).status_code == 304


def test_who_asks_for_one_past_after_another_has_to_wait_and_nobody_else_does(anybody: TestClient) -> None:
    at = {"at": NOW.isoformat()}
    answers = [anybody.get("/map", params=at).status_code for _ in range(40)]
    assert answers[:20] == [200] * 20
    assert 429 in answers
    assert anybody.get("/map").status_code == 200


@pytest.mark.parametrize("at", ["yesterday", "2999-01-01T00:00Z", "1900-01-01", "0", "2026-13-01", "<script>"])
def test_a_moment_that_cannot_be_shown_is_422_with_what_was_typed(anybody: TestClient, at: str) -> None:
    answer = anybody.get("/map", params={"at": at})
    assert answer.status_code == 422
    assert repr(at) in answer.json()["detail"]


@pytest.mark.parametrize("field", ["view", "roc", "platform", "state", "vo"])
def test_a_wrong_choice_is_422_with_those_that_there_are(anybody: TestClient, field: str) -> None:
    answer = anybody.get("/map", params={field: "nowhere"})
    assert answer.status_code == 422
    valid = {"view": "gridmap", "roc": "North", "platform": "debian12-amd64", "state": "available", "vo": "atlas"}
    assert "'nowhere'" in answer.json()["detail"]
    assert valid[field] in answer.json()["detail"]
    assert anybody.get("/map", params={field: valid[field]}).status_code == 200


def test_what_is_not_there_is_404(anybody: TestClient) -> None:
    for path in ("/map?preview=bc-client-1-1", "/sites/NOWHERE", "/sites/..%2Fx", "/bulletin/bc-client-1-1.html", "/x"):
        assert anybody.get(path).status_code == 404, path


def test_a_site_has_a_page_with_every_preview(anybody: TestClient) -> None:
    words = Read(anybody.get("/sites/PIC").text).words
    assert "PIC" in words
    assert "glite-WN 3.1.23" in words


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/map?state=x", 422), ("/keys/x", 404), ("/deployment-tests/a/b.txt", 401)]
)
def test_an_error_is_a_page_for_people_and_json_for_programs(anybody: TestClient, path: str, status: int) -> None:
    page, data = anybody.get(path, headers=BROWSER), anybody.get(path)
    assert (page.status_code, data.status_code) == (status, status)
    assert "text/html" in page.headers["content-type"]
    assert 'href="' in page.text
    assert data.json()["detail"]
    if status == 401:
        assert "Sign in to Airflow again" in page.text


def test_a_fault_of_ours_is_a_page_that_shows_nothing_of_it(
    anybody: TestClient, services: MemoryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(names: object) -> dict[str, int]:
        raise ConfigurationError("postgresql://pps:secret@db", "does not answer.")

    monkeypatch.setattr(services.facts, "newest", broken)
    page = anybody.get("/map", headers=BROWSER)
    assert page.status_code == 500
    assert "problem of its own" in page.text
    assert "secret" not in page.text


# --- feeds


def test_feed_readers_get_an_entry_for_each_stage(anybody: TestClient, services: MemoryServices) -> None:
    def entries() -> list[tuple[str, str]]:
        root = ElementTree.fromstring(anybody.get("/bulletin.atom").content)
        space = "{http://www.w3.org/2005/Atom}"
        for entry in root.iter(f"{space}entry"):
            assert datetime.fromisoformat(entry.findtext(f"{space}updated") or "").tzinfo
        return [(e.findtext(f"{space}title") or "", e.findtext(f"{space}id") or "") for e in root.iter(f"{space}entry")]

    before = entries()
    assert [title for title, _ in before] == ["glite-WN 3.1.23: preview"]
    services.facts.record(happened(FactKind.WITHDRAWAL_ASKED, reason="<script>alert(1)</script> ada@example.org"))
    after = entries()
    assert [title for title, _ in after] == ["glite-WN 3.1.23: withdrawn"]
    assert after[0][1] != before[0][1]
    assert "ada@example.org" not in anybody.get("/bulletin.atom").text


def test_calendars_get_the_date_of_each_open_preview(anybody: TestClient, services: MemoryServices) -> None:
    def events() -> list[tuple[str, datetime]]:
        calendar = Calendar.from_ical(anybody.get("/deadlines.ics").text)
        return [(str(e["summary"]), e.decoded("dtstart")) for e in calendar.walk("VEVENT")]

    assert events() == [("Feedback on glite-WN 3.1.23 is asked for until now", NOW + timedelta(days=14))]
    services.facts.register[0] = replace(services.facts.register[0], closed_at=NOW)
    services.facts.record(happened(FactKind.ROLLOUT_CLOSED, outcome="released"))
    assert events() == []


# --- the form


def test_the_form_asks_of_the_software_by_its_name_and_leads_on(anybody: TestClient) -> None:
    token = invitation_token(SECRET, ROLLOUT, "atlas", NOW + timedelta(days=14))
    page = anybody.get(FORM, params={"vo": "atlas", "token": token}).text
    assert "<h1>Does glite-WN 3.1.23 work for atlas?</h1>" in page
    assert "IPv6" in page
    assert f'href="../bulletin#{ROLLOUT}"' in page
    assert "readonly" in Read(page).fields["vo"]


@pytest.mark.parametrize("lost", [1, 10, 30])
def test_half_an_invitation_is_said_before_a_word_is_typed_and_is_no_trap(
    anybody: TestClient, services: MemoryServices, lost: int
) -> None:
    token = invitation_token(SECRET, ROLLOUT, "atlas", NOW + timedelta(days=14))
    page = anybody.get(FORM, params={"vo": "atlas", "token": token[:-lost]})
    read = Read(page.text)
    assert "not a whole invitation of atlas" in read.words
    assert "readonly" not in read.fields["vo"]
    typed = {name: field.get("value") or "" for name, field in read.fields.items()}
    thanks = anybody.post(FORM, data=typed | {"opinion": "works", "text": "fine"})
    assert thanks.status_code == 201
    (answer,) = answers(services.facts.rollout(ROLLOUT))
    assert (answer.vo, answer.invited) == ("atlas", False)


def test_an_invitation_that_is_refused_can_be_left_out_with_one_click(
    anybody: TestClient, services: MemoryServices
) -> None:
    sent = {"vo": "atlas", "token": "half of it", "opinion": "problem", "text": "a long story", "nonce": "1"}
    refused = anybody.post(FORM, data=sent)
    assert refused.status_code == 422
    assert Read(refused.text).fields["without_invitation"]["value"] == "yes"
    assert "a long story" in refused.text
    assert anybody.post(FORM, data=sent | {"without_invitation": "yes"}).status_code == 201
    assert [(a.text, a.invited) for a in answers(services.facts.rollout(ROLLOUT))] == [("a long story", False)]


def test_the_reason_of_a_withdrawal_stands_on_the_form_and_in_the_bulletin(
    anybody: TestClient, services: MemoryServices
) -> None:
    reason = "gfal-copy loses files; ada@example.org knows."
    services.facts.record(happened(FactKind.WITHDRAWAL_ASKED, reason=reason))
    for path in (FORM, "/bulletin"):
        page = anybody.get(path).text
        assert "gfal-copy loses files" in page, path
        assert "ada@example.org" not in page
    services.facts.record(happened(FactKind.ROLLOUT_CLOSED, outcome="withdrawn"))
    assert "gfal-copy loses files" in anybody.get(FORM).text


# --- for those who work on a rollout


@pytest.fixture
def operator(anybody: TestClient) -> TestClient:
    anybody.headers["Authorization"] = "Bearer good"
    return anybody


@pytest.mark.parametrize(
    "path", [f"/rollouts/{ROLLOUT}", "/runs/bc_client_update/r1", "/runs/bc_client_update/r1/fleet.distribute_client/1"]
)
def test_a_run_and_its_tasks_show_the_rollout_with_reasons_to_users_only(
    operator: TestClient, services: MemoryServices, path: str
) -> None:
    services.facts.facts = [
        replace(f, payload={**f.payload, "run": "bc_client_update/r1"}) if f.kind is FactKind.ROLLOUT_OPENED else f
        for f in services.facts.facts
    ]
    services.facts.record(happened(FactKind.SITE_FAILED, "SARA", "night", after=9, reason="Ask ada@example.org."))
    page = operator.get(path)
    words = Read(page.text).words
    assert "glite-WN 3.1.23" in words
    assert "Ask a***@example.org." in words
    assert "atlas" not in words or "0 of 2 invited VOs answered" in words
    assert page.text.index("SARA") < page.text.index(">PIC<")
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    del operator.headers["Authorization"]
    assert operator.get(path).status_code == 401


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/runs/bc_client_update/nothing-yet", "has opened no rollout yet"),
        ("/runs/nightly_distribution/x", "look after those that are open"),
        ("/runs/somebody_elses/manual__2026-03-01T12:00:00+00:00/t/-1", "is no part of PPS Rollout"),
        ("/runs/%3Cscript%3E/x", "is no part of PPS Rollout"),
    ],
)
def test_a_run_without_a_rollout_gets_a_kind_sentence(operator: TestClient, path: str, says: str) -> None:
    page = operator.get(path)
    assert page.status_code == 200
    assert says in Read(page.text).words
    assert "<script>" not in page.text.replace('<script type="module"', "")


def test_without_a_secret_of_ours_no_link_is_blamed_and_no_worker_is_believed(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    services.__dict__.pop("feedback_secret")
    client = TestClient(create_app(lambda: services, airflow_user, ticking()))
    page = client.get(FORM, params={"vo": "atlas", "token": "x"})
    assert page.status_code == 200
    assert "not a whole invitation" not in page.text
    assert client.post("/api/v1/run-note", json={}).status_code == 401


def test_the_page_of_a_release_says_what_the_tracker_does_not_say(
    operator: TestClient, services: MemoryServices
) -> None:
    def words() -> str:
        return Read(operator.get(f"/rollouts/{ROLLOUT}").text).words

    told = {"platforms": ["debian12-amd64"], "patch": 4711, "state": "Certified", "comment": "x"}
    assert "tracker" not in words()
    services.facts.record(happened(FactKind.RELEASED_TO_PRODUCTION, after=9, **told))
    assert "It is released to production. The tracker does not say so yet." in words()
    left = replace(happened(FactKind.PATCH_LEFT, ROLLOUT, after=9, state="With provider"), rollout="patch-4711")
    services.facts.record(left)
    assert 'The tracker says "With provider", which somebody has set there since; it stays so.' in words()
