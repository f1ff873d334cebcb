"""What one look at a site's production costs that site: its names, or every byte. Linux only.

    python -m benchmarks.production [FILES [GIB]]

A tree of so many files (sparse, so that the disk is no part of it: a real one, or NFS, adds its own time), read by the
script as it is sent to a site. Both ways in turn, medians of three; the first round of each warms the caches.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pps.activities.sites.script import load_script

ROUNDS = 3


def make_tree(root: Path, files: int, size: int) -> None:
    """Files with holes, a hundred in a folder."""
    for number in range(files):
        path = root / f"d{number // 100}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)


def _children() -> tuple[float, int]:
    """CPU seconds of ended children, and bytes that they have asked the system for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return used.ru_utime + used.ru_stime, int(io["rchar"])


def look(root: Path, how: str) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of the processor, MiB read (pipes between the tools are counted, too)."""
    script = load_script("production_digest.sh") + 'production_digest "$1" "$2"'
    (cpu, read), began = _children(), time.monotonic()
    subprocess.run(["sh", "-c", script, "sh", str(root), how], check=True, stdout=subprocess.PIPE)
    wall = time.monotonic() - began
    after = _children()
    return wall, after[0] - cpu, (after[1] - read) / (1 << 20)


def main(files: int = 50_000, gib: float = 5.0) -> None:
    """Print one line for each way."""
    with tempfile.TemporaryDirectory(prefix="pps-production-") as folder:
        root = Path(folder)
        make_tree(root, files, int(gib * (1 << 30) / files))
        print(f"{files} files, {gib:g} GiB; medians of {ROUNDS}")
        for how in ("names", "content"):
            look(root, how)
            wall, cpu, read = (
                statistics.median(x) for x in zip(*(look(root, how) for _ in range(ROUNDS)), strict=True)
            )
            print(f"{how:8} {wall:7.2f} s by the clock {cpu:7.2f} s of the processor {read:8.1f} MiB read")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:2]), *(float(a) for a in sys.argv[2:3]))
