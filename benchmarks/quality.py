"""What a look at a product's quality costs beside 100, 1,000 and 3,000 releases that have ended.

python -m benchmarks.quality [ENDED ...]

Of each release 60 sites; the look is at the last ten. "First": by a process that has just begun; "again": nothing is
new; "one fact": something was recorded about one of the ten. The peer is the read of one release's record.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from benchmarks.history import _NOW, _rollout

from pps.activities.quality.measures import Ledger, Period
from pps.adapters.record.store import FactStore, upgrade
from pps.domain.record.facts import Fact, FactKind
from pps.sandbox.airflow.postgres import EmbeddedPostgres

_ROUNDS = 9
_QUARTER = Period((_NOW - timedelta(days=90)).date(), None)
_NUMBERS = "generate_series(CAST(:first AS int), CAST(:last AS int)) g"


def _copies(engine: sa.Engine, first: int, last: int) -> None:
    """Releases `first` to `last` as copies of number 1, each of a patch and a version of its own, an hour apart."""
    own = "jsonb_build_object('patch', g, 'version', '3.1.' || g)"
    payload = f"CASE WHEN t.kind = 'rollout-opened' THEN t.payload || {own} ELSE t.payload END"
    with engine.begin() as connection:
        for table, mine in (("rollouts", "name"), ("facts", "rollout")):
            columns = [c["name"] for c in sa.inspect(connection).get_columns(table) if c["name"] != "id"]
            changed = {mine: "'bc-client-' || g || '-1'", "patch": "g", "payload": payload}
            changed |= {c: f"t.\"{c}\" + g * interval '1 hour'" for c in ("at", "opened_at", "closed_at")}
            wanted = ", ".join(changed.get(c, f't."{c}"') for c in columns)
            quoted = ", ".join(f'"{c}"' for c in columns)
            source = f"SELECT {wanted} FROM {table} t, {_NUMBERS} WHERE t.{mine} = 'bc-client-1-1' ORDER BY g, t.id"
            connection.execute(sa.text(f"INSERT INTO {table} ({quoted}) {source}"), {"first": first, "last": last})
        connection.execute(sa.text("ANALYZE"))


def _ms(work: Callable[[], object]) -> float:
    took = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def main(ended: list[int]) -> None:
    """Print one row for each size of history."""
    with (
        tempfile.TemporaryDirectory(prefix="pps-bench-") as folder,
        EmbeddedPostgres(Path(folder), databases=("pps",)) as server,
    ):
        url = server.url("pps")
        upgrade(url)
        store, engine = FactStore(url), sa.create_engine(url)
        _rollout(store, 1, 60, ended=True)
        there, count = 1, 0
        for wanted in ended:
            _copies(engine, there + 1, wanted)
            there = wanted
            kept = Ledger(lambda: store)
            assert len(kept.of_product("glite-WN")) == 10

            def one_fact(kept: Ledger = kept, name: str = f"bc-client-{wanted}-1") -> None:
                nonlocal count
                count += 1
                store.record(Fact(name, FactKind.TAG_SEEN, "SITE-1", str(count), _NOW, "benchmark"))
                kept.of_product("glite-WN")

            jobs: dict[str, Callable[[], object]] = {
                "first": lambda: Ledger(lambda: store).of_product("glite-WN"),
                "again": lambda kept=kept: kept.of_product("glite-WN"),  # type: ignore[misc]
                "one fact": one_fact,
                "all products of a quarter": lambda kept=kept: kept.in_period(_QUARTER),  # type: ignore[misc]
            }
            peer = _ms(lambda: store.rollout("bc-client-1-1"))
            took = {name: _ms(work) for name, work in jobs.items()}
            figures = ", ".join(f"{name} {ms:.0f} ms (÷ peer {ms / peer:.1f})" for name, ms in took.items())
            print(f"{wanted} ended: {figures}; peer {peer:.1f} ms", flush=True)
        store.dispose()
        engine.dispose()


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [100, 1000, 3000])
