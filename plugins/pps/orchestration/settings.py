"""How the Airflow of this process is set, as far as rollouts depend on it: for `pps doctor`."""

from __future__ import annotations

import os
import pwd
from typing import Any

from airflow.configuration import conf


def settings() -> dict[str, Any]:
    """Names and addresses; no secret."""
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # containers run as a number
        user = str(uid)
    return {
        "executor": conf.get("core", "executor", fallback="") or "",
        "secrets_backend": conf.get("secrets", "backend", fallback="") or "",
        "worker_secrets_backend": conf.get("workers", "secrets_backend", fallback="") or "",
        "execution_api": conf.get("core", "execution_api_server_url", fallback="") or "",
        "base_url": conf.get("api", "base_url", fallback="") or "",
        "runs_a_loop": conf.getint("scheduler", "max_dagruns_per_loop_to_schedule", fallback=20),
        "user": user,
        "uid": uid,
        "groups": sorted({os.getegid(), *os.getgroups()}),
    }
