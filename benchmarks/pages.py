"""How long the server takes for the live pages: `python -m benchmarks.pages [ENDED ...]`.

300 sites, 20 open previews, so many ended ones; 50 readers, while a fact is recorded every three seconds, so that the
content is made anew again and again. Two rows for each number: readers who ask every ten seconds, as a page does, and
every two. Times are the server's own, from the request until it begins to answer; each has the ratio of its median to
that of the peer, the stylesheet, which the same server gives from memory.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests
import sqlalchemy as sa
import uvicorn
from benchmarks.history import _NOW, _TEMPLATES, _copies, _rollout
from fastapi import FastAPI, HTTPException

from pps.adapters.record.store import FactStore, upgrade
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.site import Platform, Site, SshEndpoint
from pps.sandbox.airflow.postgres import EmbeddedPostgres
from pps.sandbox.grid.processes import free_port
from pps.web.app import create_app

_READERS, _CHANGE_S = 50, 3.0
#: seconds between two requests of a reader -> seconds that the row takes
_PACES = {10.0: 60.0, 2.0: 20.0}
_PEER, _TOOK = "static/pps.css", "x-took-ms"
_PATHS = ("map", "map?view=gridmap", "map?view=table", "bulletin", "api/v1/map", _PEER)


def _sites() -> dict[str, Site]:
    dice = random.Random(1)
    ssh = SshEndpoint("ui.example.org", 22, "pps", "ssh-ed25519 " + "A" * 68)
    places = [(dice.uniform(37, 60), dice.uniform(-9, 30)) for _ in range(63)]
    return {
        f"SITE-{n}": Site(
            name=f"SITE-{n}",
            roc=f"ROC-{n % 11}",
            platform=Platform("debian12", "amd64"),
            ssh=ssh,
            preview_root="/opt/pps",
            production_root="/opt/glite",
            profile_d="/etc/profile.d",
            tag_dir="/opt/tags",
            subcluster=f"ce{n}.example.org",
            contact="grid@example.org",
            latitude=places[n % 63][0],
            longitude=places[n % 63][1],
            cpus=dice.randint(20, 20_000),
        )
        for n in range(300)
    }


def _nobody() -> Any:
    raise HTTPException(401, "Nobody signs in here.")


def _read(url: str, path: str, every: float, until: float, took: list[tuple[str, int, float, int]], seed: int) -> None:
    dice, session, edition = random.Random(seed), requests.Session(), ""
    time.sleep(dice.uniform(0, every))
    while time.monotonic() < until:
        answer = session.get(f"{url}/{path}", headers={"If-None-Match": edition} if edition else {}, timeout=30)
        took.append((path, answer.status_code, float(answer.headers[_TOOK]), len(answer.content)))
        edition = answer.headers.get("ETag", "")
        time.sleep(every)


def _serve(url: str, port: int) -> None:
    """The web server, in a process of its own as Airflow's is."""
    config = SimpleNamespace(sites=_sites(), service=SimpleNamespace(public_url="http://127.0.0.1"))
    services: Any = SimpleNamespace(facts=FactStore(url), templates=_TEMPLATES, config=config)
    app = create_app(lambda: services, _nobody, lambda: _NOW + timedelta(seconds=time.monotonic()))
    outer = FastAPI(lifespan=lambda _: app.router.lifespan_context(app))  # as Airflow does for a plugin's application
    outer.mount("/pps", app)

    async def timed(scope: Any, receive: Any, send: Any) -> None:
        began = time.perf_counter()

        async def answering(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((_TOOK.encode(), f"{(time.perf_counter() - began) * 1000:.2f}".encode()))
            await send(message)

        await outer(scope, receive, answering)

    uvicorn.run(timed, host="127.0.0.1", port=port, log_level="error")


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/{_PEER}", timeout=5).ok
    except requests.ConnectionError:
        return False


def _row(took: list[tuple[str, int, float, int]]) -> str:
    def of(path: str, status: int) -> list[float]:
        return sorted(ms for p, s, ms, _ in took if (p, s) == (path, status))

    def p95(values: list[float]) -> float:
        return values[int(len(values) * 0.95)] if values else 0.0

    peer = statistics.median(of(_PEER, 200))
    parts = []
    for path in _PATHS[:-1]:
        whole, same = of(path, 200), of(path, 304)
        size = max((n for p, s, _, n in took if (p, s) == (path, 200)), default=0) / 1000
        middle = statistics.median(whole) if whole else 0.0
        not_new = f"; 304 p95 {p95(same):.0f} ms" if same else ""
        parts.append(f"{path}: p95 {p95(whole):.0f} ms, {size:.0f} kB, ÷ peer {middle / peer:.1f}{not_new}")
    return "; ".join(parts)


def _crowd(address: str, store: FactStore, every: float, lasts: float) -> list[tuple[str, int, float, int]]:
    """Let all readers read; returns path, status, milliseconds and bytes of each answer."""
    took: list[tuple[str, int, float, int]] = []
    until = time.monotonic() + lasts
    readers = [
        threading.Thread(target=_read, args=(address, _PATHS[n % len(_PATHS)], every, until, took, n))
        for n in range(_READERS)
    ]
    for reader in readers:
        reader.start()
    while time.monotonic() < until:
        store.record(Fact("bc-client-100000-1", FactKind.TAG_SEEN, "SITE-1", f"{time.monotonic()}", _NOW, "benchmark"))
        time.sleep(_CHANGE_S)
    for reader in readers:
        reader.join()
    return took


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
        for number in range(20):
            _rollout(store, 100_000 + number, 300, ended=False)
        port = free_port()
        web = multiprocessing.get_context("spawn").Process(target=_serve, args=(url, port), daemon=True)
        web.start()
        address = f"http://127.0.0.1:{port}/pps"
        while not _answers(address):
            time.sleep(0.1)
        there = 1
        for wanted in ended:
            if wanted > there:
                _copies(engine, there + 1, wanted)
                there = wanted
            for every, lasts in _PACES.items():
                took = _crowd(address, store, every, lasts)
                row = f"{wanted} ended, each reader every {every:.0f} s, {len(took)} requests"
                print(f"{row}: {_row(took)}", flush=True)
        web.terminate()
        web.join()
        store.dispose()
        engine.dispose()


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [0, 300, 3000])
