"""Trouble tickets: one for each failed deployment test and each incident, closed when mended; nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.clean_roots import fails
from tests.support.deployment_bench import NOW, Bench
from tests.support.desks import at_desk
from tests.support.examples import sqlite_store
from tests.support.front import MemoryTracker

from pps.activities.pilots.tickets import tell_tracker
from pps.activities.ports.tracker import Ticket
from pps.domain.base.errors import RefusedError, RolloutError, ServiceError
from pps.domain.packages.patch import Patch
from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.record.facts import FactKind


class Board(MemoryTracker):
    """A tracker with tickets, that can be away, refuse, or be killed after it has acted."""

    def __init__(self, *, error: RolloutError | None = None, killed: type[BaseException] | None = None) -> None:
        super().__init__()
        self.tickets: dict[str, Ticket] = {}
        self.closed: dict[str, str] = {}
        self.calls, self.error, self.killed = 0, error, killed

    def open_ticket(self, ticket: Ticket) -> str:
        self._acts()
        self.tickets.setdefault(ticket.marker, ticket)
        if self.killed:
            raise self.killed
        return f"https://tracker.example.org/ticket{len(self.tickets)}"

    def close_ticket(self, marker: str, text: str) -> None:
        self._acts()
        self.closed[marker] = text

    def _acts(self) -> None:
        self.calls += 1
        if self.error:
            raise self.error


def tell(bench: Bench, board: Any, days: float = 0) -> Any:
    return tell_tracker(at_desk(bench.record, bench.store, now=NOW + timedelta(days=days), actor="pps"), board)


def tested(bench: Bench, *, fails_with: str = "", at_site: ScenarioResult = ScenarioResult.PASS) -> Bench:
    if fails_with:
        bench.roots.says["--no-download"] = fails(fails_with)
    bench.run()
    bench.site_answers(at_site, "" if at_site is ScenarioResult.PASS else "It does not start.")
    bench.close()
    return bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(sqlite_store(), tmp_path)


def test_a_failed_test_gets_one_ticket_that_names_each_failed_scenario(bench: Bench) -> None:
    board = Board()
    tested(bench, fails_with="<b>E: unmet</b>", at_site=ScenarioResult.FAIL)
    assert [tell(bench, board).opened, tell(bench, board).opened] == [1, 0]
    (ticket,) = board.tickets.values()
    assert ticket.marker == f"pps:deployment-test:{bench.name}" and ticket.patch == 4711
    assert "2 scenarios failed" in ticket.title
    assert (
        "- wn (debian12-amd64): " in ticket.text
        and "- wn-torque" in ticket.text
        and "It does not start." in ticket.text
    )
    (fact,) = [f for f in bench.store.dossier(4711).facts if f.kind is FactKind.TICKET_OPENED]
    assert (fact.subject, fact.payload["page"]) == (ticket.marker, "https://tracker.example.org/ticket1")
    assert board.closed == {}


def test_a_test_that_runs_or_has_passed_gets_none(bench: Bench) -> None:
    board = Board()
    bench.roots.says["--no-download"] = fails("E: unmet")
    bench.run()
    assert tell(bench, board).opened == 0, "its other scenarios may still fail"
    again = tested(Bench(sqlite_store(), bench.folder))
    assert tell(again, board).opened == 0
    assert board.calls == 0


def test_the_ticket_is_closed_when_a_later_test_passes_what_failed(bench: Bench) -> None:
    board = Board()
    tested(bench, at_site=ScenarioResult.FAIL)
    tell(bench, board)
    second = Bench(bench.store, bench.folder, bench.patch, run="r/2")
    assert second.name != bench.name
    second.run()
    assert tell(second, board).closed == 0
    second.site_answers(ScenarioResult.PASS)
    second.close()
    assert [tell(second, board).closed, tell(second, board).closed] == [1, 0]
    assert board.closed == {f"pps:deployment-test:{bench.name}": f"Passed in {second.name}."}


def test_a_tracker_that_is_down_is_told_later_and_then_once(bench: Bench) -> None:
    board = Board(error=ServiceError("tracker", "does not answer."))
    tested(bench, at_site=ScenarioResult.FAIL)
    told = tell(bench, board)
    assert (told.opened, "does not answer" in told.trouble) == (0, True)
    assert not bench.store.dossier(4711).has(FactKind.TICKET_OPENED)
    board.error = None
    assert tell(bench, board, days=30).opened == 1
    calls = board.calls
    tell(bench, board, days=31)
    assert board.calls == calls, "what is on record is not asked for again"


def test_who_is_killed_after_the_ticket_finds_it_again(bench: Bench) -> None:
    board = Board(killed=KeyboardInterrupt)
    tested(bench, at_site=ScenarioResult.FAIL)
    with pytest.raises(KeyboardInterrupt):
        tell(bench, board)
    board.killed = None
    assert tell(bench, board).opened == 1
    assert len(board.tickets) == 1


def test_a_ticket_that_is_refused_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    store = sqlite_store()
    first = tested(Bench(store, tmp_path), at_site=ScenarioResult.FAIL)
    tested(Bench(store, tmp_path, other(first.patch)), at_site=ScenarioResult.FAIL)

    class Picky(Board):
        def open_ticket(self, ticket: Ticket) -> str:
            if ticket.patch == 4711:
                raise RefusedError("tracker", ("No.",))
            return super().open_ticket(ticket)

    board = Picky()
    assert tell(first, board).opened == 1
    assert [t.patch for t in board.tickets.values()] == [4712]


def other(patch: Patch) -> Patch:
    return replace(patch, number=4712)


def test_where_a_tracker_has_no_tickets_they_are_comments_on_the_patch(bench: Bench) -> None:
    tracker = MemoryTracker()
    tested(bench, at_site=ScenarioResult.FAIL)
    tell(bench, tracker)
    tell(bench, tracker)
    ((number, said),) = tracker.remarks
    assert number == 4711 and said.endswith(f"[pps:deployment-test:{bench.name}]") and "It does not start." in said
