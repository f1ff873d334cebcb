"""What our pages ask of Airflow for the person in front of them: to start a run, to answer a question.

It goes through Airflow's own REST API, in this very process, with what the person's browser has sent to say who they
are. So it is Airflow's rights, its roles and our checks behind them that decide, as for anybody else who calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import httpx
from fastapi import HTTPException, Request
from starlette.types import ASGIApp

from pps.workflow.answers import Place

#: By these Airflow knows who calls, and whom it was asked by.
_WHO = ("authorization", "cookie", "host")


class Airflow(Protocol):
    """Airflow, asked for somebody."""

    async def __call__(
        self, request: Request, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The answer of a route, in the name of whoever has sent `request`.

        Args:
            path: below `/api/v2/`.

        Raises:
            HTTPException: what Airflow, or a check of ours, has refused, with its reasons.
        """


@dataclass(frozen=True)
class InProcess:
    """The Airflow that serves our pages."""

    app: Callable[[], ASGIApp]
    """called at the first need: the application is not made yet when its plugins are"""

    async def __call__(
        self, request: Request, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `Airflow`."""
        who = {name: request.headers[name] for name in _WHO if name in request.headers}
        transport = httpx.ASGITransport(self.app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow", trust_env=False) as client:
            answer = await client.request(method, f"/api/v2/{path}", json=body, headers=who)
        if answer.is_success:
            return dict(answer.json()) if answer.content else {}
        raise HTTPException(answer.status_code if answer.status_code < 500 else 503, _why(answer))


async def no_airflow(request: Request, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Where our pages are served without Airflow."""
    raise HTTPException(503, "Airflow is not here, so nothing can be started or answered.")


async def start_run(airflow: Airflow, request: Request, dag: str, conf: Mapping[str, Any]) -> str:
    """Start a run for whoever has sent `request`; returns its id."""
    body = {"logical_date": None, "conf": dict(conf)}
    return str((await airflow(request, "POST", f"dags/{quote(dag, safe='')}/dagRuns", body))["dag_run_id"])


def question_path(place: Place) -> str:
    """Where Airflow keeps a human task, below `/api/v2/`."""
    dag, run, task = (quote(part, safe="") for part in (place.dag, place.run, place.task))
    return f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/{place.map_index}/hitlDetails"


def _why(answer: httpx.Response) -> str:
    """Airflow's reasons: `detail` is a sentence, or FastAPI's list of places and messages."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"Airflow has answered with HTTP {answer.status_code}."
    if answer.status_code >= 500:
        return "Airflow has a problem of its own. Try again in a few minutes."
    if isinstance(detail, list):
        return " ".join(f"{'.'.join(map(str, d.get('loc', ())[1:]))}: {d.get('msg', d)}." for d in detail)
    if answer.status_code == 403 and detail == "Forbidden":
        return "Your role may not do that."
    return str(detail)
