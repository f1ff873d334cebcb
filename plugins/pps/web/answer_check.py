"""Looks at every answer to a human task before Airflow stores it (`PATCH .../hitlDetails`).

Airflow 3.3 stores an answer whose form breaks its schema, answers 200, and fails the task later: the answer is
burnt. It also stores one that comes when the task is not waiting (any more, or in the instant in which it
parks), which then never resumes it. Here such an answer is refused with its reasons, and nothing is stored.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from starlette._utils import get_route_path
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pps.web.checked_requests import FORMATS, Refusal, json_body, replay, sentence, with_length

_ANSWER = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/([^/]+)/taskInstances/([^/]+)/(-?[0-9]{1,6})/hitlDetails/?")


class Asked(Protocol):
    """A human task, as Airflow knows it now."""

    @property
    def state(self) -> str:
        """Of the task instance; `awaiting_input` while it can be answered."""

    @property
    def answered(self) -> bool:
        """Tell whether Airflow has an answer already."""

    @property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The form: field -> JSON schema."""


Look = Callable[[str, str, str, int], Asked | None]


class AnswerCheck:
    """ASGI middleware. Requests without a valid user pass untouched, and get Airflow's own 401.

    Args:
        look: finds a human task by DAG, run, task and map index; called in a thread.
        is_user: tells whether Airflow will accept who calls.
    """

    def __init__(self, app: ASGIApp, look: Look, is_user: Callable[[Scope], Awaitable[bool]]) -> None:
        self._app = app
        self._look = look
        self._is_user = is_user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check an answer; pass everything else on."""
        match = None
        if scope["type"] == "http" and scope["method"] == "PATCH":
            match = _ANSWER.fullmatch(get_route_path(scope))
        if match is None or not await self._is_user(scope):
            await self._app(scope, receive, send)
            return
        dag, run, task, index = (unquote(part) for part in match.groups())
        try:
            body = await json_body(scope, receive, "answer")
            asked = await asyncio.to_thread(self._look, dag, run, task, int(index))
            if asked is not None:  # else Airflow's own 404
                _check(asked, body)
        except Refusal as refusal:
            await JSONResponse({"detail": refusal.why}, refusal.status)(scope, receive, send)
            return
        content = json.dumps(body).encode()
        await self._app(with_length(scope, len(content)), replay(content, receive), send)


def _check(asked: Asked, body: Mapping[str, Any]) -> None:
    if asked.answered:
        return  # Airflow's own 409
    if asked.state in ("scheduled", "queued", "running", "up_for_retry", "restarting"):
        raise Refusal(409, "The question is just being put. Nothing was stored; send the answer again in a moment.")
    if asked.state not in ("awaiting_input", "deferred"):
        raise Refusal(409, f"The question is closed ({asked.state}): the time is over, or the rollout has ended.")
    given = body.get("params_input") or {}
    schema = {
        "type": "object",
        "properties": asked.fields,
        "required": sorted(asked.fields),
        "additionalProperties": False,
    }
    if not given:
        return  # an option alone; the step itself says whether that will do
    validator = Draft202012Validator(schema, format_checker=FORMATS)
    errors = sorted(validator.iter_errors(given), key=lambda e: list(map(str, e.absolute_path)))
    if errors:
        raise Refusal(422, " ".join(sentence(error, "params_input") for error in errors[:10]))
