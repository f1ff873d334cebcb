"""A real installation on several nodes that share nothing but the database, a broker and an object store.

The central node has api-server, scheduler and dag-processor. Two nodes have a Celery worker each, two a triggerer each.
Every node has a home, an Airflow folder, a configuration, an SSH key and a cache of its own; where we are root it also
has an account of its own, which can read nothing of the others. Workers have no password of Airflow's database, and
none of the keys with which Airflow signs; one has no key of the object store either, and gets it from Airflow.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import psutil
from tests.support.broker import Broker
from tests.support.object_store import BUCKET, ObjectStore

from pps.sandbox.airflow.configuration import change_file
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.grid.processes import Servers

ROOT = Path(__file__).resolve().parents[2]
CENTRAL = ("api-server", "scheduler", "dag-processor")
WORKERS, TRIGGERERS = ("worker-1", "worker-2"), ("triggerer-1", "triggerer-2")
#: The key of the sites lies in the home of each node; so the configuration is the same on all of them.
SSH_KEY = "~/.ssh/pps-sites"
#: Accounts that every Debian has, and that own nothing here.
_ACCOUNTS = ("uucp", "news", "games", "lp")
#: What a worker is not given: it speaks with Airflow through the execution API alone.
_CENTRAL_ONLY = (
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
)
_PLACES = {
    "artefact_store": f"s3://{BUCKET}/artefacts",
    "production_repository": f"s3://{BUCKET}/production",
    "mirror_folder": f"s3://{BUCKET}/mirror",
    "publication_folder": f"s3://{BUCKET}/www",
}
#: The settings of docs/production.md, 9; a test holds these two together.
SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "20",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",  # two batches at once: one at each worker
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",  # the nights have their tests elsewhere
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "pps.orchestration.remote_logs.LOGGING_CONFIG",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{BUCKET}/logs",
    "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "pps_object_store",
}
#: Has no key of the object store of its own: Airflow's Connection is all that its tasks know.
WITHOUT_KEY = WORKERS[1]


@dataclass(frozen=True)
class Node:
    """One machine."""

    name: str
    folder: Path
    account: pwd.struct_passwd | None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def config(self) -> Path:
        return self.folder / "etc-pps"

    def furnish(self, config: Path, ssh_key: Path) -> None:
        """Make its folders; as if somebody had installed that machine."""
        for path in (self.folder, self.home, self.home / ".ssh", self.folder / "airflow", self.folder / "names"):
            path.mkdir(mode=0o700)
        shutil.copytree(config, self.config)
        shutil.copyfile(ssh_key, Path(SSH_KEY.replace("~", str(self.home))))
        (self.folder / "names" / "node_name.py").write_text(f"def name() -> str:\n    return {self.name!r}\n")
        self.own(self.folder)

    def take(self, config: Path) -> None:
        """A new configuration arrives, as by rsync."""
        shutil.copytree(config, self.config, dirs_exist_ok=True)
        self.own(self.config)

    def own(self, folder: Path) -> None:
        """All below is this node's account's, and nobody else's."""
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
            if self.account:
                os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def as_account(self, *words: str) -> list[str]:
        """The command as this node's account."""
        if self.account is None:
            return list(words)
        who = [f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}", "--clear-groups"]
        return ["setpriv", *who, "--", *words]


class Nodes:
    """`with Nodes(folder) as nodes:` runs it all."""

    def __init__(
        self, folder: Path, sites: int = 24, policies: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        """Args:
        folder: everybody can walk through it, nobody but us can write there.
        """
        self.folder = folder
        self.store = ObjectStore(folder / "object-store")
        self._servers = Servers(folder / "nodes-process")
        self._broker = Broker(folder, self._servers)
        names = _ACCOUNTS if os.geteuid() == 0 else ()
        accounts = [pwd.getpwnam(name) for name in names]
        self.nodes = {
            name: Node(name, folder / name, accounts[n] if accounts else None)
            for n, name in enumerate((*WORKERS, *TRIGGERERS))
        }
        self.installation = Installation(
            folder / "central",
            sites,
            environment={
                **SETTINGS,
                **self.store.environment,
                **self._broker.environment,
                "PPS_NODE": "central",
                "PPS_CACHE": str(folder / "central" / "cache"),
            },
            policies=policies,
            places=_PLACES,
            components=CENTRAL,
        )

    def __enter__(self) -> Nodes:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything; a second call does nothing."""
        for part in (self._servers, self.installation, self.store):
            part.stop()

    def _start(self) -> None:
        self._servers.open()
        self._broker.start()
        self.store.start()
        self.installation.start()
        config = self.installation.grid_folder / "config"
        change_file(config, "sites.yaml", {"ssh_key_file": SSH_KEY})
        for node in self.nodes.values():
            node.furnish(config, Path(self.installation.grid["ssh_key_file"]))
        admin = self.installation.client("admin")
        entered = admin.request("POST", "api/v2/connections", json=self.store.connection)
        assert entered.status_code == 201, entered.text
        for name in self.nodes:
            self.begin(name)
        _until("all nodes are at work", self._all_at_work)
        _until("the DAGs are known", lambda: len(admin.dags()) > 10)
        for dag in ("bc_client_update", "reminders"):
            admin.request("PATCH", f"api/v2/dags/{dag}", json={"is_paused": False})

    # --- nodes ---

    def environment(self, name: str) -> dict[str, str]:
        """What a node's processes get."""
        node, airflow = self.nodes[name], self.installation.airflow
        assert airflow is not None
        hidden = {*(_CENTRAL_ONLY if name in WORKERS else ()), *(self.store.environment if name == WITHOUT_KEY else ())}
        plugins = ROOT / "plugins"
        return {k: v for k, v in airflow.environment().items() if k not in hidden} | {
            "HOME": str(node.home),
            "USER": node.account.pw_name if node.account else os.environ.get("USER", ""),
            "TMPDIR": str(node.home),
            "AIRFLOW_HOME": str(node.folder / "airflow"),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "node_name.name",
            "PYTHONPATH": os.pathsep.join([str(plugins), str(node.folder / "names")]),
            "PPS_NODE": name,
            "PPS_CONFIG": str(node.config),
            "PPS_CACHE": str(node.home / "cache"),
        }

    def begin(self, name: str) -> None:
        """Start what a node is for."""
        what = _of_unit("worker" if name in WORKERS else "triggerer")
        what += ["--celery-hostname", name] if name in WORKERS else []
        self._servers.start(
            name,
            self.command(name, "-m", "airflow", *what),
            env=self.environment(name),
            cwd=Path("/"),
            log=self.folder / f"{name}.log",
            grace_s=2.0,
        )

    def command(self, name: str, *words: str) -> list[str]:
        """Python on a node. Checkout and Python of root may lie where nobody else can walk: there they are shown."""
        node = self.nodes[name]
        if node.account is None:
            return [sys.executable, *words]
        as_account = node.as_account(sys.executable, *words)
        if not (shown := _shown(self.folder / "shown")):
            return as_account
        return [
            "unshare",
            "--mount",
            "--",
            "sh",
            "-c",
            f'{shown} && exec "$@"',
            name,
            *as_account,
        ]

    def run(self, name: str, *words: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python on a node until it ends."""
        environment = self.environment(name) | dict(more or {})
        return subprocess.run(self.command(name, *words), env=environment, cwd="/", capture_output=True, text=True)

    def kill(self, name: str) -> float:
        """A power cut: every process of the node, at once and for good. Returns when."""
        process = psutil.Process(self._servers.pids[name])
        all_of_it = [process, *process.children(recursive=True)]
        for one in all_of_it:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(all_of_it, timeout=20)
        return time.time()

    def processes(self, name: str) -> list[psutil.Process]:
        """Those of a node that have children named ssh: tasks that speak with sites."""
        found = []
        for process in psutil.Process(self._servers.pids[name]).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ssh" in [child.name() for child in process.children()]:
                    found.append(process)
        return found

    def log(self, name: str) -> str:
        """What a node's process said."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _all_at_work(self) -> bool:
        airflow = self.installation.airflow
        assert airflow is not None
        if ended := [end for end in self._servers.ended if end.name in self.nodes]:
            raise AssertionError(f"{ended[0]}: {self.log(ended[0].name)[-2000:]}")
        ready = all(f"{name} ready." in self.log(name) for name in WORKERS)
        return ready and airflow.health().is_good and all("Starting the triggerer" in self.log(n) for n in TRIGGERERS)


def _of_unit(name: str) -> list[str]:
    """With what the unit of deploy/systemd starts Airflow."""
    unit = (ROOT / "deploy" / "systemd" / f"pps-{name}.service").read_text()
    (command,) = re.findall(r"^ExecStart=/opt/pps/venv/bin/airflow (.*)$", unit, re.MULTILINE)
    return str(command).split()


def _until(what: str, look: Callable[[], bool], within_s: float = 180) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        time.sleep(0.3)


def _shown(folder: Path) -> str:
    """Shell that shows this checkout, and the Python of its environment, where root alone could reach them; else ""."""
    wanted = {path: _closed(path) for path in (ROOT, Path(sys.base_prefix))}
    places = {path: folder / str(n) for n, path in enumerate(p for p, closed in wanted.items() if closed)}
    if not places:
        return ""
    lines = ["umask 022"]
    for path, place in places.items():
        place.mkdir(parents=True, exist_ok=True)
        lines.append(f"mount --bind {quote(str(path))} {quote(str(place))}")
    lines += [f"mount -t tmpfs -o mode=755 none {quote(str(closed))}" for closed in {wanted[path] for path in places}]
    lines += [
        f"mkdir -p {quote(str(path))} && mount --bind {quote(str(place))} {quote(str(path))}"
        for path, place in places.items()
    ]
    return " && ".join([*lines, "umask 077"])


def _closed(path: Path) -> Path | None:
    """The first folder on the way through which only its owner can walk."""
    return next((p for p in (*reversed(path.parents), path) if not p.stat().st_mode & 0o001), None)


@contextlib.contextmanager
def open_folder(prefix: str) -> Iterator[Path]:
    """A folder through which everybody can walk; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)
