"""What is in production, as the record has it; what lies in the folder is compared with this (docs/adr/0026)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pps.activities.packages.tarball import tarballs_on_record
from pps.activities.ports.packages import Tarball
from pps.activities.ports.record import Facts
from pps.activities.release.signing import Misfit
from pps.domain.base.errors import TamperedError
from pps.domain.record.facts import FactKind


def missing_in_indexes(facts: Facts, named: Collection[str], place: str) -> tuple[Misfit, ...]:
    """What pilots, release tests and joint decisions have released, but no index names: an older index was put back.

    Args:
        named: sha256 of every package that an index of ours names now.
    """
    found = facts.facts_of_kind([FactKind.RELEASED_TO_PRODUCTION, FactKind.PACKAGES_KEPT])
    released = {fact.rollout for fact in found if fact.kind is FactKind.RELEASED_TO_PRODUCTION}
    return tuple(
        Misfit(place, f"has no index that names {name}, which was released.", sha256, fact.rollout)
        for fact in found
        if fact.kind is FactKind.PACKAGES_KEPT and fact.rollout in released
        for name, sha256 in fact.payload["packages"]
        if sha256 not in named
    )


def released_tarballs(facts: Facts) -> Iterator[tuple[str, Tarball]]:
    """(rollout, tarball) of the clients that were released; one that the record does not describe is left out."""
    for fact in facts.facts_of_kind([FactKind.RELEASED_TO_PRODUCTION]):
        if name := fact.payload.get("tarball"):
            try:
                built = [t for t in tarballs_on_record(facts, str(name)) if t.files]
            except TamperedError:  # reported where the rollout itself is read
                continue
            if built:
                yield fact.rollout, built[-1]
