from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.bad_input import TEXTS
from tests.support.examples import NOW, sqlite_store
from tests.support.marks import assert_marks_are_those_of_the_register
from tests.support.thoroughness import examples

from pps.activities.ports.people import Mail
from pps.adapters.record.outbox_table import CLAIM, GIVE_UP_AFTER, LONGEST_PAUSE, pause_after
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import AlreadyOpenError, ConfigurationError, NotYetAllowedError, ServiceError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name


@pytest.fixture
def store() -> Iterator[FactStore]:
    store = sqlite_store()
    yield store
    store.dispose()


def fact(
    rollout: str, kind: FactKind = FactKind.SITE_FAILED, subject: str = "PIC", occasion: str = "", **payload: object
) -> Fact:
    return Fact(rollout, kind, subject, occasion, NOW, "test", payload)


def begin(store: FactStore, patch: int = 1, run: str = "first") -> str:
    name = store.next_name("bc-client", patch, run)
    store.open("bc-client", patch, fact(name, FactKind.ROLLOUT_OPENED, ""), run)
    return name


def mail(key: str) -> Mail:
    return Mail(key, "a@example.org", "Hello", "text", "<p>", (("a.txt", "text/plain", "x"),))


def test_growing_pauses_end_at_four_hours() -> None:
    assert [pause_after(n) for n in (1, 2, 3)] == [timedelta(minutes=m) for m in (1, 2, 4)]
    assert pause_after(9) == pause_after(10_000) == LONGEST_PAUSE


@pytest.mark.parametrize(
    "url",
    [
        "canary-secret",
        "mysql://pps:canary-secret@host/x",
        "://canary-secret",
        "postgresql+psycopg://a:canary-secret@h:no/x",
    ],
)
def test_an_address_that_will_not_do_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        FactStore(url)
    assert "canary-secret" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_the_password_is_not_shown() -> None:
    assert "canary-secret" not in repr(FactStore("postgres://pps:canary-secret@127.0.0.1/pps"))


def test_a_store_without_tables_says_how_to_get_them() -> None:
    with pytest.raises(ConfigurationError, match="Run: pps db upgrade"):
        FactStore("sqlite://").rollouts()


def test_a_fact_of_an_unknown_rollout_is_refused(store: FactStore) -> None:
    with pytest.raises(NotYetAllowedError, match="Open the rollout first"):
        store.record(fact("bc-client-9-1"))
    with pytest.raises(NotYetAllowedError, match="not on record"):
        store.rollout("bc-client-9-1")


def test_facts_cannot_be_changed_or_deleted(store: FactStore) -> None:
    import sqlalchemy as sa

    begin(store)
    for statement in ("UPDATE facts SET actor = 'x'", "DELETE FROM facts"):
        with pytest.raises(ServiceError, match="append-only"), store._transaction() as connection:
            connection.execute(sa.text(statement))


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_text_comes_is_stored(store: FactStore, text: str) -> None:
    name = begin(store)
    new = fact(name, reason=text, lines=[text], deep={"x": {text: 1}})
    assert store.record(new, mails=[Mail(f"{name}/{text}", "a@example.org", text, text)]) == (new,)
    assert store.record(new, mails=[Mail(f"{name}/{text}", "a@example.org", text, text)]) == ()
    assert len(store.outbox(name)) == 1
    (_, kept) = store.rollout(name).facts
    assert kept.payload["reason"] == text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")


def test_a_cleared_task_finds_its_own_rollout_after_it_has_ended(store: FactStore) -> None:
    name = begin(store, run="first")
    store.close(fact(name, FactKind.ROLLOUT_CLOSED, ""))
    assert store.next_name("bc-client", 1, "first") == name
    assert store.next_name("bc-client", 1) == "bc-client-1-2"
    assert not store.open("bc-client", 1, fact(name, FactKind.ROLLOUT_OPENED, ""), "first")
    assert begin(store, run="second") == "bc-client-1-2"


def test_each_of_a_sites_addresses_gets_a_mail_of_its_own_once(store: FactStore) -> None:
    name = begin(store)
    for _ in range(2):
        store.record(mails=[Mail(f"{name}/x", "a@example.org, B@example.org", "s", "t")])
    mails = [(mail.key, mail.to) for mail, _, _ in store.outbox(name)]
    assert mails == [(f"{name}/x", "a@example.org"), (f"{name}/x/B@example.org", "B@example.org")]


def test_a_mail_that_is_refused_for_five_days_is_given_up(store: FactStore) -> None:
    name = begin(store)
    store.record(mails=[mail(f"{name}/x")])
    now, tries = NOW, 0
    while now < NOW + 2 * GIVE_UP_AFTER:
        if store.unsent(5, now):
            store.mark_refused({f"{name}/x": "550 no such mailbox"}, now)
            tries += 1
            last = now
        now += timedelta(minutes=10)
    assert last - NOW < GIVE_UP_AFTER
    assert 30 < tries < 50
    assert store.outbox(name)[0][1:] == (None, "550 no such mailbox")


class StoreMachine(RuleBasedStateMachine):
    """Facts and mails against the simplest model of them: whatever is repeated counts once."""

    patches = st.integers(1, 3)
    runs = st.sampled_from(["r1", "r2", "r3"])
    letters = st.sampled_from("abc")

    def __init__(self) -> None:
        super().__init__()
        self.store = sqlite_store()
        self.now: datetime = NOW
        self.facts: dict[str, list[tuple[str, str, str]]] = {}
        self.open: dict[int, tuple[str, str]] = {}
        self.by_run: dict[tuple[int, str], str] = {}
        self.queued: dict[str, str] = {}
        """key -> waiting, sent"""
        self.claimed: dict[str, datetime] = {}
        self.due: dict[str, datetime] = {}
        self.first: dict[str, datetime] = {}

    def teardown(self) -> None:
        self.store.dispose()

    @rule(patch=patches, run=runs)
    def open_a_rollout(self, patch: int, run: str) -> None:
        name = self.store.next_name("bc-client", patch, run)
        opening = fact(name, FactKind.ROLLOUT_OPENED, "")
        if (patch, run) in self.by_run:
            assert name == self.by_run[patch, run]
            assert not self.store.open("bc-client", patch, opening, run)
        elif patch in self.open:
            with pytest.raises(AlreadyOpenError):
                self.store.open("bc-client", patch, opening, run)
        else:
            assert self.store.open("bc-client", patch, opening, run)
            self.by_run[patch, run], self.open[patch] = name, (name, run)
            self.facts[name] = [(FactKind.ROLLOUT_OPENED, "", "")]

    @rule(patch=patches)
    def close_a_rollout(self, patch: int) -> None:
        if patch in self.open:
            name, _ = self.open.pop(patch)
            for _ in range(2):
                self.store.close(fact(name, FactKind.ROLLOUT_CLOSED, ""))
            self.facts[name].append((FactKind.ROLLOUT_CLOSED, "", ""))

    @rule(patch=patches, subject=letters, occasion=letters, key=letters)
    def record_a_fact_with_its_mail(self, patch: int, subject: str, occasion: str, key: str) -> None:
        if patch not in self.open:
            return
        name, _ = self.open[patch]
        identity = (FactKind.SITE_TOLD, subject, occasion)
        is_new = identity not in self.facts[name]
        new = self.store.record(fact(name, *identity), mails=[mail(f"{name}/{key}")])
        assert bool(new) is is_new
        if is_new:
            self.facts[name].append(identity)
        self.queued.setdefault(f"{name}/{key}", "waiting")

    @rule(patch=patches, occasion=letters)
    def decide_on_a_patch(self, patch: int, occasion: str) -> None:
        decided = Fact(dossier_name(patch), FactKind.POLICIES_OVERRULED, "", occasion, NOW, "a")
        self.store.record_in_dossier(patch, decided)

    @rule(limit=st.integers(1, 4), refuse=st.booleans(), die=st.booleans())
    def send(self, limit: int, refuse: bool, die: bool) -> None:
        got = [m.key for m in self.store.unsent(limit, self.now)]
        ready = {
            key
            for key, state in self.queued.items()
            if state == "waiting" and self.claimed.get(key, NOW) <= self.now and self.due.get(key, NOW) <= self.now
        }
        assert set(got) <= ready
        assert len(got) == min(limit, len(ready)) == len(set(got))
        for key in got:
            if die:
                self.claimed[key] = self.now + CLAIM
            elif refuse:
                first = self.first.setdefault(key, self.now)
                pause = self.now + LONGEST_PAUSE
                self.due[key] = pause if pause <= first + GIVE_UP_AFTER else datetime.max.replace(tzinfo=UTC)
            else:
                self.queued[key] = "sent"
        if not die and refuse:
            # as if it were the last of many tries: no shorter pause than this is ever needed to be right
            for _ in range(9):
                self.store.mark_refused(dict.fromkeys(got, "451 later"), self.now)
        elif not die:
            self.store.mark_sent(got, self.now)
            self.store.mark_refused(dict.fromkeys(got, "too late"), self.now)

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def the_store_tells_what_the_model_tells(self) -> None:
        for name, expected in self.facts.items():
            assert [(f.kind, f.subject, f.occasion) for f in self.store.rollout(name).facts] == expected
            mails = self.store.outbox(name)
            assert {m.key: "sent" if sent else "waiting" for m, sent, _ in mails} == {
                k: v for k, v in self.queued.items() if k.startswith(f"{name}/")
            }
        assert {r.name for r in self.store.rollouts(open_only=True)} == {name for name, _ in self.open.values()}
        assert_marks_are_those_of_the_register(self.store)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=examples(40), stateful_step_count=30)


def test_facts_of_a_kind_come_from_all_records_in_the_order_of_recording(store: FactStore) -> None:
    from pps.domain.record.rollouts import dossier_name

    first, second = begin(store, 1), begin(store, 2)
    late = Fact(first, FactKind.CREDITED, "PIC", "b", NOW + timedelta(days=1), "test")
    store.record(fact(second, FactKind.CREDITED, occasion="a"), late, fact(first))
    store.record_in_dossier(3, fact(dossier_name(3), FactKind.CREDITED, "ada"))
    kinds = (FactKind.CREDITED,)
    assert [(f.rollout, f.occasion) for f in store.facts_of_kind(kinds)] == [
        (second, "a"),
        (first, "b"),
        (dossier_name(3), ""),
    ]
    assert store.facts_of_kind(kinds, since=NOW + timedelta(seconds=1)) == (late,)
    assert late not in store.facts_of_kind(kinds, until=NOW + timedelta(days=1))
    assert len(store.facts_of_kind((FactKind.CREDITED, FactKind.SITE_FAILED))) == 4
    assert store.facts_of_kind(()) == ()


def test_of_a_record_can_be_read_what_is_about_the_whole_and_one_site_alone(store: FactStore) -> None:
    first, second = begin(store, 1), begin(store, 2)
    store.record(fact(first, FactKind.SITE_FAILED, "PIC"), fact(first, FactKind.SITE_FAILED, "CNAF"))
    found = store.about([first, second, "sites"], "PIC")
    assert [f.subject for f in found[first].facts] == ["", "PIC"]
    assert [f.kind for f in found[second].facts] == [FactKind.ROLLOUT_OPENED]
    assert found["sites"].facts == ()


def test_one_look_up_tells_whether_a_kind_of_fact_is_on_record(store: FactStore) -> None:
    name, other = begin(store), begin(store, patch=2)
    store.record(fact(name, FactKind.WITHDRAWAL_ASKED, "", reason="r"))
    assert store.has(name, FactKind.WITHDRAWAL_ASKED)
    assert not store.has(name, FactKind.TAGS_GONE)
    assert not store.has(other, FactKind.WITHDRAWAL_ASKED)
