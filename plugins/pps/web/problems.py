"""Errors as pages for people, and as JSON for programs: each says why, and what to do next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from pps.domain.base.errors import (
    AlreadyOpenError,
    InvalidNameError,
    NotYetAllowedError,
    RefusedError,
    RolloutError,
    ServiceError,
)
from pps.services import Services
from pps.web.shell import page

_log = logging.getLogger(__name__)
_STATUS: tuple[tuple[type[RolloutError], int], ...] = (
    (InvalidNameError, 422),
    (AlreadyOpenError, 409),
    (NotYetAllowedError, 409),
    (RefusedError, 422),
    (ServiceError, 503),
)
_WORDS = {
    401: "Please sign in",
    403: "Not for this account",
    404: "Not found",
    405: "Not like this",
    409: "Not now",
    413: "Too large",
    415: "Not like this",
    422: "Not understood",
    429: "Too often",
    503: "Not at the moment",
}
#: A script of ours asks with this header for what is only for whoever has signed in.
_PART = "x-pps-part"
_SIGN_IN = "You are not signed in, or no longer. Sign in to Airflow again; it leads you back to this page."
_OURS = "The service has a problem of its own. Try again in a few minutes."


def explain_errors(app: FastAPI, services: Callable[[], Services]) -> None:
    """Have every error of the application answered for whoever asked."""

    def answer(request: Request, status: int, why: str, headers: dict[str, str]) -> Response:
        if status in (401, 403) and _PART in request.headers:
            # a page of everybody's has asked: that its reader has not signed in is no error to be shown anywhere
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        if not _wants_a_page(request):
            return JSONResponse({"detail": why}, status, headers)
        if status == 401:
            why = _SIGN_IN
        place = request.scope["path"].removeprefix(request.scope.get("root_path", "")).lstrip("/")
        # once they have signed in, Airflow leads them on to where they wanted to go: a mail's link, mostly
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        sign_in = f"api/v2/auth/login?{urlencode({'next': wanted})}" if status == 401 else ""
        view = {"words": _WORDS.get(status, "A problem of ours"), "why": why, "sign_in": sign_in}
        headers |= {"Cache-Control": "no-store"}
        try:
            return page(services().templates, "problem.html", view, place, status=status, headers=headers)
        except RolloutError:  # not even a page can be made
            return JSONResponse({"detail": why}, status, headers)

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, AnyHTTPException)  # noqa: S101 (registered for this class only)
        why = str(error.detail)
        if error.status_code == 404 and not isinstance(error, HTTPException):
            why = "There is no such page."  # Starlette's own words are "Not Found"
        return answer(request, error.status_code, why, dict(error.headers or {}))

    def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        said = [f"{'.'.join(map(str, p['loc'][1:])) or 'request'}: {p['msg']}" for p in error.errors()[:5]]
        return answer(request, 422, "; ".join(said), {})

    def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, RolloutError)  # noqa: S101
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        if status >= 500:
            # why one of our services fails is for the operators (log, pps doctor), not for everybody
            _log.error("%s %s: %s", request.method, request.url.path, error)
            return answer(request, status, _OURS, {"Retry-After": "60"})
        return answer(request, status, str(error), {})

    app.add_exception_handler(AnyHTTPException, http)
    app.add_exception_handler(RequestValidationError, parameters)
    app.add_exception_handler(RolloutError, ours)


def _wants_a_page(request: Request) -> bool:
    """Browsers name text/html, also in a frame; programs do not, and what is below /api/ is theirs."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return not path.startswith("/api/") and "text/html" in request.headers.get("accept", "")
