"""A site's pages: what everybody sees, what those who run it see, and who may say what it wishes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, JSON, NAMES, TEXTS
from tests.support.examples import NOW, asked, opened, previewed, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store
from tests.unit.web.test_pages import Read

from pps.adapters.record.store import FactStore
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.wishes import RECORD, wishes_in
from pps.domain.sites.wishes import Wishes
from pps.web.app import create_app

PAGE, DOOR = "/sites/PIC/work", "/api/v1/sites/PIC/wishes"
ANA, BOB, CARLA = "ana:Site Administrator", "bob:Site Administrator", "carla:PPS Coordinator"
WINDOW = {"do": "window", "days": ["mon", "tue", "wed", "thu", "fri"], "begins": "22:00", "ends": "06:00"}
PIN = {"do": "pin", "metapackage": "glite-WN", "version": "3.1.23", "reason": "It breaks our batch system"}
OUT = {"do": "opt-out", "reason": "ana and ana@example.org move our machines."}
WEEKEND = {"days": ["sat", "sun"], "begins": "00:00", "ends": "00:00"}
ALL = (WINDOW, {"do": "no-window"}, PIN, {"do": "unpin", "metapackage": "glite-WN"}, OUT, {"do": "opt-in"})
BROWSER = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://pps.example.org"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactStore]:
    made = shared_store(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW + timedelta(hours=1))


@pytest.fixture
def web(services: MemoryServices, store: FactStore, clock: Clock) -> TestClient:
    sites = [
        site("PIC", administrators=["ana"], timezone="Europe/Madrid"),
        site("CNAF", administrators=["bob"]),
        site("INFN-BARI"),
    ]
    config = write_config(services.config.folder, sites)
    given = {"facts": store, "tracker": MemoryTracker(), "templates": templates(), "feedback_secret": b"x" * 32}
    world = MemoryServices(config, lambda _: None, given)
    return TestClient(create_app(lambda: world, airflow_user, clock), base_url="https://pps.example.org")


def get(web: TestClient, path: str, who: str = ANA) -> Any:
    return web.get(path, headers={"Authorization": f"Bearer {who}"} if who else {})


def post(web: TestClient, body: Any, who: str = ANA, path: str = DOOR, **headers: str) -> Any:
    given = {"Content-Type": "application/json", **headers} | ({"Authorization": f"Bearer {who}"} if who else {})
    return web.post(path, content=json.dumps(body), headers=given)


def send(web: TestClient, fields: dict[str, str], who: str = ANA, path: str = PAGE, **headers: str) -> Any:
    given = {**BROWSER, **headers} | ({"Authorization": f"Bearer {who}"} if who else {})
    return web.post(path, data=fields, headers=given, follow_redirects=False)


def stands(store: FactStore, name: str = "PIC") -> Wishes:
    return wishes_in(store.standing([RECORD])[RECORD], NOW).of(name)


def as_form(body: dict[str, Any]) -> dict[str, str]:
    return {k: v for k, v in body.items() if k != "days"} | dict.fromkeys(body.get("days", ()), "yes")


# --- who may say it


@pytest.mark.parametrize(
    ("who", "may"),
    [(ANA, True), (CARLA, True), (BOB, False), ("rita:Regional Manager", False), ("ada:VO Representative", False)],
)
@pytest.mark.parametrize("body", [WINDOW, PIN, OUT], ids=lambda b: b["do"])
def test_only_the_sites_own_people_and_the_coordinator_say_what_it_wishes(
    web: TestClient, store: FactStore, body: dict[str, Any], who: str, may: bool
) -> None:
    by_program, by_form = post(web, body, who), send(web, as_form(body), who)
    assert (by_program.status_code, by_form.status_code) == ((201, 303) if may else (422, 422))
    assert (stands(store) != Wishes()) is may
    if not may:
        for answer in (by_program.json()["detail"], Read(by_form.text).words):
            assert "Only the administrators of PIC and the PPS Coordinator may say what it wishes." in answer


def test_nobody_says_anything_without_signing_in_nor_from_another_sites_page(web: TestClient, store: FactStore) -> None:
    assert [post(web, WINDOW, "").status_code, send(web, as_form(WINDOW), "").status_code] == [401, 401]
    evil = {"Origin": "https://evil.example.net"}
    assert [post(web, WINDOW, ANA, **evil).status_code, send(web, as_form(WINDOW), ANA, **evil).status_code] == [
        403,
        403,
    ]
    assert stands(store) == Wishes()
    assert get(web, PAGE, "").status_code == get(web, "/api/v1/sites/PIC/work", "").status_code == 401


def test_an_administrator_of_another_site_reads_the_page_and_finds_no_button(web: TestClient) -> None:
    mine, theirs = get(web, PAGE, ANA), get(web, PAGE, BOB)
    assert ("<button" in mine.text, "<button" in theirs.text) == (True, False)
    assert "Only the administrators of PIC" in theirs.text


# --- what is said


def test_a_form_sets_a_window_and_the_page_shows_it_in_the_sites_own_time(web: TestClient, store: FactStore) -> None:
    answer = send(web, as_form(WINDOW))
    assert (answer.status_code, answer.headers["location"]) == (303, "/sites/PIC/work#wishes")
    words = Read(get(web, PAGE).text).words
    assert "Mon to Fri, 22:00 to 06:00 of the next day (Europe/Madrid)" in words
    assert "Closed now; it opens on Mon 1 Dec 2025, 21:00 UTC (Mon 1 Dec 2025, 22:00 Europe/Madrid)." in words
    said = store.rollout(RECORD).facts[-1]
    assert (said.subject, said.actor, said.payload["user"]) == ("PIC", "user ana", "ana")
    assert send(web, {"do": "no-window"}).status_code == 303
    assert "At any time." in Read(get(web, PAGE).text).words


def test_a_site_that_is_open_at_night_adds_its_weekends_and_takes_one_back_without_the_other(
    web: TestClient, store: FactStore, clock: Clock
) -> None:
    send(web, as_form(WINDOW))
    added = {"do": "add-window", **WEEKEND}
    assert send(web, as_form(added)).status_code == 303
    assert post(web, added).json()["new"] is False, "the same again"
    page = get(web, PAGE).text
    assert "Mon to Fri, 22:00 to 06:00 of the next day; Sat, Sun, all day (Europe/Madrid)" in Read(page).words
    assert page.count('value="lift-window"') == 2 and 'value="no-window"' not in page
    clock.at = datetime.fromisoformat("2025-12-06T12:00:00+00:00")
    assert get(web, "/api/v1/sites/PIC").json()["wishes"]["windows"] == {
        "words": "Mon to Fri, 22:00 to 06:00 of the next day; Sat, Sun, all day",
        "each": [
            {"words": "Mon to Fri, 22:00 to 06:00 of the next day", **{k: v for k, v in WINDOW.items() if k != "do"}},
            {"words": "Sat, Sun, all day", **WEEKEND},
        ],
        "open": True,
        "opens": None,
        "closes": "2025-12-07T23:00:00+00:00",
    }
    assert send(web, as_form({**WINDOW, "do": "lift-window"})).status_code == 303
    assert "Sat, Sun, all day (Europe/Madrid)" in Read(get(web, PAGE).text).words
    assert "nothing to lift" in post(web, {"do": "lift-window", **WEEKEND, "begins": "01:00"}).json()["detail"]
    for hour in range(13):
        post(web, {"do": "add-window", "days": ["mon"], "begins": f"{hour:02}:00", "ends": f"{hour + 1:02}:00"})
    refused = send(web, as_form({"do": "add-window", "days": ["tue"], "begins": "01:00", "ends": "02:00"}))
    assert (refused.status_code, Read(refused.text).fields["ends"]["value"]) == (422, "02:00")
    assert "It has 14 windows already" in Read(refused.text).words
    assert send(web, as_form(WINDOW)).status_code == 303
    assert "When we may write there Mon to Fri, 22:00 to 06:00 of the next day (" in Read(get(web, PAGE).text).words


def test_what_cannot_be_taken_comes_back_with_the_reason_and_with_what_was_typed(web: TestClient) -> None:
    for fields, why in (
        (as_form(WINDOW) | {"ends": "22:20"}, "open for less than an hour"),
        (as_form(PIN) | {"reason": "no"}, "three words at least"),
        (as_form(PIN) | {"metapackage": "glite WN"}, "no metapackage's name"),
        ({"do": "opt-in"}, "nothing to lift"),
        ({"do": "dance"}, "do: Input should be"),
        ({}, "do: Field required"),
    ):
        answer = send(web, fields)
        page = Read(answer.text)
        assert answer.status_code == 422, fields
        assert why in page.words
        assert 'role="alert"' in answer.text
    again = send(web, as_form(WINDOW) | {"ends": "22:20"})
    assert 'name="mon" value="yes" checked' in again.text and 'name="sun" value="yes" checked' not in again.text
    assert Read(again.text).fields["ends"]["value"] == "22:20"
    assert Read(send(web, as_form(PIN) | {"reason": "no"}).text).fields["version"]["value"] == "3.1.23"


def test_a_program_tries_it_first_and_then_says_it_once(web: TestClient, store: FactStore) -> None:
    opened(store)
    tried = post(web, OUT | {"dry_run": True})
    assert (tried.status_code, tried.json()["new"], tried.json()["dry_run"]) == (200, True, True)
    assert tried.json()["follows"] == ["glite-WN 3.1.23 does not come."]
    assert stands(store) == Wishes()
    first, again = post(web, OUT), post(web, OUT)
    assert (first.status_code, first.json()["new"]) == (201, True)
    assert (again.status_code, again.json()["new"]) == (200, False)
    assert first.json()["wishes"]["opt_out"]["reason"] == "ana and a***@example.org move our machines."
    assert post(web, {"do": "opt-in", "dry_run": True}).json()["follows"] == [
        "glite-WN 3.1.23 comes, with the next night or window."
    ]
    assert len(store.rollout(RECORD).facts) == 2


def test_those_in_charge_get_one_mail_with_the_reason_when_a_site_leaves_and_when_it_comes_back(
    web: TestClient, store: FactStore, clock: Clock
) -> None:
    for body in (WINDOW, OUT | {"dry_run": True}, OUT, OUT):
        post(web, body)
    mails = [mail for mail, _, _ in store.outbox(RECORD)]
    assert [(m.to, m.subject) for m in mails] == [
        ("pps-support@localhost", "PIC takes no previews any more"),
        ("roc-north@example.org", "PIC takes no previews any more"),
    ]
    assert all("> ana and ana@example.org move our machines." in m.text for m in mails)
    clock.at += timedelta(hours=1)
    send(web, {"do": "opt-in"})
    clock.at += timedelta(hours=1)
    send(web, as_form(OUT | {"reason": "It is our own again <b>now</b>."}))
    mails = [mail for mail, _, _ in store.outbox(RECORD)]
    assert [m.subject.partition(" takes ")[2] for m in mails[::2]] == [
        "no previews any more",
        "previews again",
        "no previews any more",
    ]
    assert "&lt;b&gt;now&lt;/b&gt;" in mails[-1].html and "rollout" not in mails[-1].text.partition("-- ")[2]


def test_what_lies_there_already_is_said_to_stay(web: TestClient, store: FactStore) -> None:
    previewed(store)
    assert post(web, PIN | {"dry_run": True}).json()["follows"] == ["glite-WN 3.1.23 lies there, and is left."]


# --- what is shown


def test_everybody_sees_that_there_is_a_wish_and_no_person(web: TestClient, store: FactStore) -> None:
    before = get(web, "/sites/PIC", "")
    assert "At any time." in Read(before.text).words
    post(web, WINDOW), post(web, PIN), post(web, OUT)
    page = web.get("/sites/PIC", headers={"If-None-Match": before.headers["etag"]})
    assert page.status_code == 200, "the page of before is not good any more"
    words, data = Read(page.text).words, get(web, "/api/v1/sites/PIC", "").json()
    assert "glite-WN 3.1.23 since" in words and "It breaks our batch system." in words
    assert 'href="../sites/PIC/work"' in page.text
    assert data["wishes"]["windows"]["words"] == "Mon to Fri, 22:00 to 06:00 of the next day"
    assert data["wishes"]["windows"]["opens"] == "2025-12-01T21:00:00+00:00"
    for text in (words, json.dumps(data)):
        assert "move our machines" in text
        assert "ana " not in text and "example.org move" not in text.replace("***@example.org move", "")
    assert get(web, "/api/v1/sites/PIC", "").headers["etag"] == get(web, "/api/v1/sites/PIC", "").headers["etag"]


def test_those_who_run_it_see_receipts_probes_dates_and_questions(web: TestClient, store: FactStore) -> None:
    record = asked(store, previewed(store))
    later = NOW + timedelta(minutes=20)
    results = [{"probe": "environment", "state": "OK", "text": "all set", "perfdata": "time=1"}]
    receipt = {"tarball": "glite-WN-3.1.23-PPS-0123456789ab", "how": "delta", "bytes": 4096, "seconds": 1.5}
    store.record(
        Fact(record.name, FactKind.PREVIEW_INSTALLED, "PIC", "again", later, "pps", receipt),
        Fact(record.name, FactKind.PROBES_PASSED, "PIC", "again", later, "pps", {"results": results}),
        Fact(record.name, FactKind.TAG_SEEN, "PIC", "again", later, "pps"),
        Fact(record.name, FactKind.PROBES_FAILED, "INFN-BARI", "x", later, "pps", {"results": [], "reason": "Theirs."}),
    )
    due = {"due": (NOW + timedelta(days=3)).isoformat(), "title": "Is it configured?", "assigned_to": ["user:ana"]}
    store.record(Fact(record.name, FactKind.QUESTION_ASKED, "PIC", "local-configuration", later, "pps", due))
    store.record(Fact(record.name, FactKind.QUESTION_ASKED, "CNAF", "local-configuration", later, "pps", due))
    over = Fact(record.name, FactKind.QUESTION_EXPIRED, "PIC", "release-test", later, "pps", {"reason": "Silence."})
    store.record(Fact(record.name, FactKind.QUESTION_ASKED, "PIC", "release-test", later, "pps", due), over)
    data = get(web, "/api/v1/sites/PIC/work").json()
    (preview,) = data["previews"]
    assert (preview["state"], preview["batch"], preview["not_before"]) == ("available", "among the first sites", None)
    (receipt,) = [d["receipt"] for d in preview["done"] if d["receipt"] and d["receipt"]["how"] == "delta"]
    assert receipt["digest"] == "0" * 64 and receipt["bytes"] == 4096
    assert preview["probes"]["results"] == results
    assert [q["title"] for q in data["questions"]] == ["Is it configured?"]
    assert [d["what"] for d in data["dates"]] == [
        "An answer is awaited: Is it configured?",
        "Feedback on glite-WN 3.1.23 ends",
    ]
    words = Read(get(web, PAGE).text).words
    for part in (
        "only what was missing was sent",
        "4.1 kB in 1.5 s",
        "all set",
        "Is it configured?",
        "in this site's list",
    ):
        assert part in words
    assert "Theirs" not in words


def dates(web: TestClient, name: str) -> tuple[str | None, str]:
    (preview,) = get(web, f"/api/v1/sites/{name}/work").json()["previews"]
    return preview["not_before"], " ".join(preview["because"])


def test_a_site_is_told_its_batch_and_what_it_waits_for(web: TestClient, store: FactStore, clock: Clock) -> None:
    record = opened(store)
    assert dates(web, "PIC") == (None, "The tarball is built first; then its batches are agreed on.")
    batches = {"canary": ["CNAF"], "fleet-1": ["INFN-BARI"], "fleet-2": ["PIC"]}
    store.record(Fact(record.name, FactKind.PLAN_AGREED, "", "", NOW, "pps", {"batches": batches}))
    (preview,) = get(web, "/api/v1/sites/PIC/work").json()["previews"]
    assert preview["batch"] == "batch 2 of 2"
    assert dates(web, "PIC") == (None, "The first sites must have it, and pass.")
    post(web, WINDOW)
    assert dates(web, "PIC") == (
        "2025-12-01T21:00:00+00:00",
        "The first sites must have it, and pass. The site's window is closed until then.",
    )
    assert "batch 2 of 2 of its plan" in Read(get(web, PAGE).text).words
    store.record(Fact(record.name, FactKind.GATE_PASSED, "", "", NOW, "pps"))
    assert "Its batch has its turn" in dates(web, "PIC")[1]
    asked(store, record)
    assert dates(web, "PIC") == ("2025-12-01T21:00:00+00:00", "It is tried when its next window opens.")
    assert dates(web, "INFN-BARI") == ("2025-12-02T02:00:00+00:00", "The next night tries again.")
    clock.at = datetime.fromisoformat("2025-12-01T23:30:00+00:00")
    assert "within the hour" in dates(web, "PIC")[1]
    post(web, OUT)
    assert dates(web, "PIC") == (None, "PIC takes no previews: ana and a***@example.org move our machines.")


def test_a_preview_that_has_ended_names_the_day_on_which_it_leaves(web: TestClient, store: FactStore) -> None:
    record = previewed(store)
    store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "pps", {"outcome": "released"}))
    leaves = (NOW + timedelta(days=30)).isoformat()
    data = get(web, "/api/v1/sites/PIC/work").json()
    assert [(d["at"], d["what"]) for d in data["dates"]] == [
        (leaves, "glite-WN 3.1.23 leaves this site, in the night that follows")
    ]
    assert get(web, "/api/v1/sites/INFN-BARI/work").json()["dates"] == [], "it has never been there"


# --- bad input


@pytest.mark.parametrize("text", [*HTML, *TEXTS])
def test_any_reason_is_shown_as_text_or_refused(web: TestClient, text: str) -> None:
    for body in (PIN, OUT):
        assert post(web, body | {"reason": text}).status_code in (201, 422)
    for path in ("/sites/PIC", PAGE):
        page = get(web, path).text
        assert "<script>" not in page.replace('<script type="module"', "")
        assert "<img" not in page and "\u202e" not in page


@pytest.mark.parametrize("name", NAMES)
def test_no_name_does_harm(web: TestClient, name: str) -> None:
    for body in (PIN | {"metapackage": name}, PIN | {"version": name or "\n"}):
        assert post(web, body).status_code == 422


@pytest.mark.parametrize("body", JSON)
def test_no_body_does_harm(web: TestClient, body: Any) -> None:
    headers = {"Authorization": f"Bearer {ANA}", "Content-Type": "application/json"}
    assert web.post(DOOR, content=body, headers=headers).status_code in (400, 413, 422)


def test_what_is_not_there_is_404(web: TestClient, store: FactStore) -> None:
    post(web, WINDOW)
    for path in ("/sites/NOWHERE", "/sites/..%2Fx", "/api/v1/sites/NOWHERE", "/sites/NOWHERE/work"):
        assert get(web, path).status_code == 404, path
    assert post(web, WINDOW, path="/api/v1/sites/NOWHERE/wishes").status_code == 404
    assert send(web, as_form(WINDOW), path="/sites/NOWHERE/work").status_code == 404
    for path in (f"/api/v1/rollouts/{RECORD}", f"/feedback/{RECORD}", f"/rollouts/{RECORD}"):
        assert get(web, path).status_code == 404, f"{path}: what sites wish is no rollout"


def test_a_site_that_has_left_the_registry_is_shown_without_wishes(web: TestClient, store: FactStore) -> None:
    previewed(store)
    page = get(web, "/sites/LIP-Lisbon", "")
    assert page.status_code == 200
    assert "What the site wishes" not in page.text
    assert get(web, "/api/v1/sites/LIP-Lisbon", "").json()["wishes"] is None
