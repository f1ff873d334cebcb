"""Effort and credits: what an activity is worth, and who has done how much (SD 4).

"The basic value of a task will be used in PPS also in order to measure the work performed by the
various contributors upon completion of the task." One credit is one person hour. Everything is
whole person hours; days, weeks and months are only ways to write and to show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pps.domain.base.errors import RefusedError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


class EffortUnit(StrEnum):
    """SD 4: full time equivalents."""

    PH = "PH"
    """person hour"""
    PD = "PD"
    """person day"""
    PW = "PW"
    """five working days"""
    PM = "PM"
    """twenty working days"""


#: SD 4, the conversion table: PD = 8PH, PW = 5PD = 40PH, PM = 4PW = 20PD = 160PH.
PH_IN: Mapping[EffortUnit, int] = {EffortUnit.PH: 1, EffortUnit.PD: 8, EffortUnit.PW: 40, EffortUnit.PM: 160}


def to_ph(amount: Decimal | int | str, unit: EffortUnit) -> int:
    """An effort in person hours; `ValueError` unless they are whole and not negative."""
    hours = Decimal(amount) * PH_IN[unit]
    if not hours.is_finite() or hours < 0 or hours != hours.to_integral_value():
        raise ValueError(f"{amount} {unit} are {hours} person hours; an effort is a whole number of them")
    return int(hours)


def from_ph(hours: int, unit: EffortUnit) -> Decimal:
    """Person hours in another unit, exactly: 10 PH are 1.25 PD. For display only."""
    return Decimal(hours) / PH_IN[unit]


@dataclass(frozen=True, slots=True)
class Activity:
    """One row of SD's tables "Tasks and Effort": what is done, by whom, and what it is worth."""

    key: str
    title: str
    """as SD words it"""
    who: tuple[str, ...]
    """roles, as SD names them; each of them that takes part has the effort"""
    effort_ph: int
    """0 where SD names no effort: it is counted as done, and earns nothing"""
    credits: int
    per: str = ""
    """`week`: the effort is for each week; "": for each time"""
    notes: str = ""
    section: str = ""

    def __post_init__(self) -> None:
        # else `pps credits` would show a sum that no table explains
        if self.effort_ph < 0 or self.effort_ph != self.credits:
            raise ValueError(
                f"{self.key} has {self.effort_ph} person hours and {self.credits} credits; a credit is a person hour"
            )


@dataclass(frozen=True, slots=True)
class Credit:
    """One completed activity, as a fact tells it."""

    rollout: str
    activity: str
    who: str
    """the site or the user that has the credits"""
    person: str
    """user who did it; "" where a site did it and no user is on record"""
    site: str
    roc: str
    """of the site when it did it: a site that moves takes none of its past along"""
    role: str
    credits: int
    effort_ph: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Doer:
    """Who did it."""

    who: str
    """a site's name where a site does the activity (then also `site`), else a user's"""
    site: str = ""
    roc: str = ""
    """of the site when it did it"""
    role: str = ""
    """in which role; must be one of the activity's. Not needed where the activity has only one"""
    person: str = ""
    """the user who did it for the site"""


def credit_fact(
    record: Rollout, activity: Activity, doer: Doer, occasion: str, now: datetime, actor: str, *, times: int = 1
) -> Fact:
    """The fact that credits a completed activity to whoever did it.

    A fact counts once for (record, who, activity, occasion): a task that is retried, a second click and
    another administrator's answer for the same site change nothing.

    Source: SD 4, "upon completion of the task".

    Args:
        occasion: which time, where an activity can be done more than once: a week, a scenario, a round.
        times: how many of them at once (e.g. weeks); give each its own occasion where they end one by one.

    Raises:
        RefusedError: nobody is named, the role has no part in the activity, or `times` is not positive.
    """
    reasons = []
    role = doer.role
    if not doer.who:
        reasons.append("Nobody is named as the one who did it.")
    if role and role not in activity.who:
        reasons.append(f"{role} has no part in it; it is done by {', '.join(activity.who)}.")
    if times < 1:
        reasons.append(f"It was done {times} times.")
    if reasons:
        raise RefusedError(f"credits for {activity.key}", tuple(reasons), "Correct who did what.")
    payload = {
        "activity": activity.key,
        "credits": activity.credits * times,
        "effort_ph": activity.effort_ph * times,
        "role": role or (activity.who[0] if len(activity.who) == 1 else ""),
        "site": doer.site,
        "roc": doer.roc,
        "person": doer.person,
    }
    key = f"{activity.key}/{occasion}" if occasion else activity.key
    return Fact(record.name, FactKind.CREDITED, doer.who, key, now, actor, payload)


def credits_of(facts: Iterable[Fact]) -> tuple[Credit, ...]:
    """Every credit among these facts, in their order; the same fact twice counts once."""
    found: dict[tuple[str, str, str], Credit] = {}
    for fact in facts:
        if fact.kind is not FactKind.CREDITED:
            continue
        says = fact.payload
        site = str(says.get("site", ""))
        credit = Credit(
            rollout=fact.rollout,
            activity=str(says.get("activity") or fact.occasion.partition("/")[0]),
            who=fact.subject,
            person=str(says.get("person", "")) or ("" if fact.subject == site else fact.subject),
            site=site,
            roc=str(says.get("roc", "")),
            role=str(says.get("role", "")),
            credits=int(says.get("credits", 0)),
            effort_ph=int(says.get("effort_ph", 0)),
            at=fact.at,
        )
        found.setdefault((fact.rollout, fact.subject, fact.occasion), credit)
    return tuple(found.values())


class Grouping(StrEnum):
    """By what credits are added up."""

    PERSON = "person"
    SITE = "site"
    REGION = "region"
    ACTIVITY = "activity"
    MONTH = "month"
    """calendar month in UTC, `2026-03`"""
    WEEK = "week"
    """ISO week in UTC, `2026-W10`"""


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of a group of credits."""

    key: str
    """"" for those that belong to none: work without a site, a site's work without a person"""
    credits: int
    effort_ph: int
    times: int
    """how many activities ended"""


def month_of(at: datetime) -> str:
    """`2026-03`, in UTC: one boundary for all regions."""
    return at.astimezone(UTC).strftime("%Y-%m")


def iso_week_of(at: datetime) -> str:
    """`2026-W10`, in UTC; the year is the week's own, not always the day's."""
    year, week, _ = at.astimezone(UTC).isocalendar()
    return f"{year:04}-W{week:02}"


#: Chooses the credits that have no site, person or region; no name begins with a dash.
NONE = "-"


def days_of(period: str) -> tuple[date, date]:
    """First and last day of a `month_of` or an `iso_week_of`."""
    year, _, rest = period.partition("-")
    if rest.startswith("W"):
        return date.fromisocalendar(int(year), int(rest[1:]), 1), date.fromisocalendar(int(year), int(rest[1:]), 7)
    first = date(int(year), int(rest), 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def key_of(credit: Credit, by: Grouping) -> str:
    """To which group a credit belongs; "" for none."""
    match by:
        case Grouping.PERSON:
            return credit.person
        case Grouping.SITE:
            return credit.site
        case Grouping.REGION:
            return credit.roc
        case Grouping.ACTIVITY:
            return credit.activity
        case Grouping.MONTH:
            return month_of(credit.at)
        case Grouping.WEEK:
            return iso_week_of(credit.at)


def selected(
    credits: Iterable[Credit],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    site: str = "",
    person: str = "",
    activity: str = "",
    region: str = "",
) -> tuple[Credit, ...]:
    """The credits for which all the given conditions hold; `since <= at < until`. `NONE`: those without a site, ..."""
    wanted = [
        (Grouping.SITE, site),
        (Grouping.PERSON, person),
        (Grouping.ACTIVITY, activity),
        (Grouping.REGION, region),
    ]
    keys = [(by, "" if key == NONE else key) for by, key in wanted if key]
    return tuple(
        c
        for c in credits
        if (since is None or c.at >= since)
        and (until is None or c.at < until)
        and all(key_of(c, by) == key for by, key in keys)
    )


def totals(credits: Iterable[Credit], by: Grouping) -> tuple[Total, ...]:
    """Add up; periods in their order, everything else with most credits first, then by name. No credit is lost."""
    groups: dict[str, list[Credit]] = {}
    for credit in credits:
        groups.setdefault(key_of(credit, by), []).append(credit)
    sums = [
        Total(key, sum(c.credits for c in group), sum(c.effort_ph for c in group), len(group))
        for key, group in groups.items()
    ]
    if by in (Grouping.MONTH, Grouping.WEEK):
        return tuple(sorted(sums, key=lambda t: t.key))
    return tuple(sorted(sums, key=lambda t: (-t.credits, -t.times, t.key)))
