"""How a running grid is asked and told: an HTTP door for `pps sandbox`, open to the folder's owner only."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import requests
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.sandbox.grid.landscape import Fault
from pps.sandbox.grid.pilot_service import ServiceAction
from pps.sandbox.grid.web_requests import authorize, error_response, json_body, kept_token

GRID_FILE = "grid.json"
TOKEN_FILE = "control.token"


class Controlled(Protocol):
    """What the door leads to: the grid."""

    def status(self) -> dict[str, Any]:
        """Everything worth knowing, as JSON."""

    async def break_site(self, site: str, fault: Fault) -> None:
        """`KeyError` for a site that is not there."""

    async def repair_site(self, site: str) -> None:
        """As above."""

    async def wipe_site(self, site: str) -> None:
        """As above."""

    async def act_on_service(self, site: str, action: ServiceAction, version: str) -> None:
        """As above; `ValueError` with a sentence where the site's service cannot do that."""


def control_app(grid: Controlled, token: str) -> Starlette:
    """The door. Every request needs the token: any web page in a browser here can reach loopback."""

    async def status(request: Request) -> Response:
        authorize(request, token)
        return JSONResponse(grid.status())

    async def break_site(request: Request) -> Response:
        authorize(request, token)
        try:
            fault = Fault(str((await json_body(request)).get("fault")))
        except ValueError as error:
            raise HTTPException(422, f"the fault must be one of {', '.join(Fault)}.") from error
        return await _at_site(request, lambda site: grid.break_site(site, fault))

    async def repair(request: Request) -> Response:
        authorize(request, token)
        return await _at_site(request, grid.repair_site)

    async def wipe(request: Request) -> Response:
        authorize(request, token)
        return await _at_site(request, grid.wipe_site)

    async def service(request: Request) -> Response:
        authorize(request, token)
        body = await json_body(request)
        try:
            action = ServiceAction(str(body.get("action")))
        except ValueError as error:
            raise HTTPException(422, f"the action must be one of {', '.join(ServiceAction)}.") from error
        version = str(body.get("version") or "")
        return await _at_site(request, lambda site: grid.act_on_service(site, action, version))

    async def _at_site(request: Request, act: Callable[[str], Awaitable[None]]) -> Response:
        name = request.path_params["site"]
        try:
            await act(name)
        except KeyError as error:
            raise HTTPException(404, f"there is no site {name[:80]!r} in this grid.") from error
        except ValueError as error:
            raise HTTPException(422, f"{name}: {error}") from error
        except OSError as error:
            raise HTTPException(409, f"{name}: {error.strerror or error}.") from error
        return JSONResponse(next(s for s in grid.status()["sites"] if s["name"] == name))

    async def refusal(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (registered for it only)
        return error_response(error.status_code, error.detail, error.headers)

    return Starlette(
        routes=[
            Route("/status", status, methods=["GET"]),
            Route("/sites/{site}/break", break_site, methods=["POST"]),
            Route("/sites/{site}/repair", repair, methods=["POST"]),
            Route("/sites/{site}/wipe", wipe, methods=["POST"]),
            Route("/sites/{site}/service", service, methods=["POST"]),
        ],
        exception_handlers={HTTPException: refusal},
    )


def describe(folder: Path) -> dict[str, Any]:
    """grid.json: what runs where, as the grid wrote it when it was ready (docs in `Grid`)."""
    try:
        description = json.loads((folder / GRID_FILE).read_text())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"sandbox {folder}", "there is no grid in this folder.", "Start one with: pps sandbox up."
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            str(folder / GRID_FILE), "is not JSON.", "Delete the folder and start again."
        ) from error
    if not isinstance(description, dict):
        raise ConfigurationError(
            str(folder / GRID_FILE), "is not a grid's description.", "Delete the folder and start again."
        )
    return description


class GridControl:
    """The running grid of a folder, from another process."""

    def __init__(self, folder: Path) -> None:
        """`ConfigurationError` if the folder has no grid."""
        self.folder = folder.resolve()
        self.description = describe(self.folder)
        self._session = requests.Session()
        self._session.trust_env = False  # loopback: neither proxies nor netrc
        self._session.headers["Authorization"] = f"Bearer {kept_token(self.folder / TOKEN_FILE)}"

    def status(self) -> dict[str, Any]:
        """See `Controlled`."""
        return self._ask("GET", "/status")

    def break_site(self, site: str, fault: Fault) -> dict[str, Any]:
        """Give a site a fault; returns the site's status. `ConfigurationError` for one that is not there."""
        return self._tell(site, "break", {"fault": fault.value})

    def repair_site(self, site: str) -> dict[str, Any]:
        """Take all faults away; as above."""
        return self._tell(site, "repair")

    def wipe_site(self, site: str) -> dict[str, Any]:
        """Lose the site's previews; as above."""
        return self._tell(site, "wipe")

    def act_on_service(self, site: str, action: ServiceAction, version: str = "") -> dict[str, Any]:
        """Play the people of a site with their pilot service; as above."""
        return self._tell(site, "service", {"action": action.value, "version": version})

    def _tell(self, site: str, what: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        if site not in [s["name"] for s in self.description["sites"]]:
            raise ConfigurationError(
                f"site {site[:80]!r}", "is not in this grid.", "Sites are listed by: pps sandbox status."
            )
        return self._ask("POST", f"/sites/{site}/{what}", body)

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        url = self.description["services"]["control"]
        try:
            response = self._session.request(method, url + path, json=body, timeout=(3, 60), allow_redirects=False)
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise ServiceError(
                f"sandbox {self.folder}", "the grid is not running.", "Start it with: pps sandbox up."
            ) from error
        if response.status_code == 401:
            raise ServiceError(
                f"sandbox {self.folder}", "another grid answers at its address.", "Start it with: pps sandbox up."
            )
        if response.status_code != 200:
            raise ConfigurationError(f"sandbox {self.folder}", str(answer.get("error")), "See: pps sandbox status.")
        return dict(answer)
