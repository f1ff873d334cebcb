"""Facts, the register of rollouts and the outbox in one database (port `Facts`).

PostgreSQL everywhere, SQLite in unit tests. The tables are made by the migrations beside this
module; `upgrade` brings a database up to date. Whatever a method does happens in one transaction.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pps.activities.ports import Mail, OpenRollout
from pps.adapters import tables
from pps.adapters.tables import storable
from pps.domain.errors import AlreadyOpenError, ConfigurationError, NotYetAllowedError, RolloutError, ServiceError
from pps.domain.facts import Fact, FactKind
from pps.domain.rollouts import NO_ROLLOUTS, Path, Rollout, dossier_name, line_of, rollout_id
from pps.domain.texts import clean_text

#: A sender that died gives its mails back after this time. Longer than a batch may take (adapters/mail.py).
CLAIM = timedelta(minutes=5)
#: Pauses between tries double from one minute up to this.
LONGEST_PAUSE = timedelta(hours=4)
#: "The give-up time generally needs to be at least 4-5 days" (RFC 5321, 4.5.4.1).
GIVE_UP_AFTER = timedelta(days=5)

_MIGRATION_LOCK = 0x505053  # any number that others do not use for an advisory lock


def upgrade(url: str) -> None:
    """Bring the database to the newest schema; `pps db upgrade`. Twice, or two at once, is once."""
    FactStore(url).upgrade()


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts: 1, 2, 4, ... minutes, at most four hours."""
    return min(timedelta(minutes=2 ** min(attempts - 1, 20)), LONGEST_PAUSE)


class FactStore:
    """The port `Facts` on SQLAlchemy.

    The engine is made when first needed, and anew after a fork: Airflow forks its task processes,
    and a connection shared by two processes mixes up their answers.
    """

    def __init__(self, url: str) -> None:
        """`url`: `postgresql+psycopg://user:password@host/database`; Airflow's `postgres://` will do as well."""
        self._url = _parsed(url)
        self._engine: sa.Engine | None = None
        self._pid = 0

    def __repr__(self) -> str:
        return f"FactStore({self._url.render_as_string(hide_password=True)!r})"

    def upgrade(self) -> None:
        """Bring the database to the newest schema."""
        from alembic import command

        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            command.upgrade(_migrations(connection), "head")

    def is_current(self) -> bool:
        """Tell whether the database has the newest schema (`pps doctor`); `ServiceError` if it does not answer."""
        from alembic.migration import MigrationContext
        from alembic.script import ScriptDirectory

        with self._transaction() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": "pps_alembic_version"})
            newest = ScriptDirectory.from_config(_migrations(connection)).get_current_head()
            return context.get_current_revision() == newest

    def dispose(self) -> None:
        """Close the connections of this process."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    # --- the register of rollouts

    def open(self, path: str, patch: int, opening: Fact, run: str) -> bool:
        """Register a rollout and record its opening fact; see the port."""
        with self._transaction() as connection:
            row = {
                "name": opening.rollout,
                "path": path,
                "line": line_of(path),
                "patch": patch,
                "run": run,
                "opened_at": opening.at,
            }
            # No conflict target: whichever of name, (patch, run) and "one open per line and patch" says no.
            if _insert_once(connection, tables.rollouts, row):
                self._insert_facts(connection, (opening,))
                return True
            mine = sa.select(tables.rollouts.c.name).where(
                tables.rollouts.c.patch == patch, tables.rollouts.c.run == run
            )
            if connection.execute(mine).first() is not None:
                return False
            running = sa.select(tables.rollouts.c.name).where(
                tables.rollouts.c.patch == patch,
                tables.rollouts.c.line == line_of(path),
                tables.rollouts.c.closed_at.is_(None),
            )
            name = connection.execute(running).scalar()
        if name is None:  # it was closed between the caller's next_name and now
            raise AlreadyOpenError(f"patch {patch}", f"{opening.rollout} has just ended.", "Start it again.")
        raise AlreadyOpenError(
            f"patch {patch}",
            f"is being rolled out already, by {name}.",
            f"Wait for its end, or look at: pps rollout show {name}.",
        )

    def close(self, closing: Fact) -> None:
        """Record the closing fact and free the patch."""
        with self._transaction() as connection:
            self._insert_facts(connection, (closing,))
            still_open = sa.and_(tables.rollouts.c.name == closing.rollout, tables.rollouts.c.closed_at.is_(None))
            connection.execute(sa.update(tables.rollouts).where(still_open).values(closed_at=closing.at))

    def next_name(self, path: str, patch: int, run: str = "") -> str:
        """Name of the rollout that `run` opened, else of the one that is open in this line, else of the next one."""
        query = sa.select(tables.rollouts).where(
            tables.rollouts.c.patch == patch, tables.rollouts.c.line == line_of(path)
        )
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(tables.rollouts.c.id)).all()
        own = [row.name for row in rows if run and row.run == run]
        still_open = [row.name for row in rows if row.closed_at is None]
        same_path = sum(row.path == path for row in rows)
        return str((own or still_open or [rollout_id(path, patch, same_path + 1)])[0])

    def rollouts(
        self, *, open_only: bool = False, paths: Collection[str] = (), patch: int | None = None
    ) -> tuple[OpenRollout, ...]:
        """The register, newest first; see the port."""
        query = sa.select(tables.rollouts).order_by(tables.rollouts.c.id.desc())
        if paths:
            query = query.where(tables.rollouts.c.path.in_(list(paths)))
        else:
            query = query.where(tables.rollouts.c.path.not_in(NO_ROLLOUTS))
        if patch is not None:
            query = query.where(tables.rollouts.c.patch == patch)
        if open_only:
            query = query.where(tables.rollouts.c.closed_at.is_(None))
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return tuple(OpenRollout(r.name, r.path, r.patch, r.opened_at, r.closed_at) for r in rows)

    # --- facts

    def rollout(self, name: str) -> Rollout:
        """All facts of a rollout, in the order of recording."""
        facts = self._facts(tables.facts.c.rollout == name)
        if not facts:
            next_step = "Names are listed by: pps rollout list."
            raise NotYetAllowedError(f"rollout {name[:80]!r}", "is not on record.", next_step)
        return Rollout(name, facts)

    def has(self, rollout: str, kind: FactKind) -> bool:
        """Tell whether a fact of this kind is on record."""
        return bool(self._facts(sa.and_(tables.facts.c.rollout == rollout, tables.facts.c.kind == kind.value)))

    def dossier(self, patch: int) -> Rollout:
        """The patch's dossier; see the port."""
        return Rollout(name := dossier_name(patch), self._facts(tables.facts.c.rollout == name))

    def facts_of_kind(
        self, kinds: Collection[FactKind], since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Fact, ...]:
        """Facts of all rollouts and dossiers; see the port."""
        wanted: list[sa.ColumnElement[bool]] = [tables.facts.c.kind.in_([kind.value for kind in kinds])]
        wanted += [tables.facts.c.at >= since] if since is not None else []
        wanted += [tables.facts.c.at < until] if until is not None else []
        return self._facts(sa.and_(*wanted))

    def _facts(self, wanted: sa.ColumnElement[bool]) -> tuple[Fact, ...]:
        with self._transaction() as connection:
            rows = connection.execute(sa.select(tables.facts).where(wanted).order_by(tables.facts.c.id)).all()
        return tuple(_fact(row) for row in rows)

    def record_in_dossier(self, patch: int, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """Record facts in the patch's dossier, opening it first; see the port."""
        if not facts:
            return ()
        name = dossier_name(patch)
        payload = {"path": Path.DOSSIER.value, "patch": patch}
        opening = Fact(name, FactKind.ROLLOUT_OPENED, "", "", facts[0].at, facts[0].actor, payload)
        self.open(Path.DOSSIER, patch, opening, name)
        return self.record(*facts, mails=mails)

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """Record facts, and queue mails, in one transaction; return the facts that were new."""
        if not facts and not mails:
            return ()
        with self._transaction() as connection:
            new = self._insert_facts(connection, facts)
            # In one order for all, so that two retries that queue the same mails cannot wait for each other.
            for mail in sorted((one for given in mails for one in given.one_each()), key=lambda m: m.key):
                row = {
                    "key": mail.key,
                    "rollout": mail.key.partition("/")[0],
                    "to": mail.to,
                    "subject": mail.subject,
                    "text": mail.text,
                    "html": mail.html,
                    "attachments": storable([list(a) for a in mail.attachments]),
                }
                _insert_once(connection, tables.outbox, row)
            return new

    def _insert_facts(self, connection: sa.Connection, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        return tuple(
            fact
            for fact in facts
            if _insert_once(
                connection,
                tables.facts,
                {
                    "rollout": fact.rollout,
                    "kind": fact.kind.value,
                    "subject": fact.subject,
                    "occasion": fact.occasion,
                    "at": fact.at,
                    "actor": fact.actor,
                    "payload": storable(dict(fact.payload)),
                },
            )
        )

    # --- the outbox

    def unsent(self, limit: int, now: datetime) -> Sequence[Mail]:
        """Claim mails that are due; another sender skips them until the claim ends."""
        due = sa.and_(
            _waiting(),
            sa.or_(tables.outbox.c.due_at.is_(None), tables.outbox.c.due_at <= now),
            sa.or_(tables.outbox.c.claimed_until.is_(None), tables.outbox.c.claimed_until <= now),
        )
        query = (
            sa.select(tables.outbox)
            .where(due)
            .order_by(tables.outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).all()
            claimed = tables.outbox.c.id.in_([row.id for row in rows])
            connection.execute(sa.update(tables.outbox).where(claimed).values(claimed_until=now + CLAIM))
        return tuple(_mail(row) for row in rows)

    def mark_sent(self, keys: Iterable[str], now: datetime) -> None:
        """These were accepted by the server."""
        these = sa.and_(tables.outbox.c.key.in_(list(keys)), tables.outbox.c.sent_at.is_(None))
        with self._transaction() as connection:
            connection.execute(
                sa.update(tables.outbox)
                .where(these)
                .values(
                    sent_at=now,
                    claimed_until=None,
                    given_up_at=None,
                    last_error="",
                    attempts=tables.outbox.c.attempts + 1,
                )
            )

    def mark_refused(self, errors: Mapping[str, str], now: datetime) -> None:
        """These were not; tried again after growing pauses, and given up after five days."""
        query = (
            sa.select(tables.outbox.c.id, tables.outbox.c.key, tables.outbox.c.attempts, tables.outbox.c.first_tried_at)
            .where(tables.outbox.c.key.in_(list(errors)), _waiting())
            .order_by(tables.outbox.c.id)
            .with_for_update()
        )
        with self._transaction() as connection:
            for row in connection.execute(query).all():
                first = row.first_tried_at or now
                due = now + pause_after(row.attempts + 1)
                connection.execute(
                    sa.update(tables.outbox)
                    .where(tables.outbox.c.id == row.id)
                    .values(
                        attempts=row.attempts + 1,
                        first_tried_at=first,
                        due_at=due,
                        claimed_until=None,
                        given_up_at=now if due > first + GIVE_UP_AFTER else None,
                        last_error=clean_text(errors[row.key])[:500],
                    )
                )

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        """Every mail of a rollout, in the order of queueing: (mail, when sent, last error)."""
        query = sa.select(tables.outbox).where(tables.outbox.c.rollout == rollout).order_by(tables.outbox.c.id)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return tuple((_mail(row), row.sent_at, row.last_error) for row in rows)

    # --- the database

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if self._engine is None or self._pid != os.getpid():
            self._engine, self._pid = _engine(self._url), os.getpid()
        try:
            with self._engine.begin() as connection:
                yield connection
        except RolloutError:
            raise
        except SQLAlchemyError as error:
            raise _ours(error) from error


def _fact(row: Any) -> Fact:
    return Fact(row.rollout, FactKind(row.kind), row.subject, row.occasion, row.at, row.actor, row.payload)


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        # The text may hold a password: neither it nor the parser's message goes on.
        raise ConfigurationError(
            "the store's address", "is not a URL.", "Give it as postgresql+psycopg://user:password@host/database."
        ) from None
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("postgresql", "sqlite"):
        raise ConfigurationError(
            "the store's address", f"names a {parsed.get_backend_name()[:20]} database.", "Use PostgreSQL."
        )
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, poolclass=sa.StaticPool if url.database in (None, "", ":memory:") else None)
        sa.event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = ON"))
        return engine
    return sa.create_engine(
        url,
        pool_size=2,  # many short processes, each with one or two connections
        max_overflow=3,
        pool_pre_ping=True,
        pool_recycle=600,
        hide_parameters=True,  # feedback and addresses do not belong into logs
        connect_args={
            "connect_timeout": 10,
            "application_name": "pps",
            "prepare_threshold": None,  # prepared statements do not pass a transaction pooler
        },
    )


def _migrations(connection: sa.Connection) -> Any:
    from alembic.config import Config

    config = Config()
    # % is special in Alembic's ini values
    config.set_main_option("script_location", str(pathlib.Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _ours(error: SQLAlchemyError) -> RolloutError:
    cause = getattr(error, "orig", None)
    text = str(cause or error).strip().partition("\n")[0][:300]
    if getattr(cause, "sqlstate", "") in ("42P01", "42703") or "no such table" in text or "no such column" in text:
        return ConfigurationError("the store", "has no tables, or old ones.", "Run: pps db upgrade")
    if isinstance(error, IntegrityError) and (getattr(cause, "sqlstate", "") == "23503" or "FOREIGN KEY" in text):
        return NotYetAllowedError("the rollout", "is not in the register of rollouts.", "Open the rollout first.")
    return ServiceError("the store", f"{type(error).__name__}: {text}.", "Check the database, then try again.")


def _insert_once(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless it, or one that excludes it, is there; tell whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(dict(row)).on_conflict_do_nothing().returning(table.c.id)
    return connection.execute(statement).first() is not None


def _waiting() -> sa.ColumnElement[bool]:
    return sa.and_(tables.outbox.c.sent_at.is_(None), tables.outbox.c.given_up_at.is_(None))


def _mail(row: sa.Row[Any]) -> Mail:
    return Mail(row.key, row.to, row.subject, row.text, row.html, tuple((n, t, x) for n, t, x in row.attachments))
