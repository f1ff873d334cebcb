"""Until when clients believe the indexes of our repositories (docs/adr/0022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from pps.activities.packages.production import SUITE
from pps.activities.release.signing import OwnIndex
from pps.domain.packages.patch import RepositoryKind
from pps.domain.packages.repository_seals import valid_until
from pps.domain.record.rollouts import PILOTS


def signed_until(
    indexes: Iterable[OwnIndex], signed: Callable[[Any], str | None], now: datetime
) -> dict[str, datetime]:
    """Kind of repositories -> when the first of them expires; YUM knows no such date, and what is empty has none.

    Args:
        signed: the text of an APT suite's Release that we have signed, None where there is none; `ServiceError` where
            it is not signed by us. One that does not say until when it is valid is refused by clients: it is over.
    """
    found: dict[str, datetime] = {}
    for own in indexes:
        if own.repository.kind is not RepositoryKind.APT:
            continue
        text = signed(own.root / "dists" / own.repository.suite)
        if text is not None:
            kind, ends = _kind(own), valid_until(text) or now
            found[kind] = min(found.get(kind, ends), ends)
    return found


def _kind(own: OwnIndex) -> str:
    if not own.rollout:
        return "production" if own.repository.suite == SUITE else "uploads"
    return "mirrors" if own.rollout.startswith(PILOTS) else "release tests"
