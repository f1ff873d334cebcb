"""A date that passes while nobody can act ends nothing: those in charge move it, or it moves before the asking."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.desks import at_desk, at_office
from tests.support.examples import DUE, NOW, PATCH, SECRET, previewed, sqlite_store
from tests.support.pilot_runs import APilot

from pps.activities.desk import Desk
from pps.activities.packages.advice import note_advice
from pps.activities.people import feedback, feedback_dates, tokens
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import RefusedError
from pps.domain.people.feedback import feedback_due, feedback_is_over, summary
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

OPEN_FOR, HALF_A_YEAR = timedelta(days=14), timedelta(weeks=26)
MINE = [f"role:{Role.RELEASE_MANAGER}"]
AFTER_THE_OUTAGE = DUE + timedelta(days=2)


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


def desk(store: FactStore, record: Rollout, at=NOW) -> Desk:  # type: ignore[no-untyped-def]
    return at_desk(store.rollout(record.name), store, now=at, actor="pps")


def agreed(store: FactStore) -> Rollout:
    record = previewed(store)
    feedback_dates.agree_feedback_date(desk(store, record), DUE)
    return store.rollout(record.name)


def invited(store: FactStore, record: Rollout, *vos: str) -> Rollout:
    store.record(*(Fact(record.name, FactKind.VO_INVITED, vo, "", NOW, "pps", {"to": f"{vo}@x.org"}) for vo in vos))
    return store.rollout(record.name)


def extend(store: FactStore, record: Rollout, until=AFTER_THE_OUTAGE, at=NOW, mine=MINE, reason="") -> Fact:  # type: ignore[no-untyped-def]
    to = ["atlas@x.org", "atlas@x.org", "pps@x.org"]
    return feedback_dates.extend_feedback(
        desk(store, record, at), until, reason, "carla", mine, to, at_most=HALF_A_YEAR
    )


def test_a_date_that_passed_in_an_outage_gives_the_vos_the_usual_time_and_says_which_it_was(store: FactStore) -> None:
    record = previewed(store)
    due = feedback_dates.agree_feedback_date(desk(store, record, AFTER_THE_OUTAGE), DUE, otherwise=OPEN_FOR)
    assert due == AFTER_THE_OUTAGE + OPEN_FOR
    fact = store.rollout(record.name).need(FactKind.FEEDBACK_DATE_AGREED, "")
    assert fact.payload["instead_of"] == DUE.isoformat()
    again = feedback_dates.agree_feedback_date(desk(store, record, due), DUE, otherwise=OPEN_FOR)
    assert again == due, "once"


def test_nobody_is_counted_as_silent_whose_time_had_passed_before_anybody_was_asked(store: FactStore) -> None:
    record = agreed(store)
    for _ in range(2):  # two tasks do so, side by side
        feedback_dates.ask_in_time(desk(store, record, AFTER_THE_OUTAGE), OPEN_FOR)
    record = invited(store, record, "atlas")
    assert feedback_due(record) == AFTER_THE_OUTAGE + OPEN_FOR
    assert sum(f.kind is FactKind.FEEDBACK_DATE_MOVED for f in record.facts) == 1
    assert not feedback_is_over(record, AFTER_THE_OUTAGE)


def test_who_was_asked_and_said_nothing_until_the_date_is_silent_after_an_outage_too(store: FactStore) -> None:
    record = invited(store, agreed(store), "atlas")
    feedback_dates.ask_in_time(desk(store, record, AFTER_THE_OUTAGE), OPEN_FOR)
    assert feedback_due(store.rollout(record.name)) == DUE
    assert feedback_is_over(record, AFTER_THE_OUTAGE)


def test_an_extension_counts_is_told_once_and_the_same_again_is_no_other(store: FactStore) -> None:
    record = invited(store, agreed(store), "atlas")
    fact = extend(store, record, reason="The site of the VO was down for two days.")
    assert extend(store, record, at=NOW + timedelta(hours=1)) == fact
    record = store.rollout(record.name)
    assert feedback_due(record) == AFTER_THE_OUTAGE
    assert [m.to for m, _, _ in store.outbox(record.name)] == ["atlas@x.org", "pps@x.org"]
    assert "down for two days" in " ".join(store.outbox(record.name)[0][0].text.split())
    assert not feedback_is_over(record, DUE + timedelta(hours=1))
    assert extend(store, record, AFTER_THE_OUTAGE + timedelta(days=1)).occasion != fact.occasion


def test_an_answer_in_the_time_that_was_added_counts_by_the_invitation_from_before(store: FactStore) -> None:
    record = invited(store, agreed(store), "atlas")
    token = tokens.invitation_token(SECRET, record.name, "atlas", DUE)
    later = DUE + timedelta(days=60)
    extend(store, record, later)
    said = feedback.Said("atlas", "works", "", "a", token)
    feedback.give_feedback(store, record.name, said, later - timedelta(days=1), SECRET)
    (counts,) = summary(store.rollout(record.name)).counting
    assert (counts.vo, counts.late) == ("atlas", False)


def test_before_the_date_is_agreed_on_an_extension_is_the_one_that_will_be_and_nights_do_not_run_ahead(
    store: FactStore,
) -> None:
    record = previewed(store)
    extend(store, record, AFTER_THE_OUTAGE)
    record = store.rollout(record.name)
    assert feedback_due(record) is None
    assert not record.is_open_preview
    assert feedback_dates.agree_feedback_date(desk(store, record), DUE, otherwise=OPEN_FOR) == AFTER_THE_OUTAGE
    assert store.outbox(record.name) == (), "nobody had been told another one"


@pytest.mark.parametrize(
    ("days", "mine", "why"),
    [
        (2, ["role:EMT", "user:carla"], "Only the Release Manager and the PPS Coordinator may extend"),
        (-1, MINE, "that is no earlier date"),
        (0, MINE, "that is no earlier date"),
        (400, MINE, "is too far away"),
    ],
)
def test_what_is_no_extension_is_refused(store: FactStore, days: int, mine: list[str], why: str) -> None:
    record = agreed(store)
    with pytest.raises(RefusedError, match=why):
        extend(store, record, DUE + timedelta(days=days), mine=mine)
    assert feedback_due(store.rollout(record.name)) == DUE


@pytest.mark.parametrize("ended", [FactKind.FEEDBACK_ENDED, FactKind.ROLLOUT_STOPPED, FactKind.WITHDRAWAL_ASKED])
def test_what_has_ended_is_not_opened_again(store: FactStore, ended: FactKind) -> None:
    record = agreed(store)
    store.record(Fact(record.name, ended, "", "", NOW, "pps", {"reason": "It loses jobs.", "outcome": "none"}))
    with pytest.raises(RefusedError, match=r"has ended|It is over"):
        extend(store, record)


def test_a_pilot_keeps_the_dates_of_its_kick_off() -> None:
    pilot = APilot()
    with pytest.raises(RefusedError, match="the wrap-up can prolong it"):
        feedback_dates.extend_feedback(
            at_desk(pilot.record, pilot.store), AFTER_THE_OUTAGE, "", "carla", MINE, [], at_most=HALF_A_YEAR
        )


def test_vos_who_hear_later_because_of_an_embargo_have_all_their_time(store: FactStore) -> None:
    until = NOW + timedelta(days=3)
    note_advice(at_office(store), replace(PATCH, embargo_until=until))
    record = previewed(store)
    due = feedback_dates.agree_feedback_date(desk(store, record), NOW + OPEN_FOR, otherwise=OPEN_FOR)
    assert due == until + OPEN_FOR == feedback_due(store.rollout(record.name))
