"""A real Airflow on an embedded PostgreSQL, started once for all end-to-end tests.

Use: `from tests.support.airflow import airflow  # noqa: F401`. Tests bring DAGs by a folder of theirs in
`EXTRA_DAGS`, or all at once in tests/e2e/dags.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pps.adapters.airflow_rest import AirflowClient
from pps.sandbox.airflow import EmbeddedAirflow
from pps.sandbox.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class RunningAirflow:
    """What tests get: clients by user name, and the machinery behind."""

    airflow: EmbeddedAirflow
    postgres: EmbeddedPostgres

    def client(self, user: str = "admin") -> AirflowClient:
        return AirflowClient(self.airflow.url, user, self.airflow.password(user))


@pytest.fixture(scope="session")
def airflow() -> Iterator[RunningAirflow]:
    # not tmp_path_factory: pytest keeps its folders, and this one holds a database
    with tempfile.TemporaryDirectory(prefix="pps-airflow-", ignore_cleanup_errors=True) as folder:
        with EmbeddedPostgres(Path(folder) / "postgres") as postgres:
            embedded = EmbeddedAirflow(
                Path(folder) / "airflow",
                ROOT / "tests" / "e2e" / "dags",
                ROOT / "plugins",
                postgres.url("airflow"),
            )
            with embedded:
                yield RunningAirflow(embedded, postgres)
