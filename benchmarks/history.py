"""What daily work costs with 10 open rollouts at 300 sites, beside 0, 300 and 3,000 that have ended.

python -m benchmarks.history [ENDED ...]

Ended rollouts are copies of one (60 sites, which the preview has left), made in the database. The bulletin's first page
is also compared with its peer of the same run: whole histories of the same open rollouts, only read.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from pps.activities.clients.bulletin import bulletin
from pps.activities.clients.bulletin_pages import as_shown, front_view
from pps.activities.clients.withdrawal import retired_previews
from pps.activities.people.asking import open_questions
from pps.activities.pilots.running import open_pilots
from pps.adapters.record.store import FactStore, upgrade
from pps.adapters.services.templates import JinjaTemplates
from pps.domain.record.facts import Fact, FactKind
from pps.sandbox.airflow.postgres import EmbeddedPostgres

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_NOW = _BEGAN + timedelta(days=200)
_KINDS = (FactKind.PREVIEW_INSTALLED, FactKind.PROBES_PASSED, FactKind.TAG_ADDED, FactKind.TAG_SEEN)
_GONE = (FactKind.TAG_REMOVED, FactKind.PREVIEW_REMOVED)
_ROUNDS = 9
_FIRST, _PEER = "bulletin's first page", "the same rollouts read whole"
_TEMPLATES = JinjaTemplates(Path(__file__).resolve().parents[1] / "include" / "templates")


def _rollout(store: FactStore, number: int, sites: int, *, ended: bool) -> None:
    name, at = f"bc-client-{number}-1", _BEGAN if ended else _NOW

    def fact(kind: FactKind, subject: str = "", **payload: object) -> Fact:
        return Fact(name, kind, subject, "", at, "benchmark", payload)

    tag = {"tag": f"VO-ops-PPS-CLIENT-{number}", "tag_vo": "ops", "metapackage": "glite-WN", "version": f"3.1.{number}"}
    store.open("bc-client", number, fact(FactKind.ROLLOUT_OPENED, path="bc-client", patch=number, **tag), "run")
    names = [f"SITE-{n}" for n in range(sites)]
    store.record(fact(FactKind.PLAN_AGREED, batches={"canary": names}), fact(FactKind.TARBALL_BUILT, name="client"))
    store.record(*(fact(kind, site, tarball="client") for kind in _KINDS for site in names))
    if ended:
        store.record(*(fact(kind, site, reason="Retired.") for kind in _GONE for site in names))
        store.close(fact(FactKind.ROLLOUT_CLOSED, outcome="released"))


def _copies(engine: sa.Engine, first: int, last: int) -> None:
    """Rollouts `first` to `last` as copies of number 1, as a night leaves them: noted as cleared."""
    with engine.begin() as connection:
        for table in ("rollouts", "facts"):
            columns = [c["name"] for c in sa.inspect(connection).get_columns(table) if c["name"] != "id"]
            changed = {"name": "'bc-client-' || g || '-1'", "patch": "g", "cleared": "true"}
            if table == "facts":
                changed = {"rollout": "'bc-client-' || g || '-1'"}
            wanted = ", ".join(changed.get(c, f't."{c}"') for c in columns)
            quoted = ", ".join(f'"{c}"' for c in columns)
            mine = "name" if table == "rollouts" else "rollout"
            numbers = "generate_series(CAST(:first AS int), CAST(:last AS int)) g"
            source = f"SELECT {wanted} FROM {table} t, {numbers} WHERE t.{mine} = 'bc-client-1-1' ORDER BY g, t.id"
            connection.execute(sa.text(f"INSERT INTO {table} ({quoted}) {source}"), {"first": first, "last": last})
        connection.execute(sa.text("ANALYZE"))


def _first_page(store: FactStore) -> str:
    content = bulletin(store, {}, _NOW)
    view = front_view(content["updated_at"], as_shown(content, _NOW, "https://pps.example.org"))
    return _TEMPLATES.render("bulletin.html", view)


def _medians_ms(jobs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(_ROUNDS):  # in turns, so that whatever else the machine does meets all of them
        for name, work in jobs.items():
            began = time.perf_counter()
            work()
            took[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(each) for name, each in took.items()}


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
        retired_previews(store, _NOW, timedelta(days=30))
        for number in range(10):
            _rollout(store, 100_000 + number, 300, ended=False)
        there = 1
        jobs: dict[str, Callable[[], object]] = {
            "bulletin": lambda: bulletin(store, {}, _NOW),
            _FIRST: lambda: _first_page(store),
            _PEER: lambda: [store.rollout(row.name) for row in store.rollouts(open_only=True)],
            "night: what to retire": lambda: retired_previews(store, _NOW, timedelta(days=30)),
            "open questions": lambda: open_questions(store),
            "open pilots": lambda: open_pilots(store),
        }
        for wanted in ended:
            if wanted > there:
                _copies(engine, there + 1, wanted)
                there = wanted
            took = _medians_ms(jobs)
            figures = ", ".join(f"{name} {ms:.0f} ms" for name, ms in took.items())
            ratio, size = took[_FIRST] / took[_PEER], len(_first_page(store).encode()) / 1000
            print(f"{wanted} ended: {figures}; first page of {size:.0f} kB ÷ peer {ratio:.2f}", flush=True)
        store.dispose()
        engine.dispose()


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [0, 300, 3000])
