"""What the tests on several nodes run with is what docs/production.md tells people to set."""

from __future__ import annotations

from pathlib import Path

from tests.support.nodes import SETTINGS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "production.md"
#: Of these tests alone.
OURS = {"AIRFLOW__CELERY__WORKER_CONCURRENCY", "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"}


def test_the_settings_of_several_machines_are_those_that_the_tests_run_with() -> None:
    section = DOCS.read_text().partition("## 9. Several machines")[2]
    told = {line.split()[0] for line in section.splitlines() if line.startswith("AIRFLOW__")}
    assert {f"{name}={value}" for name, value in SETTINGS.items() if name not in OURS} <= told
    assert {"AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND"} <= {t.partition("=")[0] for t in told}
