"""What a night and `pps doctor` read of history, on a real PostgreSQL with many ended rollouts.

python -m benchmarks.night [ROLLOUTS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pps.activities.clients.withdrawal import retired_previews
from pps.adapters.record.store import FactStore, upgrade
from pps.cli.facts import look_at_chains
from pps.cli.front import Front
from pps.config.loader import Configuration
from pps.domain.record.facts import Fact, FactKind
from pps.sandbox.airflow.postgres import EmbeddedPostgres
from pps.services import Services

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_SITES = [f"SITE-{number}" for number in range(12)]
_KINDS = (FactKind.PREVIEW_INSTALLED, FactKind.PROBES_PASSED, FactKind.TAG_ADDED, FactKind.TAG_SEEN)


def _ended(store: FactStore, number: int) -> None:
    """A rollout whose preview was at twelve sites, and left them."""
    name = f"bc-client-{number}-1"

    def fact(kind: FactKind, subject: str = "", **payload: object) -> Fact:
        return Fact(name, kind, subject, "", _BEGAN, "benchmark", payload)

    tag = {"tag": f"VO-ops-PPS-CLIENT-{number}", "tag_vo": "ops"}
    store.open("bc-client", number, fact(FactKind.ROLLOUT_OPENED, path="bc-client", patch=number, **tag), "run")
    at_sites = [fact(kind, site, tarball="client") for kind in _KINDS for site in _SITES]
    gone = [
        fact(kind, s, reason="Retired.") for kind in (FactKind.TAG_REMOVED, FactKind.PREVIEW_REMOVED) for s in _SITES
    ]
    store.record(fact(FactKind.TARBALL_BUILT, name=f"client-{number}"), *at_sites, *gone)
    store.close(fact(FactKind.ROLLOUT_CLOSED, outcome="released"))


def _front(folder: Path, url: str) -> Front:
    os.environ["PPS_CACHE"] = str(folder / "cache")
    return Front(Services(Configuration(folder), {"pps_store": url}.get))


def main(rollouts: int) -> None:
    """Fill a database, and take the time of three nights."""
    with (
        tempfile.TemporaryDirectory(prefix="pps-bench-") as folder,
        EmbeddedPostgres(Path(folder), databases=("pps",)) as server,
    ):
        upgrade(server.url("pps"))
        store = FactStore(server.url("pps"))
        for number in range(1, rollouts + 1):
            _ended(store, number)
        for night in (1, 2, 3):
            began, cpu = time.monotonic(), time.process_time()
            retired_previews(store, _BEGAN + timedelta(days=90 + night), timedelta(days=30))
            took = f"{time.monotonic() - began:.2f} s, {time.process_time() - cpu:.2f} s of CPU"
            print(f"night {night} with {rollouts} ended rollouts: {took}", flush=True)
        for look in (1, 2, 3):
            began, cpu = time.monotonic(), time.process_time()
            seen = look_at_chains(_front(Path(folder), server.url("pps")))
            took = f"{time.monotonic() - began:.2f} s, {time.process_time() - cpu:.2f} s of CPU"
            print(f"doctor's look {look}: {len(seen.read)} chains read, {seen.unchanged} not: {took}", flush=True)
        store.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
