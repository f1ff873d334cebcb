"""The doors for decisions on a pilot: who may use them, that nothing is doubled, and what follows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, JSON, NAMES, TEXTS
from tests.support.described import as_described
from tests.support.desks import at_desk
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, services, site, write_config  # noqa: F401
from tests.support.pilots import DAY, MAJOR, WEEK, APilot
from tests.support.withdrawals import Postbox
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store

from pps.activities.people.notification import Party
from pps.activities.pilots import kick_off as pilot_kick_off
from pps.activities.pilots import meetings as pilot_meetings
from pps.config.loader import Configuration
from pps.domain.base.errors import NotYetAllowedError, ServiceError
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import FactKind
from pps.web.app import create_app

BASE = "/api/v1/rollouts/major-pilot-4711-1"
CARLA, REPRESENTATIVE, EMT = "carla:PPS Coordinator", "ada:VO Representative", "erika:EMT"
INTEREST = {"vo": "atlas", "text": "Bulk submission."}
STARTS = NOW + 2 * DAY
LATER = "2025-12-04T14:00+01:00"
MOVE = {"to": LATER, "reason": "The developers are away."}
WHY = {"reason": "The fix cannot wait for certification."}


@pytest.fixture
def pilot(tmp_path: Path) -> Any:
    store = shared_store(tmp_path)
    yield APilot(replace(MAJOR, state=PatchState.CERTIFIED), store, vo="cms").accepted().ranked()
    store.dispose()


@pytest.fixture
def tracker() -> MemoryTracker:
    return MemoryTracker(MAJOR)


@pytest.fixture
def config(services: MemoryServices) -> Configuration:
    made = write_config(services.config.folder, [site("PIC", administrators=["ana"]), site("CNAF")])
    people = yaml.safe_load((made.folder / "people.yaml").read_text())
    people["vos"].append({"name": "lhcb", "contact": "lhcb@example.org", "representatives": ["lena"]})
    people["role_contacts"] = {"PPS Coordinator": "coordination@example.org"}
    (made.folder / "people.yaml").write_text(yaml.safe_dump(people))
    return Configuration(made.folder)


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def web(config: Configuration, pilot: APilot, tracker: MemoryTracker, postbox: Postbox) -> TestClient:
    given = {"facts": pilot.store, "tracker": tracker, "templates": templates(), "mailer": postbox}
    world = MemoryServices(config, lambda _: None, given)
    app = create_app(lambda: world, airflow_user, Clock(NOW + timedelta(hours=9)))
    return TestClient(app, base_url="https://pps.example.org")


def post(web: TestClient, what: str, body: Any, who: str = CARLA, **headers: str) -> Any:
    given = {"Content-Type": "application/json", **headers} | ({"Authorization": f"Bearer {who}"} if who else {})
    return as_described(web, web.post(f"{BASE}/{what}", content=json.dumps(body), headers=given))


def called(pilot: APilot, *parties: str) -> APilot:
    """The sites are selected, and everybody is invited to the kick-off."""
    pilot.selected()
    invite(pilot, pilot_meetings.KICK_OFF, *(parties or ("pic", "cms")))
    due = STARTS + timedelta(hours=1) + 5 * DAY
    return pilot.then(
        FactKind.QUESTION_ASKED,
        "PPS Coordinator",
        pilot_kick_off.STEP,
        due=due.isoformat(),
        to="",
        title="",
        assigned_to=["role:PPS Coordinator"],
    )


def invite(pilot: APilot, what: str, *parties: str) -> None:
    pilot_meetings.call_meeting(
        at_desk(pilot.record, pilot.store, templates=templates(), now=NOW, actor="pps"),
        what,
        [Party(party, f"{party}@example.org") for party in parties],
        pilot_kick_off.AGENDA,
        pilot_meetings.Host("pps-support@localhost", "https://pps.example.org"),
        starts=STARTS,
        lasts=timedelta(hours=1),
    )


def facts(pilot: APilot, kind: FactKind) -> list[Any]:
    return [f for f in pilot.record.facts if f.kind is kind]


def invitations(pilot: APilot) -> dict[str, list[str]]:
    """Address -> the calendars that it got, in the order in which they count."""
    found: dict[str, list[str]] = {}
    for mail, _, _ in pilot.store.outbox(pilot.name):
        calendars = [text for _, kind, text in mail.attachments if kind == "text/calendar"]
        found[mail.to] = found.get(mail.to, []) + calendars
    return {to: sorted(texts, key=sequence) for to, texts in found.items() if texts}


def sequence(calendar: str) -> int:
    return int(calendar.partition("SEQUENCE:")[2].partition("\r\n")[0])


# --- interest


def test_a_vo_says_that_it_takes_part_once_and_the_coordination_is_told(web: TestClient, pilot: APilot) -> None:
    first, again = post(web, "interest", INTEREST, REPRESENTATIVE), post(web, "interest", INTEREST, REPRESENTATIVE)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() | {"new": False} == again.json()
    assert (first.json()["vo"], first.json()["user"]) == ("atlas", "ada")
    (mail,) = [m for m, _, _ in pilot.store.outbox(pilot.name)]
    assert (mail.to, "Bulk submission." in mail.text) == ("coordination@example.org", True)


@pytest.mark.parametrize(
    ("who", "vo", "status"),
    [
        (REPRESENTATIVE, "atlas", 201),
        (REPRESENTATIVE, "lhcb", 422),
        ("lena", "lhcb", 201),
        ("lena", "atlas", 422),
        (CARLA, "lhcb", 201),
        ("ana:Site Administrator", "atlas", 422),
        (REPRESENTATIVE, "nobody", 422),
        ("", "atlas", 401),
    ],
)
def test_only_its_representatives_and_the_coordinator_speak_for_a_vo(
    web: TestClient, pilot: APilot, who: str, vo: str, status: int
) -> None:
    assert post(web, "interest", INTEREST | {"vo": vo}, who).status_code == status
    assert [f.subject for f in facts(pilot, FactKind.INTEREST_SHOWN)] == [vo] * (status == 201)


def test_after_the_kick_off_nobody_takes_part_who_has_not_said_so(web: TestClient, pilot: APilot) -> None:
    assert post(web, "interest", INTEREST, REPRESENTATIVE).status_code == 201
    pilot.selected().kicked_off()
    assert post(web, "interest", INTEREST, REPRESENTATIVE).status_code == 200
    assert "another round" in post(web, "interest", INTEREST | {"text": "More."}, REPRESENTATIVE).json()["detail"]


# --- meetings


def test_people_hear_of_it_at_once_and_of_what_was_said_before_nothing(
    web: TestClient, pilot: APilot, postbox: Postbox
) -> None:
    for _ in range(2):
        post(web, "interest", INTEREST, REPRESENTATIVE)
        assert [mail.to for mail in postbox.mails] == ["coordination@example.org"]


def test_a_mail_server_that_is_down_takes_nothing_back(
    web: TestClient, pilot: APilot, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> Any:
        raise ServiceError("mail", "does not answer.")

    monkeypatch.setattr(postbox, "send", down)
    assert post(web, "interest", INTEREST, REPRESENTATIVE).status_code == 201
    ((_, sent, error),) = pilot.store.outbox(pilot.name)
    assert (sent, "does not answer" in error) == (None, True)


def test_a_meeting_moves_in_everybody_s_calendar_once(web: TestClient, pilot: APilot) -> None:
    called(pilot)
    first, again = post(web, "meetings/kick-off", MOVE), post(web, "meetings/kick-off", MOVE)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["starts"] == "2025-12-04T13:00:00+00:00"
    got = invitations(pilot)
    for address in ("pic@example.org", "cms@example.org"):
        old, new = got[address]
        for line in ("UID:kick-off-major-pilot-4711-1.1", "METHOD:REQUEST"):
            assert line in old and line in new
        assert (sequence(old), sequence(new)) == (0, 1)
        assert "DTSTART:20251204T130000Z" in new and "DTEND:20251204T140000Z" in new
    assert len(facts(pilot, FactKind.MEETING_CALLED)) == 2
    moved = facts(pilot, FactKind.MEETING_CALLED)[-1]
    assert (moved.payload["reason"], moved.payload["user"]) == (MOVE["reason"], "carla")
    texts = [m.text for m, _, _ in pilot.store.outbox(pilot.name) if m.subject.startswith("Moved: ")]
    assert len(texts) == 4  # pic and cms, whom it was sent to; the site and the coordination, whom it concerns
    for text in texts:
        assert MOVE["reason"] in text
        assert "the date has moved from Wed 3 Dec 2025, 09:30 UTC" in " ".join(text.split())


def test_a_meeting_moves_back_as_well_and_the_sequence_goes_on(web: TestClient, pilot: APilot) -> None:
    called(pilot)
    for to in (LATER, STARTS.isoformat(), LATER):
        assert post(web, "meetings/kick-off", {"to": to}).status_code == 201
    assert [sequence(calendar) for calendar in invitations(pilot)["pic@example.org"]] == [0, 1, 2, 3]


def test_a_vo_that_has_come_since_is_invited_to_the_new_date(web: TestClient, pilot: APilot) -> None:
    called(pilot)
    post(web, "interest", INTEREST, REPRESENTATIVE)
    post(web, "meetings/kick-off", MOVE)
    (calendar,) = invitations(pilot)["atlas@example.org"]
    assert sequence(calendar) == 1


@pytest.mark.parametrize("who", ["", "ana:Site Administrator", REPRESENTATIVE, EMT])
def test_only_the_coordinator_moves_a_meeting(web: TestClient, pilot: APilot, who: str) -> None:
    called(pilot)
    assert post(web, "meetings/kick-off", MOVE, who).status_code == (422 if who else 401)
    assert len(facts(pilot, FactKind.MEETING_CALLED)) == 1


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("2025-11-30T13:00Z", "has passed"),
        ("2025-12-04T13:00", "its zone"),
        ("tomorrow", "its zone"),
        ("", "its zone"),
        ("0001-01-01T00:00+14:00", "its zone"),
        ("9999-12-31T23:59-14:00", "its zone"),
        ("2025-12-09T13:00Z", "waited for until 2025-12-08 10:30 UTC"),
        ("2125-12-09T13:00Z", "waited for until"),
    ],
)
def test_no_meeting_moves_into_the_past_or_beyond_its_outcome(
    web: TestClient, pilot: APilot, to: str, why: str
) -> None:
    called(pilot)
    answer = post(web, "meetings/kick-off", MOVE | {"to": to})
    assert answer.status_code == 422
    assert why in answer.json()["detail"]
    assert len(facts(pilot, FactKind.MEETING_CALLED)) == 1


def test_no_meeting_moves_that_nobody_is_invited_to_or_whose_outcome_is_known(web: TestClient, pilot: APilot) -> None:
    assert "nobody is invited" in post(web, "meetings/kick-off", MOVE).json()["detail"]
    called(pilot)
    assert post(web, "meetings/wrap-up", MOVE).status_code == 409
    assert post(web, "meetings/lunch", MOVE).status_code == 404
    pilot.kicked_off()
    answer = post(web, "meetings/kick-off", MOVE)
    assert (answer.status_code, "is on record" in answer.json()["detail"]) == (409, True)
    pilot.set_up().ended()
    invite(pilot, pilot_meetings.WRAP_UP, "pic")
    assert post(web, "meetings/wrap-up", MOVE).status_code == 201


def test_of_two_who_move_it_at_once_the_second_is_told(web: TestClient, pilot: APilot) -> None:
    called(pilot)
    before = pilot.record
    post(web, "meetings/kick-off", MOVE)
    with pytest.raises(NotYetAllowedError, match="somebody else has just moved it"):
        pilot_meetings.move_meeting(
            at_desk(before, pilot.store, templates=templates(), now=NOW),
            "kick-off",
            STARTS + timedelta(hours=3),
            pilot_meetings.Move("", "cora", {"role:PPS Coordinator"}),
            tuple,
            pilot_kick_off.AGENDA,
            pilot_meetings.Host("pps-support@localhost", "https://pps.example.org"),
            due=None,
        )
    assert len(invitations(pilot)["pic@example.org"]) == 2


# --- software that is not certified


@pytest.mark.parametrize("who", [CARLA, EMT])
def test_an_exception_from_certified_software_is_put_on_record_once(
    web: TestClient, pilot: APilot, tracker: MemoryTracker, who: str
) -> None:
    tracker.known[4711] = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    first = post(web, "justification", WHY, who)
    again = post(web, "justification", {"reason": "Quite another reason for it."}, who)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["reason"] == WHY["reason"]
    (decided,) = [f for f in facts(pilot, FactKind.DECIDED) if f.occasion == "non-certified-software"]
    assert decided.payload["state"] == "In certification"


@pytest.mark.parametrize(
    ("who", "body", "status"),
    [
        ("", WHY, 401),
        ("ana:Site Administrator", WHY, 422),
        (REPRESENTATIVE, WHY, 422),
        (CARLA, {"reason": "x"}, 422),
        (CARLA, {}, 422),
    ],
)
def test_nobody_else_justifies_it_and_nobody_without_a_reason(
    web: TestClient, pilot: APilot, tracker: MemoryTracker, who: str, body: Any, status: int
) -> None:
    tracker.known[4711] = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    assert post(web, "justification", body, who).status_code == status
    assert pilot.pilot.exception is None


def test_what_is_certified_or_over_needs_no_justification(
    web: TestClient, pilot: APilot, tracker: MemoryTracker
) -> None:
    assert "nothing to justify" in post(web, "justification", WHY).json()["detail"]
    tracker.known[4711] = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    pilot.selected().kicked_off().set_up().wait(2 * WEEK).ended().wrapped_up("reject")
    assert post(web, "justification", WHY).status_code == 409


# --- any door


DOORS = {"interest": INTEREST, "meetings/kick-off": MOVE, "justification": WHY}


@pytest.mark.parametrize("text", [*HTML, *TEXTS])
def test_any_text_is_kept_as_text_or_refused(web: TestClient, pilot: APilot, tracker: MemoryTracker, text: str) -> None:
    tracker.known[4711] = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    called(pilot)
    for what, field in (("interest", "text"), ("meetings/kick-off", "reason"), ("justification", "reason")):
        assert post(web, what, DOORS[what] | {field: text}).status_code in (201, 422)
    for mail, _, _ in pilot.store.outbox(pilot.name):
        assert "<script>" not in mail.html
        assert all("\r\nBcc" not in text for _, _, text in mail.attachments)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_does_harm(web: TestClient, name: str) -> None:
    assert post(web, "interest", INTEREST | {"vo": name}).status_code == 422


@pytest.mark.parametrize("body", JSON)
@pytest.mark.parametrize("what", DOORS)
def test_no_body_does_harm(web: TestClient, pilot: APilot, what: str, body: Any) -> None:
    called(pilot)
    headers = {"Authorization": f"Bearer {CARLA}", "Content-Type": "application/json"}
    assert web.post(f"{BASE}/{what}", content=body, headers=headers).status_code in (400, 413, 422)


@pytest.mark.parametrize("what", DOORS)
def test_other_sites_pages_cannot_decide_with_a_user_s_cookie(web: TestClient, what: str) -> None:
    assert post(web, what, DOORS[what], Origin="https://evil.example.net").status_code == 403
    form = {"Authorization": f"Bearer {CARLA}", "Content-Type": "text/plain"}
    assert web.post(f"{BASE}/{what}", content="{}", headers=form).status_code == 415


@pytest.mark.parametrize("what", DOORS)
def test_what_is_no_pilot_has_no_such_door(web: TestClient, pilot: APilot, what: str) -> None:
    headers = {"Authorization": f"Bearer {CARLA}"}
    assert web.post(f"/api/v1/rollouts/none-1/{what}", json=DOORS[what], headers=headers).status_code == 404
