"""Alembic's entry: migrates over the connection, and inside the transaction, that `FactStore.upgrade` hands in."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # The store may share a database with others that use Alembic, such as Airflow.
    version_table="pps_alembic_version",
)
with context.begin_transaction():
    context.run_migrations()
