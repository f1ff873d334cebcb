from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.people import feedback
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

SECOND = timedelta(seconds=1)


def rollout(due: datetime, *answered: tuple[str, datetime, bool]) -> Rollout:
    def fact(kind: FactKind, subject: str, occasion: str, at: datetime, **payload: object) -> Fact:
        return Fact("bc-client-1-1", kind, subject, occasion, at, "test", payload)

    return Rollout(
        "bc-client-1-1",
        (
            fact(FactKind.FEEDBACK_DATE_AGREED, "", "", due - timedelta(days=14), due=due.isoformat()),
            *(fact(FactKind.VO_INVITED, vo, "", due - timedelta(days=14)) for vo in ("atlas", "cms")),
            *(
                fact(FactKind.FEEDBACK_GIVEN, vo, f"{number}", at, opinion="works", text="", invited=invited)
                for number, (vo, at, invited) in enumerate(answered)
            ),
        ),
    )


@pytest.mark.sd("4.1.1")
@given(st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(ZoneInfo("Europe/Berlin"))))
def test_an_answer_at_the_very_instant_of_the_agreed_date_is_in_time_in_every_zone(due: datetime) -> None:
    record = rollout(
        due.astimezone(UTC),
        ("atlas", due.astimezone(UTC) - SECOND, True),
        ("atlas", due, True),
        ("atlas", due.astimezone(UTC) + SECOND, True),
    )
    assert [a.late for a in feedback.answers(record)] == [False, False, True]
    assert not feedback.feedback_is_over(record, due)
    assert feedback.feedback_is_over(record, due.astimezone(UTC) + SECOND)


DUE = datetime(2025, 12, 15, tzinfo=UTC)


def test_the_wait_ends_early_only_when_every_invited_vo_has_answered() -> None:
    before = DUE - timedelta(days=1)
    assert not feedback.feedback_is_over(rollout(DUE, ("atlas", before, True)), before)
    assert feedback.feedback_is_over(rollout(DUE, ("atlas", before, True), ("cms", before, True)), before)


def test_an_answer_without_the_invitation_does_not_speak_for_a_vo() -> None:
    before = DUE - timedelta(days=1)
    record = rollout(DUE, ("atlas", before, False), ("cms", before, False))
    assert feedback.outcome(record) is feedback.Outcome.NONE
    assert not feedback.feedback_is_over(record, before)


def test_the_summary_shows_late_and_uninvited_answers_apart() -> None:
    record = rollout(DUE, ("atlas", DUE, True), ("cms", DUE + SECOND, True), ("lhcb", DUE, False))
    said = feedback.summary(record)
    assert [a.vo for a in said.counting] == ["atlas"]
    assert [a.vo for a in said.late] == ["cms"]
    assert [a.vo for a in said.others] == ["lhcb"]
    assert said.silent == ("cms",)
    assert said.outcome is feedback.Outcome.SOME


def test_of_a_vos_answers_the_newest_in_time_counts_and_those_before_are_shown_as_replaced() -> None:
    before = DUE - timedelta(days=2)
    record = rollout(
        DUE,
        ("atlas", before, True),
        ("atlas", before, False),
        ("cms", before, True),
        ("atlas", DUE, True),
        ("atlas", DUE + SECOND, True),
    )
    assert [a.replaced for a in feedback.answers(record)] == [True, False, False, False, False]
    said = feedback.summary(record)
    assert [(a.vo, a.identity) for a in said.counting] == [("cms", "2"), ("atlas", "3")]
    assert [a.identity for a in said.replaced] == ["0"]
    assert [a.identity for a in (*said.late, *said.others)] == ["4", "1"], "what is late or uninvited replaces nothing"
    assert said.outcome is feedback.Outcome.ALL


def test_a_withdrawn_answer_brings_none_back_that_it_had_replaced_and_the_next_one_counts() -> None:
    before = DUE - timedelta(days=2)
    record = rollout(DUE, ("atlas", before, True), ("atlas", before + SECOND, True), ("cms", before, True))
    gone = Fact("bc-client-1-1", FactKind.FEEDBACK_WITHDRAWN, "atlas", "1", before + 2 * SECOND, "test", {})
    record = Rollout(record.name, (*record.facts, gone))
    said = feedback.summary(record)
    assert (said.silent, [a.vo for a in said.counting]) == (("atlas",), ["cms"])
    assert ([a.identity for a in said.replaced], [a.identity for a in said.withdrawn]) == (["0"], ["1"])
    payload = {"opinion": "works", "text": "", "invited": True}
    again = Fact("bc-client-1-1", FactKind.FEEDBACK_GIVEN, "atlas", "3", DUE, "test", payload)
    said = feedback.summary(Rollout(record.name, (*record.facts, again)))
    assert (said.silent, [a.identity for a in said.counting]) == ((), ["2", "3"])
