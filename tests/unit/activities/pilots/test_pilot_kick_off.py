"""Instruction and kick-off: dates are agreed once; what cannot be agreed is asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.desks import at_desk
from tests.support.examples import NOW, templates
from tests.support.pilots import DAY, GOLD, MAJOR, MINOR, VOS, WEEK, APilot
from tests.support.snapshots import matches_snapshot

from pps.activities.people.notification import Party
from pps.activities.pilots import kick_off as pilot_kick_off
from pps.activities.pilots import meetings as pilot_meetings
from pps.activities.pilots import set_up as pilot_setup
from pps.activities.pilots.kick_off import Timeline, facts_of_kick_off
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people.questions import Given
from pps.domain.record.facts import Fact, FactKind

URL = "https://pps.example.org"
USUAL = Timeline(WEEK, 2 * WEEK, 2 * WEEK)
UNCERTIFIED = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
REASON = "The fix cannot wait for certification."


def agreed(pilot: APilot, patch: Patch = MAJOR, choice: str = "Agreed", **form: Any) -> tuple[Fact, ...]:
    return facts_of_kick_off(
        at_desk(pilot.record, now=pilot.at, actor="user carla"),
        patch,
        Given(choice, form, "carla", pilot.at),
        usual=USUAL,
        vos=VOS,
    )


def selected(patch: Patch = MAJOR, *sites: str, **asked: Any) -> APilot:
    return APilot(patch, vo="atlas", **asked).accepted().ranked().selected(*sites)


def instructed(pilot: APilot, patch: Patch = MAJOR) -> int:
    return pilot_kick_off.instruct_sites(
        at_desk(pilot.record, pilot.store, templates=templates(), patch=patch, now=pilot.at, actor="pps"), GOLD, USUAL
    )


def called(pilot: APilot, starts: datetime, *parties: str, move: bool = False) -> Fact:
    return pilot_meetings.call_meeting(
        at_desk(pilot.record, pilot.store, templates=templates(), now=pilot.at, actor="pps"),
        pilot_meetings.KICK_OFF,
        [Party(p, f"{p}@example.org") for p in parties or ("pic", "atlas")],
        pilot_kick_off.AGENDA,
        pilot_meetings.Host("pps@example.org", URL),
        starts=starts,
        lasts=timedelta(hours=1),
        move=pilot_meetings.Move() if move else None,
    )


def calendars(pilot: APilot) -> list[str]:
    mails = [mail for mail, _, _ in pilot.store.outbox(pilot.name)]
    return [text for mail in mails for _, kind, text in mail.attachments if kind == "text/calendar"]


# --- step 3 -------------------------------------------------------------------------------------


@pytest.mark.sd("4.1.3", step=3)
def test_each_site_gets_pointers_and_the_timeline_once() -> None:
    pilot = selected(MAJOR, "PIC", "INFN-T1")
    assert instructed(pilot) == 2
    assert instructed(pilot) == 0
    mail = next(m for m, _, _ in pilot.store.outbox(pilot.name) if m.to == GOLD["PIC"].contact)
    assert "https://docs.example.org/install" in mail.text
    assert "within 1 week of the meeting" in mail.text
    assert "beside INFN-T1" in mail.html
    matches_snapshot("pilot_instruction.txt", mail.text)


def test_no_site_is_instructed_before_it_is_selected() -> None:
    with pytest.raises(NotYetAllowedError, match="not accepted"):
        instructed(APilot())
    with pytest.raises(NotYetAllowedError):
        instructed(APilot().accepted())


def test_sites_hear_why_software_is_used_that_is_not_certified() -> None:
    pilot = selected(UNCERTIFIED, justification=REASON)
    instructed(pilot, UNCERTIFIED)
    mail = next(m for m, _, _ in pilot.store.outbox(pilot.name) if "you run the pilot" in m.subject)
    assert f"> {REASON}" in mail.text


# --- step 4 -------------------------------------------------------------------------------------


@pytest.mark.sd("4.1.3", step=4)
def test_a_retry_invites_nobody_twice_and_keeps_the_date() -> None:
    pilot = selected()
    first = called(pilot, pilot.at + 2 * DAY)
    again = called(pilot.wait(DAY), pilot.at + 3 * DAY)
    assert again == first
    assert len(calendars(pilot)) == 2
    mail = next(m for m, _, _ in pilot.store.outbox(pilot.name) if m.to == "atlas@example.org")
    matches_snapshot("pilot_meeting.txt", mail.text)


def test_a_meeting_that_moves_is_the_same_meeting_in_everybody_s_calendar() -> None:
    pilot = selected()
    called(pilot, pilot.at + 2 * DAY)
    moved = called(pilot, pilot.at + 5 * DAY, move=True)
    assert pilot_meetings.meeting(pilot.record, "kick-off") == moved
    first, *_, last = calendars(pilot)
    assert "UID:kick-off-major-pilot-4711-1.1@pps.example.org\r\nSEQUENCE:0\r\n" in first
    assert "UID:kick-off-major-pilot-4711-1.1@pps.example.org\r\nSEQUENCE:1\r\n" in last
    assert called(pilot, pilot.at + 5 * DAY, move=True) == moved
    with pytest.raises(RefusedError, match="has passed"):
        called(pilot, pilot.at - DAY, move=True)


# --- step 5 -------------------------------------------------------------------------------------


@pytest.mark.sd("4.1.3", step=5)
def test_the_usual_times_are_sd_s_and_the_dates_are_absolute() -> None:
    kick_off, dated = agreed(selected(), vos="atlas\ncms, atlas", requirements="Selectable in the JDL.")
    says = kick_off.payload
    assert datetime.fromisoformat(says["set_up_until"]) == NOW + WEEK
    assert says["run_for_s"] == (2 * WEEK).total_seconds()
    assert datetime.fromisoformat(says["feedback_until"]) == NOW + 3 * WEEK
    assert says["vos"] == ["atlas", "cms"]
    assert says["published"] is True
    assert (dated.kind, dated.payload["due"]) == (FactKind.FEEDBACK_DATE_AGREED, says["feedback_until"])


def test_what_the_meeting_agreed_on_takes_the_place_of_the_usual() -> None:
    pilot = selected()
    pilot.store.record(
        *agreed(pilot, vos="cms", set_up_within="3d", run_for="12h", feedback_within="2d", published=False)
    )
    found = pilot.pilot.agreement
    assert found is not None
    assert (found.set_up_until, found.run_for, found.feedback_until) == (NOW + 3 * DAY, DAY / 2, NOW + 5 * DAY)
    with pytest.raises(RefusedError, match="runs already"):
        agreed(pilot.set_up().wait(DAY), run_for="52w")


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"vos": "atlas, lhbc"}, "Not in people.yaml: lhbc"),
        ({"run_for": "a week"}, "is no time for 'run_for'"),
        ({"run_for": "0d"}, "more than nothing"),
        ({"feedback_within": "999999w"}, "at most 52w"),
        ({"experts": "ITR ivan"}, "names no expert"),
        ({"experts": "Boss: ivan"}, "names no expert"),
        ({"experts": "Gold Site: INFN-T1"}, "takes no part"),
        ({"itr": "ivan <script>"}, "is no user name"),
    ],
)
def test_a_slip_is_asked_for_again(form: dict[str, str], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        agreed(selected(), **form)


def test_a_minor_pilot_takes_no_vo() -> None:
    pilot = APilot(MINOR).accepted().ranked().selected()
    with pytest.raises(RefusedError, match="VOs have no part"):
        agreed(pilot, MINOR, vos="atlas")
    assert len(agreed(pilot, MINOR)) == 1, "nobody is asked for feedback"


def test_experts_are_named_with_their_role() -> None:
    (kick_off,) = agreed(selected(), experts="ITR: ivan\n\nGold Site: PIC", itr="ivan")
    assert kick_off.payload["experts"] == [{"role": "ITR", "who": "ivan"}, {"role": "Gold Site", "who": "PIC"}]
    assert kick_off.payload["participants"] == [{"role": "ITR", "who": "ivan"}]


def test_software_that_is_not_certified_is_justified_on_record() -> None:
    pilot = selected(UNCERTIFIED, justification=REASON)
    assert pilot_setup.reasons_against_software(pilot.record, UNCERTIFIED)
    pilot.store.record(*agreed(pilot, UNCERTIFIED))
    assert pilot_setup.reasons_against_software(pilot.record, UNCERTIFIED) == ()
    found = pilot_setup.justification(pilot.record)
    assert found is not None
    assert (found.payload["reason"], found.payload["user"]) == (REASON, "carla")
    with pytest.raises(RefusedError, match="The justification must be a sentence"):
        agreed(selected(UNCERTIFIED, justification=REASON), UNCERTIFIED, justification="urgent")


def test_without_an_agreement_there_is_a_reason() -> None:
    assert agreed(selected(), choice="No agreement", reason="No site has time now.") == ()
    with pytest.raises(RefusedError):
        agreed(selected(), choice="No agreement", reason="no")


def test_nothing_is_agreed_before_the_sites_are_selected() -> None:
    with pytest.raises(RefusedError, match="It cannot be agreed on"):
        agreed(APilot().accepted())


def test_the_question_tells_what_is_usual_and_who_is_interested() -> None:
    pilot = selected(UNCERTIFIED, justification=REASON)
    pilot.then(FactKind.INTEREST_SHOWN, "atlas", "x", text="Bulk submission, [click](http://evil).", user="ada")
    view = pilot_kick_off.kick_off_view(pilot.record, UNCERTIFIED, USUAL, NOW + DAY)
    matches_snapshot("ask_pilot_kick_off.md", templates().render("ask_pilot_kick_off.md", view))
