"""The store on a real PostgreSQL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.support.bad_input import TEXTS
from tests.support.examples import NOW, SECRET, asked, previewed
from tests.support.marks import assert_marks_are_those_of_the_register
from tests.support.postgres import StoreUrls

from pps.activities.people import feedback, tokens
from pps.activities.ports.people import Mail
from pps.adapters.record import tables
from pps.adapters.record.outbox_table import CLAIM
from pps.adapters.record.store import FactStore, upgrade
from pps.domain.base.errors import AlreadyOpenError, ConfigurationError, NotYetAllowedError, ServiceError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name

pytestmark = pytest.mark.needs("postgres")


def fact(
    rollout: str, kind: FactKind = FactKind.SITE_FAILED, subject: str = "PIC", occasion: str = "", **payload: object
) -> Fact:
    return Fact(rollout, kind, subject, occasion, NOW, "test", payload)


def begin(store: FactStore, patch: int = 1, run: str = "first") -> str:
    name = store.next_name("bc-client", patch, run)
    store.open("bc-client", patch, fact(name, FactKind.ROLLOUT_OPENED, ""), run)
    return name


def at_once(number: int, work: Callable[[int], object]) -> list[object]:
    """Run `work` in so many threads that start together; returns what each returned or raised."""
    together = threading.Barrier(number)

    def one(index: int) -> object:
        together.wait(30)
        try:
            return work(index)
        except Exception as error:
            return error

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def test_of_twenty_callers_at_once_one_opens_the_rollout(fact_store: FactStore, store_url: str) -> None:
    stores = [FactStore(store_url) for _ in range(4)]

    def start(index: int) -> bool:
        store, run = stores[index % 4], f"run-{index}"
        name = f"path-{index}-7-1"  # by any path: the patch is what counts
        return store.open("bc-client", 7, fact(name, FactKind.ROLLOUT_OPENED, "", index=index), run)

    results = at_once(20, start)
    assert results.count(True) == 1
    assert sum(isinstance(r, AlreadyOpenError) for r in results) == 19
    (row,) = fact_store.rollouts()
    (opening,) = fact_store.rollout(row.name).facts
    assert opening.payload["index"] == results.index(True)
    for store in stores:
        store.dispose()


def test_one_run_that_opens_twenty_times_at_once_opens_once(fact_store: FactStore) -> None:
    results = at_once(
        20, lambda _: fact_store.open("bc-client", 7, fact("bc-client-7-1", FactKind.ROLLOUT_OPENED, ""), "run")
    )
    assert sorted(map(str, results)) == ["False"] * 19 + ["True"]


def test_closing_frees_the_patch(fact_store: FactStore) -> None:
    first = begin(fact_store, run="first")
    with pytest.raises(AlreadyOpenError, match=first):
        begin(fact_store, run="second")
    fact_store.close(fact(first, FactKind.ROLLOUT_CLOSED, ""))
    fact_store.close(fact(first, FactKind.ROLLOUT_CLOSED, ""))
    assert begin(fact_store, run="second") == "bc-client-1-2"
    assert [(r.name, r.closed_at is None) for r in fact_store.rollouts()] == [("bc-client-1-2", True), (first, False)]
    assert [r.name for r in fact_store.rollouts(open_only=True)] == ["bc-client-1-2"]


def test_facts_come_back_as_they_were_recorded_in_their_order(fact_store: FactStore) -> None:
    name = begin(fact_store)
    new = [fact(name, subject=f"S{n}", reason="ü", number=1.5, list=[{"a": None}]) for n in range(5)]
    assert fact_store.record(*new) == tuple(new)
    assert fact_store.record(new[2], fact(name, subject="S9"), new[3]) == (fact(name, subject="S9"),)
    assert fact_store.rollout(name).facts[1:] == (*new, fact(name, subject="S9"))


def test_the_same_fact_from_twenty_at_once_counts_once(fact_store: FactStore) -> None:
    name = begin(fact_store)
    one = fact(name)
    results = at_once(20, lambda _: fact_store.record(one, mails=[Mail(f"{name}/x", "a@example.org", "s", "t")]))
    assert sorted(map(len, results)) == [0] * 19 + [1]  # type: ignore[arg-type]
    assert len(fact_store.outbox(name)) == 1


@pytest.mark.parametrize("statement", ["UPDATE facts SET actor = 'x'", "DELETE FROM facts", "TRUNCATE facts"])
def test_postgresql_itself_refuses_to_change_facts(fact_store: FactStore, store_url: str, statement: str) -> None:
    begin(fact_store)
    plain = store_url.replace("+psycopg", "")
    with psycopg.connect(plain) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute(statement)  # type: ignore[arg-type]
    assert len(fact_store.rollout("bc-client-1-1").facts) == 1


def test_facts_and_mails_are_recorded_together_or_not_at_all(fact_store: FactStore) -> None:
    name = begin(fact_store)
    with pytest.raises(NotYetAllowedError):
        fact_store.record(fact(name), fact("bc-client-8-1"), mails=[Mail(f"{name}/x", "a@example.org", "s", "t")])
    assert len(fact_store.rollout(name).facts) == 1
    assert fact_store.outbox(name) == ()


def test_a_credit_from_twenty_at_once_counts_once_and_is_found_by_its_kind(fact_store: FactStore) -> None:
    name = begin(fact_store)
    later = Fact(name, FactKind.CREDITED, "PIC", "release-test", NOW + timedelta(days=1), "test", {"credits": 1})
    setup = fact(name, FactKind.CREDITED, occasion="pilot-setup", credits=12)
    at_once(20, lambda _: fact_store.record(setup, fact(name)))
    fact_store.record(later)
    kinds = (FactKind.CREDITED,)
    assert fact_store.facts_of_kind(kinds) == (setup, later)
    assert fact_store.facts_of_kind(kinds, since=NOW + timedelta(seconds=1)) == (later,)
    assert fact_store.facts_of_kind(kinds, until=later.at) == (setup,)


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_text_comes_is_stored(fact_store: FactStore, text: str) -> None:
    name = begin(fact_store)
    new = fact(name, reason=text, deep={"x": {text: [text]}})
    letter = Mail(f"{name}/x", "a@example.org", text, text, text, (("a.txt", "text/plain", text),))
    assert fact_store.record(new, mails=[letter]) == (new,)
    assert fact_store.record(new, mails=[letter]) == ()
    assert len(fact_store.rollout(name).facts) == 2


def test_senders_share_the_outbox_and_no_mail_is_claimed_twice(fact_store: FactStore) -> None:
    name = begin(fact_store)
    fact_store.record(mails=[Mail(f"{name}/{n:03}", "a@example.org", "s", "t") for n in range(100)])
    claimed = at_once(5, lambda _: [m.key for _ in range(10) for m in fact_store.unsent(2, NOW)])
    keys = [key for part in claimed for key in part]  # type: ignore[attr-defined]
    assert len(keys) == len(set(keys)) == 100
    assert fact_store.unsent(100, NOW + CLAIM - timedelta(seconds=1)) == ()
    assert len(fact_store.unsent(100, NOW + CLAIM)) == 100, "the claim of a sender that died ends"


def test_pauses_between_tries_grow(fact_store: FactStore) -> None:
    name = begin(fact_store)
    fact_store.record(mails=[Mail(f"{name}/x", "a@example.org", "s", "t")])
    tries, now = [], NOW
    while len(tries) < 5:
        if fact_store.unsent(1, now):
            tries.append(now)
            fact_store.mark_refused({f"{name}/x": "451 later"}, now)
        now += timedelta(seconds=30)
    assert [b - a for a, b in pairwise(tries)] == [timedelta(minutes=m) for m in (1, 2, 4, 8)]


def test_the_tables_are_those_of_the_newest_migration(fact_store: FactStore, store_url: str) -> None:
    engine = sa.create_engine(store_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": lambda _, name, kind, *__: (
                    kind in ("table", "column") and name != "pps_alembic_version"
                )
            },
        )
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_upgrading_twice_or_at_once_is_upgrading_once(store_url: str) -> None:
    store = FactStore(store_url)
    with pytest.raises(ConfigurationError, match="pps db upgrade"):
        store.rollouts()
    assert not store.is_current()
    assert at_once(4, lambda _: upgrade(store_url)) == [None] * 4
    upgrade(store_url)
    assert store.is_current()
    assert store.rollouts() == ()
    store.dispose()


def test_a_database_that_does_not_answer_is_a_service_error_without_the_password() -> None:
    store = FactStore("postgresql://pps:canary-secret@127.0.0.1:1/pps")
    with pytest.raises(ServiceError) as failed:
        store.rollouts()
    error: BaseException | None = failed.value
    while error is not None:
        assert "canary-secret" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_a_connection_that_broke_is_replaced(fact_store: FactStore, store_urls: StoreUrls) -> None:
    begin(fact_store)
    with psycopg.connect(store_urls.superuser.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(fact_store.rollouts()) == 1


def test_a_forked_process_does_not_share_its_parents_connection(fact_store: FactStore) -> None:
    name = begin(fact_store)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fact_store.record(*(fact(name, subject=f"child-{n}") for n in range(50)))
            status = 0
        finally:
            os._exit(status)
    fact_store.record(*(fact(name, subject=f"parent-{n}") for n in range(50)))
    assert os.waitpid(child, 0)[1] == 0
    assert len(fact_store.rollout(name).facts) == 101


def test_one_answer_posted_twenty_times_at_once_is_one_record(fact_store: FactStore) -> None:
    record = asked(fact_store, previewed(fact_store))
    token = tokens.invitation_token(SECRET, record.name, "atlas")
    answers = at_once(
        20,
        lambda _: feedback.give_feedback(
            fact_store, record.name, feedback.Said("atlas", "works", "fine", "x", token, "click"), NOW, SECRET
        ),
    )
    assert len(set(answers)) == 1
    assert len([f for f in fact_store.rollout(record.name).facts if f.kind is FactKind.FEEDBACK_GIVEN]) == 1


def test_what_is_new_is_seen_in_one_look_as_by_one_record_after_the_other(fact_store: FactStore) -> None:
    first, second = begin(fact_store, 1), begin(fact_store, 2)
    fact_store.record(fact(second, subject="PIC"))
    fact_store.record_in_dossier(2, Fact(dossier_name(2), FactKind.POLICIES_OVERRULED, "", "once", NOW, "a"))
    fact_store.close(fact(first, FactKind.ROLLOUT_CLOSED, ""))
    assert_marks_are_those_of_the_register(fact_store)
    marks = fact_store.marks(["bc-client"], NOW - timedelta(days=1))
    assert [(row.name, bool(own), bool(of_patch)) for row, own, of_patch in marks] == [
        (second, True, True),
        (first, True, False),
    ]
