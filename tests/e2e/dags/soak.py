"""Human tasks and deferrables by the hundred, to catch resume races (docs/adr/0001)."""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import dag, task


@task
def numbers(params: dict) -> list[dict[str, str]]:
    return [{"body": f"question {n}"} for n in range(params["count"])]


@dag(dag_id="soak_answers", schedule=None, params={"count": 10}, max_active_tasks=500)
def soak_answers() -> None:
    HITLOperator.partial(
        task_id="ask", subject="Go on?", options=["Yes", "No"], max_active_tis_per_dag=500
    ).expand_kwargs(numbers())


@task
def moments(params: dict) -> list[dict[str, str]]:
    return [{"target_time": params["at"]} for _ in range(params["count"])]


@dag(dag_id="soak_waits", schedule=None, params={"count": 10, "at": "2020-01-01T00:00:00+00:00"}, max_active_tasks=500)
def soak_waits() -> None:
    DateTimeSensorAsync.partial(task_id="wait").expand_kwargs(moments())


soak_answers()
soak_waits()
