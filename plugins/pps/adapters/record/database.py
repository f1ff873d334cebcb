"""The way to the database: engine, transactions, turns, and whose fault it is when it says no."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pps.adapters.record import schema
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, RolloutError, ServiceError

#: How long we wait for a turn; publishing a large release takes minutes. A task then tries again.
_TURN_AFTER_S = 600


class Database:
    """One database of ours, with its schema.

    The engine is made when first needed, and anew after a fork: Airflow forks its task processes,
    and a connection shared by two processes mixes up their answers.
    """

    def __init__(self, url: str) -> None:
        """`url`: `postgresql+psycopg://user:password@host/database`; Airflow's `postgres://` will do as well."""
        self._url = parsed(url)
        self._engine: sa.Engine | None = None
        self._pid = 0
        # SQLite, in unit tests, locks no rows
        self._in_turn = threading.RLock() if self._url.get_backend_name() == "sqlite" else nullcontext()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    @property
    def address(self) -> str:
        """Where it is, without the password."""
        return self._url.render_as_string(hide_password=True)

    def upgrade(self, application: str = "") -> None:
        """Bring the database to the newest schema, and give the application's role its rights; see `store.upgrade`."""
        with self._transaction() as connection:
            schema.upgrade(connection)
            if application and application != self._url.username:
                schema.grant(connection, application)

    def is_current(self) -> bool:
        """Tell whether the database has the newest schema (`pps doctor`); `ServiceError` if it does not answer."""
        with self._transaction() as connection:
            return schema.is_current(connection)

    def too_many_rights(self) -> tuple[str, ...]:
        """Say what this role could do to facts besides recording and reading them; it should be nothing."""
        with self._transaction() as connection:
            return schema.too_many_rights(connection)

    def clock(self) -> datetime:
        """The database's own time."""
        if self._url.get_backend_name() == "sqlite":  # it has none but ours
            return datetime.now(UTC)
        with self._transaction() as connection:
            at: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
            return at

    def dispose(self) -> None:
        """Close the connections of this process."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    @contextmanager
    def turn(self, at: str) -> Iterator[None]:
        """Wait until nobody else who uses this database holds the turn at `at`, and hold it until this ends.

        In a transaction, since a session may not be ours alone behind a pooler. If the database breaks meanwhile
        somebody else may have had the turn: `ServiceError`, when it ends.
        """
        if self._url.get_backend_name() == "sqlite":  # in unit tests, which have one process
            with self._in_turn:
                yield
            return
        key = int.from_bytes(hashlib.sha256(at.encode()).digest()[:8], signed=True)
        with self._transaction() as connection:
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_TURN_AFTER_S}s'"))
            try:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
            except sa.exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", "") != "55P03":
                    raise
                why = f"has been in somebody else's hands for {_TURN_AFTER_S} s."
                raise ServiceError(at, why, "Try again later.") from error
            yield

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._faults_named(), self._in_turn, self._own_engine().begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """For one statement that only reads: without the two trips to the server that begin and end a transaction."""
        if self._url.get_backend_name() == "sqlite":
            with self._transaction() as connection:
                yield connection
            return
        with self._faults_named(), self._own_engine().connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def _own_engine(self) -> sa.Engine:
        if self._engine is None or self._pid != os.getpid():
            self._engine, self._pid = _engine(self._url), os.getpid()
        return self._engine

    @staticmethod
    @contextmanager
    def _faults_named() -> Iterator[None]:
        try:
            yield
        except RolloutError:
            raise
        except SQLAlchemyError as error:
            raise _ours(error) from error


def parsed(url: str) -> sa.URL:
    """Read the address of a database; `ConfigurationError`, without the text, if it is not one."""
    try:
        found = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        # The text may hold a password: neither it nor the parser's message goes on.
        raise ConfigurationError(
            "the store's address", "is not a URL.", "Give it as postgresql+psycopg://user:password@host/database."
        ) from None
    if found.drivername in ("postgres", "postgresql"):
        return found.set(drivername="postgresql+psycopg")
    if found.get_backend_name() not in ("postgresql", "sqlite"):
        raise ConfigurationError(
            "the store's address", f"names a {found.get_backend_name()[:20]} database.", "Use PostgreSQL."
        )
    return found


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, poolclass=sa.StaticPool if url.database in (None, "", ":memory:") else None)
        sa.event.listen(engine, "connect", _connected_to_sqlite)
        # it locks no rows: whoever wants to write later takes the whole database from the beginning
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine
    return sa.create_engine(
        url,
        # Many short processes, which open one or two; the web server, which would otherwise open and close its others
        # again and again. Whoever comes too often waits for a turn.
        pool_size=5,
        max_overflow=0,
        pool_use_lifo=True,
        pool_pre_ping=True,
        pool_recycle=600,
        hide_parameters=True,  # feedback and addresses do not belong in logs
        connect_args={
            "connect_timeout": 10,
            "application_name": "pps",
            "prepare_threshold": None,  # prepared statements do not work through a transaction pooler
        },
    )


def _connected_to_sqlite(dbapi: Any, _: Any) -> None:
    dbapi.isolation_level = None  # its driver begins no transactions of its own
    dbapi.execute("PRAGMA foreign_keys = ON")


def _ours(error: SQLAlchemyError) -> RolloutError:
    cause = getattr(error, "orig", None)
    text = str(cause or error).strip().partition("\n")[0][:300]
    if getattr(cause, "sqlstate", "") in ("42P01", "42703") or "no such table" in text or "no such column" in text:
        return ConfigurationError("the store", "has no tables, or old ones.", "Run: pps db upgrade")
    if getattr(cause, "sqlstate", "") == "42501":  # what is refused here must not be tried again and again
        return ConfigurationError(
            "the store", f"refuses this ({text}).", "Run `pps db upgrade` as docs/production.md says."
        )
    if isinstance(error, IntegrityError) and (getattr(cause, "sqlstate", "") == "23503" or "FOREIGN KEY" in text):
        return NotYetAllowedError("the rollout", "is not in the register of rollouts.", "Open the rollout first.")
    return ServiceError("the store", f"{type(error).__name__}: {text}.", "Check the database, then try again.")
