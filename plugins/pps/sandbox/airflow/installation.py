"""The whole product with a grid to work on, in one folder: PostgreSQL, Airflow, sandbox grid, real packages."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pps
from pps.adapters.record.store import upgrade
from pps.adapters.services.airflow_rest import AirflowClient
from pps.config.loader import Configuration
from pps.domain.base.errors import ServiceError
from pps.sandbox.airflow.configuration import change_file, change_policies
from pps.sandbox.airflow.postgres import EmbeddedPostgres
from pps.sandbox.airflow.server import COMPONENTS, USERS, EmbeddedAirflow
from pps.sandbox.grid.control import GRID_FILE
from pps.sandbox.grid.processes import Servers, free_port
from pps.services import Services

Progress = Callable[[str], None]
_CHECKOUT = Path(pps.__file__).resolve().parents[2]


class Installation:
    """Everything that `make demo` and `make up` run. `start`, use the attributes, `stop`.

    The same folder is the same installation: sites, patches, facts and passwords stay.
    """

    def __init__(
        self,
        folder: Path,
        sites: int = 12,
        *,
        environment: Mapping[str, str] | None = None,
        policies: Mapping[str, Mapping[str, object]] | None = None,
        below: str = "",
        places: Mapping[str, str] | None = None,
        components: Collection[str] = COMPONENTS,
    ) -> None:
        """Args:
        environment: more of it, for Airflow and the command line.
        policies: section of policies.yaml -> key -> value, instead of the sandbox's own.
        below: path below which Airflow is served; see `EmbeddedAirflow`.
        places: folders of service.yaml -> where they are, instead of on this disk.
        components: of Airflow; see `EmbeddedAirflow`.
        """
        self.folder = folder.resolve()
        self.sites = sites
        self.postgres = EmbeddedPostgres(self.folder / "postgres")
        self._servers = Servers(self.folder / "grid-process")
        self._more_environment = dict(environment or {})
        self._policies = dict(policies or {})
        self._port = free_port()
        self._below = below
        self._places = dict(places or {})
        self._components = tuple(components)
        self.grid_folder = self.folder / "grid"
        self.airflow: EmbeddedAirflow | None = None

    # --- start and stop ---

    def start(self, progress: Progress = lambda _: None) -> None:
        """Start everything, as much at once as can be; nothing is left running when it fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        try:
            with ThreadPoolExecutor(2) as both:
                postgres = both.submit(self.postgres.start)
                grid = both.submit(self._start_grid)
                postgres.result()
                progress("PostgreSQL is up")
                grid.result()
                progress(f"the grid is up: {self.sites} sites, information system, tracker, mail, packages")
            upgrade(self._store_owner_url, application=self.store_url)
            self.airflow = EmbeddedAirflow(
                self.folder / "airflow",
                _CHECKOUT / "dags",
                _CHECKOUT / "plugins",
                self.postgres.url("airflow"),
                extra_env=self.environment(),
                users={**USERS, **self.site_users()},
                port=self._port,
                below=self._below,
            )
            self.airflow.components = self._components
            self.airflow.start(lambda step: progress(f"Airflow: {step}"))
            self._write_environment_file()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that was started; a second call does nothing."""
        if self.airflow is not None:
            self.airflow.stop()
        self._servers.stop()
        self.postgres.stop()

    def __enter__(self) -> Installation:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_grid(self) -> None:
        self._servers.open()
        log = self.folder / "grid.log"
        ready = self.grid_folder / GRID_FILE
        began = time.time()
        self._servers.start(
            "grid",
            [
                sys.executable,
                "-m",
                "pps.sandbox.grid.grid",
                str(self.grid_folder),
                "--sites",
                str(self.sites),
                "--public-url",
                self.url,
            ],
            log=log,
            env={**os.environ, "PYTHONPATH": str(_CHECKOUT / "plugins")},
            cwd=self.folder,
        )
        deadline = time.monotonic() + 60
        while not (ready.exists() and ready.stat().st_mtime >= began):
            if time.monotonic() > deadline or self._servers.ended:
                tail = log.read_text(encoding="utf-8", errors="replace")[-1200:] if log.exists() else ""
                raise ServiceError("sandbox grid", f"did not come up: {tail}", f"Look at {log}.")
            time.sleep(0.05)
        change_policies(self.grid_folder / "config", self._policies)
        change_file(self.grid_folder / "config", "service.yaml", self._places)

    # --- what runs where ---

    @property
    def url(self) -> str:
        """Address of Airflow."""
        return f"http://127.0.0.1:{self._port}{self._below}"

    @property
    def store_url(self) -> str:
        """Our own database, as the role of the application; holds a password."""
        return self.postgres.url("pps", role="application")

    @property
    def _store_owner_url(self) -> str:
        """The same as the owner of the tables: for upgrades, never for Airflow."""
        return self.postgres.url("pps", role="owner")

    @property
    def grid(self) -> dict[str, Any]:
        """The grid's own description: what runs where."""
        described: dict[str, Any] = json.loads((self.grid_folder / GRID_FILE).read_text(encoding="utf-8"))
        return described

    def environment(self) -> dict[str, str]:
        """What the product needs in its environment, in Airflow and on the command line."""
        cache = os.environ.get("PPS_CACHE")
        return {
            "PPS_CONFIG": str(self.grid_folder / "config"),
            "AIRFLOW_CONN_PPS_STORE": self.store_url.replace("postgresql+psycopg://", "postgresql://"),
            "AIRFLOW_CONN_PPS_TRACKER": Path(self.grid["tracker_connection_file"]).read_text(encoding="utf-8").strip(),
            "AIRFLOW_CONN_PPS_SIGNING": Path(self.grid["signing_key_file"]).read_text(encoding="utf-8"),
            "PPS_FEEDBACK_SECRET": self._feedback_secret(),
            "AIRFLOW__SECRETS__BACKEND": "pps.orchestration.secrets.GridSecretsBackend",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "pps.orchestration.secrets.GridSecretsBackend",
            **({"PPS_CACHE": cache} if cache else {}),
            **self._more_environment,
        }

    def site_users(self) -> dict[str, str]:
        """Users of the sites' own people: name -> role."""
        sites = Configuration(self.grid_folder / "config").sites.values()
        return {name: "Site Administrator" for site in sites for name in site.administrators}

    def services(self) -> Services:
        """The product's services, as the command line has them."""
        environment = self.environment()
        return Services(
            Configuration(self.grid_folder / "config"), lambda c: environment.get(f"AIRFLOW_CONN_{c.upper()}")
        )

    def client(self, user: str = "release-manager") -> AirflowClient:
        """Airflow's REST API as one of the sandbox's users."""
        if self.airflow is None:
            raise ServiceError("Airflow", "is not running.", "Call start first.")
        return AirflowClient(self.url, user, self.airflow.password(user))

    def _feedback_secret(self) -> str:
        path = self.folder / "feedback.secret"
        if not path.exists():
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
                out.write(secrets.token_hex(32))
        return path.read_text(encoding="utf-8")

    def _write_environment_file(self) -> None:
        """`env.sh`, to be sourced by whoever wants to use `pps` on this installation from a shell."""
        if self.airflow is None:
            return
        values = {
            **self.environment(),
            "AIRFLOW_CONN_PPS_STORE_OWNER": self._store_owner_url.replace("postgresql+psycopg://", "postgresql://"),
            "PPS_AIRFLOW_URL": self.url,
            "PPS_AIRFLOW_USER": "release-manager",
            "PPS_AIRFLOW_PASSWORD": self.airflow.password("release-manager"),
            "PPS_SANDBOX": str(self.grid_folder),
        }
        programs = shlex.quote(str(Path(sys.executable).parent))
        path = self.folder / "env.sh"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
            out.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
            # once, however often the file is read
            out.write(f'case ":$PATH:" in *:{programs}:*) ;; *) export PATH={programs}:"$PATH" ;; esac\n')
