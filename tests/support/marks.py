"""What is new on record, told in one look and in many: the two agree."""

from __future__ import annotations

from datetime import timedelta

from tests.support.examples import NOW

from pps.adapters.record.store import FactStore
from pps.domain.record.rollouts import dossier_name


def assert_marks_are_those_of_the_register(store: FactStore) -> None:
    before = NOW - timedelta(days=1)
    paths = ("bc-client", "minor-pilot")
    rows = store.rollouts(paths=paths, closed_after=before)
    newest = store.newest([name for r in rows for name in (r.name, dossier_name(r.patch))])
    expected = [(r, newest.get(r.name, 0), newest.get(dossier_name(r.patch), 0)) for r in rows]
    assert store.marks(paths, before) == expected
