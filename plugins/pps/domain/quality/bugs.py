"""What became of the bugs that a patch fixes, as the tracker says: which of them were opened again."""

from __future__ import annotations

from collections.abc import Mapping

from pps.domain.packages.patch import BugState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

_DONE = (BugState.FIXED.value, BugState.CLOSED.value)


def states_seen(dossier: Rollout) -> Mapping[int, Fact]:
    """Bug -> the newest fact of its state; one that was never anything but open has none."""
    return {int(f.subject): f for f in dossier.facts if f.kind is FactKind.BUG_SEEN}


def reopenings(dossier: Rollout) -> tuple[Fact, ...]:
    """Each time that a bug of the patch was opened again: it says so, or it is open after it was done with."""
    found, before = [], dict[str, str]()
    for fact in dossier.facts:
        if fact.kind is FactKind.BUG_SEEN:
            state = str(fact.payload["state"])
            again = state == BugState.OPEN and before.get(fact.subject) in _DONE
            if state == BugState.REOPENED or again:
                found.append(fact)
            before[fact.subject] = state
    return tuple(found)
