"""How Airflow is set, for `pps doctor`, which asks the api-server: its own environment may be another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter


def not_known() -> Mapping[str, Any]:
    """Where our pages are served without Airflow."""
    empty = ("executor", "secrets_backend", "worker_secrets_backend", "execution_api", "base_url", "user")
    return {**dict.fromkeys(empty, ""), "runs_a_loop": 20, "uid": -1, "groups": []}


def router(settings: Callable[[], Mapping[str, Any]], now: Callable[[], datetime]) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter()

    @api.get("/api/v1/settings")
    def how_it_is_set() -> dict[str, Any]:
        """Executor, secrets backends, execution API, the account of the api-server and its clock."""
        return {**settings(), "at": now()}

    return api
