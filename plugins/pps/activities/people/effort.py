"""Credit a completed activity to who did it, once (SD 4: "measure the work performed by the various contributors")."""

from __future__ import annotations

from datetime import datetime

from pps.activities.ports.record import Facts
from pps.domain.people.effort import Activity, Credit, credit_fact, credits_of
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site


def credit_site(
    record: Rollout,
    facts: Facts,
    activity: Activity,
    site: Site,
    occasion: str,
    now: datetime,
    actor: str,
    *,
    role: str = "",
    person: str = "",
    times: int = 1,
) -> bool:
    """Credit an activity to a site, whoever of its people did it; True if it was not on record yet.

    Args:
        occasion: which time; "" where the site does it once in this record.
        person: user who did it, for `pps credits --by person`; "" where nobody has said so.
    """
    fact = credit_fact(
        record,
        activity,
        site.name,
        occasion,
        now,
        actor,
        site=site.name,
        roc=site.roc,
        role=role,
        person=person,
        times=times,
    )
    return bool(facts.record(fact))


def credit_person(
    record: Rollout,
    facts: Facts,
    activity: Activity,
    user: str,
    occasion: str,
    now: datetime,
    actor: str,
    *,
    role: str = "",
    times: int = 1,
) -> bool:
    """Credit an activity to a user who acts for no site (coordinator, ITR, ...); True if it was not on record yet."""
    return bool(facts.record(credit_fact(record, activity, user, occasion, now, actor, role=role, times=times)))


def credits_on_record(facts: Facts, since: datetime | None = None, until: datetime | None = None) -> tuple[Credit, ...]:
    """Every credit of all rollouts and dossiers, `since <= at < until`, in the order of recording."""
    return credits_of(facts.facts_of_kind((FactKind.CREDITED,), since, until))
