"""The desk: what is recorded there is on it, once, and in the order in which it happened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, PATCH, sqlite_store
from tests.support.pilots import APilot

from pps.activities.desk import Desk, key_of
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.record.facts import Fact, FactKind


@pytest.fixture
def desk() -> Desk:
    pilot = APilot()
    return at_desk(pilot.record, pilot.store, now=NOW, actor="user carla")


def test_what_is_recorded_at_a_desk_is_on_it_as_the_store_has_it(desk: Desk) -> None:
    entry = desk.fact(FactKind.JOURNAL_ENTRY, "PIC", "a", {"text": "It runs.", "user": "ana"})
    assert (entry.rollout, entry.at, entry.actor) == (desk.name, NOW, "user carla")
    assert desk.record(entry) == (entry,)
    assert desk.rollout.facts == desk.facts.rollout(desk.name).facts
    assert desk.record(entry) == (), "once"
    assert desk.rollout.facts == desk.facts.rollout(desk.name).facts


def test_who_was_not_the_first_sees_who_was(desk: Desk) -> None:
    others = desk.by("user cora").fact(FactKind.DECIDED, "", "release", {"decision": "hold"})
    desk.facts.record(others)
    assert not desk.rollout.has(FactKind.DECIDED), "as it was when the desk was opened"
    assert desk.record(desk.fact(FactKind.DECIDED, "", "release", {"decision": "release"})) == ()
    assert desk.rollout.need(FactKind.DECIDED, "").payload == {"decision": "hold"}


def test_what_others_have_recorded_is_there_after_another_look(desk: Desk) -> None:
    desk.facts.record(desk.fact(FactKind.JOURNAL_ENTRY, "PIC", "a", {"text": "It runs.", "user": "ana"}))
    assert not desk.rollout.has(FactKind.JOURNAL_ENTRY)
    assert desk.look_again().has(FactKind.JOURNAL_ENTRY)
    assert desk.rollout.has(FactKind.JOURNAL_ENTRY)


def test_what_is_recorded_late_in_a_long_night_has_the_time_at_which_its_desk_was_opened() -> None:
    pilot, hours = APilot(), iter(range(10))
    office = at_office(pilot.store, clock=lambda: NOW + timedelta(hours=next(hours)))
    first, second = office.desk(pilot.name), office.desk(pilot.record)
    assert [office.now, first.now, second.now] == [NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2)]
    assert second.fact(FactKind.TAGS_GONE).at == second.now, "one time for all that is compared and recorded at it"
    assert second.later().now == NOW + timedelta(hours=3)


def test_a_rollout_that_is_closed_at_a_desk_is_closed_on_it(desk: Desk) -> None:
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": "stopped"}))
    assert desk.rollout.is_closed
    assert desk.rollout.facts == desk.facts.rollout(desk.name).facts


def test_a_desk_of_what_nobody_has_opened_is_refused() -> None:
    with pytest.raises(NotYetAllowedError, match="not on record"):
        at_office(sqlite_store()).desk("bc-client-1-1")


def test_the_tracker_is_asked_when_the_patch_is_wanted_and_again_after_another_look(desk: Desk) -> None:
    asked: list[int] = []
    desk.patch_of = lambda number: asked.append(number) or PATCH  # type: ignore[func-returns-value]
    assert not asked
    assert desk.patch is desk.patch is PATCH
    assert asked == [desk.rollout.patch_number]
    desk.look_again()
    assert desk.patch is PATCH
    assert len(asked) == 2


@given(st.lists(st.sampled_from(["", "a", "b", "a.b", "ab"]), max_size=12))
def test_the_next_occasion_is_never_one_that_was(bases: list[str]) -> None:
    pilot = APilot()
    desk, seen = at_desk(pilot.record, pilot.store), set()
    for base in (base for base in bases if base):
        occasion = desk.next_occasion(FactKind.JOURNAL_ENTRY, "PIC", base)
        assert occasion not in seen and occasion.startswith(base)
        seen.add(occasion)
        assert desk.record(desk.fact(FactKind.JOURNAL_ENTRY, "PIC", occasion, {"text": "x", "user": ""}))
    counted = [desk.next_occasion(FactKind.ROLL_BACK_ASKED, "PIC")]
    for _ in range(2):
        desk.record(desk.fact(FactKind.ROLL_BACK_ASKED, "PIC", counted[-1], {"reason": "x"}))
        counted.append(desk.next_occasion(FactKind.ROLL_BACK_ASKED, "PIC"))
    assert counted == ["", "2", "3"]
    assert desk.next_occasion(FactKind.ROLL_BACK_ASKED, "INFN-T1") == "", "each site has its own"


def test_a_mail_goes_out_once_for_its_fact(desk: Desk) -> None:
    fact = Fact("pilot-1", FactKind.TOLD, "PIC", "", NOW, "pps")
    assert key_of(fact) == "pilot-1/told/PIC"
    view = {"rollout": desk.name, "opened": desk.rollout.opened, "reasons": ["x"], "announced": False}
    one, two = desk.circular("rollout_stopped", view, key=fact, to=["a@x.org", "b@x.org", "a@x.org"], subject="Stopped")
    assert (one.key, two.key) == ("pilot-1/told/PIC/a@x.org", "pilot-1/told/PIC/b@x.org")
