"""Where a vulnerability still is: what is on record of each site, and until when it should be gone.

We know what we brought: previews, and services that were set up in pilots. What a site's production runs beside that,
nobody has told us: it is unknown, and never called safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pps.domain.packages.advice import Risk
from pps.domain.packages.versions import rpm_order
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.domain.sites.site import Site

#: How long a site may keep a vulnerability after its fix is in production, by how grave it is.
Deadlines = Mapping[Risk, timedelta]


class Standing(StrEnum):
    """What is known of one site and one product. Part of the API: never rename."""

    HAS_IT = "has it"
    UNKNOWN = "unknown"
    FIXED = "has the fix"


_ORDER = tuple(Standing)


@dataclass(frozen=True, slots=True)
class Fix:
    """A patch that closes the vulnerability."""

    patch: int
    product: str
    version: str
    risk: Risk | None
    released_at: datetime | None
    """in production since; None: it is not"""
    public_from: datetime | None
    """end of its embargo"""

    @property
    def counts_from(self) -> datetime | None:
        """When sites could first have installed it; None while they cannot."""
        return max(self.released_at, self.public_from or self.released_at) if self.released_at else None


@dataclass(frozen=True, slots=True)
class Holding:
    """A version that we know to be at a site."""

    site: str
    product: str
    version: str
    since: datetime
    rollout: str
    in_production: bool
    """a service; a client's preview lies beside production"""
    before: bool = False
    """it went back from this version to one that is older"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a site, a product, and what is known."""

    site: str
    roc: str
    platform: str
    product: str
    standing: Standing
    version: str
    """"" where none is known"""
    since: datetime | None
    deadline: datetime | None
    """None: none runs, as no fix is in production or nobody has said how grave it is"""
    overdue: bool
    """only of what is known to be there"""
    words: str


def holdings_in(record: Rollout) -> tuple[Holding, ...]:
    """What one rollout has brought to sites, as far as the record tells."""
    opened = record.the(FactKind.ROLLOUT_OPENED)
    if opened is None:
        return ()
    product, version = str(opened.payload.get("metapackage", "")), str(opened.payload.get("version", ""))
    found: dict[str, Holding] = {}
    for fact in record.facts:
        if fact.kind is FactKind.SERVICE_SET_UP:
            found[fact.subject] = Holding(fact.subject, product, version, fact.at, record.name, True)
        elif fact.kind is FactKind.SERVICE_ROLLED_BACK:
            found[fact.subject] = Holding(fact.subject, product, version, fact.at, record.name, True, before=True)
    if opened.payload.get("path") in PREVIEWS:
        for site in {f.subject for f in record.facts if f.kind is FactKind.PREVIEW_INSTALLED}:
            if (installed := record.installation(site)) is not None:
                since = _first(record.facts, installed)
                found[site] = Holding(site, product, version, since, record.name, False)
    return tuple(found.values())


def _first(facts: Sequence[Fact], newest: Fact) -> datetime:
    """Since when it is there without having been away."""
    since = newest.at
    for fact in facts:
        if fact.subject == newest.subject:
            if fact.kind in (FactKind.PREVIEW_LOST, FactKind.PREVIEW_REMOVED):
                since = newest.at
            elif fact.kind is FactKind.PREVIEW_INSTALLED:
                since = min(since, fact.at)
    return since


def is_fixed(version: str, fixes: Iterable[str]) -> bool:
    """Tell whether a version has the fix.

    It is one of the fixed versions, is newer than all of them, or follows one of its own branch (all but the last
    number are the same). Of others nobody knows, so they count as vulnerable.
    """
    known = list(fixes)
    if version in known or (known and all(rpm_order(version, fixed) >= 0 for fixed in known)):
        return True
    branch = version.rpartition(".")[0]
    return any(f.rpartition(".")[0] == branch and rpm_order(version, f) >= 0 for f in known if branch)


def exposure(
    fixes: Sequence[Fix], holdings: Iterable[Holding], sites: Iterable[Site], deadlines: Deadlines, now: datetime
) -> tuple[Row, ...]:
    """A row for each version that is known to be at a site, and one for each site of which nothing is known.

    What is overdue comes first, then what has it, then what is unknown; the earlier deadline before the later.
    """
    here = list(holdings)
    rows = []
    for product in sorted({fix.product for fix in fixes}):
        of_product = [fix for fix in fixes if fix.product == product]
        deadline = _deadline(of_product, deadlines)
        versions = [fix.version for fix in of_product]
        for site in sites:
            mine = [h for h in here if h.site == site.name and h.product == product]
            rows += [_row(site, product, deadline, now, *judged) for judged in _judged(mine, versions)]
    return tuple(sorted(rows, key=lambda r: (not r.overdue, _ORDER.index(r.standing), _late(r, now), r.site)))


def _late(row: Row, now: datetime) -> float:
    return row.deadline.timestamp() if row.deadline else float("inf")


def _deadline(fixes: Sequence[Fix], deadlines: Deadlines) -> datetime | None:
    """The earliest that holds."""
    found = [begun + deadlines[fix.risk] for fix in fixes if fix.risk and (begun := fix.counts_from)]
    return min(found, default=None)


def _judged(mine: Sequence[Holding], fixed: Sequence[str]) -> list[tuple[Standing, Holding | None, str]]:
    found: list[tuple[Standing, Holding | None, str]] = []
    settled = False
    for h in mine:
        where = "the service, set up in a pilot" if h.in_production else "the preview, beside production"
        if h.before and is_fixed(h.version, fixed):
            found.append((Standing.HAS_IT, h, f"It went back from {h.version}, which has the fix ({h.rollout})."))
        elif not is_fixed(h.version, fixed):
            found.append((Standing.HAS_IT, h, f"It is {where} ({h.rollout}); no fix that we know is in it."))
        elif h.in_production:
            settled = True
            found.append((Standing.FIXED, h, f"It is {where} ({h.rollout})."))
    if not settled and not any(h.in_production for h in mine):
        fix = next((h for h in mine if not h.in_production and is_fixed(h.version, fixed)), None)
        why = f"The fix is there as a preview ({fix.rollout}), beside production." if fix else "Nothing is on record."
        found.append((Standing.UNKNOWN, None, f"{why} What its production runs is not known here: ask the site."))
    return found


def _row(
    site: Site,
    product: str,
    deadline: datetime | None,
    now: datetime,
    standing: Standing,
    holding: Holding | None,
    words: str,
) -> Row:
    counts = standing is not Standing.FIXED
    return Row(
        site.name,
        site.roc,
        str(site.platform),
        product,
        standing,
        "" if holding is None else f"before {holding.version}" if holding.before else holding.version,
        holding.since if holding else None,
        deadline if counts else None,
        standing is Standing.HAS_IT and deadline is not None and now > deadline,
        words,
    )
