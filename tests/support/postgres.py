"""A real PostgreSQL for tests: one embedded server for the whole run, started when first needed; a database per test.

tests/conftest.py has the fixtures, so no test module imports them: one that is imported by two modules would be two
servers to pytest. The server ends with the run, also after Ctrl-C, and with us if we are killed (sandbox/keeper.py).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pps.adapters.record.store import FactStore
    from pps.sandbox.airflow.postgres import EmbeddedPostgres


@dataclass(frozen=True)
class StoreUrls:
    """SQLAlchemy URLs of one database."""

    owner: str
    application: str
    superuser: str


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A server that lives as long as the session."""
    from pps.sandbox.airflow.postgres import EmbeddedPostgres

    # not below pytest's own folder: as root the server runs as nobody, who may not enter that one
    with (
        tempfile.TemporaryDirectory(prefix="pps-pg-", ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder), databases=()) as server,
    ):
        yield server


@pytest.fixture
def store_urls(postgres_server: EmbeddedPostgres) -> Iterator[StoreUrls]:
    """A new, empty database with its two roles, as docs/production.md has them."""
    import psycopg
    from psycopg import sql

    name = f"pps_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    postgres_server.create_database(name)
    yield StoreUrls(
        postgres_server.url(name, role="owner"),
        postgres_server.url(name, role="application"),
        postgres_server.url(name),
    )
    with psycopg.connect(postgres_server.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for role in ("owner", "application"):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"{name}_{role}")))


@pytest.fixture
def store_url(store_urls: StoreUrls) -> str:
    """The URL of a new, empty database's owner."""
    return store_urls.owner


@pytest.fixture
def fact_store(store_urls: StoreUrls) -> Iterator[FactStore]:
    """A store with its tables, on a database of its own, as the application has it."""
    from pps.adapters.record.store import FactStore, upgrade

    upgrade(store_urls.owner, application=store_urls.application)
    store = FactStore(store_urls.application)
    yield store
    store.dispose()
