"""A meeting that will not take place leaves everybody's calendar, under the identity with which it came."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.support.desks import at_desk, at_office
from tests.support.examples import templates
from tests.support.icalendar import Scheduled, read_mail
from tests.support.pilots import DAY, MAJOR, APilot

from pps.activities.people.invitation import meeting_uid
from pps.activities.people.notification import Party
from pps.activities.pilots import end as pilot_end
from pps.activities.pilots import kick_off as pilot_kick_off
from pps.activities.pilots import meetings as pilot_meetings
from pps.adapters.services.mail import SmtpMailer
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.record.facts import Fact, FactKind

URL = "https://pps.example.org"
MAILER = SmtpMailer("localhost", 25)
REASON = "No site has the time.\r\nATTENDEE:mailto:eve@example.org"


def selected() -> APilot:
    return APilot(MAJOR, vo="atlas").accepted().ranked().selected()


def called(
    pilot: APilot,
    starts: datetime,
    *parties: str,
    move: bool = False,
    url: str = URL,
    organizer: str = "pps@example.org",
) -> Fact:
    return pilot_meetings.call_meeting(
        at_desk(pilot.record, pilot.store, templates=templates(), now=pilot.at, actor="pps"),
        pilot_meetings.KICK_OFF,
        [Party(p, f"{p}@example.org") for p in parties or ("pic", "atlas")],
        pilot_kick_off.AGENDA,
        pilot_meetings.Host(organizer, url),
        starts=starts,
        lasts=timedelta(hours=1),
        move=pilot_meetings.Move() if move else None,
    )


def cancelled(pilot: APilot) -> int:
    return pilot_meetings.cancel_meetings(
        at_desk(pilot.record, pilot.store, templates=templates(), now=pilot.at, actor="pps"),
        organizer="whoever@example.org",
    )


def sent(pilot: APilot) -> list[tuple[str, Scheduled]]:
    mails = [mail for mail, _, _ in pilot.store.outbox(pilot.name)]
    return [(m.to, read_mail(MAILER.message(m))) for m in mails if any(a[1] == "text/calendar" for a in m.attachments)]


def ended(pilot: APilot) -> APilot:
    pilot_end.give_up(at_desk(pilot.record, pilot.store, now=pilot.at, actor="carla"), pilot_end.NO_AGREEMENT, REASON)
    return pilot


@pytest.mark.sd("4.1.3", step=4)
def test_a_pilot_that_ends_before_its_meeting_cancels_it_once_for_all_who_were_ever_invited() -> None:
    pilot = selected()
    called(pilot, pilot.at + 2 * DAY, "pic", "atlas")
    called(pilot, pilot.at + 5 * DAY, "pic", "cms", move=True)
    assert cancelled(pilot) == 0, "it goes on"
    ended(pilot)
    assert cancelled(pilot) == 3
    assert cancelled(pilot) == 0
    invitations = [s for _, s in sent(pilot) if s.method == "REQUEST"]
    cancellations = [(to, s) for to, s in sent(pilot) if s.method == "CANCEL"]
    assert {s.uid for s in invitations} == {"kick-off-major-pilot-4711-1.1@pps.example.org"}
    assert [s.sequence for s in invitations] == [0, 0, 1, 1]
    assert {to for to, _ in cancellations} == {"pic@example.org", "atlas@example.org", "cms@example.org"}
    for _, found in cancellations:
        assert (found.uid, found.sequence, found.organizer) == (invitations[0].uid, 2, "pps@example.org")
        assert found.attendees == {"pic@example.org", "atlas@example.org", "cms@example.org"}
        assert found.starts == invitations[-1].starts
    with pytest.raises(NotYetAllowedError):
        called(selected_over(), pilot.at + 9 * DAY)


def selected_over() -> APilot:
    return ended(selected())


def test_a_meeting_of_before_the_upgrade_is_moved_and_cancelled_under_the_identity_it_was_sent_with() -> None:
    pilot = selected()
    old = {
        "starts": (pilot.at + 2 * DAY).isoformat(),
        "ends": (pilot.at + 2 * DAY + timedelta(hours=1)).isoformat(),
        "to": ["pic@example.org"],
        "names": ["pic"],
    }
    pilot.store.record(Fact(pilot.name, FactKind.MEETING_CALLED, "", "kick-off", pilot.at, "pps", old))
    called(pilot, pilot.at + 3 * DAY, "pic", move=True)
    ended(pilot)
    assert cancelled(pilot) == 1
    assert [(s.method, s.uid, s.sequence) for _, s in sent(pilot)] == [
        ("REQUEST", "kick-off-major-pilot-4711-1.1", 1),
        ("CANCEL", "kick-off-major-pilot-4711-1.1", 2),
    ]


def test_a_meeting_keeps_its_identity_when_our_address_changes() -> None:
    pilot = selected()
    called(pilot, pilot.at + 2 * DAY)
    called(pilot, pilot.at + 3 * DAY, move=True, url="https://rollout.example.net", organizer="new@example.net")
    ended(pilot)
    assert cancelled(pilot) == 2
    assert [s.method for _, s in sent(pilot)] == ["REQUEST"] * 4 + ["CANCEL"] * 2
    assert {s.uid for _, s in sent(pilot)} == {"kick-off-major-pilot-4711-1.1@pps.example.org"}
    assert {s.organizer for _, s in sent(pilot)} == {"pps@example.org"}, "a calendar takes it from nobody else"


def test_a_meeting_that_has_begun_is_not_called_off_and_one_that_was_never_called_neither() -> None:
    pilot = selected()
    called(pilot, pilot.at + DAY)
    ended(pilot.wait(DAY))
    assert cancelled(pilot) == 0
    assert cancelled(ended(selected())) == 0


def test_a_sweep_finds_what_a_broken_task_has_left_but_nothing_of_long_ago() -> None:
    pilot = selected()
    called(pilot, pilot.at + 30 * DAY)
    ended(pilot)

    def sweep() -> int:
        return pilot_meetings.cancel_meetings_of_ended(
            at_office(pilot.store, templates=templates(), now=pilot.at, actor="pps"),
            ended_within=7 * DAY,
            organizer="pps@example.org",
        )

    pilot.wait(8 * DAY)
    assert sweep() == 0
    pilot.wait(-7 * DAY)
    assert sweep() == 2
    assert sweep() == 0


@pytest.mark.parametrize(
    ("url", "uid"),
    [
        ("https://pps.example.org", "x@pps.example.org"),
        ("https://pps.example.org/airflow/", "x@pps.example.org"),
        ("http://localhost:8080", "x-8080@localhost"),
        ("http://[::1]:8080", "x-8080@1"),
    ],
)
def test_two_installations_have_no_meeting_in_common(url: str, uid: str) -> None:
    assert meeting_uid("x", url) == uid
