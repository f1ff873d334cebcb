"""Credits on record, through a real store: once for each activity that ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from tests.support.examples import NOW, SITES, opened, sqlite_store

from pps.activities.people.effort import credits_on_record
from pps.adapters.record.store import FactStore
from pps.domain.people.effort import Activity, Doer, credit_fact
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, dossier_name

SETUP = Activity("pilot-setup", "Set-up the pilot service", ("Gold Site",), 12, 12)
SCREEN = Activity("pilot-pre-screening", "Pre-screen of resources", ("PPS Coordinator",), 6, 6)


def at_site(record: Rollout, site: str, now: datetime, person: str) -> Fact:
    roc = SITES[site].roc
    return credit_fact(record, SETUP, Doer(site, site, roc, person=person), "", now, "airflow")


@pytest.fixture
def store() -> Iterator[FactStore]:
    store = sqlite_store()
    yield store
    store.dispose()


def test_a_task_that_is_retried_earns_its_credits_once(store: FactStore) -> None:
    record = opened(store)
    later = NOW + timedelta(hours=1)
    assert store.record(at_site(record, "INFN-T1", NOW, "ada"))
    assert not store.record(at_site(store.rollout(record.name), "INFN-T1", later, "bob"))
    (credit,) = credits_on_record(store)
    assert (credit.who, credit.site, credit.roc, credit.person) == ("INFN-T1", "INFN-T1", "Italy", "ada")
    assert (credit.credits, credit.at) == (12, NOW)


def test_a_coordinators_work_belongs_to_a_person_and_to_no_site(store: FactStore) -> None:
    assert store.record(credit_fact(opened(store), SCREEN, Doer("ada"), "", NOW, "ada"))
    (credit,) = credits_on_record(store)
    assert (credit.person, credit.site, credit.role, credit.credits) == ("ada", "", "PPS Coordinator", 6)


def test_credits_of_dossiers_and_of_closed_rollouts_count_too(store: FactStore) -> None:
    record = opened(store)
    store.record(at_site(record, "PIC", NOW, ""))
    store.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "airflow"))
    payload = {"activity": SCREEN.key, "credits": 6, "effort_ph": 6}
    fact = Fact(dossier_name(4711), FactKind.CREDITED, "ada", SCREEN.key, NOW + timedelta(days=1), "ada", payload)
    store.record_in_dossier(4711, fact)
    assert [c.activity for c in credits_on_record(store)] == ["pilot-setup", "pilot-pre-screening"]
    assert [c.activity for c in credits_on_record(store, since=NOW + timedelta(days=1))] == ["pilot-pre-screening"]
    assert [c.activity for c in credits_on_record(store, until=NOW + timedelta(days=1))] == ["pilot-setup"]
