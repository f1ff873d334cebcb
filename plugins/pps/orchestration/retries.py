"""Which of our errors Airflow retries, and how long one try of a task may take, declared once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from pps.config.loader import load_configuration
from pps.config.policy_models import TaskLimitsPolicy
from pps.domain.base.errors import RolloutError, ServiceError, SiteError
from pps.orchestration.halts import note_failure

#: A service, or a site, may answer next time; every other error of ours waits for a person.
POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=[ServiceError, SiteError], action=RetryAction.RETRY),
        RetryRule(exception=RolloutError, action=RetryAction.FAIL, reason="a person must act first"),
    ]
)


def _limits() -> TaskLimitsPolicy:
    try:
        return load_configuration().policies.task_limits
    except RolloutError:  # every task says what is wrong with the file; this is no place for it
        return TaskLimitsPolicy()


#: What ends one try of a task (policies.yaml, `task_limits`). A sensor's is for each question, not for its wait.
LIMITS = _limits()

#: For `default_args`. Two retries also carry a task over the death of its worker or scheduler.
ROLLOUT: dict[str, Any] = {
    "owner": "pps",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_policy": POLICY,
    "on_failure_callback": note_failure,
    "execution_timeout": LIMITS.usual,
}
