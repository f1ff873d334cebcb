"""What people can say of a pilot on its page: who may, what follows, and that nothing is lost that was typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, TEXTS
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services  # noqa: F401
from tests.support.pilots import DAY, MAJOR, WEEK, APilot
from tests.support.withdrawals import Postbox
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store
from tests.unit.web.test_pages import Read
from tests.unit.web.test_pilots import (  # noqa: F401
    ADA,
    ANA,
    BRUNO,
    CARLA,
    EMT,
    LENA,
    PAGE,
    VIEWER,
    clock,
    config,
    forms_on,
    get,
    pilot,
    running,
    web,
    words,
)

from pps.config.loader import Configuration
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.web.app import create_app

WHY = "Jobs are lost when the queue is full."


def forms(web: TestClient, who: str) -> list[str]:
    return forms_on(get(web, who).text)


def say(web: TestClient, do: str, who: str = CARLA, **fields: str) -> Any:
    headers = {"Authorization": f"Bearer {who}", "Accept": "text/html"}
    return web.post(f"{PAGE}/pilot", data={"do": do, **fields}, headers=headers)


def of(pilot: APilot, kind: FactKind) -> list[Fact]:
    return [fact for fact in pilot.record.facts if fact.kind is kind]


def test_an_entry_of_the_journal_is_kept_and_stands_on_the_page(web: TestClient, pilot: APilot, clock: Clock) -> None:
    running(pilot)
    clock.at = pilot.at
    done = say(web, "journal", ANA, site="PIC", text="Raised the limit of open files.\r\nRestarted it.")
    assert (done.status_code, done.headers["location"]) == (303, f"{PAGE}#journal")
    (entry,) = of(pilot, FactKind.JOURNAL_ENTRY)
    assert (entry.subject, entry.payload["text"]) == ("PIC", "Raised the limit of open files.\nRestarted it.")
    assert entry.payload["to"] == ["pps-support@localhost"]
    assert "PIC · ana Raised the limit of open files." in words(web)
    assert say(web, "journal", ANA, site="PIC", text="It hangs again.", call_expert="yes").status_code == 409
    assert len(of(pilot, FactKind.JOURNAL_ENTRY)) == 1, "the patch names no provider"


def test_a_roll_back_is_asked_for_and_a_success_declared(web: TestClient, pilot: APilot, clock: Clock) -> None:
    running(pilot)
    clock.at = pilot.at + DAY
    assert say(web, "roll-back", BRUNO, site="INFN-T1", reason=WHY).headers["location"] == f"{PAGE}#journal"
    (asked_for,) = of(pilot, FactKind.ROLL_BACK_ASKED)
    assert (asked_for.subject, asked_for.payload["by"]) == ("INFN-T1", "INFN-T1")
    assert say(web, "success", reason="It works very well.").status_code == 303
    assert pilot.pilot.run_ended_at is not None
    assert "The run has ended: success. It works very well." in words(web)


def test_a_vo_takes_part_and_a_meeting_moves(web: TestClient, pilot: APilot, clock: Clock) -> None:
    assert say(web, "interest", ADA, vo="atlas", text="Bulk submission.").headers["location"] == f"{PAGE}#vos"
    assert "atlas shows interest – Bulk submission." in words(web)
    pilot.selected()
    starts, ends = (pilot.at + 2 * DAY).isoformat(), (pilot.at + 2 * DAY + timedelta(hours=1)).isoformat()
    pilot.then(FactKind.MEETING_CALLED, "", "kick-off", starts=starts, ends=ends, to=["cms@example.org"], names=["cms"])
    moved = say(web, "move", what="kick-off", to="2025-12-04T13:00", reason="The developers are away.")
    assert moved.headers["location"] == f"{PAGE}#dates"
    assert "kick-off meeting (moved) Thu 4 Dec 2025, 13:00 UTC" in words(web)


def test_software_that_is_not_certified_is_justified(
    config: Configuration, tmp_path: Path, services: MemoryServices
) -> None:
    (tmp_path / "other").mkdir()
    patch = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    pilot = APilot(patch, shared_store(tmp_path / "other"), justification="The VO needs it for its challenge.")
    given = {"facts": pilot.store, "tracker": MemoryTracker(patch), "templates": templates(), "mailer": Postbox()}
    app = create_app(lambda: MemoryServices(config, lambda _: None, given), airflow_user, Clock(NOW + DAY))
    web = TestClient(app, base_url="https://pps.example.org", follow_redirects=False)
    assert forms(web, EMT) == ["justify"]
    assert say(web, "justify", EMT, reason="The fix cannot wait for certification.").status_code == 303
    assert "Why software that is not certified is used: The fix cannot wait for certification." in words(web)
    assert forms(web, EMT) == []


@pytest.mark.parametrize(
    ("who", "before", "since"),
    [
        (CARLA, ["journal", "interest"], ["journal", "roll-back", "success"]),
        (ANA, ["journal"], ["journal", "roll-back"]),
        (ADA, ["interest"], []),
        (EMT, [], []),
        (VIEWER, [], []),
        ("eve:Site Administrator", [], []),
    ],
)
def test_everybody_sees_the_forms_that_they_may_send(
    web: TestClient, pilot: APilot, who: str, before: list[str], since: list[str]
) -> None:
    pilot.selected("PIC")
    assert forms(web, who) == before
    pilot.kicked_off("atlas").wait(DAY).set_up("PIC")
    assert forms(web, who) == since
    pilot.wait(2 * WEEK).ended().wrapped_up("reject")
    assert forms(web, who) == []


@pytest.mark.parametrize(
    ("do", "who", "fields", "why"),
    [
        ("journal", BRUNO, {"site": "PIC", "text": "It is fine."}, "Only the administrators of PIC and"),
        ("roll-back", BRUNO, {"site": "PIC", "reason": WHY}, "Only the administrators of PIC and"),
        ("journal", "eve:Site Administrator", {"site": "PIC", "text": "It is fine."}, "Only the administrators of PIC"),
        ("roll-back", ADA, {"site": "PIC", "reason": WHY}, "Only the administrators of PIC and"),
        ("success", ANA, {"reason": "It works very well."}, "Only the PPS Coordinator may declare it."),
        ("success", EMT, {"reason": "It works very well."}, "Only the PPS Coordinator may declare it."),
        (
            "move",
            ANA,
            {"what": "kick-off", "to": "2025-12-09T13:00", "reason": "x"},
            "Only the PPS Coordinator may move",
        ),
        ("justify", ANA, {"reason": WHY}, "Only the PPS Coordinator and the EMT may decide on it."),
        ("journal", VIEWER, {"site": "PIC", "text": "It is fine."}, "Only the administrators of PIC and"),
    ],
)
def test_nobody_speaks_for_another_site_or_in_another_role(
    web: TestClient, pilot: APilot, clock: Clock, do: str, who: str, fields: Mapping[str, str], why: str
) -> None:
    running(pilot)
    clock.at, before = pilot.at, pilot.record.facts
    refused = say(web, do, who, **fields)
    assert refused.status_code == 422
    assert why in Read(refused.text).words
    assert pilot.record.facts == before


@pytest.mark.parametrize(("who", "vo"), [(ADA, "lhcb"), (LENA, "atlas"), (ANA, "atlas"), (EMT, "cms")])
def test_nobody_speaks_for_another_vo(web: TestClient, pilot: APilot, who: str, vo: str) -> None:
    refused = say(web, "interest", who, vo=vo, text="Bulk submission.")
    assert (refused.status_code, of(pilot, FactKind.INTEREST_SHOWN)) == (422, [])
    assert f"may speak for {vo}" in Read(refused.text).words


def test_what_is_refused_comes_back_with_the_reason_and_with_what_was_typed(
    web: TestClient, pilot: APilot, clock: Clock
) -> None:
    running(pilot)
    clock.at = pilot.at
    refused = say(web, "roll-back", CARLA, site="INFN-T1", reason="see mail")
    form = refused.text.partition('<details class="card says" open>')[2].partition("</form>")[0]
    assert 'role="alert"' in form and "three words at least" in form
    assert "\nsee mail</textarea>" in form and "<option selected>INFN-T1" in form
    assert refused.text.count("see mail") == 1, "in its own form alone"
    assert refused.text.count('role="alert"') == 1
    assert 'href="../../patches/4711"' in refused.text, "the links lead from where the page is now"
    again = get(web, CARLA, f"{PAGE}/pilot")
    assert (again.status_code, again.headers["location"]) == (303, PAGE)


def test_what_no_form_sends_is_refused_in_words(web: TestClient, pilot: APilot) -> None:
    pilot.selected()
    for do, fields, status, why in (
        ("<script>", {}, 422, "There is no form"),
        ("journal", {"site": "PIC"}, 422, "text: Field required"),
        ("journal", {"site": "NOWHERE", "text": "It is fine."}, 404, "no such site"),
        ("journal", {"site": "PIC", "text": "x", "user": "ana"}, 422, "user: Extra inputs"),
        ("journal", {"site": "PIC", "text": "x" * 10_001}, 422, "at most 10000"),
        ("move", {"what": "lunch", "to": "2025-12-04T13:00", "reason": ""}, 422, "kick-off, wrap-up"),
        ("move", {"what": "kick-off", "to": "soon", "reason": ""}, 422, "a moment is a date"),
    ):
        refused = say(web, do, **fields)
        assert (refused.status_code, why in Read(refused.text).words) == (status, True), (do, refused.text[-2000:])
        assert "<script>" not in refused.text
    assert say(web, "journal", "", site="PIC", text="x").status_code == 401
    other = {"Authorization": f"Bearer {CARLA}", "Origin": "https://evil.example.org"}
    assert web.post(f"{PAGE}/pilot", data={"do": "success", "reason": WHY}, headers=other).status_code == 403
    assert web.post("/rollouts/none-1/pilot", data={"do": "success"}, headers=other).status_code == 404
    as_json = {"Authorization": f"Bearer {CARLA}"}
    assert web.post(f"{PAGE}/pilot", json={"do": "success"}, headers=as_json).status_code == 415


@pytest.mark.parametrize("text", [*HTML, *TEXTS])
def test_any_text_is_kept_as_text_and_shown_as_text_or_refused(web: TestClient, pilot: APilot, text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    pilot.selected()
    for do, who, fields in (
        ("journal", ANA, {"site": "PIC", "text": text}),
        ("interest", ADA, {"vo": "atlas", "text": text}),
        ("journal", ANA, {"site": text, "text": text}),
        ("interest", ADA, {"vo": text, "text": text}),
        (text, CARLA, {"site": text}),
    ):
        html = say(web, do, who, **fields).text + get(web).text
        for tag in ("<script>", "<img", "<svg/", "<style", "<b>", "<!--", "]]>"):
            assert tag not in html
