"""When the asking ends early: how many VOs are enough, and not before a minimum time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pps.domain.people import feedback
from pps.domain.people.feedback import Asking, Terms
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

ASKED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DUE = ASKED_AT + timedelta(days=14)
NAMES = ("alice", "atlas", "cms", "lhcb")
TERMS = st.builds(
    Terms,
    earliest=st.none() | st.integers(1, 14).map(lambda days: timedelta(days=days)),
    enough=st.none() | st.integers(1, 6),
)
#: Each VO's answer: never, or after so many hours; also late ones.
ANSWERED = st.lists(st.none() | st.integers(0, 400), min_size=1, max_size=len(NAMES))
NOWS = st.integers(0, 400).map(lambda hours: ASKED_AT + timedelta(hours=hours))


def fact(kind: FactKind, subject: str = "", occasion: str = "", at: datetime = ASKED_AT, **payload: object) -> Fact:
    return Fact("bc-client-1-1", kind, subject, occasion, at, "test", payload)


def asked(answered: list[int | None], now: datetime, *more: Fact) -> Rollout:
    """As it was on record at `now`."""
    vos = NAMES[: len(answered)]
    said = [
        fact(FactKind.FEEDBACK_GIVEN, vo, vo, ASKED_AT + timedelta(hours=h), opinion="works", text="", invited=True)
        for vo, h in zip(vos, answered, strict=True)
        if h is not None
    ]
    facts = (
        fact(FactKind.FEEDBACK_DATE_AGREED, due=DUE.isoformat()),
        *(fact(FactKind.VO_INVITED, vo) for vo in vos),
        *sorted(said, key=lambda f: f.at),
        *more,
    )
    return Rollout("bc-client-1-1", tuple(f for f in facts if f.at <= now))


@given(ANSWERED, TERMS, NOWS)
def test_it_ends_early_only_with_enough_answers_and_after_the_minimum_time(
    answered: list[int | None], terms: Terms, now: datetime
) -> None:
    heard = sum(h is not None and ASKED_AT + timedelta(hours=h) <= min(now, DUE) for h in answered)
    wanted = len(answered) if terms.enough is None else min(terms.enough, len(answered))
    early = heard >= wanted and now >= ASKED_AT + (terms.earliest or timedelta(0))
    assert feedback.feedback_is_over(asked(answered, now), now, terms) is (now > DUE or early)


@given(ANSWERED, TERMS, NOWS)
def test_without_terms_it_ends_as_it_always_has_and_no_terms_go_beyond_the_agreed_date(
    answered: list[int | None], terms: Terms, now: datetime
) -> None:
    record = asked(answered, now)
    all_have = feedback.outcome(record) is feedback.Outcome.ALL
    assert feedback.feedback_is_over(record, now) is (now > DUE or all_have)
    assert feedback.feedback_is_over(record, DUE + timedelta(seconds=1), terms)


@given(ANSWERED, TERMS, NOWS)
def test_the_end_that_is_told_is_the_end_that_comes(answered: list[int | None], terms: Terms, now: datetime) -> None:
    record = asked(answered, now)
    until = Asking.of(record, terms).until
    if not feedback.feedback_is_over(record, now, terms):
        assert until is not None
        assert now <= until
        assert feedback.feedback_is_over(record, until + timedelta(seconds=1), terms)
        assert not feedback.feedback_is_over(record, max(now, until - timedelta(seconds=1)), terms) or until == now


@given(ANSWERED, TERMS, NOWS)
def test_an_end_on_record_stays_whatever_is_withdrawn_or_changed_in_the_policies(
    answered: list[int | None], terms: Terms, now: datetime
) -> None:
    ended = fact(FactKind.FEEDBACK_ENDED, at=now, outcome="all")
    gone = [fact(FactKind.FEEDBACK_WITHDRAWN, vo, vo, now) for vo in NAMES]
    assert feedback.feedback_is_over(asked(answered, now, ended, *gone), now, terms)


def test_people_are_told_how_many_are_enough_and_when_it_ends() -> None:
    now = ASKED_AT + timedelta(hours=2)

    def said(answered: list[int | None], **terms: object) -> str:
        return Asking.of(asked(answered, now), Terms(**terms)).sentence  # type: ignore[arg-type]

    two_of_four = [0, 1, None, None]
    assert said(two_of_four) == "2 of 4 VOs have answered; it ends on Sun 15 Mar 2026, 12:00 UTC or when all have."
    assert said(two_of_four, enough=3) == (
        "2 of 4 VOs have answered; enough are 3; it ends on Sun 15 Mar 2026, 12:00 UTC at the latest."
    )
    assert said(two_of_four, enough=3, earliest=timedelta(days=3)) == (
        "2 of 4 VOs have answered; enough are 3; it ends on Sun 15 Mar 2026, 12:00 UTC at the latest, and not before "
        "Wed 4 Mar 2026, 12:00 UTC."
    )
    assert said(two_of_four, enough=2) == "2 of 4 VOs have answered, which is enough; it ends by itself, now."
    assert said(two_of_four, enough=2, earliest=timedelta(days=3)) == (
        "2 of 4 VOs have answered, which is enough; it ends on Wed 4 Mar 2026, 12:00 UTC, not earlier."
    )
