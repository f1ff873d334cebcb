"""SAM tasks: assigned, done and credited once (SD 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.examples import sqlite_store
from tests.support.front import CONFIG

from pps.activities.people.effort import credits_on_record
from pps.activities.quality import sam_tasks
from pps.adapters.record.store import FactStore
from pps.config.loader import Configuration
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.record.facts import Fact

ACTIVITIES = Configuration(CONFIG).activities
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)  # in 2026-W10


def assign(store: FactStore, key: str, user: str = "sam", **more: Any) -> sam_tasks.SamTask:
    return sam_tasks.assign(store, ACTIVITIES, key, user, "carla", NOW, **more)


@pytest.mark.sd("4.2.2")
@pytest.mark.parametrize("key", [key for key in ACTIVITIES if key.startswith("sam-")])
def test_each_of_sds_tasks_is_assigned_done_and_credited_once(key: str) -> None:
    store = sqlite_store()
    more = {"week": "2026-W10"} if ACTIVITIES[key].per else {"what": "CREAM-CE sensor"}
    task = assign(store, key, **more)
    assert assign(store, key, **more) == task
    for new in (True, False):
        assert sam_tasks.done(store, ACTIVITIES, task.number, "sam", "It is there.", NOW)[1] is new
    (credit,) = credits_on_record(store)
    assert (credit.credits, credit.person, credit.activity) == (ACTIVITIES[key].credits, "sam", key)
    (known,) = sam_tasks.tasks(store)
    assert (known.done_at, known.text, known.assigned_by) == (NOW, "It is there.", "carla")
    assert store.rollouts() == ()


@pytest.mark.parametrize(
    ("key", "user", "more", "why"),
    [
        ("pilot-setup", "sam", {"what": "x"}, "is no SAM task"),
        ("sam-display", "sam", {}, "say instead which sensor or display"),
        ("sam-display", "sam", {"what": "x", "week": "2026-W10"}, "not done by the week"),
        ("sam-client-week", "sam", {}, "name it, e.g. 2026-W10"),
        ("sam-client-week", "sam", {"week": "2026-W54"}, "name it"),
        ("sam-display", "s a m", {"what": "x"}, "is no user name"),
    ],
)
def test_a_task_that_is_not_said_clearly_is_not_assigned(key: str, user: str, more: dict, why: str) -> None:
    store = sqlite_store()
    with pytest.raises(RefusedError, match=why):
        assign(store, key, user, **more)
    assert sam_tasks.tasks(store) == ()


def test_a_week_belongs_to_one_person() -> None:
    store = sqlite_store()
    assign(store, "sam-client-week", week="2026-W10")
    with pytest.raises(RefusedError, match="sam has it already, as number 1"):
        assign(store, "sam-client-week", "else", week="2026-W10")
    assert assign(store, "sam-client-week", "else", week="2026-W11").number == 2


def test_only_who_has_it_can_have_done_it_and_not_before_its_week() -> None:
    store = sqlite_store()
    task = assign(store, "sam-server-week", week="2026-W11")
    with pytest.raises(RefusedError) as refused:
        sam_tasks.done(store, ACTIVITIES, task.number, "else", " ", NOW)
    assert len(refused.value.reasons) == 3
    with pytest.raises(NotYetAllowedError, match="not assigned"):
        sam_tasks.done(store, ACTIVITIES, 7, "sam", "x", NOW)
    assert credits_on_record(store) == ()


def test_of_two_who_assign_at_once_both_get_a_number() -> None:
    store = sqlite_store()

    class Overtaken:
        """The store of somebody who is overtaken between looking and writing."""

        open = store.open

        def facts_of_kind(self, kinds: Iterable[Any]) -> tuple[Fact, ...]:
            return store.facts_of_kind(kinds)

        def record(self, *facts: Fact) -> tuple[Fact, ...]:
            if not sam_tasks.tasks(store):
                assign(store, "sam-display", "first", what="one")
            return store.record(*facts)

    second = assign(Overtaken(), "sam-display", "second", what="two")
    assert [(t.number, t.user) for t in sam_tasks.tasks(store)] == [(1, "first"), (2, "second")]
    assert second.number == 2
