"""A PostgreSQL database into a file and back, by pg_dump and pg_restore. No password is on a command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa

from pps.adapters.record.database import parsed
from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.domain.base.texts import one_line
from pps.domain.record.chain import Head

_VERSION = re.compile(r"\) (\d+)")
_NOT_OURS = "('pg_catalog', 'information_schema')"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is on record at the moment that a dump shows."""

    snapshot: str
    """by which pg_dump sees the same moment"""
    heads: tuple[Head, ...]


class DumpedDatabase:
    """One database that is dumped, or restored into."""

    def __init__(self, what: str, url: str) -> None:
        """Args:
        what: its name for people, e.g. "the database of facts".
        url: as SQLAlchemy or Airflow have it; holds a password.
        """
        self.what, self._url = what, parsed(url)
        if self._url.get_backend_name() != "postgresql":
            raise ConfigurationError(what, "is not a PostgreSQL.", "Use PostgreSQL: docs/production.md, 2.")

    def server_version(self) -> int:
        """The server's major version."""
        with self._connected() as connection:
            return connection.info.server_version // 10_000

    def tables(self) -> int:
        """How many tables it has."""
        query = f"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('r', 'p') AND nspname NOT IN {_NOT_OURS} AND nspname NOT LIKE 'pg_toast%'"  # noqa: E501, S608
        with self._connected() as connection:
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def revision(self, table: str) -> str:
        """Which migration it has come to; "" without such a table."""
        with self._connected() as connection:
            try:
                row = connection.execute(f"SELECT version_num FROM {table}").fetchone()  # noqa: S608
            except psycopg.errors.UndefinedTable:
                return ""
        return str(row[0]) if row else ""

    @contextmanager
    def moment(self) -> Iterator[Moment]:
        """Hold a moment of the facts as long as this lasts, and say where each chain had come to."""
        heads = (
            "SELECT rollout, count(*), (array_agg(digest ORDER BY id DESC))[1] FROM facts GROUP BY rollout ORDER BY 1"
        )
        with self._connected() as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            found = connection.execute(heads).fetchall()
            yield Moment(str(row[0]) if row else "", tuple(Head(*one) for one in found))

    def dump(self, into: Path, snapshot: str = "") -> None:
        """Write it into a file; owners and rights of the roles here are not in it."""
        program = self._program("pg_dump")
        at = [f"--snapshot={snapshot}"] if snapshot else []
        options = ["--format=custom", "--no-owner", "--no-privileges", "--lock-wait-timeout=60s", *at]
        self._run([program, *options, f"--file={into}", f"--dbname={self._address}"], "could not be dumped")

    def restore(self, dump: Path) -> None:
        """Take everything from a file, in one transaction: all of it, or nothing."""
        program = self._program("pg_restore")
        options = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
        self._run([program, *options, f"--dbname={self._address}", str(dump)], "could not be restored")

    def clear(self) -> None:
        """Take away everything; only of a database that was empty before, and was restored by us."""
        with self._connected() as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    def check_programs(self) -> int:
        """See that pg_dump and pg_restore know this server; returns the server's major version."""
        for name in ("pg_dump", "pg_restore"):
            self._program(name)
        return self.server_version()

    @property
    def _address(self) -> str:
        """For libpq, without the password."""
        # `set` takes None for "as it is"
        return self._url._replace(drivername="postgresql", password=None).render_as_string(hide_password=False)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        try:
            with psycopg.connect(self._address, password=self._password, connect_timeout=10) as connection:
                yield connection
        except psycopg.Error as error:
            why = f"does not answer as it should ({one_line(str(error), 300)})."
            raise ServiceError(self.what, why, "Check its address and role.") from error

    @property
    def _password(self) -> str | None:
        return str(self._url.password) if self._url.password is not None else None

    def _program(self, name: str) -> str:
        """The one on the path, or a newer one of Debian's: they read no server that is newer than they are."""
        server, seen = self.server_version(), []
        for path in (shutil.which(name), *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)):
            if path is None:
                continue
            said = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False).stdout
            if found := _VERSION.search(said):
                if int(found[1]) >= server:
                    return str(path)
                seen.append(found[1])
        why = f"needs {name} {server} or newer" + (f"; here is {', '.join(sorted(set(seen)))}." if seen else ".")
        raise ConfigurationError(self.what, why, f"On Debian: apt-get install postgresql-client-{server}")

    def _run(self, command: list[str], failed: str) -> None:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}
        if self._password is not None:
            environment["PGPASSWORD"] = self._password
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )
        try:
            _, said = process.communicate()
        finally:  # also on Ctrl-C
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            why = f"{failed} ({one_line(said.decode(errors='replace'), 400) or f'exit code {process.returncode}'})."
            raise ServiceError(self.what, why, "Look at the database, then try again.")


def same_place(one: DumpedDatabase, other: DumpedDatabase) -> bool:
    """Whether both are one database."""
    return _place(one._url) == _place(other._url)


def _place(url: sa.URL) -> tuple[str, int, str]:
    return (url.host or "", url.port or 5432, url.database or "")
