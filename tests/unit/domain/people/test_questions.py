"""Questions to people: the first answer in time decides, everything is kept, silence is an outcome."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.support.histories import NOON, History

from pps.domain.people import questions
from pps.domain.record.facts import FactKind

STEP, SITE = "release-test", "PIC"
DUE = NOON + timedelta(days=1)


def asked() -> History:
    return History("release-test-4711-1").then(
        FactKind.QUESTION_ASKED, SITE, STEP, at=NOON, due=DUE.isoformat(), to="pic@example.org", title="PIC: apply it"
    )


def answer(history: History, choice: str, after: timedelta, user: str = "admin-pic") -> History:
    occasion = f"{STEP}/{choice}{user}{after}"
    return history.then(
        FactKind.ANSWER_GIVEN, SITE, occasion, at=NOON + after, step=STEP, choice=choice, form={}, user=user
    )


def test_the_first_answer_in_time_decides_and_the_second_is_kept() -> None:
    history = answer(answer(asked(), "Accept", timedelta(hours=1)), "Reject", timedelta(hours=2), "other")
    assert questions.decisive(history.rollout, STEP, SITE).choice == "Accept"
    assert [a.choice for a in questions.answers(history.rollout, STEP)] == ["Accept", "Reject"]


def test_the_very_instant_of_the_agreed_time_is_in_time_and_a_second_later_is_late() -> None:
    assert questions.decisive(answer(asked(), "Accept", DUE - NOON).rollout, STEP, SITE) is not None
    late = answer(asked(), "Accept", DUE - NOON + timedelta(seconds=1)).rollout
    assert questions.decisive(late, STEP, SITE) is None
    assert questions.answers(late, STEP)[0].late


def test_what_comes_after_the_asking_has_ended_decides_nothing_whatever_its_time() -> None:
    ended = asked().then(FactKind.QUESTION_EXPIRED, SITE, STEP)
    assert questions.decisive(answer(ended, "Accept", timedelta(hours=1)).rollout, STEP, SITE) is None


def test_an_answer_to_what_nobody_asked_is_none() -> None:
    history = History("release-test-4711-1").then(
        FactKind.ANSWER_GIVEN, SITE, STEP, step=STEP, choice="Accept", form={}, user="x"
    )
    assert questions.answers(history.rollout, STEP) == ()


def test_a_question_is_open_until_it_is_answered_has_expired_or_the_rollout_has_ended() -> None:
    (question,) = questions.questions(asked().rollout)
    assert questions.is_open(asked().rollout, question)
    assert not questions.is_open(answer(asked(), "Accept", timedelta(hours=1)).rollout, question)
    assert not questions.is_open(asked().then(FactKind.QUESTION_EXPIRED, SITE, STEP).rollout, question)
    assert not questions.is_open(asked().then(FactKind.ROLLOUT_CLOSED).rollout, question)


@given(st.integers(-100, 200), st.lists(st.floats(0.01, 0.99), max_size=5, unique=True).map(sorted))
def test_reminders_only_grow_in_number_and_end_with_the_time(percent: int, shares: list[float]) -> None:
    (question,) = questions.questions(asked().rollout)
    now = NOON + (DUE - NOON) * percent / 100
    due = questions.reminder_due(question, now, shares)
    assert 0 <= due <= len(shares)
    if percent > 100 or percent < 0:
        assert due == 0
    else:
        assert due == sum(share <= percent / 100 for share in shares)
