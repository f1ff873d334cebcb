"""What the sandbox's web services ask of a request: a token, and a small body of honest JSON."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_MOST_BYTES = 4 * 1024 * 1024


def kept_token(path: Path) -> str:
    """The token in a file that only its owner can read; made at the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_text(secrets.token_urlsafe(32))
        part.rename(path)
    return path.read_text().strip()


def authorize(request: Request, token: str) -> None:
    """Refuse a request without `Authorization: Bearer <token>` (401)."""
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {token}".encode()):
        raise HTTPException(401, "this needs the token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})


async def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object: declared as JSON (415), at most 4 MiB (413), no key twice, no NaN (400)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body must be application/json.")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BYTES:
            raise HTTPException(413, f"the body is larger than {_MOST_BYTES} bytes.")
    try:
        body = json.loads(data.decode(), object_pairs_hook=_each_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not JSON as we accept it (no key twice, no NaN, UTF-8).") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body must be a JSON object.")
    return body


def error_response(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": "<sentence>"}`; what cannot be encoded is replaced."""
    return JSONResponse({"error": why.encode("utf-8", "replace").decode()}, status, headers)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("a key occurs twice")
    return body


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
