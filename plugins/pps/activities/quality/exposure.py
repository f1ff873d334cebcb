"""Which sites still have a vulnerability: what the record knows, for the Security Officer (docs/security-advice.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pps.activities.ports.record import Facts
from pps.domain.base.errors import InvalidNameError, RefusedError
from pps.domain.packages.advice import checked_cve
from pps.domain.people.embargo import INSIDERS, advice_by_patch, patch_in
from pps.domain.quality.exposure import Deadlines, Fix, Row, Standing, exposure, holdings_in
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import Site

#: Who sees it, beside Airflow's own Admin.
MAY_SEE = (*INSIDERS, "Admin")
COLUMNS = ("site", "region", "platform", "product", "state", "version", "since", "deadline", "overdue", "in words")


class UnknownCveError(RefusedError):
    """No patch on record closes it."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """The answer for one vulnerability."""

    cve: str
    at: datetime
    fixes: tuple[Fix, ...]
    rows: tuple[Row, ...]
    embargo_until: datetime | None

    @property
    def counts(self) -> Mapping[str, int]:
        """Overdue, and each standing -> how many rows."""
        found = {"overdue": sum(row.overdue for row in self.rows)}
        return found | {state.value: sum(row.standing is state for row in self.rows) for state in Standing}

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
        """Header and rows for spreadsheets."""
        return COLUMNS, [
            (
                *(r.site, r.roc, r.platform, r.product, r.standing.value, r.version),
                *(_iso(r.since) or "", _iso(r.deadline) or "", "yes" if r.overdue else "no", r.words),
            )
            for r in self.rows
        ]

    def data(self) -> dict[str, Any]:
        """For programs, format 1."""
        fixes = [
            {
                **asdict(f),
                "risk": f.risk.value if f.risk else None,
                "released_at": _iso(f.released_at),
                "public_from": _iso(f.public_from),
            }
            for f in self.fixes
        ]
        rows = [
            {**asdict(r), "standing": r.standing.value, "since": _iso(r.since), "deadline": _iso(r.deadline)}
            for r in self.rows
        ]
        about = {"format": 1, "cve": self.cve, "at": _iso(self.at), "embargo_until": _iso(self.embargo_until)}
        return {**about, "counts": dict(self.counts), "fixes": fixes, "sites": rows}


def find_exposure(facts: Facts, cve: str, sites: Iterable[Site], deadlines: Deadlines, now: datetime) -> Exposure:
    """What is known of one vulnerability at all sites of the registry.

    Raises:
        InvalidNameError: it is no CVE id.
        UnknownCveError: no patch on record names it.
    """
    try:
        checked_cve(cve)
    except ValueError as error:
        raise InvalidNameError("CVE", f"{error}.", "Write it as in CVE-2026-12345.") from error
    released = {patch_in(f.rollout): f.at for f in reversed(facts.facts_of_kind((FactKind.RELEASED_TO_PRODUCTION,)))}
    fixes, secret = [], []
    for number, advice in sorted(advice_by_patch(facts.facts_of_kind((FactKind.ADVICE_SEEN,))).items()):
        if advice.product and (found := next((v for v in advice.vulnerabilities if v.cve == cve), None)):
            until = advice.embargo_until
            fixes.append(Fix(number, *advice.product, found.risk, released.get(number), until))
            secret += [until] if until is not None and advice.is_secret(now) else []
    if not fixes:
        next_step = (
            "Name it in the field cves of the patch that closes it, in the tracker: that is looked at within the "
            "hour once the patch is on record here (pps patches list)."
        )
        raise UnknownCveError(cve, ("No patch on record closes it, so nothing is known of any site.",), next_step)
    products = sorted({fix.product for fix in fixes})
    opened = facts.with_payload(FactKind.ROLLOUT_OPENED, "metapackage", products)
    # whole records: how they stand tells that a preview is there, and not since when
    records = [facts.rollout(name) for name in sorted({f.rollout for f in opened})]
    here = [holding for record in records for holding in holdings_in(record)]
    rows = exposure(fixes, here, list(sites), deadlines, now)
    return Exposure(cve, now, tuple(fixes), rows, max(secret, default=None))


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
