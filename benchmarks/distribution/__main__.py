"""Distribution to loopback OpenSSH sites: the floor, ours, a shell loop, Ansible, pyinfra, parallel-ssh.

    python -m benchmarks.distribution --quick                     1 MiB, 20 sites, one round: half a minute
    python -m benchmarks.distribution --who floor,ours --mib 64   how far ours is from the least that can be
    python -m benchmarks.distribution --sites 20 300              what grows with the number of sites
    python -m benchmarks.distribution --bad 60 --sites 300        do 60 bad sites keep the other 240 waiting?

Each combination of payload and number of sites is a table's block: first installation, then the update to a version
in which every tenth file is another one. Rows of one block are one run, in turns, so their ratios can be compared
whatever else the machine does. Every byte at every site is compared after each run. Tools are found in .pps/tools,
where bin/bench installs them; without them their rows are left out. Linux only. Figures: README.md here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.distribution.bad_sites import WAYS, delayed_by_bad_sites
from benchmarks.distribution.contestants import SLOW, Contestant, contestants, ours
from benchmarks.distribution.course import Course, prepared
from benchmarks.distribution.measuring import Result, become_subreaper, measured

TOOLS = {
    "Ansible": Path(".pps/tools/ansible/bin/ansible-playbook"),
    "pyinfra": Path(".pps/tools/pyinfra/bin/pyinfra"),
    "parallel-ssh": Path(".pps/tools/parallel-ssh/bin/python"),
}
NAMES = ("floor", "ours", "shell loop", *SLOW)
#: With more MiB than this in all, the slow tools have one round.
_MUCH_MIB = 1000

#: (who, MiB, sites, kind) -> medians
Figures = dict[tuple[str, int, int, str], Result]


def main() -> None:
    chosen = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that sshd and folders are taken away
    become_subreaper()
    say(f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}")
    if chosen.bad:
        for mib in chosen.mib:
            with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="pps-bench-") as name:
                delayed_by_bad_sites(Path(name), mib, chosen.sites[-1], chosen.bad, chosen.rounds, chosen.ways, say)
        return
    there = contestants({name: path if path.exists() else None for name, path in TOOLS.items()})
    who = {name: make for name, make in there.items() if name in chosen.who}
    if missing := set(chosen.who) - set(who):
        say(f"left out, not installed (make bench does): {', '.join(sorted(missing))}")
    print(
        "| payload | sites | | who | rounds | wall s | CPU ms/site | at the site: CPU ms | peak MiB (sum of PSS) "
        "| wall ÷ ours | CPU ÷ ours | CPU ÷ floor |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    figures: Figures = {}
    for mib in chosen.mib:
        for sites in chosen.sites:
            with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="pps-bench-") as name:
                _block(Path(name), mib, sites, who, chosen, figures)
    _growth(figures, chosen.sites)
    say(f"load average at the end: {os.getloadavg()[0]:.1f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--who", type=lambda text: text.split(","), default=list(NAMES), help=f"some of: {','.join(NAMES)}"
    )
    parser.add_argument("--sites", type=int, nargs="+", default=[20, 60, 300], help="how many (20 60 300)")
    parser.add_argument("--mib", "--payload", type=int, nargs="+", default=[1, 64], help="size of a version (1 64)")
    parser.add_argument("--kind", choices=["install", "update"], nargs="+", default=["install", "update"])
    parser.add_argument("--rounds", type=int, default=3, help="medians are shown; memory is looked at in the last (3)")
    parser.add_argument(
        "--slow-rounds", type=int, default=1, help=f"of {', '.join(SLOW)}, with {_MUCH_MIB} MiB or more in all (1)"
    )
    parser.add_argument("--bad", type=int, default=0, help="so many of the sites are dead, hanging or slow; ours alone")
    parser.add_argument(
        "--ways", choices=list(WAYS), nargs="+", default=list(WAYS), help="of --bad: a night, or a rollout"
    )
    parser.add_argument("--quick", action="store_true", help="1 MiB to 20 sites, one round; with --bad: 12 of 60 sites")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where the sites live (/dev/shm)")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.sites, chosen.mib = 1, [60 if chosen.bad else 20], [1]
        chosen.bad = chosen.bad and 12
    if unknown := set(chosen.who) - set(NAMES):
        parser.error(f"--who: there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if chosen.bad >= chosen.sites[-1]:
        parser.error(f"--bad: fewer than the {chosen.sites[-1]} sites")
    free = shutil.disk_usage(chosen.folder).free
    if not chosen.bad and free < (needed := 2 * max(chosen.mib) * (60 + min(max(chosen.sites), 80)) << 20):
        parser.error(f"--folder: {chosen.folder} has {free >> 20} MiB free, {needed >> 20} are needed.")
    return chosen


def _block(
    folder: Path, mib: int, sites: int, who: dict[str, Contestant], chosen: argparse.Namespace, figures: Figures
) -> None:
    with prepared(folder, mib, sites) as course:
        for kind in chosen.kind:
            if kind == "update":
                first = replace(course, sites=course.sites[:1])
                first.reset()
                subprocess.run(ours(first), check=True)
                first.keep_version_1()
            found = _race(replace(course, update=kind == "update"), who, mib, kind, chosen)
            for name, results in found.items():
                figures[name, mib, sites, kind] = _median(results)
            _show(figures, mib, sites, kind, {name: len(results) for name, results in found.items()})


def _race(
    course: Course, who: dict[str, Contestant], mib: int, kind: str, chosen: argparse.Namespace
) -> dict[str, list[Result]]:
    """Rounds in turns, each begun by another one."""
    sshd = int((course.server.folder / "pid").read_text())
    much = mib * len(course.sites) >= _MUCH_MIB
    rounds = {n: min(chosen.rounds, chosen.slow_rounds) if much and n in SLOW else chosen.rounds for n in who}
    results: dict[str, list[Result]] = {name: [] for name in who}
    order = list(who)
    for number in range(chosen.rounds):
        at = number % len(order)
        for name in order[at:] + order[:at]:
            if number >= rounds[name]:
                continue
            course.reset()
            command = who[name](course)
            began = time.monotonic()
            with course.emptied_meanwhile():
                result = measured(command, sshd, memory=number == rounds[name] - 1)
            if name != "floor":
                course.check()
            results[name].append(result)
            say(
                f"{mib} MiB, {len(course.sites)} sites, {kind}, round {number + 1}: {name} {result.wall_s:.1f} s "
                f"({time.monotonic() - began:.0f} s with comparing), load average {os.getloadavg()[0]:.1f}"
            )
    return results


def _median(results: Sequence[Result]) -> Result:
    return Result(
        statistics.median(r.wall_s for r in results),
        statistics.median(r.cpu_s for r in results),
        statistics.median(r.sites_cpu_s for r in results),
        max(r.memory_mib for r in results),
    )


def _show(figures: Figures, mib: int, sites: int, kind: str, rounds: dict[str, int]) -> None:
    def ratio(of: float, name: str, field: str) -> str:
        other = figures.get((name, mib, sites, kind))
        return f"{of / getattr(other, field):.2f}" if other else "-"

    for name, count in rounds.items():
        it = figures[name, mib, sites, kind]
        cells = [
            f"{mib} MiB | {sites} | {kind} | {name} | {count} | {it.wall_s:.2f}",
            f"{1000 * it.cpu_s / sites:.0f} | {1000 * it.sites_cpu_s / sites:.0f} | {it.memory_mib:.0f}",
            ratio(it.wall_s, "ours", "wall_s"),
            ratio(it.cpu_s, "ours", "cpu_s"),
            ratio(it.cpu_s, "floor", "cpu_s"),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def _growth(figures: Figures, sites: Sequence[int]) -> None:
    """What one site costs among many, against what it costs among few."""
    few, many = min(sites), max(sites)
    both = [key for key in figures if key[2] == few and (key[0], key[1], many, key[3]) in figures]
    if few == many or not both:
        return
    print(
        f"\n| payload | | who | CPU of one site, {many} ÷ {few} sites | memory, {many} ÷ {few} |\n|---|---|---|---|---|"
    )
    for name, mib, _, kind in both:
        a, b = figures[name, mib, few, kind], figures[name, mib, many, kind]
        cpu, memory = b.cpu_s / many / (a.cpu_s / few), b.memory_mib / (a.memory_mib or 1)
        print(f"| {mib} MiB | {kind} | {name} | {cpu:.2f} | {memory:.2f} |")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
