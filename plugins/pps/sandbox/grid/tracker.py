"""The sandbox's patch tracker, in the role of Savannah: a small REST API (docs/tracker-api.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import RolloutError
from pps.domain.packages.patch import Bug, PatchState
from pps.sandbox.grid.patch_book import BookEntry, BookError, PatchBook
from pps.sandbox.grid.web_requests import authorize, error_response, json_body, kept_token

PATCHES_FOLDER = "patches"
TOKEN_FILE = "token"
_MOST_ON_A_PAGE = 500


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Move(_Body):
    state: PatchState
    comment: StrictStr = Field("", max_length=4000)


class _Comment(_Body):
    comment: StrictStr = Field(min_length=1, max_length=4000)


class _Flag(_Body):
    value: StrictBool
    comment: StrictStr = Field("", max_length=4000)


def tracker_app(folder: Path) -> Starlette:
    """The tracker that keeps its patches and its token in `folder`."""
    return _Tracker(PatchBook(folder / PATCHES_FOLDER), kept_token(folder / TOKEN_FILE)).app()


class _Tracker:
    """HTTP on one side, the book on the other. All handlers run in one event loop, so each is atomic."""

    def __init__(self, book: PatchBook, token: str) -> None:
        self._book = book
        self._token = token

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/patches", self.index, methods=["GET"]),
                Route("/patches", self.create, methods=["POST"]),
                Route("/patches/{number}", self.get, methods=["GET"]),
                Route("/patches/{number}", self.edit, methods=["PATCH"]),
                Route("/patches/{number}/state", self.move, methods=["POST"]),
                Route("/patches/{number}/comments", self.comment, methods=["POST"]),
                Route("/patches/{number}/flags/{flag}", self.flag, methods=["PUT"]),
                Route("/patches/{number}/bugs", self.add_bug, methods=["POST"]),
                Route("/patches/{number}/history", self.history, methods=["GET"]),
            ],
            exception_handlers={RolloutError: _refusal, ValidationError: _refusal, HTTPException: _refusal},
        )

    async def index(self, request: Request) -> Response:
        query = request.query_params
        try:
            state = PatchState(query["state"]) if "state" in query else None
            limit = max(1, min(int(query.get("limit", "200")), _MOST_ON_A_PAGE))
            below = int(query.get("below", "1000000000"))
        except ValueError as error:
            raise HTTPException(422, f"the query is wrong: {error}.") from error
        entries = [e for e in self._book.patches(state) if e.patch.number < below]
        return JSONResponse(
            {"patches": [patch_document(e.patch) for e in entries[:limit]], "more": len(entries) > limit}
        )

    async def get(self, request: Request) -> Response:
        return _answer(self._book.entry(_number(request)))

    async def history(self, request: Request) -> Response:
        entry = self._book.entry(_number(request))
        return JSONResponse({"history": [dict(event) for event in entry.history]})

    async def create(self, request: Request) -> Response:
        authorize(request, self._token)
        entry, new = self._book.create(parse_patch(await json_body(request), unknown="forbid"))
        return _answer(entry, 201 if new else 200, {"Location": f"/patches/{entry.patch.number}"})

    async def edit(self, request: Request) -> Response:
        authorize(request, self._token)
        version = _version(request)
        if version is None:
            raise HTTPException(428, "an edit needs the header If-Match with the ETag of what you read.")
        return _answer(self._book.edit(_number(request), await json_body(request), version))

    async def move(self, request: Request) -> Response:
        authorize(request, self._token)
        move = _Move.model_validate(await json_body(request))
        return _answer(self._book.move(_number(request), move.state, move.comment, _version(request)))

    async def comment(self, request: Request) -> Response:
        authorize(request, self._token)
        said = _Comment.model_validate(await json_body(request))
        return _answer(self._book.comment(_number(request), said.comment))

    async def flag(self, request: Request) -> Response:
        authorize(request, self._token)
        flag = _Flag.model_validate(await json_body(request))
        return _answer(self._book.flag(_number(request), request.path_params["flag"], flag.value, flag.comment))

    async def add_bug(self, request: Request) -> Response:
        authorize(request, self._token)
        body = await json_body(request)
        document = patch_document(self._book.entry(_number(request)).patch)
        # checked as part of a patch, so that there is one set of rules
        bug: Bug = parse_patch({**document, "bugs": [body]}, unknown="forbid").bugs[0]
        return _answer(self._book.add_bug(_number(request), bug), 201)


async def _refusal(_: Request, error: Exception) -> Response:
    """Every refusal is `{"error": ...}`."""
    if isinstance(error, HTTPException):
        return error_response(error.status_code, error.detail, error.headers)
    if isinstance(error, ValidationError):
        return error_response(422, _sentence(error))
    return error_response(error.status if isinstance(error, BookError) else 422, str(error))


def _number(request: Request) -> int:
    text = request.path_params["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HTTPException(404, "a patch's number has 1 to 9 digits.")
    return int(text)


def _version(request: Request) -> int | None:
    header = request.headers.get("if-match")
    if header in (None, "*"):
        return None
    text = str(header).strip().removeprefix('"').removesuffix('"')
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise HTTPException(412, "If-Match is not an ETag of this tracker.")
    return int(text)


def _answer(entry: BookEntry, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    document: dict[str, Any] = {**patch_document(entry.patch), "version_in_tracker": entry.version}
    return JSONResponse(document, status, {"ETag": f'"{entry.version}"', **(headers or {})})


def _sentence(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, p['loc']))[:80]}: {p['msg']}" for p in problems[:10])
