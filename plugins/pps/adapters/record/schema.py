"""The schema of the store: migrations, and what the application's role may do with the tables (docs/adr/0025)."""

from __future__ import annotations

import pathlib
from typing import Any

import sqlalchemy as sa

VERSION_TABLE = "pps_alembic_version"
# % is special in Alembic's ini values
_SCRIPTS = str(pathlib.Path(__file__).parent / "migrations").replace("%", "%%")
_LOCK = 0x505053  # any number that others do not use for an advisory lock

#: Table -> what the application may do with it. Nothing is ever removed from facts or register.
RIGHTS = {
    "facts": "SELECT, INSERT",
    "rollouts": "SELECT, INSERT, UPDATE (closed_at, cleared)",
    "outbox": (
        "SELECT, INSERT, UPDATE (text, html, attachments, unsubscribe, attempts, first_tried_at, due_at, "
        "claimed_until, sent_at, given_up_at, last_error)"
    ),
    "turned_away": "SELECT, INSERT, UPDATE (number, last_at)",
    "nodes": "SELECT, INSERT, UPDATE (version, files, seen_at)",
    "last_seen": "SELECT, INSERT, UPDATE (seen_at, missed_since)",
    "site_reports": "SELECT, INSERT, UPDATE (at, text)",
    VERSION_TABLE: "SELECT",
}

_EXCESS = sa.text(
    """
    SELECT r.rolsuper AS superuser,
        pg_has_role(c.relowner, 'MEMBER') AS owner,
        pg_has_role(n.nspowner, 'MEMBER') AS schema_owner,
        has_any_column_privilege(c.oid, 'UPDATE') AS may_update,
        has_table_privilege(c.oid, 'DELETE') AS may_delete,
        has_table_privilege(c.oid, 'TRUNCATE') AS may_truncate,
        has_table_privilege(c.oid, 'TRIGGER') AS may_set_triggers,
        has_schema_privilege(n.oid, 'CREATE') AS may_create
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
    WHERE c.oid = 'facts'::regclass AND r.rolname = current_user
    """
)
_WORDS = {
    "superuser": "is a superuser",
    "owner": "owns the tables",
    "schema_owner": "owns the schema",
    "may_update": "may change facts",
    "may_delete": "may delete facts",
    "may_truncate": "may empty the table of facts",
    "may_set_triggers": "may put triggers on facts",
    "may_create": "may create things in the schema",
}


def upgrade(connection: sa.Connection) -> None:
    """Bring the database to the newest schema, in the caller's transaction; of two at once one changes nothing."""
    from alembic import command

    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    command.upgrade(_migrations(connection), "head")


def is_current(connection: sa.Connection) -> bool:
    """Tell whether the database has the newest schema."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    newest = ScriptDirectory.from_config(_migrations(connection)).get_current_head()
    return context.get_current_revision() == newest


def knows(revision: str) -> bool:
    """Tell whether this version has a migration of that number: else the schema is of a newer version, or no schema."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    return any(script.revision == revision for script in ScriptDirectory.from_config(config).walk_revisions())


def grant(connection: sa.Connection, application: str) -> None:
    """Give a role what the application needs, and take from it, and from everybody, whatever else it had."""
    quoted = connection.dialect.identifier_preparer.quote_identifier
    role = quoted(application)
    schema = quoted(str(connection.execute(sa.select(sa.func.current_schema())).scalar()))
    statements = [f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}", f"GRANT USAGE ON SCHEMA {schema} TO {role}"]
    for table, rights in RIGHTS.items():
        statements += [f"REVOKE ALL ON {table} FROM PUBLIC, {role}", f"GRANT {rights} ON {table} TO {role}"]
    for statement in statements:
        connection.exec_driver_sql(statement)


def too_many_rights(connection: sa.Connection) -> tuple[str, ...]:
    """Say what the role of this connection could do to facts besides recording and reading them."""
    if connection.dialect.name != "postgresql":
        return ()
    row = connection.execute(_EXCESS).mappings().one()
    if row["superuser"]:
        return (_WORDS["superuser"],)
    if row["owner"]:
        return (_WORDS["owner"],)
    return tuple(words for right, words in _WORDS.items() if row[right])


def _migrations(connection: sa.Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    config.attributes["connection"] = connection
    return config
