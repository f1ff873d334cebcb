"""Distribution to loopback OpenSSH sites: ours, a shell loop, Ansible. See README.md here.

`python -m benchmarks.distribution --ansible <path of ansible-playbook>`; Linux only (process accounting).
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.support.desks import at_desk
from tests.support.previews import FactsInMemory, FolderArtefacts
from tests.support.sshd import SshServer, account, running_sshd

from pps.activities.clients.distribution import distribute
from pps.activities.packages.payloads import prepare_payload
from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import SiteLimits
from pps.activities.sites.batch import Door
from pps.adapters.sites.ssh_openssh import OpenSshShell
from pps.domain.packages.manifest import Manifest

AT_ONCE = 20
MIB = 1 << 20


# --- the contestants -------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """What is brought where."""

    folder: Path
    server: SshServer
    store: FolderArtefacts
    tarball: Tarball
    payload: Path
    plain: Path
    """the same files as an ordinary tar.gz, with a list for sha256sum -c"""
    sites: tuple[str, ...]

    def root(self, site: str) -> Path:
        return Path(self.server.site(site).preview_root)

    @property
    def ssh_options(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "GlobalKnownHostsFile": "none",
            "IdentitiesOnly": "yes",
            "IdentityFile": str(self.server.key_file),
            "LogLevel": "ERROR",
        }
        return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def ours(course: Course) -> list[str]:
    """A fresh Python process that calls `distribute`; its start and imports are counted."""
    about = {
        "server": [str(course.server.folder), course.server.port, course.server.host_key, str(course.server.key_file)],
        "store": str(course.store.folder),
        "tarball": [course.tarball.name, course.tarball.digest, dict(course.tarball.files), course.tarball.size],
        "sites": course.sites,
        "cache": str(course.payload.parent),
    }
    (course.folder / "ours.json").write_text(json.dumps(about))
    return [sys.executable, "-m", "benchmarks.distribution", "--ours", str(course.folder / "ours.json")]


def run_ours(about: dict[str, list[str]]) -> None:
    folder, port, host_key, key = about["server"]
    server = SshServer(Path(folder), int(port), host_key, Path(key))
    name, digest, files, size = about["tarball"]
    tarball = Tarball(name, digest, files, int(size), ())  # type: ignore[arg-type]
    sites = [server.site(s) for s in about["sites"]]
    facts, targets = FactsInMemory(), {s.name: server.target(s.name) for s in sites}
    outcomes = asyncio.run(
        distribute(
            at_desk(facts.rollout(), facts, clock=lambda: datetime.now(UTC)),
            tarball,
            sites,
            Door(targets, OpenSshShell(), SiteLimits(), AT_ONCE, "bench", "bench"),
            artefacts=FolderArtefacts(Path(str(about["store"])), {name: tarball}),
            cache=Path(str(about["cache"])),
        )
    )
    failed = [o.text for o in outcomes if o.error]
    if failed:
        raise SystemExit("\n".join(failed))


def shell_loop(course: Course) -> list[str]:
    """What an administrator writes: xargs -P, one ssh pipe a site; unpack aside, check, rename."""
    name = course.tarball.name
    remote = f"mkdir -p $1/new && cd $1/new && tar xzf - && sha256sum --quiet -c .list && mv ../new ../{name}"
    script = course.folder / "loop.sh"
    options = " ".join([*course.ssh_options, "-p", str(course.server.port)])
    script.write_text(f'ssh {options} 127.0.0.1 "set -- $1; {remote.replace("$1", chr(92) + "$1")}" <{course.plain}\n')
    roots = course.folder / "roots"
    roots.write_text("".join(f"{course.root(s)}\n" for s in course.sites))
    return ["xargs", "-a", str(roots), "-P", str(AT_ONCE), "-n", "1", "sh", str(script)]


def ansible(program: str) -> Callable[[Course], list[str]]:
    """Ansible as its manual tunes it: pipelining, forks, ControlPersist, strategy free, no facts; two tasks."""

    def command(course: Course) -> list[str]:
        inventory = course.folder / "inventory"
        inventory.write_text("".join(f"{s} ansible_host=127.0.0.1 root={course.root(s)}\n" for s in course.sites))
        tasks = [
            {"copy": {"src": str(course.plain), "dest": "{{ root }}.tar.gz", "mode": "0600"}},
            {
                "shell": "mkdir -p {{ root }}/new && cd {{ root }}/new && tar xzf {{ root }}.tar.gz && "
                f"sha256sum --quiet -c .list && mv ../new ../{course.tarball.name} && rm {{{{ root }}}}.tar.gz"
            },
        ]
        play = [{"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": tasks}]
        (course.folder / "play.yml").write_text(json.dumps(play))
        options = " ".join(["-o ControlMaster=auto", "-o ControlPersist=60s", *course.ssh_options])
        (course.folder / "ansible.cfg").write_text(
            f"[defaults]\nforks={AT_ONCE}\nremote_user={account()}\nremote_port={course.server.port}\n"
            f"interpreter_python={sys.executable}\nstdout_callback=minimal\ndisplay_ok_hosts=False\n"
            f"[ssh_connection]\npipelining=True\nssh_args={options}\ncontrol_path_dir={course.folder}/cp\n"
        )
        return [
            "env",
            f"ANSIBLE_CONFIG={course.folder}/ansible.cfg",
            program,
            "-i",
            str(inventory),
            str(course.folder / "play.yml"),
        ]

    return command


# --- measuring -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    wall_s: float
    cpu_s: float
    memory_mib: float = 0.0


def become_subreaper() -> None:
    """Adopt what daemonises away (Ansible's ControlPersist masters), so that its CPU is counted too."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def our_children(spared: frozenset[int]) -> set[int]:
    """All descendants of this process; not sshd (`spared`) and what it starts, which is the sites' side."""
    found: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        found[int(text.split(maxsplit=1)[0])] = int(text.rpartition(")")[2].split()[1])
    tree = {os.getpid()}
    while more := {pid for pid, parent in found.items() if parent in tree} - tree - spared:
        tree |= more
    return tree - {os.getpid()}


def measure(command: list[str], course: Course, spared: frozenset[int], *, memory: bool) -> Result:
    """Run one contestant; CPU is user+system of its process tree, memory the peak of the sum of PSS."""
    for site in course.sites:
        shutil.rmtree(course.root(site), ignore_errors=True)
        course.root(site).mkdir(parents=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = 0.0
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while memory and process.poll() is None:
        peak = max(peak, sum(map(pss_mib, our_children(spared))))
        time.sleep(0.02)
    complaints = process.communicate()[1]
    wall = time.monotonic() - began
    for pid in our_children(spared):
        end(pid)
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0 and not our_children(spared):
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        raise SystemExit(f"{command[:4]} failed:\n{complaints[-2000:]}")
    check(course)
    return Result(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak)


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


def pss_mib(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def check(course: Course) -> None:
    """Whoever ran: every site has every byte."""
    manifest = Manifest.parse(course.store.local(course.tarball.name, "MANIFEST").read_text())
    for site in course.sites:
        place = course.root(site) / course.tarball.name
        for path, entry in manifest.files.items():
            if hashlib.sha256((place / path).read_bytes()).hexdigest() != entry.sha256:
                raise SystemExit(f"{site}: {path} is not what was sent")


@contextmanager
def prepared(folder: Path, mib: int, sites: int) -> Iterator[Course]:
    chance = random.Random(mib)
    files = 40 if mib == 1 else 400
    tree = {f"lib/part-{n}": chance.randbytes(mib * MIB // files) for n in range(files)}
    store = FolderArtefacts(folder / "store")
    tarball = store.make(tree, f"{mib}.0")
    manifest = Manifest.parse(store.local(tarball.name, "MANIFEST").read_text())
    began = time.process_time()
    payload = prepare_payload(tarball, manifest, None, store, folder / "cache")
    print(
        f"payload of {mib} MiB built once in {time.process_time() - began:.2f} s of CPU, not counted below",
        file=sys.stderr,
    )
    aside = folder / "plain"
    for path, content in tree.items():
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        (aside / path).write_bytes(content)
    (aside / ".list").write_text("".join(f"{e.sha256}  {p}\n" for p, e in manifest.files.items()))
    plain = folder / "plain.tar.gz"
    subprocess.run(["tar", "czf", str(plain), "-C", str(aside), "."], check=True)
    with running_sshd(folder / "sshd") as server:
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        names = tuple(f"site-{n:03}" for n in range(sites))
        for name in names:
            server.site(name)
        yield Course(folder, server, store, tarball, payload, plain, names)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--ansible", default=shutil.which("ansible-playbook"), help="program; without it Ansible is left out"
    )
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--sites", type=int, nargs="+", default=[20, 60])
    options.add_argument("--mib", type=int, nargs="+", default=[1, 64])
    options.add_argument("--quick", action="store_true", help="1 MiB to 20 sites, one round")
    options.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where the sites live")
    options.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.ours:
        run_ours(json.loads(chosen.ours.read_text()))
        return
    if chosen.quick:
        chosen.rounds, chosen.sites, chosen.mib = 1, [20], [1]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that sshd and folders are taken away
    become_subreaper()
    contestants: dict[str, Callable[[Course], list[str]]] = {"ours": ours, "shell loop": shell_loop}
    if chosen.ansible:
        contestants["Ansible"] = ansible(chosen.ansible)
    print("| payload | sites | who | wall s | CPU ms/site | peak MiB (sum of PSS) | wall ÷ ours | CPU ÷ ours |")
    print("|---|---|---|---|---|---|---|---|")
    for mib in chosen.mib:
        for sites in chosen.sites:
            aside = tempfile.TemporaryDirectory(dir=chosen.folder, prefix="pps-bench-")
            with aside as name, prepared(Path(name), mib, sites) as course:
                race(course, contestants, chosen.rounds, mib)


def race(course: Course, contestants: dict[str, Callable[[Course], list[str]]], rounds: int, mib: int) -> None:
    spared = frozenset(our_children(frozenset()))
    results: dict[str, list[Result]] = {who: [] for who in contestants}
    order = list(contestants)
    for round_ in range(rounds):
        for who in order[round_ % len(order) :] + order[: round_ % len(order)]:
            results[who].append(measure(contestants[who](course), course, spared, memory=False))
    # Looking at memory costs CPU: a run of its own.
    peaks = {who: measure(make(course), course, spared, memory=True).memory_mib for who, make in contestants.items()}
    count = len(course.sites)
    wall = {who: statistics.median(r.wall_s for r in rs) for who, rs in results.items()}
    cpu = {who: statistics.median(r.cpu_s for r in rs) / count * 1000 for who, rs in results.items()}
    for who in contestants:
        ratios = f"{wall[who] / wall['ours']:.2f} | {cpu[who] / cpu['ours']:.2f}"
        print(
            f"| {mib} MiB | {count} | {who} | {wall[who]:.2f} | {cpu[who]:.0f} | {peaks[who]:.0f} | {ratios} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
