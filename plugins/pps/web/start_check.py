"""Looks at every request that would start a rollout, before Airflow does (`POST /api/v2/dags/<dag>/dagRuns`).

Airflow accepts unknown keys in a run's conf and chooses a random run id. Here a start has exactly the
keys of its form, and its run id is the rollout's name. So of many who start the same patch at once,
Airflow's own unique key lets one through, and all others are told why not.

This is comfort and order, not the last line: a run that comes another way (a backfill, an asset, a task)
still has to open its rollout in the record of facts, which lets only one be open for a patch.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from jsonschema import Draft202012Validator
from starlette._utils import get_route_path
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pps.domain.errors import RolloutError, ServiceError
from pps.web.checked_requests import FORMATS, Refusal, json_body, replay, sentence, with_length

_START = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/?")


@dataclass(frozen=True)
class StartForm:
    """How one DAG is started. Keys of `conf` without a default must be given; others than these must not.

    Args:
        properties: key -> JSON schema of its value, as in the DAG's params.
        path: names the rollouts that the DAG opens; empty: it opens none, and only `conf` is checked.
    """

    properties: Mapping[str, Mapping[str, object]]
    path: str = ""

    @cached_property
    def _validator(self) -> Draft202012Validator:
        required = [key for key, schema in self.properties.items() if "default" not in schema]
        schema = {"type": "object", "properties": self.properties, "required": required, "additionalProperties": False}
        return Draft202012Validator(schema, format_checker=FORMATS)

    def reasons_against(self, conf: object) -> tuple[str, ...]:
        """One sentence for each thing that is wrong with a conf."""
        found = sorted(self._validator.iter_errors(conf), key=lambda e: list(map(str, e.absolute_path)))
        return tuple(sentence(error) for error in found[:10])


class Register(Protocol):
    """What we ask the record of facts, and Airflow about its runs."""

    def open_rollout(self, path: str, patch: int) -> str | None:
        """Name of the rollout that is open for this patch in the path's line (`domain.rollouts.line_of`)."""

    def next_run(self, dag: str, path: str, patch: int) -> str:
        """Id of the run that would open the next rollout of this patch; the same for all who ask at once."""


class StartCheck:
    """ASGI middleware. Requests without a valid user pass untouched, and get Airflow's own 401.

    Args:
        register: called for each start, in a thread.
        is_user: tells whether Airflow will accept who calls.
        forms: DAG id -> form; runs of other DAGs are not looked at.
    """

    def __init__(
        self,
        app: ASGIApp,
        register: Callable[[], Register],
        is_user: Callable[[Scope], Awaitable[bool]],
        forms: Mapping[str, StartForm],
    ) -> None:
        self._app = app
        self._register = register
        self._is_user = is_user
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a start; pass everything else on."""
        dag, form = self._started(scope)
        if form is None or not await self._is_user(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await json_body(scope, receive)
            run = await self._checked(dag, form, body)
        except Refusal as refusal:
            await JSONResponse({"detail": refusal.why}, refusal.status)(scope, receive, send)
            return
        if run:
            body["dag_run_id"] = run
            send = _explain_conflict(send, run)
        content = json.dumps(body).encode()
        await self._app(with_length(scope, len(content)), replay(content, receive), send)

    def _started(self, scope: Scope) -> tuple[str, StartForm | None]:
        if scope["type"] != "http" or scope["method"] != "POST":
            return "", None
        match = _START.fullmatch(get_route_path(scope))
        return (match[1], self._forms.get(match[1])) if match else ("", None)

    async def _checked(self, dag: str, form: StartForm, body: dict[str, Any]) -> str:
        """The id for the run (empty: Airflow may choose), or the reason against it."""
        conf = {} if body.get("conf") is None else body["conf"]
        if reasons := form.reasons_against(conf):
            raise Refusal(422, " ".join(reasons))
        if not form.path:
            return ""
        if body.get("dag_run_id"):
            raise Refusal(422, "dag_run_id: leave it out; the run is named after its rollout.")
        patch = int(conf["patch"])

        def ask() -> tuple[str | None, str]:
            register = self._register()
            return register.open_rollout(form.path, patch), register.next_run(dag, form.path, patch)

        try:
            is_open, run = await asyncio.to_thread(ask)
        except ServiceError as error:
            raise Refusal(503, str(error)) from error
        except RolloutError as error:
            raise Refusal(500, str(error)) from error
        if is_open:
            raise Refusal(
                409, f"Patch {patch} is being rolled out already: {is_open}. Follow that rollout, or end it first."
            )
        return run


def _explain_conflict(send: Send, run: str) -> Send:
    """Airflow's 409 quotes SQL; say instead what it means here."""
    why = f"The run {run} exists already: somebody started this patch a moment ago. Follow that run."
    content = json.dumps({"detail": why}).encode()
    in_conflict = False

    async def explained(message: Message) -> None:
        nonlocal in_conflict
        if message["type"] == "http.response.start" and message["status"] == 409:
            in_conflict = True
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
            await send({**message, "headers": headers})
        elif in_conflict:
            if not message.get("more_body"):
                await send({"type": "http.response.body", "body": content})
        else:
            await send(message)

    return explained
