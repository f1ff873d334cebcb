"""What a version's probes say beside those of the version before: what was ill then is no fault of the new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

_PROBED = (FactKind.PROBES_PASSED, FactKind.PROBES_FAILED)
_WELL = ("OK", "WARNING")


class Beside(StrEnum):
    """How a site that fails its probes now stands beside the version before. Shown to programs: never rename."""

    REGRESSION = "regression"
    """a probe fails that passed with the version before"""
    AS_BEFORE = "as before"
    """each probe that fails now failed with the version before, too"""
    NOT_KNOWN = "not known"
    """the version before was not probed there"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One site that fails its probes now."""

    beside: Beside
    probes: tuple[str, ...]
    """that fail now, and did not then; all that fail now where nothing is known of then"""


def failing(fact: Fact) -> frozenset[str]:
    """Names of the probes that a fact says have failed."""
    return frozenset(str(r["probe"]) for r in fact.payload.get("results", ()) if r["state"] not in _WELL)


def newest_probes(record: Rollout) -> Mapping[str, Fact]:
    """Site -> the newest fact about its probes."""
    return {fact.subject: fact for fact in record.facts if fact.kind in _PROBED}


def compared(now: Rollout, before: Rollout | None) -> Mapping[str, Compared]:
    """Each site whose newest probes have failed, beside what they said of the version before.

    Args:
        before: the rollout of the version before; None if there is none.
    """
    then = newest_probes(before) if before else {}
    return {
        site: beside(failing(fact), failing(then[site]) if site in then else None)
        for site, fact in newest_probes(now).items()
        if fact.kind is FactKind.PROBES_FAILED
    }


def beside(ill: frozenset[str], then: frozenset[str] | None) -> Compared:
    """The probes that fail at a site now, beside those that failed there with the version before.

    Args:
        then: None: the version before was not probed there.
    """
    if then is None:
        return Compared(Beside.NOT_KNOWN, tuple(sorted(ill)))
    new = ill - then
    return Compared(Beside.REGRESSION if new else Beside.AS_BEFORE, tuple(sorted(new)))
