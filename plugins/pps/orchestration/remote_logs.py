"""Logs of tasks in an object store, where several nodes run tasks (docs/adr/0039).

Configured by `AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS=pps.orchestration.remote_logs.LOGGING_CONFIG` and
`AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER=s3://pps/logs`. `REMOTE_LOGGING` stays off: it asks for Airflow's own handler,
which comes with clients of Redshift, Athena and SageMaker. Who we are there says `AIRFLOW_CONN_PPS_OBJECT_STORE`: with
`AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID=pps_object_store` Airflow sets it, from its Connection, for whoever writes a
task's log. Without it, `AWS_*`, or wherever botocore looks.

Each node writes its own part of a log, and the reader puts the parts together: a task that has waited may go on
at another node.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG
from airflow.sdk.api.client import get_hostname
from airflow.sdk.configuration import conf

LOGGING_CONFIG: dict[str, Any] = DEFAULT_LOGGING_CONFIG


class RemoteLogs:
    """Airflow's `RemoteLogIO` on S3.

    By botocore, which has neither threads nor an event loop. The supervisor that writes a task's log forks the next
    task: with s3fs there, the supervisors of tasks that work with the store themselves hung when they wrote the log.
    """

    processors = ()

    def upload(self, path: os.PathLike[str] | str, ti: Any = None) -> None:
        """Write what this node has of a log."""
        local = Path(conf.get("logging", "base_log_folder"), path)
        if local.exists():
            bucket, key = _place(f"{path}@{quote(str(get_hostname()), safe='')}")  # type: ignore[no-untyped-call]
            _client().put_object(Bucket=bucket, Key=key, Body=local.read_bytes())

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        """Where the parts of a log are, of all nodes and of the triggerers, and what they say."""
        client, (bucket, key) = _client(), _place(relative_path)
        keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ())]
        parts = [client.get_object(Bucket=bucket, Key=key)["Body"].read().decode(errors="replace") for key in keys]
        return [f"s3://{bucket}/{key}" for key in keys], parts or None


def _place(name: str) -> tuple[str, str]:
    where = urlsplit(conf.get("logging", "remote_base_log_folder"))
    return where.netloc, f"{where.path.strip('/')}/{name}".lstrip("/")


def _client() -> Any:
    from botocore.config import Config
    from botocore.session import Session

    from pps.adapters.packages.object_store import CONNECTION, StoreLogin

    # a log is not worth that a task waits for it for long
    patience = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3})
    login = StoreLogin.of(os.environ.get(f"AIRFLOW_CONN_{CONNECTION.upper()}"))
    return Session().create_client("s3", config=patience, **(login.for_client() if login else {}))


REMOTE_TASK_LOG = RemoteLogs()
DEFAULT_REMOTE_CONN_ID = None
