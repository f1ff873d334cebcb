"""The page of a patch: for anybody, of this moment, and honest where the tracker is away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML
from tests.support.front import (  # noqa: F401
    NOW,
    PATCH,
    ROLLOUT,
    MemoryServices,
    a_preview_that_is_out,
    happened,
    services,
)
from tests.unit.web.test_api import airflow_user, ticking
from tests.unit.web.test_pages import BROWSER, Read

from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import FactKind
from pps.web.app import create_app
from pps.web.tracked import Tracked
from pps.workflow.why import AWAY, GONE, THEN

PAGE, DATA = "/patches/4711", "/api/v1/patches/4711"


@pytest.fixture
def anybody(services: MemoryServices) -> TestClient:
    a_preview_that_is_out(services.facts)
    return TestClient(create_app(lambda: services, airflow_user, ticking()), base_url="https://pps.example.org")


class Tracker:
    """Counts who asks it; away while told so."""

    def __init__(self, *patches: Patch) -> None:
        self.known, self.asked, self.away = {p.number: p for p in patches}, 0, False

    def patch(self, number: int) -> Patch:
        self.asked += 1
        if self.away or number not in self.known:
            raise ServiceError("tracker", "it does not answer.")
        return self.known[number]

    def page(self, number: int) -> str:
        return f"https://tracker.example.org/patch?:action=number&number={number}"


def test_the_answer_stands_on_top_and_every_condition_below_it(anybody: TestClient) -> None:
    words = Read(anybody.get(PAGE).text).words
    answer = "0 of 2 VOs have answered; it ends on Sun 15 Mar 2026, 12:00 UTC or when all have."
    both = "It waits for the VOs and the certification. First of these:"
    assert f"{both} {answer}" in words
    assert words.index(both) < words.index("Between now and production") < words.index("Release notes")
    data = anybody.get(DATA).json()
    assert data["answer"] == f"{both} {answer}"
    vos = next(c for c in data["conditions"] if c["name"] == "VOs")
    assert vos == {
        "name": "VOs",
        "source": "SD 4.1.1",
        "state": "waiting",
        "sentence": answer,
        "who": ["atlas", "cms"],
        "until": "2026-03-15T12:00:00+00:00",
        "rollout": ROLLOUT,
    }


@pytest.mark.parametrize("path", [PAGE, DATA])
def test_it_is_of_this_moment_and_a_304_while_nothing_has_changed(
    anybody: TestClient, services: MemoryServices, path: str
) -> None:
    before = anybody.get(path)
    again = anybody.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert (before.status_code, again.status_code, again.content) == (200, 304, b"")
    services.facts.record(happened(FactKind.WITHDRAWAL_ASKED, reason="It corrupts files."))
    after = anybody.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert "It corrupts files." in after.text


def test_other_rollouts_leave_its_edition_alone(anybody: TestClient, services: MemoryServices) -> None:
    before = anybody.get(PAGE).headers["etag"]
    other = replace(happened(FactKind.SITE_FAILED, "CNAF", "night"), rollout="bc-client-4712-1")
    services.facts.record(other)
    assert anybody.get(PAGE).headers["etag"] == before


def test_the_tracker_s_new_state_is_another_edition(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    tracker = Tracker(PATCH)
    services.__dict__["tracker"] = tracker
    seen = []
    for state in (PatchState.IN_CERTIFICATION, PatchState.CERTIFIED):
        tracker.known[4711] = replace(PATCH, state=state)
        app = create_app(lambda: services, airflow_user, lambda: NOW)  # another process: what it kept is its own
        seen.append(TestClient(app).get(PAGE).headers["etag"])
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    "number", ["4713", "0", "-1", "04711", "4711.0", "1e3", "x", "4711%20", "9999999999", "..%2Fmap", "٤٧١١", "4711;x"]
)
def test_an_unknown_number_is_404_for_people_and_programs(anybody: TestClient, number: str) -> None:
    for address in (f"/patches/{number}", f"/api/v1/patches/{number}"):
        assert anybody.get(address).status_code == 404, address
    page = anybody.get(f"/patches/{number}", headers=BROWSER)
    assert page.status_code == 404
    assert "text/html" in page.headers["content-type"]


def test_a_patch_that_is_in_the_tracker_alone_has_a_page(anybody: TestClient) -> None:
    words = Read(anybody.get("/patches/4712").text).words
    assert 'It was rejected: the tracker says "Rejected".' in words


def test_without_the_tracker_the_page_shows_the_record_and_says_so(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    tracker = Tracker()
    tracker.away = True
    services.__dict__["tracker"] = tracker
    client = TestClient(create_app(lambda: services, airflow_user, ticking()))
    page = client.get(PAGE)
    assert page.status_code == 200
    words = Read(page.text).words
    assert AWAY in words
    assert "0 of 2 VOs have answered" in words
    found = {c["name"]: c["state"] for c in client.get(DATA).json()["conditions"]}
    assert (found["certification"], found["deployment test"]) == ("unknown", "unknown")
    assert "In the tracker" not in words
    assert client.get("/patches/4799").status_code == 503, "nobody can tell whether there is one"


def test_a_patch_that_the_tracker_has_lost_is_still_on_record(anybody: TestClient, services: MemoryServices) -> None:
    services.tracker.known.clear()  # type: ignore[attr-defined]
    assert GONE in Read(anybody.get(PAGE).text).words


def test_it_is_shown_as_it_was_from_the_record_alone_and_says_so(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    then = {"at": (NOW + timedelta(minutes=59)).isoformat()}
    tracker = Tracker(replace(PATCH, state=PatchState.CERTIFIED))
    services.__dict__["tracker"] = tracker
    client = TestClient(create_app(lambda: services, airflow_user, ticking(NOW + timedelta(hours=3))))
    before = client.get(DATA, params=then).json()
    services.facts.record(happened(FactKind.WITHDRAWAL_ASKED, after=60, reason="It corrupts files."))
    after, now = client.get(DATA, params=then).json(), client.get(DATA).json()
    assert after == before
    assert "It corrupts files." in str(now) and "It corrupts files." not in str(before)
    assert (before["tracker"], before["state"], now["state"]) == (THEN, None, "Certified")
    states = {c["name"]: c["state"] for c in before["conditions"]}
    assert states["certification"] == "unknown", "nobody knows what the tracker said"
    asked = tracker.asked
    page = client.get(PAGE, params=then)
    words = Read(page.text).words
    assert "as it was" in words and "on Sun 1 Mar 2026, 12:59 UTC" in words and THEN in words and "back to now" in words
    assert f'action="../patches/4711" data-past="{NOW.isoformat()}' in page.text
    assert tracker.asked == asked
    too_early = client.get(PAGE, params={"at": (NOW - timedelta(days=1)).isoformat()})
    assert too_early.status_code == 404 and "did not know patch 4711" in too_early.text
    assert client.get(PAGE, params={"at": "yesterday"}).status_code == 422
    assert {client.get(PAGE, params=then).status_code for _ in range(40)} == {200, 429}
    assert client.get(PAGE).status_code == 200


def test_fifty_readers_ask_the_tracker_once_and_one_that_is_away_holds_up_nobody(services: MemoryServices) -> None:
    time = [0.0]
    tracker = Tracker(PATCH)
    services.__dict__["tracker"] = tracker
    tracked = Tracked(lambda: services, lambda: time[0])
    assert {tracked.patch(4711).patch for _ in range(50)} == {PATCH}
    assert tracker.asked == 1
    time[0] = 60.0
    tracker.away = True
    assert {tracked.patch(number).note for number in (4711, 4712, 4713) for _ in range(10)} == {AWAY}
    assert tracker.asked == 2
    time[0] = 120.0
    tracker.away = False
    assert tracked.patch(4711).patch == PATCH


def test_who_tries_out_numbers_is_slowed_down_before_the_tracker_is(services: MemoryServices) -> None:
    client = TestClient(create_app(lambda: services, airflow_user, ticking()))
    found = [client.get(f"/patches/{number}").status_code for number in range(10_000, 10_100)]
    assert set(found) == {404, 429}
    a_preview_that_is_out(services.facts)
    assert client.get(PAGE).status_code == 200, "what is on record is for everybody"


@pytest.mark.parametrize("text", HTML)
def test_a_hostile_title_or_reason_is_text(services: MemoryServices, text: str) -> None:
    a_preview_that_is_out(services.facts)
    services.tracker.known[4711] = replace(PATCH, title=f"T {text}")  # type: ignore[attr-defined]
    services.facts.record(happened(FactKind.WITHDRAWAL_ASKED, reason=f"R {text}"))
    client = TestClient(create_app(lambda: services, airflow_user, ticking()))
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "<" not in text or text not in page.text
    assert not [
        tag for tag in ("<img", "<svg/", "<b>", "alert(1)</script", 'href="javascript', "<!--") if tag in page.text
    ]
    assert client.get(DATA).json()["title"].startswith("T ")


def test_pages_lead_to_it_where_the_number_of_the_patch_stands(anybody: TestClient) -> None:
    for path in ("/", "/home", "/bulletin", "/map", "/map?view=table"):
        assert 'href="patches/4711"' in anybody.get(path).text, path
    assert 'href="../patches/4711"' in anybody.get(f"/bulletin/{ROLLOUT}.html").text


def test_a_copy_for_other_web_servers_leads_to_no_page_that_it_does_not_have(services: MemoryServices) -> None:
    from tests.support.examples import SITES, templates

    from pps.activities.clients.bulletin_pages import write_bulletin

    a_preview_that_is_out(services.facts)
    folder: Any = services.publication_folder
    write_bulletin(services.facts, SITES, templates(), folder, NOW, "https://pps.example.org")  # type: ignore[arg-type]
    assert "patches/" not in (folder.root / "bulletin.html").read_text()
