"""What it costs to verify what is installed: the kit beside our receiver without one, processor time here and there.

python -m benchmarks.kit [--rounds 15] [--payload 1] [--sites 20 60]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.support.desks import at_desk
from tests.support.local_shell import LocalChannel, LocalShell, target_of
from tests.support.previews import FactsInMemory, FolderArtefacts, artefacts_in

from pps.activities.clients.distribution import distribute
from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import KIT, SiteLimits, SshTarget
from pps.activities.sites.batch import Door
from pps.activities.sites.receiver import How, receiver_script
from pps.activities.trust.kit_shell import KitShell
from pps.activities.trust.papers import SignedPapers
from pps.domain.record.facts import Fact, FactKind
from pps.domain.sites.places import Places
from pps.domain.sites.site import Scheme
from pps.domain.trust.signed import envelope
from pps.sandbox.kit.site import KitSite, People, now

T = TypeVar("T")


def cpu(command: list[str], sent: bytes) -> float:
    """Milliseconds of a command and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, input=sent, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert b"PPS-INSTALLED" in done.stdout, done
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Measure in turns, and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--payload", type=int, default=1, metavar="MIB")
    options.add_argument("--sites", type=int, nargs="*", default=[], help="also whole distributions to so many sites")
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pps-bench-kit-", dir="/dev/shm"))
    try:
        store = artefacts_in(folder / "store")
        files = 40 * given.payload if given.payload < 10 else 400
        tree = {f"share/{n}": os.urandom((given.payload << 20) // files) for n in range(files)}
        tarball = store.make(tree, "1.0")
        print(f"{given.payload} MiB, {files} files, median of {given.rounds}")
        of_one_site(folder / "one", store, tarball, given.payload, given.rounds)
        for count in given.sites:
            of_many_sites(folder / f"{count}", store, tarball, count, max(3, given.rounds // 3))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def of_one_site(folder: Path, store: FolderArtefacts, tarball: Tarball, mib: int, rounds: int) -> None:
    """What one installation costs a site."""
    rows: dict[str, Callable[[], float]] = {}
    for scheme in Scheme:
        site = KitSite(folder / scheme, People(folder / f"keys-{scheme}", scheme), store)
        site.unpack()
        rows[f"kit, {scheme}"] = of_kit(site, tarball, mib)
    plain = KitSite(folder / "plain", People(folder / "none", Scheme.SSH), store)
    plain.unpack()
    rows["no kit"] = without(plain, tarball)
    taken = in_turns(rows, rounds)
    base = statistics.median(taken["no kit"])
    print(f"one site, load average {os.getloadavg()[0]:.1f}")
    for name, values in taken.items():
        middle = statistics.median(values)
        print(f"  {name:14} {middle:7.1f} ms of the site's processor  {middle - base:+6.1f}")


def in_turns(rows: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """All of them so many times, each round in another order: who comes first finds colder caches."""
    taken: dict[str, list[T]] = {name: [] for name in rows}
    names = list(rows)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(rows[name]())
        print(f"\r{turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return taken


# --- whole distributions ------------------------------------------------------------------------------------------


@dataclass
class Kits(LocalShell):
    """Sites of this machine, without a connection between: a kit is started as sshd would."""

    kits: dict[str, KitSite] = field(default_factory=dict)

    @asynccontextmanager
    async def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AsyncIterator[LocalChannel]:
        started = (script, tuple(arguments))
        if script == KIT:
            started = ('exec "$@"', ("sh", str(self.kits[target.site].folder / "kit/bin/pps-keep"), "n", *arguments))
        async with super().open(target, *started, limits) as channel:
            if script == KIT:
                assert [await channel.read_line(), await channel.read_line()] == ["", "n"]
            yield channel


def of_many_sites(folder: Path, store: FolderArtefacts, tarball: Tarball, count: int, rounds: int) -> None:
    """What a distribution costs sites and centre, without what the ssh client costs, which is the same for both."""
    people = People(folder / "keys", Scheme.SSH)
    sites = [KitSite(folder / f"site-{n}", people, store) for n in range(count)]
    for site in sites:
        site.unpack()
    rows = {
        name: partial(distributed, sites, tarball, folder / name, name == "kit, ssh") for name in ("kit, ssh", "no kit")
    }
    taken = in_turns(rows, rounds)
    print(f"{count} sites, 10 at a time, median of {rounds}, load average {os.getloadavg()[0]:.1f}; for each site:")
    for name, values in taken.items():
        at_site, here, seconds = (statistics.median(column) for column in zip(*values, strict=True))
        spent = f"{at_site:7.1f} ms of its processor, {here:5.1f} ms of the controller's"
        print(f"  {name:14} {spent}; {seconds:5.1f} s in all")


def distributed(sites: list[KitSite], tarball: Tarball, cache: Path, kit: bool) -> tuple[float, float, float]:
    """One distribution: processor time for each site at the site and at the controller, in ms; seconds in all."""
    first = sites[0]
    statement = first.statement(tarball, packed=64 << 20)
    for site in sites:
        site.statements.append(statement)
        shutil.rmtree(site.root)
        site.root.mkdir()
    # by the clock each round's list must be newer than the one before
    current = first.current(statement, issued=now() + timedelta(seconds=statement.sequence))
    papers = SignedPapers((), current, [first.signed(statement)])
    entries = [replace(site.site, name=f"SITE-{n}") for n, site in enumerate(sites)]
    shell = Kits(kits={entry.name: site for entry, site in zip(entries, sites, strict=True)})
    way = KitShell(shell, dict.fromkeys(shell.kits, papers)) if kit else shell
    facts = FactsInMemory()
    payload = {"name": tarball.name, "digest": tarball.digest, "files": dict(tarball.files)}
    facts.record(Fact(facts.name, FactKind.TARBALL_BUILT, "", tarball.name, now(), "bench", payload))
    limits = SiteLimits(connect_s=120, silence_s=120, total_s=600)
    door = Door({e.name: target_of(e.name) for e in entries}, way, limits, Places(10), "run-1", "bench")
    desk = at_desk(facts.rollout(), facts, clock=now)
    began = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    clock = time.monotonic()
    outcomes = asyncio.run(distribute(desk, tarball, entries, door, artefacts=first.store, cache=cache))
    seconds = time.monotonic() - clock
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    assert all(o.receipt and o.receipt.how is How.FULL for o in outcomes), outcomes
    spent = [a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime for a, b in zip(ended, began, strict=True)]
    return 1000 * spent[0] / len(sites), 1000 * spent[1] / len(sites), seconds


# --- one site -----------------------------------------------------------------------------------------------------


def of_kit(site: KitSite, tarball: Tarball, mib: int) -> Callable[[], float]:
    """An installation by the kit, each with the next sequence."""
    payload = site.payload(tarball)

    def act() -> float:
        statement = replace(site.statement(tarball), packed=(mib + 1) << 20)
        site.statements.append(statement)
        shutil.rmtree(site.root)
        site.root.mkdir()
        issued = now() + timedelta(seconds=statement.sequence)
        came = envelope([site.current(statement, issued=issued), site.signed(statement)]).encode()
        keep = str(site.folder / "kit/bin/pps-keep")
        return cpu(["sh", keep, "n", "put", str(len(came)), "list", "60"], came + b"full\n" + payload)

    return act


def without(site: KitSite, tarball: Tarball) -> Callable[[], float]:
    """An installation by the receiver that comes with each connection."""
    payload = site.payload(tarball)

    def act() -> float:
        shutil.rmtree(site.root)
        site.root.mkdir()
        words = [
            "install",
            tarball.name,
            tarball.digest,
            str(site.root),
            str(site.folder / "production"),
            "/etc/profile.d",
            "60",
            "list",
        ]
        return cpu(["sh", "-c", receiver_script(), "receiver", *words], b"full\n" + payload)

    return act


if __name__ == "__main__":
    main()
