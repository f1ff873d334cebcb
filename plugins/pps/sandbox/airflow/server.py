"""A real Airflow in a folder of ours: api-server, scheduler, dag-processor and triggerer, on 127.0.0.1.

Not `airflow standalone`, which binds every interface and forces the simple auth manager.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from pps.domain.base.errors import ServiceError
from pps.sandbox.grid.processes import ServerEnded, Servers, free_port

Progress = Callable[[str], None]

#: User name -> role; one for each role that acts in a rollout.
USERS: Mapping[str, str] = {
    "admin": "Admin",
    "release-manager": "Release Manager",
    "pps-coordinator": "PPS Coordinator",
    "emt": "EMT",
    "site-administrator": "Site Administrator",
    "regional-manager": "Regional Manager",
    "vo-representative": "VO Representative",
    "software-provider": "Software Provider",
    "security-officer": "Security Officer",
    "viewer": "Viewer",
}

#: Without their log servers, which would listen on every interface.
_COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
COMPONENTS = tuple(_COMPONENTS)
_HEALTH_OF = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}


@dataclass(frozen=True, slots=True)
class AirflowHealth:
    """What Airflow's own health page says: component -> `healthy` or what it says instead."""

    components: Mapping[str, str]

    @property
    def is_good(self) -> bool:
        """Tell whether every component is healthy."""
        return self.is_good_of(_HEALTH_OF)

    def is_good_of(self, wanted: Iterable[str]) -> bool:
        """Tell whether these are healthy, and what all of them stand on: api-server and database."""
        return {self.components.get(name) for name in {"api-server", "metadatabase", *wanted}} == {"healthy"}


class EmbeddedAirflow:
    """One Airflow. `start`, use `url` and `token`, `stop`; a component that dies is started again.

    Args:
        folder: logs, secrets and passwords are kept here; the same folder is the same installation.
        dags_folder: DAG files.
        plugins_folder: its Python files are plugins; also on the import path of every component.
        database_url: synchronous SQLAlchemy URL of Airflow's database, e.g. `EmbeddedPostgres.url("airflow")`.
        extra_env: further environment of all components (`PPS_CONFIG`, `AIRFLOW__...`); wins over ours.
        users: user name -> role.
        port: of the api-server; a free one if 0.
        below: path below which it is served, as behind a proxy that serves other things, too: `/airflow`.
    """

    def __init__(
        self,
        folder: Path,
        dags_folder: Path,
        plugins_folder: Path,
        database_url: str,
        *,
        extra_env: Mapping[str, str] | None = None,
        users: Mapping[str, str] = USERS,
        port: int = 0,
        below: str = "",
    ) -> None:
        self.folder = folder.resolve()
        self.dags_folder = dags_folder.resolve()
        self.plugins_folder = plugins_folder.resolve()
        self.database_url = database_url
        self.extra_env = dict(extra_env or {})
        self.users = dict(users)
        self.port = port or free_port()
        self.below = below
        #: What of it runs here; the others are somebody else's to start, with `environment`.
        self.components: Collection[str] = COMPONENTS
        self.logs = self.folder / "logs"
        self._servers = Servers(self.folder)

    @property
    def url(self) -> str:
        """Address of the api-server, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}{self.below}"

    @property
    def ended(self) -> list[ServerEnded]:
        """Components that died since the start."""
        return self._servers.ended

    def pid(self, component: str) -> int | None:
        """Process id of `api-server`, `scheduler`, `dag-processor` or `triggerer`; None while it is down."""
        return self._servers.pids.get(component)

    def password(self, user: str) -> str:
        """The password of a user; made once for each installation and kept in a file of mode 0600."""
        return self._kept("passwords.json", {name: secrets.token_urlsafe(12) for name in self.users})[user]

    def token(self, user: str) -> str:
        """A bearer token for Airflow's REST API."""
        answer = requests.post(
            f"{self.url}/auth/token", json={"username": user, "password": self.password(user)}, timeout=30
        )
        if answer.status_code != 201:
            raise ServiceError(
                "Airflow", f"gives {user} no token (HTTP {answer.status_code}).", f"Look at {self.logs}."
            )
        return str(answer.json()["access_token"])

    def health(self) -> AirflowHealth:
        """Ask Airflow how it is; no answer is an unhealthy api-server."""
        try:
            said = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return AirflowHealth({"api-server": "does not answer"})
        names = {"metadatabase": "metadatabase", **{theirs: ours for ours, theirs in _HEALTH_OF.items()}}
        return AirflowHealth(
            {"api-server": "healthy"}
            | {ours: str(said.get(theirs, {}).get("status")) for theirs, ours in names.items()}
        )

    def start(self, progress: Progress = lambda _: None, wait_s: float = 180.0) -> None:
        """Make the database ready, start all components and wait until all are healthy.

        `ServiceError` with the end of the log when one does not come up. Leaves nothing running then.
        """
        for path in (self.folder, self.logs):
            path.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._servers.open()
        try:
            deadline = time.monotonic() + wait_s
            for step in self._make_database_ready():
                progress(step)
                if step == "schema":  # roles and users are made while the components load
                    self._start_components()
            self._wait_until_healthy(deadline, progress)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every component and all that they started; a second call does nothing."""
        self._servers.stop()

    def __enter__(self) -> EmbeddedAirflow:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """The environment of all components: ours, then `extra_env`."""
        kept = self._kept(
            "secrets.json",
            {
                "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "jwt": secrets.token_urlsafe(64),
                "api": secrets.token_urlsafe(48),
            },
        )
        # Airflow's own variables of whoever calls us would change what we start.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "_AIRFLOW", "PPS_"))}
        # Writing no bytecode triples every start.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        paths = [str(self.plugins_folder), environment.get("PYTHONPATH", "")]
        return (
            environment
            | {
                "PYTHONPATH": os.pathsep.join(p for p in paths if p),
                "AIRFLOW_HOME": str(self.folder),
                "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder),
                "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.plugins_folder),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__EXECUTOR": "pps.orchestration.executor.SafeLocalExecutor",
                "AIRFLOW__CORE__AUTH_MANAGER": "pps.orchestration.auth.GridAuthManager",
                "AIRFLOW__SECRETS__BACKEND": "pps.orchestration.secrets.GridSecretsBackend",
                "AIRFLOW__WORKERS__SECRETS_BACKEND": "pps.orchestration.secrets.GridSecretsBackend",
                "AIRFLOW__CORE__FERNET_KEY": kept["fernet"],
                "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
                "AIRFLOW__CORE__PARALLELISM": "8",
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database_url,
                "AIRFLOW__API__HOST": "127.0.0.1",
                "AIRFLOW__API__PORT": str(self.port),
                "AIRFLOW__API__BASE_URL": self.url,
                "AIRFLOW__API__WORKERS": "1",
                "AIRFLOW__API__SECRET_KEY": kept["api"],
                "AIRFLOW__API__ENABLE_SWAGGER_UI": "False",
                "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt"],
                "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
                # a file that changes is parsed at once all the same
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
                "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
                # as in production: our executor puts first what has changed
                "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "2",
                # the time of a human task is seen to be up within 2 s, not 15 s
                "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
                # tasks of a scheduler that was killed run again within a minute, not after five
                "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
                "AIRFLOW__FAB__UPDATE_FAB_PERMS": "False",  # done by our set-up, a second faster at each start
                "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "asyncssh=WARNING paramiko=WARNING",
                "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            }
            | self.extra_env
        )

    def _kept(self, file: str, fresh: dict[str, str]) -> dict[str, str]:
        """Read a file of secrets; what it lacks of `fresh` is added."""
        path = self.folder / file
        kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if missing := {name: value for name, value in fresh.items() if name not in kept}:
            kept |= missing
            self.folder.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(".new")
            aside.unlink(missing_ok=True)
            with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
                json.dump(kept, out, indent=1)
            aside.rename(path)
        return kept

    def _start_components(self) -> None:
        for name in self.components:
            self._servers.start(
                name,
                [sys.executable, "-m", "airflow", *_COMPONENTS[name]],
                env=self.environment(),
                cwd=self.folder,
                log=self.logs / f"{name}.log",
                grace_s=4.0,  # tasks in flight are cut off: they can be run again
                restart=True,
            )

    def _make_database_ready(self) -> Iterator[str]:
        log = self.logs / "setup.log"
        users = [{"name": name, "role": role, "password": self.password(name)} for name, role in self.users.items()]
        with log.open("a", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "pps.orchestration.setup"],
                env=self.environment() | {"AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"},
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            assert process.stdin is not None and process.stdout is not None  # noqa: S101
            with process:
                try:
                    process.stdin.write(json.dumps({"users": users}))
                    process.stdin.close()
                    for line in process.stdout:
                        errors.write(line)
                        if line.startswith("done: "):
                            yield line.removeprefix("done: ").strip()
                except BaseException:
                    process.kill()
                    raise
        if process.returncode != 0:
            raise ServiceError("Airflow", f"its database cannot be made ready: {_tail(log)}", f"Look at {log}.")

    def _wait_until_healthy(self, deadline: float, progress: Progress) -> None:
        good: set[str] = set()
        wanted = [name for name in _HEALTH_OF if name in self.components]
        while not (health := self.health()).is_good_of(wanted):
            for name in sorted({n for n, state in health.components.items() if state == "healthy"} - good):
                good.add(name)
                progress(f"{name} is healthy")
            if self.ended:
                first = self.ended[0]
                log = self.logs / f"{first.name}.log"
                raise ServiceError(
                    "Airflow", f"{first.name} ended with code {first.code}: {_tail(log)}", f"Look at {log}."
                )
            if time.monotonic() > deadline:
                bad = ", ".join(f"{n}: {s}" for n, s in health.components.items() if s != "healthy")
                raise ServiceError("Airflow", f"was not healthy in time ({bad}).", f"Look at {self.logs}.")
            time.sleep(0.1)
        for name in sorted(set(health.components) - good):
            progress(f"{name} is healthy")


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1200:].strip() if log.exists() else "(no log)"
