"""Names of ours that Airflow's database and an installation's settings hold: under the same name must be the same."""

from __future__ import annotations

import pytest
from airflow.sdk._shared.module_loading import import_string


@pytest.mark.parametrize(
    "name",
    [
        "pps.orchestration.sensors.ConditionTrigger",  # of every task that is deferred
        "pps.orchestration.sensors.WaitUntil",
        "pps.orchestration.people.HumanStep",
        "pps.orchestration.executor.SafeLocalExecutor",
        "pps.orchestration.secrets.GridSecretsBackend",
        "pps.orchestration.auth.GridAuthManager",
    ],
)
def test_what_a_database_or_a_setting_names_is_there(name: str) -> None:
    # a task whose trigger is gone fails, and waits only for its retry: nothing else would tell
    assert import_string(name)
