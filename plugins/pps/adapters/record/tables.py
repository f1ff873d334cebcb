"""The tables of the store, as the newest migration leaves them (see store.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any) -> Any:
    """The same value with U+FFFD for what PostgreSQL cannot store: NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return _NOT_STORABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {storable(str(k)): storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [storable(v) for v in value]
    return value


class Utc(sa.types.TypeDecorator[datetime]):
    """Aware times in UTC, also in SQLite, which knows no zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To the database: UTC."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """From the database: UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Clean(sa.types.TypeDecorator[str]):
    """Text without what PostgreSQL refuses: NUL and halves of surrogate pairs."""

    impl = sa.Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """To the database: storable."""
        return None if value is None else storable(value)


SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

metadata = sa.MetaData()
rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", SERIAL, sa.Identity(), primary_key=True),
    sa.Column("name", Clean(), nullable=False),
    sa.Column("path", Clean(), nullable=False),
    sa.Column("line", Clean(), nullable=False),
    sa.Column("patch", sa.Integer(), nullable=False),
    sa.Column("run", Clean(), nullable=False),
    sa.Column("opened_at", Utc(), nullable=False),
    sa.Column("closed_at", Utc()),
    # derived; false does no harm, true says: nothing of it was at any site after its end, and nothing has come since
    sa.Column("cleared", sa.Boolean(), nullable=False, server_default=sa.false()),
)
facts = sa.Table(
    "facts",
    metadata,
    sa.Column("id", SERIAL, sa.Identity(), primary_key=True),
    sa.Column("rollout", Clean(), nullable=False),
    sa.Column("kind", Clean(), nullable=False),
    sa.Column("subject", Clean(), nullable=False),
    sa.Column("occasion", Clean(), nullable=False),
    sa.Column("at", Utc(), nullable=False),
    sa.Column("actor", Clean(), nullable=False),
    sa.Column("payload", JSON, nullable=False),
    sa.Column("previous", sa.Text(), nullable=False),  # hash of the one before in its rollout; "" for the first
    sa.Column("digest", sa.Text(), nullable=False),  # its own, see domain/record/chain.py
)
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", SERIAL, sa.Identity(), primary_key=True),
    sa.Column("key", Clean(), nullable=False),
    sa.Column("rollout", Clean(), nullable=False),
    sa.Column("to", Clean(), nullable=False),
    sa.Column("subject", Clean(), nullable=False),
    sa.Column("text", Clean(), nullable=False),
    sa.Column("html", Clean(), nullable=False),
    sa.Column("attachments", JSON, nullable=False),
    sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("first_tried_at", Utc()),
    sa.Column("due_at", Utc()),  # NULL: at once
    sa.Column("claimed_until", Utc()),
    sa.Column("sent_at", Utc()),
    sa.Column("given_up_at", Utc()),
    sa.Column("last_error", Clean(), nullable=False, server_default=""),
    # of `text`, which is kept no longer than it is needed
    sa.Column("text_sha256", sa.Text(), nullable=False),
    sa.Column("unsubscribe", Clean(), nullable=False, server_default=""),
    sa.Column("channel", Clean(), nullable=False, server_default=""),  # "": by mail
    sa.Column("queued_at", Utc()),  # by the clock of whoever queued it; NULL: it had left before this was noted
)
turned_away = sa.Table(
    "turned_away",
    metadata,
    sa.Column("rollout", Clean(), primary_key=True),
    sa.Column(
        "limit", sa.Text(), primary_key=True
    ),  # domain.people.feedback.Limit: a rollout has no more rows than that
    sa.Column("number", SERIAL, nullable=False),
    sa.Column("last_at", Utc(), nullable=False),
)
nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("name", Clean(), primary_key=True),
    sa.Column("version", Clean(), nullable=False),
    sa.Column("files", JSON, nullable=False),
    sa.Column("seen_at", Utc(), nullable=False),
)
last_seen = sa.Table(
    "last_seen",
    metadata,
    sa.Column("what", sa.Text(), primary_key=True),
    sa.Column("seen_at", Utc()),
    sa.Column("missed_since", Utc()),  # NULL: it has answered when it was last asked
)
site_reports = sa.Table(
    "site_reports",
    metadata,
    sa.Column("site", sa.Text(), primary_key=True),
    sa.Column("at", Utc(), nullable=False),
    sa.Column("text", sa.Text(), nullable=False),
)


def insert_once(
    connection: sa.Connection, table: sa.Table, row: Mapping[str, Any], unique: Sequence[str] | None = None
) -> bool:
    """Insert a row unless it, or one that excludes it (by the columns `unique`, or any), is there; tell whether it was
    inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(dict(row)).on_conflict_do_nothing(index_elements=unique).returning(table.c.id)
    return connection.execute(statement).first() is not None
