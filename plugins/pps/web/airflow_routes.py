"""Puts our checks behind Airflow's own routes: where it has parsed the request and asked for the rights.

A check in front of Airflow has to read its addresses a second time, and whatever it reads differently goes past it: a
map index is also `-0000001`, `-1.0` or `%20-1` (docs/adr/0024). So each check here gets what Airflow's own handler
would get, and is called in its place.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[..., Any]
#: Called in a thread with Airflow's handler and the arguments that Airflow would call it with.
Check = Callable[[Handler, dict[str, Any]], Any]

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_moment(value: object) -> bool:
    # jsonschema itself lets every text through unless a further library is installed
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def refusal(status: int, why: str) -> HTTPException:
    """Why a request is not passed on, as Airflow's own answers say it."""
    return HTTPException(status, why)


def sentence(error: ValidationError, whole: str = "conf") -> str:
    """One thing that is wrong with `whole`, without the value, which may be anything, of any length."""
    place = ".".join([whole, *(str(part)[:40] for part in error.absolute_path)])
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


def put_checks(app: FastAPI, checks: Mapping[tuple[str, str], Check]) -> None:
    """Call each check in place of the handler of its route, and of every other route with that handler.

    Args:
        checks: (method, path as Airflow has it) -> check.

    Raises:
        RuntimeError: Airflow has no such route, or it is not one that we know how to stand behind.
    """
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    for (method, path), check in checks.items():
        handlers = {r.endpoint for r in routes if r.path == path and method in (r.methods or ())}
        if len(handlers) != 1 or inspect.iscoroutinefunction(handler := handlers.pop()):
            raise RuntimeError(f"{method} {path}: this Airflow has no such route; its requests would go unchecked")
        for route in routes:
            if route.endpoint is handler:
                route.dependant.call = _checked(handler, check)


def _checked(handler: Handler, check: Check) -> Handler:
    @functools.wraps(handler)
    def call(**given: Any) -> Any:
        return check(handler, given)

    return call


class ChecksBehindAirflow:
    """ASGI middleware whose only work is to put the checks in place before the first request is answered.

    A plugin is loaded before Airflow's routes are there, so it cannot do so itself. If a route is missing, the
    api-server does not start: without the checks it would take what nobody has looked at.
    """

    def __init__(self, app: ASGIApp, checks: Mapping[tuple[str, str], Check]) -> None:
        self._app, self._checks = app, checks
        self._lock, self._in_place = threading.Lock(), False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the start of the server."""
        if not self._in_place:
            with self._lock:
                if not self._in_place:
                    put_checks(scope["app"], self._checks)
                    self._in_place = True
        await self._app(scope, receive, send)
