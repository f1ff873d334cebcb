"""The facts of a store once more, one after the other, in a store of their own: what was on record at each moment."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.examples import sqlite_store

from pps.adapters.record.store import FactStore
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath, dossier_name


def replayed(store: FactStore) -> Iterator[tuple[FactStore, Fact]]:
    """The other store after each fact of this one, and that fact."""
    facts = store.facts_of_kind(list(FactKind))
    patches = {row.name: row.patch for row in store.rollouts()}
    again = sqlite_store()
    for fact in facts:
        number = patches.get(fact.rollout)
        if fact.kind is FactKind.ROLLOUT_OPENED:
            path = RolloutPath(fact.payload["path"])
            again.open(path.value, int(fact.payload["patch"]), fact, str(fact.payload.get("run") or fact.rollout))
        elif fact.kind is FactKind.ROLLOUT_CLOSED:
            again.close(fact)
        elif number is None:
            assert fact.rollout == dossier_name(int(fact.rollout.rpartition("-")[2]))
            again.record(fact)
        else:
            again.record(fact)
        yield again, fact
    again.dispose()
