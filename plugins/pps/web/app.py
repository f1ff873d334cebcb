"""The web application, mounted under /pps by Airflow's plugin (plugins/pps_plugin.py).

Airflow serves a plugin's applications without asking who calls. So every route here wants an
Airflow user with a role, except those in `PUBLIC`; `create_app` refuses to return anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from pps.domain.base.errors import (
    AlreadyOpenError,
    InvalidNameError,
    NotYetAllowedError,
    RefusedError,
    RolloutError,
    ServiceError,
)
from pps.domain.people.roles import READERS
from pps.services import Services
from pps.web import closed, documents, late_answers, pilot_doors, pilot_log, public, questions, signing_keys
from pps.web.guards import SecurityHeaders

#: (method, path) -> why anybody may call it.
PUBLIC = {
    ("GET", "/api/v1/bulletin"): "SD 4.1.1: the live map of versions at sites is on a public page.",
    ("GET", "/bulletin"): "SD 4.1.1: the same, for people.",
    ("GET", "/bulletin.html"): "SD 4.1.1: the same, by the name under which its own pages lead back to it.",
    ("GET", "/bulletin/{file}"): "SD 4.1.1: the map itself: all sites of a preview, or of all previews.",
    ("GET", "/bulletin.json"): "SD 4.1.1: where the page for people links to.",
    ("GET", "/release-notes/{file}"): "SD 4.1.1: release notes are for all users; they hold no address.",
    ("GET", "/keys"): "whoever installs from our repositories compares the key that signs them.",
    ("GET", "/keys/{file}"): "the public keys, for apt's Signed-By and dnf's gpgkey.",
    ("GET", "/answers.js"): "a part of Airflow's own pages that says why an answer was not taken; it holds no data.",
    ("GET", "/pilots/{name}/{file}"): "SD 4.1.3, 9: a pilot's post-mortem report; it names no user and no address.",
    ("GET", "/deployment-tests/{name}/results.json"): "SD 4.1.3: what release notes say of the test, for programs.",
    ("GET", "/api/v1/rollouts/{name}"): "SD 4.1.1: users select a version by its tag; holds no personal data.",
    ("POST", "/api/v1/rollouts/{name}/feedback"): "SD 4.1.1: a dedicated public channel to provide feedback.",
    ("GET", "/feedback/{name}"): "SD 4.1.1: the same channel as a form; the mails' links lead here.",
    ("POST", "/feedback/{name}"): "SD 4.1.1: the same channel; where the form goes.",
}

_STATUS: tuple[tuple[type[RolloutError], int], ...] = (
    (InvalidNameError, 422),
    (AlreadyOpenError, 409),
    (NotYetAllowedError, 409),
    (RefusedError, 422),
    (ServiceError, 503),
)


def create_app(
    services: Callable[[], Services],
    current_user: Callable[..., Any],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """Put the application together.

    Args:
        services: called at the first request and kept, so that a start of the web server needs no
            database, and all requests share one pool of connections.
        current_user: FastAPI dependency that raises 401 or 403 unless an Airflow user calls.
    """
    app = FastAPI(title="PPS Rollout", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(RolloutError, _explain)
    services = cache(services)
    app.include_router(public.router(services, now))
    app.include_router(signing_keys.router(services))
    app.include_router(documents.public_router(services))
    app.include_router(questions.public_router())
    user = reader(current_user)
    for router in (
        documents.closed_router(services),
        closed.router(services),
        late_answers.router(services, current_user, now),
        questions.router(services, current_user, now),
        pilot_log.router(services, current_user, now),
        pilot_doors.router(services, current_user, now),
    ):
        app.include_router(router, dependencies=[Depends(user)])
    check_closed(app, user)
    return app


def reader(current_user: Callable[..., Any]) -> Callable[..., Any]:
    """The dependency of every closed route: an Airflow user (401 and 403 are Airflow's) with a role that may read."""

    def user_with_role(user: Any = Depends(current_user)) -> Any:  # noqa: B008
        if not READERS & {role.name for role in getattr(user, "roles", ())}:
            raise HTTPException(403, "Your account has no role here. An administrator of Airflow can give it one.")
        return user

    return user_with_role


def check_closed(app: FastAPI, user: Callable[..., Any]) -> None:
    """Raise unless every route is in `PUBLIC` or asks for a user, and every entry of `PUBLIC` is a route.

    Whoever adds routes to the application calls this again.

    Args:
        user: as `reader` has made it.
    """
    open_routes = set()
    for route in app.routes:
        if isinstance(route, APIRoute) and user in _calls(route.dependant):
            continue
        open_routes |= {(method, getattr(route, "path", "?")) for method in getattr(route, "methods", None) or {"ANY"}}
    if open_routes != set(PUBLIC):
        raise RuntimeError(f"routes that do not match the table of public ones: {sorted(open_routes ^ set(PUBLIC))}")


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for part in dependant.dependencies:
        yield from _calls(part)


def _explain(request: Request, error: Exception) -> JSONResponse:
    """One of our errors as an answer that says why, and what to do next."""
    assert isinstance(error, RolloutError)  # noqa: S101 (registered for this class only)
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    if status >= 500:
        # why one of our services fails is for the operators (pps doctor), not for everybody
        text, step = "The service has a problem of its own.", "Try again in a few minutes."
        return JSONResponse({"detail": f"{text} {step}"}, status, {"Retry-After": "60"})
    return JSONResponse({"detail": str(error)}, status)
