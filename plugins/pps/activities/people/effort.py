"""Credits for completed activities (SD 4: "measure the work performed by the various contributors")."""

from __future__ import annotations

from datetime import datetime

from pps.activities.ports.record import Facts
from pps.domain.people.effort import Credit, credits_of
from pps.domain.record.facts import FactKind


def credits_on_record(facts: Facts, since: datetime | None = None, until: datetime | None = None) -> tuple[Credit, ...]:
    """Every credit of all rollouts and dossiers, `since <= at < until`, in the order of recording."""
    return credits_of(facts.facts_of_kind((FactKind.CREDITED,), since, until))
