"""Do dead, hanging and slow sites keep the others waiting? Ours alone, with and without them, in one run.

A third of the bad ones is dead (nobody listens), a third hangs (half of these say nothing at all, the others stop in
the middle of the payload), a third is slow (8 KiB twice a second). Two ways: all sites as one batch, as in a night, and
batch by batch, two at a time, as in a rollout; there also with what a rollout knows of them from the time before.
Canaries are good ones, as in any rollout that gets to its fleet: a bad one stops it at the gate.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from benchmarks.distribution.contestants import ours
from benchmarks.distribution.course import Course, prepared
from benchmarks.distribution.ours import Ours
from tests.support.sshd import free_port

from pps.activities.clients.distribution import SiteOutcome
from pps.config.loader import read_yaml
from pps.domain.clients.batches import BatchLimits, plan_batches
from pps.sandbox.airflow.configuration import DEFAULT_CONFIG

_STOPS_AFTER = 300_000
_PIECE, _PAUSE_S = 8192, 0.5
#: A night; a rollout that knows nothing of them, as it was and as it is; one that remembers that they were bad.
WAYS = {
    "night": "one batch",
    "patient": "batch by batch, each ends with its last site",
    "unknown": "batch by batch",
    "known": "batch by batch, bad ones known",
}
_BATCHES_AT_ONCE = 2  # as in orchestration/steps/distribution.py


def delayed_by_bad_sites(
    folder: Path, mib: int, sites: int, bad: int, rounds: int, ways: Sequence[str], say: Callable[[str], None]
) -> None:
    """Measure and show; see this module."""
    print(
        "| payload | sites | of these bad | way | the others done after s | with the bad ones s | ratio |\n"
        "|---|---|---|---|---|---|---|"
    )
    with prepared(folder, mib, sites) as course, bad_ports(course.server.port) as ports:
        every = sites // bad
        chosen = [name for n, name in enumerate(course.sites) if n % every == 0][:bad]
        where = {name: ports[n % len(ports)] for n, name in enumerate(chosen)}
        good = replace(course, sites=tuple(s for s in course.sites if s not in where))
        for way in ways:
            took: dict[bool, list[float]] = {False: [], True: []}
            for number in range(rounds):
                for with_them in (False, True) if number % 2 == 0 else (True, False):
                    replace(course, sites=course.sites).reset()
                    took[with_them].append(_once(good, way, where if with_them else {}))
                    say(f"{way}, {'with' if with_them else 'without'} the bad ones: {took[with_them][-1]:.1f} s")
            alone, beside = (statistics.median(took[key]) for key in (False, True))
            print(
                f"| {mib} MiB | {sites} | {bad} | {WAYS[way]} | {alone:.1f} | {beside:.1f} | {beside / alone:.2f} |",
                flush=True,
            )


def _once(good: Course, way: str, bad: dict[str, int]) -> float:
    """Seconds until the last good site had it."""
    ours(good)  # writes what the process reads
    told = good.folder / "ours.json"
    about = json.loads(told.read_text()) | {"bad": bad, "batches": _batches(good, way, bad), "way": way}
    told.write_text(json.dumps(about))
    with good.emptied_meanwhile():
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.distribution.bad_sites", str(told)],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
    if ran.returncode != 0:
        raise SystemExit(f"failed: {ran.stdout}")
    good.check()
    return float(ran.stdout.split()[-1])


def _batches(course: Course, way: str, bad: dict[str, int]) -> list[list[str]]:
    """Batches in their order, as a plan has them; its order mixes good and bad."""
    sites = [replace(course.server.site(n), canary=n in course.sites[:2]) for n in (*course.sites, *bad)]
    numbers = read_yaml(DEFAULT_CONFIG / "policies.yaml")["distribution"]
    limits = BatchLimits(numbers["canaries"], numbers["sites_per_batch"], 1.0, 1.0, len(sites))
    batches = list(plan_batches("bc-client-4711-1", sites, limits, last=bad if way == "known" else ()).values())
    return [[name for batch in batches for name in batch]] if way == "night" else batches


@contextmanager
def bad_ports(good: int) -> Iterator[list[int]]:
    """Ports of each kind of bad site, as often as there are of the kind."""
    loop, kept = asyncio.new_event_loop(), set[asyncio.Task[None] | None]()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen(how: str) -> int:
        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int, slow: bool) -> None:
            with suppress(OSError):
                while data := await reader.read(min(_PIECE if slow else 65536, left)):
                    writer.write(data)
                    await writer.drain()
                    left -= len(data)
                    if slow:
                        await asyncio.sleep(_PAUSE_S)
                if left == 0:  # stops here, and says no word
                    await reader.read()
            writer.close()

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            kept.add(asyncio.current_task())  # else it is collected while it waits
            if how == "silent":
                await reader.read()
                writer.close()
                return
            there, back = await asyncio.open_connection("127.0.0.1", good)
            await asyncio.gather(
                pass_on(reader, back, _STOPS_AFTER if how == "stops" else sys.maxsize, how == "slow"),
                pass_on(there, writer, sys.maxsize, False),
            )

        server = await asyncio.start_server(met, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    silent, stops, slow = (
        asyncio.run_coroutine_threadsafe(listen(how), loop).result() for how in ("silent", "stops", "slow")
    )
    dead = free_port()
    try:
        yield [dead, silent, slow, dead, stops, slow]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def main() -> None:
    """The process that is measured: ends as soon as all good sites have it."""
    brought = Ours(json.loads(Path(sys.argv[1]).read_text()))
    bad: dict[str, int] = brought.about["bad"]
    good, began, waited = set(brought.about["sites"]), time.monotonic(), [0.0]

    def progress(outcome: SiteOutcome) -> None:
        if outcome.site in good:
            if outcome.receipt is None:
                print(outcome.text, flush=True)
                os._exit(1)
            good.discard(outcome.site)
            waited[0] = time.monotonic() - began
            if not good:
                print(waited[0], flush=True)
                os._exit(0)

    async def all_batches() -> None:
        at_once = asyncio.Semaphore(_BATCHES_AT_ONCE)

        patience = read_yaml(DEFAULT_CONFIG / "policies.yaml")["distribution"]["patience_with_late_sites"]
        ends_without_late = brought.about["way"] in ("unknown", "known")

        async def one(batch: list[str]) -> None:
            async with at_once:
                await brought.bring(batch, progress, bad, patience if ends_without_late else None)

        async with asyncio.TaskGroup() as group:
            for batch in brought.about["batches"]:
                group.create_task(one(batch))

    asyncio.run(all_batches())
    raise SystemExit("not all of the good ones have it")


if __name__ == "__main__":
    main()
