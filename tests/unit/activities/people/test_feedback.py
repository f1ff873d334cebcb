from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.support.bad_input import HTML, JINJA, TEXTS
from tests.support.desks import at_desk
from tests.support.examples import DUE, NOW, SECRET, asked, previewed, sqlite_store
from tests.support.front import CONFIG

from pps.activities.people import feedback, feedback_dates, tokens
from pps.adapters.record.store import FactStore
from pps.config.loader import Configuration
from pps.domain.base.errors import ConfigurationError, InvalidNameError, NotYetAllowedError, RefusedError
from pps.domain.people.feedback import FeedbackLimits, Outcome, VoAnswer, summary
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


@pytest.fixture
def record(store: FactStore) -> Rollout:
    return asked(store, previewed(store))


def give(
    store: FactStore, record: Rollout, vo: str = "atlas", opinion: str = "works", text: str = "", **given: object
) -> VoAnswer:
    own = {"author": "", "token": None, "idempotency_key": None, "now": NOW, "secret": SECRET} | given
    said = feedback.Said(vo, opinion, text, *(own.pop(k) for k in ("author", "token", "idempotency_key")))
    return feedback.give_feedback(store, record.name, said, **own)  # type: ignore[arg-type]


def invitation(record: Rollout, vo: str = "atlas") -> str:
    return tokens.invitation_token(SECRET, record.name, vo, DUE)


def kept(store: FactStore, record: Rollout) -> list[Fact]:
    return [f for f in store.rollout(record.name).facts if f.kind is FactKind.FEEDBACK_GIVEN]


def test_the_date_is_agreed_once_and_a_retry_keeps_the_first(store: FactStore) -> None:
    record = previewed(store)
    assert feedback_dates.agree_feedback_date(at_desk(record, store, now=NOW, actor="pps"), DUE) == DUE
    later = NOW + timedelta(hours=1)
    assert (
        feedback_dates.agree_feedback_date(
            at_desk(store.rollout(record.name), store, now=later, actor="pps"), DUE + timedelta(days=3)
        )
        == DUE
    )
    assert (
        feedback_dates.agree_feedback_date(at_desk(record, store, now=later, actor="pps"), DUE + timedelta(days=3))
        == DUE
    )


def test_a_date_that_has_passed_is_refused(store: FactStore) -> None:
    with pytest.raises(RefusedError, match="has passed already"):
        feedback_dates.agree_feedback_date(at_desk(previewed(store), store, now=NOW, actor="pps"), NOW)


def test_the_invitation_of_a_vo_is_good_for_this_vo_and_this_rollout_only(store: FactStore, record: Rollout) -> None:
    token = invitation(record)
    assert tokens.check_token(SECRET, record.name, "atlas", token)
    assert not tokens.check_token(SECRET, record.name, "cms", token)
    assert not tokens.check_token(SECRET, "bc-client-4711-2", "atlas", token)
    assert not tokens.check_token(b"another-secret-16+", record.name, "atlas", token)
    assert not tokens.check_token(SECRET, record.name, "atlas", "é\ud800")
    assert give(store, record, token=token).invited
    assert not give(store, record).invited


def test_a_secret_that_can_be_guessed_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="shorter than 16 bytes"):
        tokens.invitation_token(b"", "bc-client-1-1", "atlas")


def test_a_wrong_token_is_refused_and_nothing_is_kept(store: FactStore, record: Rollout) -> None:
    with pytest.raises(RefusedError, match="not this VO's invitation"):
        give(store, record, token=invitation(record, "cms"))
    assert kept(store, record) == []


@pytest.mark.parametrize("key", [None, "a click"])
def test_the_same_answer_twice_is_one_record(store: FactStore, record: Rollout, key: str | None) -> None:
    first = give(store, record, text="fine", idempotency_key=key)
    again = give(store, record, text="fine", idempotency_key=key, now=NOW + timedelta(hours=1))
    assert again == first
    assert len(kept(store, record)) == 1


def test_one_key_names_one_answer_of_one_vo(store: FactStore, record: Rollout) -> None:
    first = give(store, record, text="fine", idempotency_key="k")
    assert give(store, record, text="fine, really", idempotency_key="k") == first
    assert give(store, record, "cms", text="fine", idempotency_key="k") != first


def test_a_late_answer_is_kept_and_marked(store: FactStore, record: Rollout) -> None:
    assert not give(store, record, token=invitation(record), now=DUE).late
    late = give(store, record, "ops", token=invitation(record, "ops"), now=DUE + timedelta(seconds=1))
    assert late.late
    said = summary(store.rollout(record.name))
    assert [a.vo for a in said.late] == ["ops"]
    assert said.outcome is Outcome.SOME


def test_an_unknown_and_an_ended_rollout_take_no_feedback(store: FactStore, record: Rollout) -> None:
    with pytest.raises(NotYetAllowedError, match="not on record"):
        feedback.give_feedback(store, "bc-client-1-1", feedback.Said("atlas", "works", "", ""), NOW, SECRET)
    first = give(store, record)
    store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "pps", {}))
    with pytest.raises(NotYetAllowedError, match="has ended"):
        give(store, record, text="too late")
    assert give(store, record) == first, "a retry of what was kept still gets its answer"


def test_everything_wrong_with_an_answer_is_said_at_once(store: FactStore, record: Rollout) -> None:
    with pytest.raises(RefusedError) as refused:
        give(store, record, opinion="great", text="x" * 20_001)
    assert len(refused.value.reasons) == 2
    with pytest.raises(RefusedError, match="without a text"):
        give(store, record, opinion="problem", text=" \x00\n")
    with pytest.raises(InvalidNameError):
        give(store, record, vo="atlas\n")
    assert kept(store, record) == []


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS])
def test_bad_input_is_kept_as_plain_text_without_control_characters(
    store: FactStore, record: Rollout, text: str
) -> None:
    answer = give(store, record, opinion="comment", text=text, author=text)
    answer.text.encode()
    assert not set(answer.text) & set("\x00\x1b\u202e\u2028")
    assert len(answer.author.splitlines()) == 1


def test_a_flood_without_invitation_ends_and_invited_answers_still_come_through(
    store: FactStore, record: Rollout
) -> None:
    few = FeedbackLimits(uninvited_at_most=5, uninvited_per_vo=3, uninvited_per_network=2)
    for number in range(2):
        give(store, record, text=f"{number}", network="192.0.2.1", limits=few)
    with pytest.raises(RefusedError, match="from your network already"):
        give(store, record, text="2", network="192.0.2.1", limits=few)
    give(store, record, text="2", network="192.0.2.2", limits=few)
    with pytest.raises(RefusedError, match="uninvited answers"):
        give(store, record, text="3", network="192.0.2.3", limits=few)
    for number in range(2):  # in another VO's name there is room
        give(store, record, "cms", text=f"{number}", network="192.0.2.4", limits=few)
    with pytest.raises(RefusedError, match="uninvited answers"):
        give(store, record, "ops", text="3", network="192.0.2.5", limits=few)
    assert give(store, record, token=invitation(record), network="192.0.2.1", limits=few).invited
    assert "192.0.2" not in str([f.payload for f in kept(store, record)])


def test_one_invitation_fills_no_record_and_the_same_words_are_one_answer(store: FactStore, record: Rollout) -> None:
    few = FeedbackLimits(answers_per_invitation=3)
    token = invitation(record)
    first = give(store, record, text="fine", token=token, idempotency_key="a", limits=few)
    assert give(store, record, text="fine", token=token, idempotency_key="b", limits=few) == first
    for number in range(2):
        last = give(store, record, text=f"corrected {number}", token=token, limits=few)
    for text in ("and again", "fine"):  # the words that were replaced would count anew
        with pytest.raises(RefusedError, match="3 answers came with this invitation"):
            give(store, record, text=text, token=token, idempotency_key="c", limits=few)
    assert give(store, record, text="corrected 1", token=token, idempotency_key="c", limits=few) == last
    assert give(store, record, "cms", text="we as well", token=invitation(record, "cms"), limits=few).invited


@pytest.mark.parametrize("until", [DUE, None])
def test_an_invitation_ends_some_time_after_the_agreed_date(
    store: FactStore, record: Rollout, until: datetime | None
) -> None:
    token = tokens.invitation_token(SECRET, record.name, "atlas", until)
    grace = FeedbackLimits().late_for
    assert give(store, record, text="late", token=token, now=DUE + grace).late
    with pytest.raises(RefusedError, match="has expired"):
        give(store, record, text="later", token=token, now=DUE + grace + timedelta(seconds=1))
    assert not give(store, record, text="later", now=DUE + grace + timedelta(seconds=1)).invited


def test_the_date_of_an_invitation_cannot_be_changed(store: FactStore, record: Rollout) -> None:
    date, _, signature = invitation(record).partition(".")
    assert not tokens.check_token(SECRET, record.name, "atlas", f"{int(date) + 10**8}.{signature}")
    assert not tokens.check_token(SECRET, record.name, "atlas", f"{date}.")
    assert not tokens.check_token(SECRET, record.name, "atlas", f"x.{signature}")


@pytest.mark.parametrize("until", [DUE, None])
def test_with_a_new_key_before_the_old_one_invitations_that_were_sent_stay_good(until: datetime | None) -> None:
    new = b"a-new-key-of-at-least-32-bytes-long"
    before = SECRET + b"!"
    old = tokens.invitation_token(before, "bc-client-4711-1", "atlas", until)
    both = new + b" , " + before
    assert tokens.check_token(both, "bc-client-4711-1", "atlas", old)
    assert not tokens.check_token(new, "bc-client-4711-1", "atlas", old)
    fresh = tokens.invitation_token(both, "bc-client-4711-1", "atlas", until)
    assert fresh == tokens.invitation_token(new, "bc-client-4711-1", "atlas", until)
    with pytest.raises(ConfigurationError, match="shorter than 32 bytes"):
        tokens.invitation_token(new + b" too-short", "bc-client-4711-1", "atlas", until)


def test_what_an_answer_shows_of_persons_is_hidden_before_it_is_stored(store: FactStore, record: Rollout) -> None:
    text = "Ask ana@pic.example.org, or /DC=org/DC=example/CN=Ana Garcia."
    assert (
        give(store, record, opinion="comment", text=text).text
        == "Ask a***@pic.example.org, or [name in a certificate]."
    )


def test_the_shipped_numbers_are_the_usual_ones() -> None:
    assert Configuration(CONFIG).policies.feedback.limits() == FeedbackLimits()


def test_feedback_does_not_end_before_its_date(store: FactStore, record: Rollout) -> None:
    with pytest.raises(NotYetAllowedError, match="open until 2025-12-15"):
        feedback.end_of_feedback(at_desk(record, now=DUE, actor="pps"))
    ended = feedback.end_of_feedback(at_desk(record, now=DUE + timedelta(seconds=1), actor="pps"))
    assert ended.payload == {"outcome": "none"}


def test_a_vo_may_go_back_to_what_it_said_first_and_a_click_repeated_is_still_one(
    store: FactStore, record: Rollout
) -> None:
    token = invitation(record)
    for key, opinion, text in (
        ("1", "works", ""),
        ("2", "problem", "It hangs."),
        ("3", "works", ""),
        ("3", "works", ""),
    ):
        give(store, record, opinion=opinion, text=text, token=token, idempotency_key=key)
    given = summary(store.rollout(record.name))
    assert [(a.opinion, a.text) for a in given.counting] == [("works", "")]
    assert [a.opinion for a in given.replaced] == ["works", "problem"]
