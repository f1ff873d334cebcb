"""Roll-back of a pilot: asked for by the right people, seen before it counts, told to who uses it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.desks import at_desk
from tests.support.examples import AUDIENCE, NOW, templates
from tests.support.pilot_runs import ANA, COORDINATION, GOLD, STRANGER, SUPPORT, APilot, endpoint_at

from pps.activities.pilots import roll_back as activity
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.people.questions import Given
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.probes import ProbeState

PIC = GOLD["PIC"]
WHY = "Jobs are lost when the queue is full."


def ask(pilot: APilot, mine: frozenset[str] = ANA, reason: str = WHY, user: str = "ana", hours: float = 30) -> Fact:
    now = NOW + timedelta(hours=hours)
    return activity.ask_roll_back(
        at_desk(pilot.record, pilot.store, templates=templates(), now=now), PIC, reason, user, mine, SUPPORT
    )


def verify(pilot: APilot, hours: float = 31) -> tuple[str, ...]:
    now = NOW + timedelta(hours=hours)
    return activity.verify_roll_back(
        at_desk(pilot.record, pilot.store, now=now, actor="pps"), pilot.services, pilot.published, PIC
    )


@pytest.mark.sd("4.1.3", step=8)
@pytest.mark.parametrize(("mine", "user", "by"), [(ANA, "ana", "PIC"), (COORDINATION, "carla", "PPS Coordinator")])
def test_the_site_or_the_coordinator_may_ask_at_any_time(mine: frozenset[str], user: str, by: str) -> None:
    pilot = APilot().set_up("PIC")
    first = ask(pilot, mine, user=user)
    assert first.payload == {"reason": WHY, "user": user, "by": by}
    assert ask(pilot, COORDINATION, "Another reason for it.", "carla", 32) == first
    assert sorted(to for to, _ in pilot.mails()) == ["grid-pic@example.org", SUPPORT]


def test_nobody_else_may_and_not_without_a_reason_or_a_pilot() -> None:
    pilot = APilot().set_up("PIC")
    with pytest.raises(RefusedError, match="Only the administrators"):
        ask(pilot, STRANGER, user="eve")
    with pytest.raises(RefusedError, match="three words"):
        ask(pilot, reason="bad")
    with pytest.raises(NotYetAllowedError, match="no pilot service runs there"):
        ask(APilot())


@pytest.mark.sd("4.1.3", step=8)
def test_it_counts_when_the_version_of_before_answers_and_the_pilot_is_shown_no_more() -> None:
    pilot = APilot().set_up()
    with pytest.raises(NotYetAllowedError, match="nobody has asked"):
        verify(pilot)
    ask(pilot)
    assert verify(pilot) == (
        f"{endpoint_at('PIC')} still answers with the pilot's version, 3.1.23.",
        f"The information system still shows version 3.1.23 at {endpoint_at('PIC')}.",
    )
    pilot.answers("PIC", ProbeState.CRITICAL)
    pilot.published.show("PIC", "3.1.22")
    assert verify(pilot) == (f"Version 3.1.22 does not answer again: {endpoint_at('PIC')} does not answer.",)
    pilot.answers("PIC", version="3.1.21")
    assert "before the pilot it was 3.1.22" in verify(pilot)[0]
    pilot.answers("PIC", version="3.1.22")
    assert verify(pilot) == () == verify(pilot, 32)
    (done,) = pilot.kinds(FactKind.SERVICE_ROLLED_BACK)
    assert done.payload == {"reason": WHY, "version": "3.1.22", "by": "PIC"}
    assert Pilot(pilot.record).serving == ("INFN-T1",)


def test_a_service_that_was_new_must_be_gone() -> None:
    pilot = APilot(published=False).says("PIC", previous="").answers("PIC")
    assert pilot.verify("PIC") == ()
    ask(pilot)
    assert "still answers with the pilot's version" in verify(pilot)[0]
    pilot.services.state[endpoint_at("PIC")] = (ProbeState.OK, "")
    assert verify(pilot) == (f"{endpoint_at('PIC')} still answers.",)
    pilot.answers("PIC", ProbeState.CRITICAL)
    assert verify(pilot) == ()


def test_the_answer_of_the_site_s_people_is_in_the_journal() -> None:
    pilot = APilot().set_up("PIC")

    def answer(choice: str, **form: str) -> tuple[Fact, ...]:
        return activity.facts_of_roll_back(
            at_desk(pilot.record, now=NOW, actor="pps"), "PIC", Given(choice, form, "ana", NOW)
        )

    (said,) = answer(activity.DONE, version="3.1.22-1")
    assert said.payload["text"] == "Rolled back, version 3.1.22-1."
    with pytest.raises(RefusedError, match=r"before the pilot it was 3\.1\.22"):
        answer(activity.DONE, version="3.1.23")
    with pytest.raises(RefusedError, match="do not say why"):
        answer(activity.CANNOT)


@pytest.mark.sd("4.1.3", step=8)
def test_users_of_a_major_pilot_are_told_once_with_the_reason() -> None:
    pilot = APilot().set_up("PIC")

    def tell() -> int:
        vos = activity.users_of(pilot.record, AUDIENCE.vos)
        return activity.tell_users(
            at_desk(pilot.record, pilot.store, templates=templates(), now=NOW, actor="pps"), PIC, vos, SUPPORT
        )

    assert tell() == 0
    ask(pilot)
    pilot.answers("PIC", version="3.1.22")
    pilot.published.show("PIC", "3.1.22")
    assert verify(pilot) == ()
    assert [tell(), tell()] == [2, 0]
    told = [mail for mail, _, _ in pilot.store.outbox(pilot.name) if "rolled back" in mail.subject]
    assert sorted(mail.to for mail in told) == ["atlas-grid@example.org", SUPPORT]
    assert all(WHY in mail.text and "No site runs the pilot any more" in mail.text for mail in told)


def test_the_wait_for_a_roll_back_ends_when_it_is_done_or_takes_too_long() -> None:
    pilot = APilot().set_up("PIC")

    def settled(hours: float) -> bool:
        return activity.roll_back_is_settled(
            at_desk(pilot.record, pilot.store, now=NOW + timedelta(hours=hours), actor="pps"),
            pilot.services,
            pilot.published,
            PIC,
            "PIC",
            give_up_after=timedelta(days=2),
        )

    assert settled(1)  # nobody has asked
    ask(pilot, hours=30)
    assert not settled(31)
    assert settled(30 + 48.1)
    assert not Pilot(pilot.record).rolled_back("PIC")
    pilot.answers("PIC", version="3.1.22")
    pilot.published.show("PIC", "3.1.22")
    assert settled(32)
    assert Pilot(pilot.record).rolled_back("PIC")
