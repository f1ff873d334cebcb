"""What a rollout costs through Airflow: `bc_client_update` to 60 and 300 sites, LocalExecutor against Celery.

    python -m benchmarks.engine --quick                                   20 sites, 1 MiB, our LocalExecutor
    python -m benchmarks.engine --sites 60 --mib 1                        all three, one after the other
    python -m benchmarks.engine --sites 300 --mib 64 --executors local    how much of it is Airflow's own?

Each row is an installation of its own (PostgreSQL, all components with the settings of docs/production.md, for Celery a
broker and one or two workers), and as many sites behind one real OpenSSH server. It measures from the agreed plan until
the last site has its tag: wall time, and CPU of all that runs at the centre, the ssh clients too, the sites not.

`work` is what the tasks use inside of distribution, probes and tags; all else is Airflow's own: scheduler, api-server,
dag-processor, triggerer, database, and the start and end of each task. Linux only.
"""

from __future__ import annotations

import argparse
import base64
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml
from benchmarks.process_trees import cpu_s
from benchmarks.resume_race import start_worker
from benchmarks.waiting import PRODUCTION
from tests.support.nodes import Broker
from tests.support.sshd import SshServer, account, running_sshd
from tests.support.whole import BC, VOS, Grid

from pps.config.loader import read_yaml
from pps.domain.packages.patch import PackageRef
from pps.domain.sites.site import Platform
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.airflow.server import COMPONENTS
from pps.sandbox.grid.landscape import PLATFORM, SitePlan
from pps.sandbox.grid.processes import Servers
from pps.sandbox.grid.site_folder import SiteFolder
from pps.sandbox.provider.package_formats import SamplePackage, write_deb
from pps.sandbox.provider.packages import ProviderPackages, make_sample_packages
from pps.sandbox.provider.provider import offer_patch

VERSION, PATCH = "3.3.0", 6001
#: Name -> (executor of Airflow, workers beside it)
EXECUTORS = {
    "local": ("pps.orchestration.executor.SafeLocalExecutor", 0),
    "celery-1": ("CeleryExecutor", 1),
    "celery-2": ("CeleryExecutor", 2),
}
_SLOTS = 8
_FILES = 40
#: In each process of the installation: what the tasks use inside of what they do at sites, a line each.
_COUNTS_WORK = """
import asyncio, os, resource, sys
_run = asyncio.run
def _used():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
def run(work, **more):
    if sys._getframe(1).f_globals.get("__name__") != "pps.orchestration.in_time":
        return _run(work, **more)
    began = _used()
    try:
        return _run(work, **more)
    finally:
        with open(os.environ["BENCH_WORK"], "a") as file:
            file.write("%f\\n" % (_used() - began))
asyncio.run = run
"""


@dataclass(frozen=True)
class Result:
    """Of one rollout, from its plan to its last tag."""

    wall_s: float
    work_s: float
    cpu_s: Mapping[str, float]
    """component -> CPU with all that it started"""

    @property
    def total_s(self) -> float:
        return sum(self.cpu_s.values())

    @property
    def own(self) -> float:
        """Airflow's own share of it."""
        return 1 - self.work_s / self.total_s


class Course:
    """One installation with its sites, at work."""

    def __init__(self, folder: Path, server: SshServer, sites: int, mib: int) -> None:
        self.folder, self.server, self.sites, self.mib = folder, server, sites, mib
        self.work = folder / "work"
        self.roots: dict[str, int] = {}

    def prepare(self, installation: Installation) -> None:
        """The registry names our sites; the grid's own take no part."""
        path = installation.grid_folder / "config" / "sites.yaml"
        registry = read_yaml(path)
        like = registry["sites"][0]
        apart = {"accepts_previews": False, "canary": False, "partner_levels": []}
        registry["sites"] = [site | copy.deepcopy(apart) for site in registry["sites"]]
        host = {"host": "127.0.0.1", "port": self.server.port, "user": account(), "host_key": self.server.host_key}
        for number in range(self.sites):
            name = f"FULL-{number:03}"
            plan = SitePlan(name, str(like["roc"]), PLATFORM, account(), f"full{number}.example.org", "UTC")
            folder = SiteFolder(self.folder / "sites" / name)
            folder.furnish(plan, VOS, "127.0.0.1:2170", "ops")
            places = {p: str(getattr(folder, p)) for p in ("preview_root", "production_root", "profile_d", "tag_dir")}
            about = {"name": name, "ssh": host, "subcluster": plan.subcluster, "canary": number < 2} | places
            registry["sites"].append(
                copy.deepcopy(like | {"partner_levels": []} | about)
            )  # YAML of ours has no aliases
        registry["ssh_key_file"] = str(self.server.key_file)
        path.write_text(yaml.safe_dump(registry))

    def run(self, installation: Installation) -> Result:
        """One rollout."""
        grid = Grid(installation, self.folder)
        platform = Platform.parse(installation.grid["made_with"]["platform"])
        repository = installation.grid["services"]["repository"]
        offer_patch(
            Path(installation.grid["repository_folder"]),
            repository,
            grid.services.tracker,
            self._packages(),
            platform,
            number=PATCH,
            version=VERSION,
        )
        run = grid.client.trigger(BC, {"patch": PATCH})
        self._until(installation, run, "canary.distribute_client", 1, ("queued", "running", "success"))
        used, began = {name: cpu_s(root) for name, root in self.roots.items()}, time.monotonic()
        done = threading.Event()
        sweeper = threading.Thread(target=self._empty_until, args=(done, installation))
        sweeper.start()
        try:
            self._until(installation, run, "fleet.publish_tag", None, ("success",))
        finally:
            done.set()
            sweeper.join()
        wall = time.monotonic() - began
        result = {name: cpu_s(root) - used[name] for name, root in self.roots.items()}
        tagged = self.ask(installation, "pps", "SELECT count(DISTINCT subject) FROM facts WHERE kind = 'tag-added'")
        if tagged[0][0] != self.sites:
            why = self.ask(
                installation, "pps", "SELECT payload->>'reason', count(*) FROM facts WHERE kind LIKE 'site-%' OR kind "
                "LIKE 'probes-failed' GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
            )  # fmt: skip
            # on a machine that is busy a few run out of their time, as in the field; the row says so
            print(f"{tagged[0][0]} of {self.sites} sites have their tag; the others: {why}", file=sys.stderr)
        return Result(wall, sum(map(float, self.work.read_text().split())), result)

    def ask(self, installation: Installation, database: str, query: str, *values: Any) -> list[Any]:
        url = installation.postgres.url(database).replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def _until(
        self, installation: Installation, run: str, task: str, count: int | None, states: tuple[str, ...]
    ) -> None:
        """Until so many (None: all) instances of a task are in such a state."""
        query = (
            "SELECT count(*) FILTER (WHERE state = ANY(%s)), count(*), "
            "count(*) FILTER (WHERE map_index = -1), (SELECT string_agg(task_id, ', ') FROM task_instance "
            "WHERE run_id = %s AND dag_id = %s AND state = 'failed') "
            "FROM task_instance WHERE run_id = %s AND task_id = %s"
        )
        deadline = time.monotonic() + 3600
        while True:
            right, all_of_it, unmapped, failed = self.ask(
                installation, "airflow", query, list(states), run, BC, run, task
            )[0]
            if (right >= count) if count else (all_of_it and right == all_of_it and not unmapped):
                return
            if failed or time.monotonic() > deadline:
                raise SystemExit(f"{run}: {task}: {right} of {all_of_it}; failed: {failed}")
            time.sleep(0.5)

    def _empty_until(self, done: threading.Event, installation: Installation) -> None:
        """What has its tag is not looked at again: memory holds no 300 large previews."""
        gone: set[str] = set()
        while not done.wait(3):
            rows = self.ask(installation, "pps", "SELECT DISTINCT subject FROM facts WHERE kind = 'tag-added'")
            for (name,) in rows:
                if name not in gone:
                    gone.add(name)
                    shutil.rmtree(SiteFolder(self.folder / "sites" / name).preview_root, ignore_errors=True)

    def _packages(self) -> ProviderPackages:
        """A sample client, and beside it random text that packs to so many MiB."""
        folder = self.folder / "packages"
        small, chance = make_sample_packages(folder, VERSION), random.Random(self.mib)
        each = self.mib * (1 << 20) // _FILES
        files = {
            f"usr/lib/x86_64-linux-gnu/bulk/part-{n}": (0o644, base64.b64encode(chance.randbytes(each)).decode())
            for n in range(_FILES)
        }
        bulk = SamplePackage(PackageRef("libbulk", f"{VERSION}-1", "all"), files)
        path = write_deb(bulk, folder)
        return ProviderPackages(small.packages, (*small.externals, bulk.ref), (*small.files, path))


@contextmanager
def running(folder: Path, executor: str, sites: int, mib: int) -> Iterator[tuple[Course, Installation]]:
    name, workers = EXECUTORS[executor]
    servers = Servers(folder / "process")
    (folder / "home").mkdir()
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(_COUNTS_WORK)
    with ExitStack() as stack:
        server = stack.enter_context(running_sshd(folder / "sshd", extra=f"SetEnv HOME={folder / 'home'}"))
        stack.enter_context(servers)
        course = Course(folder, server, sites, mib)
        course.work.touch()
        broker = Broker(folder, servers) if workers else None
        if broker:
            broker.start()
        environment = PRODUCTION | {
            "AIRFLOW__CORE__EXECUTOR": name,
            "AIRFLOW__CORE__PARALLELISM": str(_SLOTS),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "BENCH_WORK": str(course.work),
            "PPS_CACHE": str(folder / "cache"),
            **(broker.environment if broker else {}),
        }
        # nobody waits for tags that this information system does not know
        policies = {
            "publication": {"seen_within": "1s", "check_every": "1s"},
            "site_limits": {"connect_s": 60, "silence_s": 60, "total_s": 1800},
            "feedback": {"open_for": "1h", "check_every": "60s"},
            "distribution": {"check_every": "30s"},
        }
        before = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (str(folder / "hook"), before) if p)
        stack.callback(os.environ.__setitem__, "PYTHONPATH", before)
        installation = Installation(folder / "installation", 2, environment=environment, policies=policies)
        stack.enter_context(installation)
        course.prepare(installation)
        airflow = installation.airflow
        assert airflow is not None
        for number in range(workers):
            start_worker(servers, airflow.environment(), folder, f"worker-{number + 1}", _SLOTS // workers)
        admin = installation.client("admin")
        deadline = time.monotonic() + 180
        while BC not in admin.dags():
            if time.monotonic() > deadline:
                raise SystemExit(f"{BC} is not there after 180 s")
            time.sleep(1)
        admin.request("PATCH", f"api/v2/dags/{BC}", json={"is_paused": False})
        postmaster = installation.postgres.folder / "data" / "postmaster.pid"
        course.roots = {name: pid for name in COMPONENTS if (pid := airflow.pid(name))}
        course.roots["PostgreSQL"] = int(postmaster.read_text().split("\n", 1)[0])
        course.roots |= {n: pid for n, pid in servers.pids.items() if n.startswith("worker") or n == "broker"}
        yield course, installation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, nargs="+", default=[60, 300], help="how many (60 300)")
    parser.add_argument("--mib", type=int, nargs="+", default=[1, 64], help="of the client, packed (1 64)")
    parser.add_argument("--executors", nargs="+", choices=list(EXECUTORS), default=list(EXECUTORS))
    parser.add_argument("--quick", action="store_true", help="20 sites, 1 MiB, local")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where all of it lives (/dev/shm)")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.sites, chosen.mib, chosen.executors = [20], [1], ["local"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended and taken away
    print(
        "| payload | sites | executor | load | wall s | CPU s in all | work s | Airflow's own | components |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    for mib in chosen.mib:
        for sites in chosen.sites:
            for executor in chosen.executors:
                with (
                    tempfile.TemporaryDirectory(dir=chosen.folder, prefix="pps-engine-") as name,
                    running(Path(name), executor, sites, mib) as (course, installation),
                ):
                    result = course.run(installation)
                parts = ", ".join(f"{n} {s:.1f}" for n, s in result.cpu_s.items())
                cells = [f"{mib} MiB | {sites} | {executor} | {os.getloadavg()[0]:.0f} | {result.wall_s:.0f}"]
                cells += [f"{result.total_s:.1f} | {result.work_s:.1f} | {100 * result.own:.0f} %", parts]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
