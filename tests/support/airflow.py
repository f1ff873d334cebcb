"""A real Airflow on an embedded PostgreSQL, started once for all end-to-end tests.

```python
from tests.support.airflow import RunningAirflow, airflow  # noqa: F401
```

It runs the project's own DAGs and those of tests/e2e/dags, on an empty store and an empty site registry.
Who needs another grid starts an `EmbeddedAirflow` of their own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pps.adapters.record.store import FactStore, upgrade
from pps.adapters.services.airflow_rest import AirflowClient
from pps.sandbox.airflow.postgres import EmbeddedPostgres
from pps.sandbox.airflow.server import EmbeddedAirflow

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class RunningAirflow:
    """What tests get: clients by user name, and the machinery behind."""

    airflow: EmbeddedAirflow
    postgres: EmbeddedPostgres
    store: FactStore
    config: Path
    """folder of the configuration that Airflow reads; write sites.yaml there"""

    def client(self, user: str = "admin") -> AirflowClient:
        return AirflowClient(self.airflow.url, user, self.airflow.password(user))


_KEY = pytest.StashKey[RunningAirflow]()
_END = pytest.StashKey[ExitStack]()


@pytest.fixture(scope="session")
def airflow(request: pytest.FixtureRequest) -> RunningAirflow:
    # A fixture that two modules import is two fixtures to pytest; the stash makes them one Airflow.
    stash = request.config.stash
    if _KEY not in stash:
        stack = ExitStack()
        stash[_KEY] = stack.enter_context(_running())
        stash[_END] = stack
        request.config.add_cleanup(stack.close)
    return stash[_KEY]


def end_airflow(config: pytest.Config) -> None:
    """End it now, if it runs: two of them at once would share the machine's cores for nothing."""
    if _END in config.stash:
        config.stash[_END].close()
        del config.stash[_KEY], config.stash[_END]


@contextmanager
def _running() -> Iterator[RunningAirflow]:
    # not tmp_path_factory: pytest keeps its folders, and this one holds a database
    with tempfile.TemporaryDirectory(prefix="pps-airflow-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        config, dags = folder / "config", folder / "dags"
        shutil.copytree(ROOT / "config", config)
        dags.mkdir()
        for file in [*(ROOT / "dags").glob("*.py"), *(ROOT / "tests" / "e2e" / "dags").glob("*.py")]:
            (dags / file.name).symlink_to(file)
        with EmbeddedPostgres(folder / "postgres") as postgres:
            upgrade(postgres.url("pps", role="owner"), application=postgres.url("pps", role="application"))
            embedded = EmbeddedAirflow(
                folder / "airflow",
                dags,
                ROOT / "plugins",
                postgres.url("airflow"),
                extra_env={
                    "PPS_CONFIG": str(config),
                    "AIRFLOW_CONN_PPS_STORE": postgres.url("pps", role="application").replace("+psycopg", ""),
                },
            )
            with embedded:
                store = FactStore(postgres.url("pps", role="application"))
                yield RunningAirflow(embedded, postgres, store, config)
                store.dispose()
