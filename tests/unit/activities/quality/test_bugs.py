"""States of bugs go on record when they change, so that a reopened one is seen long afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.deployment_bench import NOW, Bench
from tests.support.desks import at_office
from tests.support.examples import sqlite_store
from tests.support.front import PATCH, MemoryTracker

from pps.activities.quality.bugs import look_at_bugs
from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import BugState
from pps.domain.quality.bugs import reopenings, states_seen


class Bugs(MemoryTracker):
    states: dict[int, BugState]

    def bug_states(self) -> dict[int, BugState]:
        return self.states


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(sqlite_store(), tmp_path)


def look(bench: Bench, tracker: Any, days: float = 0) -> list[tuple[str, str, str]]:
    new = look_at_bugs(at_office(bench.store, now=NOW + timedelta(days=days), actor="pps"), tracker)
    return [(f.subject, f.occasion, f.payload["state"]) for f in new]


def test_a_bug_that_was_done_with_and_is_open_again_is_found_each_time(bench: Bench) -> None:
    tracker, number = Bugs(PATCH), PATCH.bugs[0].number
    seen = []
    for state in ("open", "fixed", "fixed", "reopened", "closed", "open", "open"):
        tracker.states = {number: BugState(state), 999: BugState.REOPENED}
        seen += look(bench, tracker)
    assert seen == [(str(number), str(n), s) for n, s in enumerate(("fixed", "reopened", "closed", "open"), 1)]
    dossier = bench.store.dossier(4711)
    assert [f.payload["state"] for f in reopenings(dossier)] == ["reopened", "open"]
    assert states_seen(dossier)[number].payload["state"] == "open"


def test_a_bug_that_was_only_open_and_one_of_a_strangers_patch_are_not_recorded(bench: Bench) -> None:
    tracker = Bugs(PATCH)
    tracker.states = {PATCH.bugs[0].number: BugState.OPEN}
    assert look(bench, tracker) == []
    other = Bench(sqlite_store(), bench.folder)
    tracker.states = {PATCH.bugs[0].number: BugState.FIXED}
    tracker.known = {4799: replace(PATCH, number=4799)}
    assert look(other, tracker) == []


def test_a_tracker_that_is_away_or_has_no_bugs_is_no_error(bench: Bench) -> None:
    class Away(Bugs):
        def bug_states(self) -> dict[int, BugState]:
            raise ServiceError("tracker", "does not answer.")

    assert look(bench, Away(PATCH)) == []
    assert look(bench, MemoryTracker(PATCH)) == []
