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
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pps.domain.errors import RolloutError, ServiceError

BODY_BYTES = 64 * 1024
_START = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/?")


class StartConf(BaseModel):
    """What a start of a rollout may say in `conf`, and nothing else. Strict: a number is not a text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    patch: int = Field(ge=1, le=999_999_999)


@dataclass(frozen=True, slots=True)
class StartForm:
    """How one DAG is started: `path` names its rollouts, `conf` is the shape of what it takes."""

    path: str
    conf: type[StartConf] = StartConf


class Register(Protocol):
    """What we ask the record of facts."""

    def open_rollout(self, patch: int) -> str | None:
        """Name of the rollout that is open for this patch."""

    def next_name(self, path: str, patch: int) -> str:
        """Name of the next rollout of this patch."""


#: The DAGs that open rollouts.
FORMS: Mapping[str, StartForm] = {"bc_client_update": StartForm("bc-client")}


@dataclass
class _Refusal(Exception):  # noqa: N818 (an answer, not an error)
    status: int
    why: str


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
        forms: Mapping[str, StartForm] = FORMS,
    ) -> None:
        self._app = app
        self._register = register
        self._is_user = is_user
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a start; pass everything else on."""
        form = self._form(scope)
        if form is None or not await self._is_user(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await _json_body(scope, receive)
            name = await self._checked(form, body)
        except _Refusal as refusal:
            await JSONResponse({"detail": refusal.why}, refusal.status)(scope, receive, send)
            return
        content = json.dumps(body | {"dag_run_id": name}).encode()
        await self._app(_with_length(scope, len(content)), _replay(content, receive), _explain_conflict(send, name))

    def _form(self, scope: Scope) -> StartForm | None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        match = _START.fullmatch(get_route_path(scope))
        return self._forms.get(match[1]) if match else None

    async def _checked(self, form: StartForm, body: dict[str, Any]) -> str:
        """The rollout's name, or the reason against it."""
        if body.get("dag_run_id"):
            raise _Refusal(422, "dag_run_id: leave it out; the rollout's name is given by its patch.")
        conf = body.get("conf")
        try:
            given = form.conf.model_validate({} if conf is None else conf)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            raise _Refusal(422, "; ".join(_sentence(p) for p in problems[:10]) + ".") from None

        def ask() -> tuple[str | None, str]:
            register = self._register()
            return register.open_rollout(given.patch), register.next_name(form.path, given.patch)

        try:
            is_open, name = await asyncio.to_thread(ask)
        except ServiceError as error:
            raise _Refusal(503, str(error)) from error
        except RolloutError as error:
            raise _Refusal(500, str(error)) from error
        if is_open:
            raise _Refusal(409, f"Patch {given.patch} is being rolled out already: {is_open}. Follow that run, or end it first.")
        return name


def _sentence(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part)[:80] for part in ("conf", *problem["loc"]))
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}"


async def _json_body(scope: Scope, receive: Receive) -> dict[str, Any]:
    # A form's content type would let any web page post here with the user's cookie.
    if Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refusal(415, "Send the start as application/json.")
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _Refusal(400, "The request ended too early.")
        content += message.get("body", b"")
        if len(content) > BODY_BYTES:
            raise _Refusal(413, f"The start is larger than {BODY_BYTES} bytes.")
        if not message.get("more_body"):
            break
    try:
        body = json.loads(bytes(content), object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise _Refusal(422, f"The start is not JSON as we take it: {str(error)[:200]}.") from None
    if not isinstance(body, dict):
        raise _Refusal(422, "The start must be a JSON object.")
    return body


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _with_length(scope: Scope, length: int) -> Scope:
    headers = [(k, v) for k, v in scope["headers"] if k not in (b"content-length", b"transfer-encoding")]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _replay(content: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _explain_conflict(send: Send, name: str) -> Send:
    """Airflow's 409 quotes SQL; say instead what it means here."""
    why = (
        f"The run {name} exists already: somebody started this patch a moment ago, or an earlier start ended before the"
        " rollout was opened. Look at that run; if it failed, clear its failed tasks."
    )
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
