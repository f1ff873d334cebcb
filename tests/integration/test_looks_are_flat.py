"""What is looked at every hour, or every five minutes, reads what is new, however old an installation is.

On a PostgreSQL: what is counted are the rows that it hands over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.desks import at_office
from tests.support.examples import NOW, PATCH
from tests.support.front import MemoryTracker

from pps.activities.packages.tracker_states import as_on_record, tell_states, untold
from pps.activities.packages.uploads import uploading_providers
from pps.activities.release.signing import own_indexes
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import PatchNotFoundError
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.domain.record.submissions import RECORD

pytestmark = pytest.mark.needs("postgres")
DAY = timedelta(days=1)


def released(store: FactStore, number: int, days_ago: float) -> str:
    """A release of a patch of its own; the tracker was not told."""
    name, at = f"bc-client-{number}-1", NOW - days_ago * DAY
    opened = Fact(name, FactKind.ROLLOUT_OPENED, "", "", at, "t", {"path": "bc-client", "patch": number})
    store.open("bc-client", number, opened, name)
    said = {"patch": number, "state": PatchState.CERTIFIED.value, "comment": "Released."}
    store.record(Fact(name, FactKind.RELEASED_TO_PRODUCTION, "", "", at, "t", said))
    store.close(Fact(name, FactKind.ROLLOUT_CLOSED, "", "", at, "t", {"outcome": "released"}))
    return name


@contextmanager
def rows_read(store: FactStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many rows of facts each statement hands over."""
    counted: list[int] = []
    fetched = sa.engine.CursorResult.all

    def all_of(self: Any) -> Any:
        counted.append(len(rows := fetched(self)))
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(sa.engine.CursorResult, "all", all_of)
        yield counted


class Tracker(MemoryTracker):
    """Has the patches of a few; the others are gone for good."""

    def patch(self, number: int) -> Any:
        if number in self.known:
            return self.known[number]
        raise PatchNotFoundError(f"patch {number}", "is not in the tracker.", "")


def look(store: FactStore, tracker: MemoryTracker, days: float = 0) -> tuple[int, ...]:
    return tell_states(at_office(store, now=NOW + days * DAY), tracker).moved  # type: ignore[arg-type]


def certified(*numbers: int) -> Tracker:
    return Tracker(*(replace(PATCH, number=n, state=PatchState.CERTIFIED) for n in numbers))


def test_a_look_for_what_the_tracker_does_not_know_reads_what_is_new_and_what_it_could_not_tell(
    fact_store: FactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = released(fact_store, 1, days_ago=300)
    for number in range(2, 40):
        released(fact_store, number, days_ago=200 - number)
    tracker = certified(*range(2, 60))
    assert len(look(fact_store, tracker)) == 38
    look(fact_store, tracker, days=5)
    with rows_read(fact_store, monkeypatch) as first:
        assert look(fact_store, tracker, days=6) == ()
        assert [fact.rollout for fact in untold(fact_store)] == [gone], "it is tried again, each time"
    for number in range(40, 60):
        released(fact_store, number, days_ago=-6.5)
    assert len(look(fact_store, tracker, days=7)) == 20
    look(fact_store, tracker, days=12)
    with rows_read(fact_store, monkeypatch) as later:
        assert look(fact_store, tracker, days=13) == ()
        assert [fact.rollout for fact in untold(fact_store)] == [gone]
    assert sum(later) == sum(first) < 30
    tracker.known |= certified(1).known  # and one day it is there
    assert as_on_record(fact_store, tracker.known[1])[0].state is PatchState.IN_PRODUCTION
    assert look(fact_store, tracker, days=14) == (1,)
    assert untold(fact_store) == ()


def test_a_release_that_was_recorded_late_or_by_a_clock_that_was_set_back_is_told_all_the_same(
    fact_store: FactStore,
) -> None:
    tracker = certified(1, 2, 3)
    look(fact_store, tracker)
    released(fact_store, 1, days_ago=1)  # its task has begun a day ago, and ends now
    assert look(fact_store, tracker, days=0.1) == (1,)
    look(fact_store, tracker, days=300)  # a look by a clock that was wrong
    released(fact_store, 2, days_ago=-1)
    assert look(fact_store, tracker, days=2) == (2,)
    released(fact_store, 3, days_ago=-3)
    assert look(fact_store, tracker, days=3.1) == (3,)


def test_a_look_at_signatures_reads_a_row_for_each_provider_and_none_for_a_package(
    fact_store: FactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opening = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", NOW, "t", {"path": RECORD, "patch": 0})
    fact_store.open(RolloutPath.RELEASES, 0, opening, RECORD)
    for provider, packages in (("gridware", 30), ("a_tools", 5), ("zeta", 1)):
        said = {"provider": provider, "package": "x", "kind": "apt", "bytes": 1, "user": "paula"}
        kind, about = FactKind.PACKAGE_UPLOADED, f"upload:{provider}"
        fact_store.record(*(Fact(RECORD, kind, about, f"{n:064}", NOW, "t", said) for n in range(packages)))
    with rows_read(fact_store, monkeypatch) as read:
        indexes = list(own_indexes(fact_store, tmp_path / "production", None, NOW, DAY, tmp_path / "uploads"))
    assert sum(read) == 0, "the providers are asked one by one"
    assert {own.root.parent.name for own in indexes} == {"gridware", "a_tools", "zeta", "production"}
    assert sorted(uploading_providers(fact_store)) == ["a_tools", "gridware", "zeta"]
    assert fact_store.subjects(RECORD, FactKind.RELEASE_OFFERED) == ()
