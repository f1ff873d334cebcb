"""What it costs a site to verify what it installs: the kit beside our receiver without one, processor time of the site.

python -m benchmarks.kit [--rounds 15] [--payload 1]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tests.support.previews import FolderArtefacts

from pps.activities.sites.receiver import receiver_script
from pps.domain.sites.site import Scheme
from pps.domain.trust.signed import envelope
from pps.sandbox.kit.site import KitSite, People, now


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
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pps-bench-kit-", dir="/dev/shm"))
    try:
        rows: dict[str, Callable[[], float]] = {}
        store = FolderArtefacts(folder / "store")
        files = 40 * given.payload if given.payload < 10 else 400
        tree = {f"share/{n}": os.urandom((given.payload << 20) // files) for n in range(files)}
        tarball = store.make(tree, "1.0")
        for scheme in Scheme:
            site = KitSite(folder / scheme, People(folder / f"keys-{scheme}", scheme), store)
            site.unpack()
            rows[f"kit, {scheme}"] = of_kit(site, tarball, given.payload)
        plain = KitSite(folder / "plain", People(folder / "none", Scheme.SSH), store)
        plain.unpack()
        rows["no kit"] = without(plain, tarball)
        taken: dict[str, list[float]] = {name: [] for name in rows}
        for turn in range(given.rounds):
            for name, act in rows.items():
                taken[name].append(act())
            print(f"\r{turn + 1} of {given.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        base = statistics.median(taken["no kit"])
        load = os.getloadavg()[0]
        print(f"{given.payload} MiB, {files} files, median of {given.rounds}, load average {load:.1f}")
        for name, values in taken.items():
            middle = statistics.median(values)
            print(f"{name:14} {middle:7.1f} ms of the site's processor  {middle - base:+6.1f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def of_kit(site: KitSite, tarball: object, mib: int) -> Callable[[], float]:
    """An installation by the kit, each with the next sequence."""
    payload = site.payload(tarball)  # type: ignore[arg-type]

    def act() -> float:
        statement = replace(site.statement(tarball), packed=(mib + 1) << 20)  # type: ignore[arg-type]
        site.statements.append(statement)
        shutil.rmtree(site.root)
        site.root.mkdir()
        issued = now() + timedelta(seconds=statement.sequence)
        came = envelope([site.current(statement, issued=issued), site.signed(statement)]).encode()
        keep = str(site.folder / "kit/bin/pps-keep")
        return cpu(["sh", keep, "n", "put", str(len(came)), "list", "60"], came + b"full\n" + payload)

    return act


def without(site: KitSite, tarball: object) -> Callable[[], float]:
    """An installation by the receiver that comes with each connection."""
    payload = site.payload(tarball)  # type: ignore[arg-type]

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
        ]  # type: ignore[attr-defined]
        return cpu(["sh", "-c", receiver_script(), "receiver", *words], b"full\n" + payload)

    return act


if __name__ == "__main__":
    main()
