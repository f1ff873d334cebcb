"""The wrap-up meeting: what it is shown, what it may decide, and how a pilot ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.desks import at_desk
from tests.support.examples import AUDIENCE, NOW, SECRET, templates
from tests.support.pilots import DAY, ENOUGH, MAJOR, MINOR, WEEK, APilot
from tests.support.snapshots import matches_snapshot

from pps.activities.people import tokens
from pps.activities.people.notification import Party
from pps.activities.pilots import end as pilot_end
from pps.activities.pilots import notes as pilot_notes
from pps.activities.pilots import request as pilot_request
from pps.activities.pilots import vos as pilot_vos
from pps.activities.pilots import wrap_up as pilot_wrap_up
from pps.activities.pilots.kick_off import usual_timeline
from pps.activities.pilots.wrap_up import facts_of_wrap_up
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.people.questions import Given
from pps.domain.pilots.success import assess
from pps.domain.record.facts import Fact, FactKind

EVERYBODY = (Party("PIC", "pic@example.org"), Party("EMT", "emt@example.org"), Party("also EMT", "EMT@example.org"))
REASON = "Jobs are lost under load."
URL = "https://pps.example.org"


def over(*vos: str, patch: Any = MAJOR, report: bool = True) -> APilot:
    """A pilot that has run for its time."""
    pilot = APilot(patch).running(*vos).wait(2 * WEEK).ended()
    if report:
        pilot.then(FactKind.REPORT_WRITTEN, "PIC", "d", files=["pilots/x/PIC.html", "pilots/x/PIC.txt"], digest="d")
    return pilot.wait(WEEK + DAY)


def decided(pilot: APilot, choice: str, **form: Any) -> tuple[Fact, ...]:
    return facts_of_wrap_up(
        at_desk(pilot.record, now=pilot.at, actor="user carla"),
        Given(choice, form, "carla", pilot.at),
        assessment=assess(pilot.pilot, ENOUGH, pilot.at),
        usual=2 * WEEK,
    )


def closed(pilot: APilot, choice: str, **form: Any) -> str:
    pilot.store.record(*decided(pilot, choice, **form))
    return pilot_end.close_pilot(at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps"))


@pytest.mark.sd("4.1.3", step=10)
def test_the_meeting_comes_after_the_run_and_the_reports() -> None:
    with pytest.raises(NotYetAllowedError):
        decided(APilot(MAJOR).running("atlas"), "Release")
    with pytest.raises(RefusedError, match="no report from PIC yet"):
        decided(over(report=False), "Release")
    (fact,) = decided(over(), "Release", guidelines="  Restart it.\r\nTwice.", itr="ivan")
    assert fact.payload["decision"] == "release"
    assert fact.payload["guidelines"] == "Restart it.\nTwice."
    assert fact.payload["participants"] == [{"role": "ITR", "who": "ivan"}]
    assert fact.payload["no_feedback"] is True


@pytest.mark.parametrize(
    ("choice", "form", "why"),
    [
        ("Reject", {}, "The reason must be a sentence"),
        ("Prolong", {"prolong_for": "1w"}, "The reason must be a sentence"),
        ("Prolong", {"reason": REASON, "prolong_for": "long"}, "is no time to prolong it"),
        ("Prolong", {"reason": REASON, "prolong_for": "53w"}, "at most 52w"),
        ("Release", {"itr": "<ivan>"}, "is no user name"),
    ],
)
def test_a_slip_is_asked_for_again(choice: str, form: dict[str, str], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        decided(over(), choice, **form)


def test_a_release_against_the_users_word_needs_a_reason() -> None:
    pilot = APilot(MAJOR).running("atlas").said("atlas", "problem").wait(2 * WEEK).ended()
    pilot.then(FactKind.REPORT_WRITTEN, "PIC", "d")
    with pytest.raises(RefusedError, match="say why it is released all the same"):
        decided(pilot, "Release")
    (fact,) = decided(pilot, "Release", reason="The problem is that of the VO's own script.")
    assert fact.payload["reasons_against"] == ["atlas reports a problem: So it is."]


@pytest.mark.sd("4.1.3", step=10)
def test_to_prolong_is_another_round_with_another_kick_off() -> None:
    pilot = over()
    assert closed(pilot, "Prolong", reason=REASON, prolong_for="5d") == "prolonged"
    end = pilot.record.need(FactKind.ROLLOUT_CLOSED, "").payload
    assert end["next"] == "major-pilot-4711-2"
    assert pilot_end.next_round_name(at_desk(pilot.record, pilot.store)) == end["next"]
    following = pilot_request.open_next_round(
        at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps"), run="pilot/second"
    )
    assert following == end["next"]
    usual = {"set_up_within": WEEK, "run_for": 2 * WEEK, "feedback_within": WEEK}
    assert usual_timeline(at_desk(pilot.store.rollout(following), pilot.store), **usual).run_for == 5 * DAY


def test_a_rejected_pilot_is_closed_with_the_reason_and_all_are_told_once() -> None:
    pilot = over()
    assert closed(pilot, "Reject", reason=REASON) == "rejected"
    assert pilot_end.close_pilot(at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps")) == "rejected"
    assert (
        pilot_end.tell_end(
            at_desk(pilot.record, pilot.store, templates=templates(), now=pilot.at, actor="pps"),
            EVERYBODY,
            public_url=URL,
        )
        == 2
    )
    assert (
        pilot_end.tell_end(
            at_desk(pilot.record, pilot.store, templates=templates(), now=pilot.at, actor="pps"),
            EVERYBODY,
            public_url=URL,
        )
        == 0
    )
    mail = next(m for m, _, _ in pilot.store.outbox(pilot.name) if m.to == "emt@example.org")
    matches_snapshot("pilot_ended.txt", mail.text)


def test_what_is_to_be_released_is_not_closed_before_it_is() -> None:
    pilot = over()
    with pytest.raises(NotYetAllowedError, match="is to be released, but is not yet"):
        closed(pilot, "Release")
    with pytest.raises(NotYetAllowedError, match="release-notes-written"):
        pilot_end.release_pilot(at_desk(pilot.record, pilot.store, patch=MAJOR, now=NOW, actor="pps"), None)  # type: ignore[arg-type]


def test_nobody_is_told_of_an_end_that_has_not_come() -> None:
    with pytest.raises(NotYetAllowedError):
        pilot_end.tell_end(
            at_desk(over().record, over().store, templates=templates(), now=NOW, actor="pps"), EVERYBODY, public_url=URL
        )


def test_a_pilot_that_is_given_up_keeps_its_first_reason() -> None:
    pilot = over()
    for reason in ("Nobody came.", "Another."):
        pilot_end.give_up(at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps"), pilot_end.NOT_DECIDED, reason)
    assert pilot.record.need(FactKind.ROLLOUT_CLOSED, "").payload["reasons"] == ["Nobody came."]


def test_the_question_shows_verdict_reports_and_what_would_refuse_a_release() -> None:
    pilot = over()
    pilot.then(FactKind.JOURNAL_ENTRY, "PIC", "1", text="Moved to a new machine.", user="ana")
    view = pilot_wrap_up.wrap_up_view(
        at_desk(pilot.record, pilot.store, patch=MAJOR, now=pilot.at),
        assess(pilot.pilot, ENOUGH, pilot.at),
        NOW + 30 * DAY,
        URL,
    )
    assert view["against_release"][-1] == "No pre-deployment test of it has ended yet."
    matches_snapshot("ask_pilot_wrap_up.md", templates().render("ask_pilot_wrap_up.md", view))


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize(("patch", "says"), [(MAJOR, True), (MINOR, False)])
def test_only_a_major_pilot_s_notes_say_that_no_feedback_was_received(patch: Any, says: bool) -> None:
    pilot = over(patch=patch)
    pilot.store.record(*decided(pilot, "Release", guidelines="Give it 2 GB."))
    view = pilot_notes.notes(at_desk(pilot.record, pilot.store, patch=patch))
    text = templates().render("pilot_notes.txt", view)
    assert ("NO FEEDBACK FROM USERS was received during the pilot service" in text) is says
    if says:
        matches_snapshot("pilot_notes.txt", text)


def test_notes_quote_what_vos_say_and_escape_it() -> None:
    pilot = APilot(MAJOR).running("atlas", "cms").wait(DAY)
    pilot.then(FactKind.FEEDBACK_GIVEN, "atlas", "1", opinion="works", text="<b>Fast</b>\nWhat users", invited=True)
    pilot.wait(4 * WEEK).ended().then(FactKind.REPORT_WRITTEN, "PIC", "d")
    pilot.store.record(*decided(pilot, "Release"))
    view = pilot_notes.notes(at_desk(pilot.record, pilot.store, patch=MAJOR))
    html, text = (templates().render(f"pilot_notes.{kind}", view) for kind in ("html", "txt"))
    assert "&lt;b&gt;Fast&lt;/b&gt;" in html
    assert "> <b>Fast</b>\n> What users" in text
    assert "No feedback from cms in time." in text
    assert "NO FEEDBACK" not in text


@pytest.mark.sd("4.1.3", step=10)
def test_notes_of_a_later_round_tell_what_users_said_in_the_earlier_ones_and_why_it_was_prolonged() -> None:
    pilot = APilot(MAJOR).running("cms").wait(DAY)
    pilot.then(FactKind.FEEDBACK_GIVEN, "cms", "1", opinion="problem", text="Proxies <end> too early.", invited=True)
    pilot.wait(4 * WEEK).ended().then(FactKind.REPORT_WRITTEN, "PIC", "d")
    assert closed(pilot, "Prolong", reason="The margin was too short.") == "prolonged"
    pilot.name = pilot_request.open_next_round(
        at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps"), run="pilot/second"
    )
    pilot.kicked_off("atlas").wait(DAY)
    pilot.then(FactKind.FEEDBACK_GIVEN, "atlas", "1", opinion="works", text="A million jobs.", invited=True)
    pilot.wait(4 * WEEK).ended().then(FactKind.REPORT_WRITTEN, "PIC", "d")
    pilot.store.record(*decided(pilot, "Release"))
    view = pilot_notes.notes(at_desk(pilot.record, pilot.store, patch=MAJOR))
    html, text = (templates().render(f"pilot_notes.{kind}", view) for kind in ("html", "txt"))
    matches_snapshot("pilot_notes_second_round.txt", text)
    assert text.index("> A million jobs.") < text.index("In round 1") < text.index("> Proxies <end> too early.")
    assert "Proxies &lt;end&gt; too early." in html
    assert "The margin was too short." in html


# --- VOs ----------------------------------------------------------------------------------------


def running(*vos: str) -> APilot:
    pilot = APilot(MAJOR).running(*vos)
    until = pilot.pilot.agreement.feedback_until  # type: ignore[union-attr]
    return pilot.then(FactKind.FEEDBACK_DATE_AGREED, due=until.isoformat())


def invited(pilot: APilot) -> int:
    return pilot_vos.invite_vos(
        at_desk(pilot.record, pilot.store, templates=templates(), patch=MAJOR, now=pilot.at, actor="pps"), AUDIENCE
    )


@pytest.mark.sd("4.1.3", step=8)
def test_committed_vos_are_invited_once_with_their_own_link() -> None:
    pilot = running("atlas")
    assert (invited(pilot), invited(pilot)) == (1, 0)
    (mail,) = [m for m, _, _ in pilot.store.outbox(pilot.name) if m.to == "atlas-grid@example.org"]
    agreed = pilot.pilot.agreement
    assert agreed is not None
    token = tokens.invitation_token(SECRET, pilot.name, "atlas", agreed.feedback_until)
    assert token in mail.text
    matches_snapshot("pilot_invitation_vo.txt", mail.text)


def test_nobody_is_invited_to_a_service_that_is_not_there_or_not_any_more() -> None:
    with_two = APilot(MAJOR).accepted().ranked().selected("PIC", "INFN-T1").kicked_off("atlas").set_up("PIC")
    with pytest.raises(NotYetAllowedError, match="INFN-T1"):
        invited(with_two)
    assert invited(running("atlas").rolled_back()) == 0
    assert invited(running()) == 0
    assert invited(APilot(MINOR).running()) == 0


def test_vos_are_waited_for_until_the_agreed_date_at_the_latest() -> None:
    pilot = running("atlas")
    invited(pilot)
    due = pilot.pilot.agreement.feedback_until  # type: ignore[union-attr]
    assert not pilot_vos.vos_are_heard(pilot.record, due)
    assert pilot_vos.vos_are_heard(pilot.record, due + timedelta(seconds=1))
    assert pilot_vos.vos_are_heard(pilot.said("atlas", "works").record, pilot.at)
    assert pilot_vos.vos_are_heard(running("atlas").rolled_back().record, NOW)
