"""What a task needs around it: the services, the time, the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from airflow.sdk import Context, get_current_context

from pps.config.loader import load_configuration
from pps.orchestration.targets import credentials
from pps.services import Services


@contextmanager
def services() -> Iterator[Services]:
    """The services of one task; closed behind it."""
    opened = Services(load_configuration(), credentials)
    try:
        yield opened
    finally:
        opened.close()


def now() -> datetime:
    """The only clock of the orchestration."""
    return datetime.now(UTC)


def actor() -> str:
    """Who is behind this run, for the facts: the user who triggered it, else the DAG."""
    run = get_current_context()["dag_run"]
    return getattr(run, "triggering_user_name", None) or f"airflow:{run.dag_id}"


def run_of(context: Context) -> str:
    """How facts name a run: `<DAG>/<run>`."""
    return f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}"


def actor_of(role: str) -> str:
    """The actor of what nobody triggered, e.g. the information system that shows a tag."""
    return f"pps:{role}"
