"""Many readers at once: none gets what was old when they asked, and the work of a change is done once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from tests.support.front import NOW, MemoryFacts, MemoryServices, a_preview_that_is_out, happened, services  # noqa: F401

from pps.activities.ports.record import OpenRollout
from pps.domain.record.facts import FactKind
from pps.web.live import Edition, Live

READERS = 5


class CountingLock:
    """A lock at which one can see how many have come."""

    def __init__(self) -> None:
        self._lock, self._seen, self._come = threading.Lock(), threading.Condition(), 0

    def __enter__(self) -> None:
        with self._seen:
            self._come += 1
            self._seen.notify_all()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait_for(self, number: int) -> None:
        with self._seen:
            assert self._seen.wait_for(lambda: self._come >= number, timeout=30)


def in_threads(work: Callable[[], object], number: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def test_a_look_that_began_before_a_fact_answers_nobody_who_asked_after_it(
    services: MemoryServices,
) -> None:
    a_preview_that_is_out(services.facts)
    first_has_read, go_on, looks = threading.Event(), threading.Event(), []
    ask = services.facts.marks

    def slow_marks(paths: Any, closed_after: datetime) -> list[tuple[OpenRollout, int, int]]:
        found = ask(paths, closed_after)
        looks.append(len(looks))
        if len(looks) == 1:
            first_has_read.set()
            assert go_on.wait(30)
        return found

    services.facts.marks = slow_marks  # type: ignore[method-assign]
    live = Live(lambda: services, lambda: NOW)  # type: ignore[arg-type, return-value]
    live._lock = door = CountingLock()  # type: ignore[assignment]
    before, after = [], []
    threads = in_threads(lambda: before.append(live.edition()), 1)
    assert first_has_read.wait(30)
    services.facts.record(happened(FactKind.SITE_FAILED, "CNAF", "night", reason="no answer"))
    threads += in_threads(lambda: after.append(live.edition()), READERS)
    door.wait_for(1 + READERS)
    go_on.set()
    for thread in threads:
        thread.join(30)
    names = {edition.name for edition in after}
    assert len(after) == READERS
    assert len(names) == 1
    assert names.isdisjoint(edition.name for edition in before)
    assert len(looks) == 2  # those who waited shared one


def test_of_many_who_ask_for_a_page_after_a_change_one_makes_it(services: MemoryServices) -> None:
    a_preview_that_is_out(services.facts)
    live = Live(lambda: services, lambda: NOW)  # type: ignore[arg-type, return-value]
    live._making = door = CountingLock()  # type: ignore[assignment]
    made, answers = [], []

    def data(edition: Edition) -> Mapping[str, Any]:
        made.append(edition.name)
        door.wait_for(READERS)
        return {"edition": edition.name}

    request = Request({"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": []})
    threads = in_threads(lambda: answers.append(live.json(request, data).body), READERS)
    for thread in threads:
        thread.join(30)
    assert len(made) == 1
    assert len(answers) == READERS
    assert len(set(answers)) == 1
