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
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pps.domain.errors import RolloutError, ServiceError

BODY_BYTES = 64 * 1024
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
        return Draft202012Validator(schema, format_checker=_FORMATS)

    def reasons_against(self, conf: object) -> tuple[str, ...]:
        """One sentence for each thing that is wrong with a conf."""
        found = sorted(self._validator.iter_errors(conf), key=lambda e: list(map(str, e.absolute_path)))
        return tuple(_sentence(error) for error in found[:10])


class Register(Protocol):
    """What we ask the record of facts, and Airflow about its runs."""

    def open_rollout(self, patch: int) -> str | None:
        """Name of the rollout that is open for this patch."""

    def next_run(self, dag: str, path: str, patch: int) -> str:
        """Id of the run that would open the next rollout of this patch; the same for all who ask at once."""


_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_moment(value: object) -> bool:
    # jsonschema itself lets every text through unless a further library is installed
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@dataclass
class _Refusal(Exception):
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
            body = await _json_body(scope, receive)
            run = await self._checked(dag, form, body)
        except _Refusal as refusal:
            await JSONResponse({"detail": refusal.why}, refusal.status)(scope, receive, send)
            return
        if run:
            body["dag_run_id"] = run
            send = _explain_conflict(send, run)
        content = json.dumps(body).encode()
        await self._app(_with_length(scope, len(content)), _replay(content, receive), send)

    def _started(self, scope: Scope) -> tuple[str, StartForm | None]:
        if scope["type"] != "http" or scope["method"] != "POST":
            return "", None
        match = _START.fullmatch(get_route_path(scope))
        return (match[1], self._forms.get(match[1])) if match else ("", None)

    async def _checked(self, dag: str, form: StartForm, body: dict[str, Any]) -> str:
        """The id for the run (empty: Airflow may choose), or the reason against it."""
        conf = {} if body.get("conf") is None else body["conf"]
        if reasons := form.reasons_against(conf):
            raise _Refusal(422, " ".join(reasons))
        if not form.path:
            return ""
        if body.get("dag_run_id"):
            raise _Refusal(422, "dag_run_id: leave it out; the run is named after its rollout.")
        patch = int(conf["patch"])

        def ask() -> tuple[str | None, str]:
            register = self._register()
            return register.open_rollout(patch), register.next_run(dag, form.path, patch)

        try:
            is_open, run = await asyncio.to_thread(ask)
        except ServiceError as error:
            raise _Refusal(503, str(error)) from error
        except RolloutError as error:
            raise _Refusal(500, str(error)) from error
        if is_open:
            raise _Refusal(
                409, f"Patch {patch} is being rolled out already: {is_open}. Follow that rollout, or end it first."
            )
        return run


def _sentence(error: ValidationError) -> str:
    # not error.message: it repeats the value, which may be anything of any length
    place = ".".join(["conf", *map(str, error.absolute_path)])
    match error.validator:
        case "additionalProperties":
            unknown = sorted(str(key)[:40] for key in set(error.instance) - set(error.schema["properties"]))
            return f"{place}: unknown key {', '.join(unknown[:10])}; known are {', '.join(error.schema['properties'])}."
        case "required":
            return f"{place}: {', '.join(k for k in error.validator_value if k not in error.instance)} is missing."
        case "type":
            kinds = error.validator_value
            return f"{place}: must be {kinds if isinstance(kinds, str) else ' or '.join(kinds)}."
        case _:
            return f"{place}: breaks the rule {error.validator} {str(error.validator_value)[:100]}."


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
