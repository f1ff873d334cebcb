"""Desks and offices for tests that call activities themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.support.examples import NOW, PATCH
from tests.support.examples import templates as all_templates
from tests.support.memory_facts import MemoryFacts

from pps.activities.desk import Desk, Office
from pps.activities.ports.people import Templates
from pps.activities.ports.record import Facts
from pps.domain.packages.patch import Patch
from pps.domain.record.rollouts import Rollout
from pps.workflow.desk import FrontDesk, FrontOffice
from pps.workflow.waits import WAITS


def at_office(
    facts: Facts,
    *,
    templates: Templates | None = None,
    patch: Patch = PATCH,
    now: datetime = NOW,
    clock: Callable[[], datetime] | None = None,
    actor: str = "test",
) -> Office:
    """An office with this record of facts; its tracker knows one patch."""
    words, ticks = templates or all_templates(), clock or (lambda: now)
    return Office(facts=facts, templates=words, clock=ticks, now=ticks(), actor=actor, patch_of=lambda number: patch)


def at_desk(record: Rollout, facts: Any = None, **given: Any) -> Desk:
    """A desk with this record; without a record of facts, on one in memory."""
    desk = at_office(MemoryFacts(*record.facts) if facts is None else facts, **given).desk(record)
    desk._patch = given.get("patch")  # also where nothing on record says which one it is
    return desk


def front(services: Any, record: Rollout | str, actor: str = "airflow") -> FrontDesk:
    """The desk of steps, forms and waits with these services; the time is their `given["clock"]`, else NOW."""
    return front_office(services, actor).desk(record)


def front_office(services: Any, actor: str = "airflow") -> FrontOffice:
    """The office of steps and waits that are about no single rollout."""
    return FrontOffice.of(services, services.given.get("clock", lambda: NOW), actor)


def is_over(services: Any, wait: str, **arguments: Any) -> bool:
    """Ask a wait now."""
    return WAITS[wait].is_over(front_office(services, f"pps:{WAITS[wait].seen_by}"), **arguments)
