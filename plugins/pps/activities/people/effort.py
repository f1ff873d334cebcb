"""Credits for completed activities (SD 4: "measure the work performed by the various contributors")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pps.activities.ports.record import Facts
from pps.domain.base.errors import RefusedError
from pps.domain.people.effort import (
    NONE,
    Activity,
    Credit,
    EffortUnit,
    Grouping,
    Total,
    credits_of,
    from_ph,
    key_of,
    selected,
    totals,
)
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import Site

#: What is said of those that belong to none.
NOBODY = {Grouping.PERSON: "(no person named)", Grouping.SITE: "(no site)", Grouping.REGION: "(no region)"}
#: By what a choice can be made.
FILTERS = (Grouping.SITE, Grouping.PERSON, Grouping.ACTIVITY, Grouping.REGION)


def credits_on_record(facts: Facts, since: datetime | None = None, until: datetime | None = None) -> tuple[Credit, ...]:
    """Every credit of all rollouts and dossiers, `since <= at < until`, in the order of recording."""
    return credits_of(facts.facts_of_kind((FactKind.CREDITED,), since, until))


@dataclass(frozen=True, slots=True)
class CreditsWanted:
    """What somebody wants to know; "" chooses all, `NONE` those that have no site, person or region."""

    by: Grouping = Grouping.ACTIVITY
    since: date | None = None
    until: date | None = None
    """the last day, which is included; days are those of UTC"""
    site: str = ""
    person: str = ""
    activity: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class CreditsFound:
    """The answer: for the page, its CSV and JSON, and `pps credits`."""

    wanted: CreditsWanted
    totals: tuple[Total, ...]
    credits: tuple[Credit, ...]
    """those that are added up, the newest first"""
    titles: Mapping[str, str]
    """activity -> what it is, in SD's words"""

    @property
    def earned(self) -> int:
        """The sum of all."""
        return sum(t.credits for t in self.totals)

    @property
    def effort_ph(self) -> int:
        """The same work in person hours."""
        return sum(t.effort_ph for t in self.totals)

    def name_of(self, total: Total) -> str:
        """What a group is called."""
        return total.key or NOBODY.get(self.wanted.by, "-")

    def sums_table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Headings and rows, a row for each group."""
        what = self.wanted.by is Grouping.ACTIVITY
        rows: list[tuple[object, ...]] = [
            (self.name_of(t), t.credits, in_pd(t.effort_ph), t.times, *((self.titles.get(t.key, ""),) if what else ()))
            for t in self.totals
        ]
        return (self.wanted.by.upper(), "CREDITS", "PD", "TIMES", *(("WHAT",) if what else ())), rows

    def list_table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Headings and rows, a row for each completed activity."""
        rows: list[tuple[object, ...]] = [
            (
                c.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
                c.activity,
                c.site,
                c.roc,
                c.person,
                c.role,
                c.rollout,
                c.credits,
            )
            for c in self.credits
        ]
        return ("DONE (UTC)", "ACTIVITY", "SITE", "REGION", "PERSON", "ROLE", "ROLLOUT", "CREDITS"), rows


def in_pd(hours: int) -> str:
    """Person hours as person days, for display."""
    return f"{from_ph(hours, EffortUnit.PD):f}"


def choices_of(
    credits: Iterable[Credit], activities: Mapping[str, Activity], sites: Mapping[str, Site]
) -> Mapping[str, tuple[str, ...]]:
    """What can be chosen: the names on record, and those of the registry and of activities.yaml."""
    known: dict[Grouping, set[str]] = {
        Grouping.SITE: set(sites),
        Grouping.PERSON: set(),
        Grouping.ACTIVITY: set(activities),
        Grouping.REGION: {site.roc for site in sites.values()},
    }
    for credit in credits:
        for by in FILTERS:
            known[by].add(key_of(credit, by) or NONE)
    return {by.value: tuple(sorted(known[by], key=lambda name: (name == NONE, name.casefold()))) for by in FILTERS}


def find_credits(
    facts: Facts, wanted: CreditsWanted, activities: Mapping[str, Activity], sites: Mapping[str, Site]
) -> CreditsFound:
    """The credits that fit, and their sums.

    Raises:
        RefusedError: a period that ends before it begins, or a name that nobody knows; says which there are.
    """
    on_record = credits_on_record(facts)
    reasons = []
    if wanted.since and wanted.until and wanted.since > wanted.until:
        reasons.append(f"since: {wanted.since} is later than until: {wanted.until}.")
    for field, valid in choices_of(on_record, activities, sites).items():
        given = getattr(wanted, field)
        if given and given not in valid:
            reasons.append(f"{field}: {given[:60]!r} is none of: {', '.join(valid) or 'nobody so far'}.")
    if reasons:
        raise RefusedError("credits", tuple(reasons))
    chosen = selected(
        on_record,
        since=_midnight(wanted.since),
        until=_midnight(wanted.until, 1),
        **{by.value: getattr(wanted, by.value) for by in FILTERS},
    )
    titles = {key: activity.title for key, activity in activities.items()}
    newest_first = tuple(sorted(chosen, key=lambda c: c.at, reverse=True))
    return CreditsFound(wanted, totals(chosen, wanted.by), newest_first, titles)


def _midnight(day: date | None, days_later: int = 0) -> datetime | None:
    if day is None or (days_later and day == date.max):
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=days_later)


def as_data(found: CreditsFound, *, listed: bool) -> dict[str, Any]:
    """The answer for programs.

    Args:
        listed: with each completed activity, not only their sums.
    """
    wanted = found.wanted
    data: dict[str, Any] = {
        "by": wanted.by.value,
        "since": wanted.since.isoformat() if wanted.since else None,
        "until": wanted.until.isoformat() if wanted.until else None,
        **{by.value: getattr(wanted, by.value) or None for by in FILTERS},
        "totals": [
            {"key": t.key, "credits": t.credits, "effort_ph": t.effort_ph, "times": t.times} for t in found.totals
        ],
        "credits": found.earned,
        "effort_ph": found.effort_ph,
        "times": len(found.credits),
    }
    if listed:
        data["each"] = [
            {
                "at": c.at.isoformat(),
                "activity": c.activity,
                "site": c.site,
                "region": c.roc,
                "person": c.person,
                "role": c.role,
                "rollout": c.rollout,
                "credits": c.credits,
                "effort_ph": c.effort_ph,
            }
            for c in found.credits
        ]
    return data
