"""What the checks in front of Airflow's own routes share: reading a JSON request, judging it, passing it on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

BODY_BYTES = 64 * 1024
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_moment(value: object) -> bool:
    # jsonschema itself lets every text through unless a further library is installed
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@dataclass
class Refusal(Exception):
    """Why a request is not passed on."""

    status: int
    why: str


def sentence(error: ValidationError, whole: str = "conf") -> str:
    """One thing that is wrong with `whole`, without the value, which may be anything of any length."""
    place = ".".join([whole, *map(str, error.absolute_path)])
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


async def json_body(scope: Scope, receive: Receive, what: str = "start") -> dict[str, Any]:
    """The body of a request; `Refusal` unless it is one JSON object of moderate size."""
    # A form's content type would let any web page post here with the user's cookie.
    if Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, f"Send the {what} as application/json.")
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "The request ended too early.")
        content += message.get("body", b"")
        if len(content) > BODY_BYTES:
            raise Refusal(413, f"The {what} is larger than {BODY_BYTES} bytes.")
        if not message.get("more_body"):
            break
    try:
        body = json.loads(bytes(content), object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise Refusal(422, f"The {what} is not JSON as we take it: {str(error)[:200]}.") from None
    if not isinstance(body, dict):
        raise Refusal(422, f"The {what} must be a JSON object.")
    return body


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def with_length(scope: Scope, length: int) -> Scope:
    """The scope with the length of another body."""
    headers = [(k, v) for k, v in scope["headers"] if k not in (b"content-length", b"transfer-encoding")]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def replay(content: bytes, receive: Receive) -> Receive:
    """Hand on a body that was read already."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
