"""The gate, the failure budget, and what stopping does."""

from __future__ import annotations

import pytest
from tests.support.desks import at_desk
from tests.support.examples import AUDIENCE, DUE, NOW, PATCH, previewed, sqlite_store, templates

from pps.activities.clients import gates
from pps.activities.people.feedback_dates import agree_feedback_date
from pps.activities.people.notification import addresses_told, broadcast
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.clients.batches import BatchLimits


@pytest.fixture
def store() -> FactStore:
    return sqlite_store()


def limits(budget: float) -> BatchLimits:
    return BatchLimits(
        canaries=2, sites_per_batch=3, canaries_healthy_at_least=1, failure_budget=budget, failures_always_allowed=0
    )


def test_the_budget_counts_failures_of_the_last_batch(store: FactStore) -> None:
    record = previewed(store)  # two of five planned sites have failed
    assert gates.budget_reasons(record, limits(0.4)) == ()
    assert "2 of 5 sites failed" in gates.budget_reasons(record, limits(0.2))[0]


def test_stopping_frees_the_patch_tells_each_person_once_and_touches_no_further_site(store: FactStore) -> None:
    record = previewed(store)
    for _ in range(2):
        gates.stop(
            at_desk(record, store, templates=templates(), now=NOW, actor="test"), ["Two failed."], ["pps@example.org"]
        )
    stopped = store.rollout(record.name)
    assert stopped.is_stopped
    assert stopped.is_closed
    assert [m.to for m, _, _ in store.outbox(record.name)] == ["pps@example.org"]
    assert store.next_name("bc-client", 4711) == "bc-client-4711-2"
    gates.must_go_on(record)
    with pytest.raises(NotYetAllowedError, match=r"Two failed"):
        gates.must_go_on(stopped)


def test_who_was_told_of_a_preview_hears_that_it_was_stopped(store: FactStore) -> None:
    record = previewed(store)
    agree_feedback_date(at_desk(record, store, now=NOW, actor="test"), DUE)
    assert addresses_told(record) == ()
    broadcast(
        at_desk(store.rollout(record.name), store, templates=templates(), patch=PATCH, now=NOW, actor="test"), AUDIENCE
    )
    everybody = {party.address for party in (*AUDIENCE.vos, *AUDIENCE.rocs)}
    assert set(addresses_told(store.rollout(record.name))) == everybody
