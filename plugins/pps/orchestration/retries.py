"""Which of our errors Airflow retries, declared once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from pps.domain.errors import RolloutError, ServiceError, SiteError

#: A service, or a site, may answer next time; every other error of ours waits for a person.
POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=[ServiceError, SiteError], action=RetryAction.RETRY),
        RetryRule(exception=RolloutError, action=RetryAction.FAIL, reason="a person must act first"),
    ]
)

#: For `default_args`. Two retries also carry a task over the death of its worker or scheduler.
ROLLOUT: dict[str, Any] = {
    "owner": "pps",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_policy": POLICY,
}
