"""A grid service of a sandbox site that says its name and version over HTTP, for pilots to be run with.

The site's people (`pps sandbox service`) start, stop, upgrade and roll it back, and publish it or not; what they did
last survives a restart of the grid.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pps.domain.sites.endpoints import is_version
from pps.sandbox.grid.landscape import SitePlan
from pps.sandbox.grid.published_services import DeclaredService, declare_services, declared_services
from pps.sandbox.grid.site_folder import SiteFolder
from pps.sandbox.grid.sockets import reserve_port
from pps.sandbox.grid.web_server import WebServer

NAME = "pilot"
TYPE = "org.glite.wms"
FIRST_VERSION = "3.1.22"


class ServiceAction(StrEnum):
    """What a site's people do with their service."""

    START = "start"
    """run it and publish it, in the version that it had, or in a given one"""
    STOP = "stop"
    """it no longer answers; it stays published, as after a crash"""
    UPGRADE = "upgrade"
    """to a given version, running and published"""
    ROLL_BACK = "roll-back"
    """to the version before the upgrade"""
    WITHDRAW = "withdraw"
    """stopped, and no longer published"""


@dataclass(frozen=True, slots=True)
class _State:
    version: str = FIRST_VERSION
    previous: str = ""
    running: bool = False
    published: bool = False
    port: int = 0


class PilotService:
    """One site's service; every action may be repeated."""

    def __init__(self, plan: SitePlan, folder: SiteFolder) -> None:
        self._plan, self._folder = plan, folder
        self._state = self._kept()
        self._server: WebServer | None = None
        self._switching = asyncio.Lock()

    async def start(self) -> None:
        """As the grid starts: run it if it ran when the grid ended."""
        async with self._switching:
            if self._state.running:
                await self._listen()
                self._keep()

    async def stop(self) -> None:
        """As the grid ends: what it was doing is remembered."""
        async with self._switching:
            await self._hang_up()

    async def act(self, action: ServiceAction, version: str = "") -> None:
        """Do what the site's people want; `ValueError` with a sentence where that cannot be done."""
        if version and not is_version(version):
            raise ValueError(f"{version[:40]!r} is no version.")
        async with self._switching:
            state = self._state
            match action:
                case ServiceAction.START:
                    state = replace(state, version=version or state.version, running=True, published=True)
                case ServiceAction.UPGRADE if not version:
                    raise ValueError("to which version?")
                case ServiceAction.UPGRADE if version != state.version:
                    state = replace(state, version=version, previous=state.version, running=True, published=True)
                case ServiceAction.UPGRADE:
                    state = replace(state, running=True, published=True)
                case ServiceAction.ROLL_BACK if not (version or state.previous):
                    raise ValueError("there is no earlier version.")
                case ServiceAction.ROLL_BACK:
                    before = version or state.previous
                    state = replace(state, version=before, previous="", running=True, published=True)
                case ServiceAction.STOP:
                    state = replace(state, running=False)
                case ServiceAction.WITHDRAW:
                    state = replace(state, running=False, published=False)
            self._state = state
            await (self._listen() if state.running else self._hang_up())
            self._keep()

    def describe(self) -> dict[str, Any]:
        """For `pps sandbox status`; the endpoint is "" before the first start."""
        state = self._state
        return {
            "service": NAME,
            "version": state.version,
            "previous": state.previous,
            "running": self._server is not None,
            "published": state.published,
            "endpoint": self._endpoint,
        }

    @property
    def _endpoint(self) -> str:
        return f"http://127.0.0.1:{self._state.port}/" if self._state.port else ""

    async def _listen(self) -> None:
        if self._server is None:
            server = WebServer(self._app(), reserve_port(self._state.port))
            await server.start()
            self._server = server
            self._state = replace(self._state, port=server.port)

    async def _hang_up(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    def _app(self) -> Starlette:
        async def answer(_: Request) -> Response:
            return JSONResponse({"service": NAME, "site": self._plan.name, "version": self._state.version})

        return Starlette(routes=[Route("/", answer, methods=["GET"])])

    # --- the folder's memory ---

    def _keep(self) -> None:
        file = self._folder.pilot_file
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        part.write_text(json.dumps(asdict(self._state), indent=1) + "\n")
        part.replace(file)
        mine = f"{self._plan.name}_{NAME}"
        others = [s for s in declared_services(self._folder.services_file).values() if s.id != mine]
        ours = [DeclaredService(mine, TYPE, self._state.version, self._endpoint)] if self._state.published else []
        declare_services(self._folder.services_file, [*others, *ours])

    def _kept(self) -> _State:
        try:
            return _State(**json.loads(self._folder.pilot_file.read_text()))
        except (OSError, ValueError, TypeError):
            return _State()
