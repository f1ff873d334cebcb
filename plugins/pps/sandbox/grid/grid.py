"""The sandbox grid: sites, tracker, mail sink, package repository and information system in one process.

```text
python -m pps.sandbox.grid.grid FOLDER [--sites N] [--seed S] [--platform OS-ARCH] [--healthy]
```

prints `READY <folder>/grid.json` when everything listens, and ends cleanly on SIGTERM or SIGINT. The
folder keeps everything: started again with it, the grid goes on with the same sites, keys, tags,
patches and mails, and with the same ports where they are free.

```text
grid.json        what runs where (written last, at readiness)      faults.json    what is broken
config/          the configuration for the product ($PPS_CONFIG)   keys/          our SSH key
sites/<name>/    disk of a site                                    roundup/       the tracker's home
mails/           one .eml for each mail, index.jsonl               repository/    served over HTTP
store/           artefacts, production, mirrors, pages             information-system/
```
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pps.config.loader import Configuration
from pps.domain.base.errors import ConfigurationError, RolloutError
from pps.domain.sites.site import Platform
from pps.sandbox.airflow.configuration import VOS, Addresses, write_configuration
from pps.sandbox.grid.control import GRID_FILE, TOKEN_FILE, control_app
from pps.sandbox.grid.information import start_information_system
from pps.sandbox.grid.landscape import MOST_SITES, PLATFORM, Fault, plan_sites
from pps.sandbox.grid.pilot_service import PilotService, ServiceAction
from pps.sandbox.grid.repository import repository_app
from pps.sandbox.grid.site import SandboxSite, kept_key
from pps.sandbox.grid.site_folder import SiteFolder
from pps.sandbox.grid.smtp import MailSink, SmtpServer
from pps.sandbox.grid.sockets import LOOPBACK, port_of, reserve_port
from pps.sandbox.grid.tracker import SECRET_FILE as TRACKER_SECRET_FILE
from pps.sandbox.grid.tracker import take_over, tracker_app
from pps.sandbox.grid.web_requests import kept_token
from pps.sandbox.grid.web_server import WebServer
from pps.sandbox.provider.signing_key import SECRET_FILE, keep_signing_key

_SITES, _SEED, _PLATFORM = 12, 411, str(PLATFORM)
_FAULTS_FILE = "faults.json"
TRACKER = "roundup"
_SERVICES = ("tracker", "repository", "control", "smtp", "bdii")


class Grid:
    """A grid in a folder; `async with Grid(folder) as grid:` runs it."""

    def __init__(
        self,
        folder: Path,
        sites: int | None = None,
        seed: int | None = None,
        *,
        platform: str | None = None,
        healthy: bool | None = None,
        public_url: str = "http://localhost:8080",
    ) -> None:
        """Args:
        sites: 1 to `MOST_SITES`; 12 unless the folder has a grid already.
        seed: decides names, accounts and old tags.
        platform: of the sites (all but one).
        healthy: no site fails or stays out at the start.
        public_url: where people will find the product's own pages.
        """
        self.folder = Path(os.path.abspath(folder))  # noqa: PTH100 (resolve() would change what the user typed)
        self._wanted = {"sites": sites, "seed": seed, "platform": platform, "healthy": healthy}
        self._public_url = public_url
        self._running = AsyncExitStack()
        self.sites: dict[str, SandboxSite] = {}
        self.services: dict[str, PilotService] = {}
        self.description: dict[str, Any] = {}

    @property
    def config(self) -> Path:
        """The configuration folder, for $PPS_CONFIG."""
        return self.folder / "config"

    async def __aenter__(self) -> Grid:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything; when it returns, every service answers and grid.json is written."""
        async with AsyncExitStack() as stack:
            self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_only_one(self.folder))
            await self._start(stack)
            self._running = stack.pop_all()

    async def stop(self) -> None:
        """End every service and every process that a session started."""
        await self._running.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        before = self._before()
        kept = {"sites": _SITES, "seed": _SEED, "platform": _PLATFORM, "healthy": False} | before.get("made_with", {})
        for name, value in self._wanted.items():
            if before and value not in (None, kept[name]):
                raise ConfigurationError(
                    f"sandbox {self.folder}",
                    f"was made with {name} {kept[name]}, not {value}.",
                    "Use another folder, or delete this one.",
                )
        made_with = kept | {k: v for k, v in self._wanted.items() if v is not None}
        ports = before.get("ports", {})

        client_key = kept_key(self.folder / "keys" / "id_ed25519", "pps-sandbox")
        for plan in _plans(made_with):
            folder = SiteFolder(self.folder / "sites" / plan.name)
            site = SandboxSite(plan, folder, client_key, ports.get(plan.name, 0))
            stack.push_async_callback(site.stop)
            self.sites[plan.name] = site
            self.services[plan.name] = PilotService(plan, folder)
            stack.push_async_callback(self.services[plan.name].stop)
        sockets = {service: stack.enter_context(reserve_port(ports.get(service, 0))) for service in _SERVICES}
        tracker_url = f"http://{LOOPBACK}:{port_of(sockets['tracker'])}"
        tracker = WebServer(
            await asyncio.to_thread(tracker_app, self.folder / TRACKER, tracker_url), sockets["tracker"]
        )
        repository = WebServer(
            repository_app(self.folder / "repository", self.folder / "store" / "mirror"), sockets["repository"]
        )
        control = WebServer(control_app(self, kept_token(self.folder / TOKEN_FILE)), sockets["control"])
        smtp = SmtpServer(MailSink(self.folder / "mails"), sockets["smtp"])
        bdii_port = port_of(sockets["bdii"])
        addresses = Addresses(
            public_url=self._public_url,
            tracker_url=tracker.url,
            bdii_url=f"ldap://{LOOPBACK}:{bdii_port}",
            smtp_host=LOOPBACK,
            smtp_port=port_of(sockets["smtp"]),
            repository_url=repository.url,
        )
        write_configuration(
            self.config, self.sites.values(), addresses, self.folder / "keys" / "id_ed25519", self.folder / "store"
        )
        keep_signing_key(self.folder / "keys", self.config)
        tag_vo = Configuration(self.config).policies.publication.tag_vo
        for site in self.sites.values():
            site.folder.furnish(site.plan, tuple(VOS), f"{LOOPBACK}:{bdii_port}", tag_vo)
        for name, faults in self._faults().items():
            for fault in faults:
                await self.sites[name].break_(Fault(fault))

        for service in (tracker, repository, control, smtp):
            stack.push_async_callback(service.stop)
            await service.start()
        secret = self.folder / TRACKER / TRACKER_SECRET_FILE
        await asyncio.to_thread(take_over, self.folder / "tracker" / "patches", tracker.url, secret)
        sockets["bdii"].close()  # an LDAP server of its own binds it
        with_bdii = await start_information_system(stack, self.folder, self.sites.values(), (*VOS, tag_vo), bdii_port)
        await asyncio.gather(*(site.start() for site in self.sites.values()))
        await asyncio.gather(*(service.start() for service in self.services.values()))
        self.description = {
            "format": 1,
            "pid": os.getpid(),
            "made_with": made_with,
            "config": str(self.config),
            "ssh_key_file": str(self.folder / "keys" / "id_ed25519"),
            "signing_key_file": str(self.folder / "keys" / SECRET_FILE),
            "tracker_connection_file": str(self.folder / TRACKER / TRACKER_SECRET_FILE),
            "repository_folder": str(self.folder / "repository"),
            "mails": str(self.folder / "mails"),
            "services": {
                "tracker": tracker.url,
                "repository": repository.url,
                "control": control.url,
                "smtp": f"smtp://{LOOPBACK}:{addresses.smtp_port}",
                "bdii": addresses.bdii_url if with_bdii else "",
            },
            "ports": {name: site.port for name, site in self.sites.items()}
            | {s: port_of(k) if k.fileno() >= 0 else bdii_port for s, k in sockets.items()},
            "sites": [self._fixed(site) for site in self.sites.values()],
        }
        _write_json(self.folder / GRID_FILE, self.description)

    # --- what the control door leads to ---

    def status(self) -> dict[str, Any]:
        """The description, and each site with its faults, previews and tags."""
        sites = [self._fixed(site) | self._now(site) for site in self.sites.values()]
        return {k: v for k, v in self.description.items() if k != "ports"} | {"sites": sites}

    async def break_site(self, site: str, fault: Fault) -> None:
        """Give a site a fault; it stays over a restart."""
        await self.sites[site].break_(fault)
        self._keep_faults()

    async def repair_site(self, site: str) -> None:
        """Take all faults away from a site."""
        await self.sites[site].repair()
        self._keep_faults()

    async def wipe_site(self, site: str) -> None:
        """Lose the previews of a site, as after a reinstallation."""
        await asyncio.to_thread(self.sites[site].folder.lose_previews)

    async def act_on_service(self, site: str, action: ServiceAction, version: str) -> None:
        """What the people of a site do with their pilot service."""
        await self.services[site].act(action, version)

    # --- the folder's memory ---

    def _before(self) -> dict[str, Any]:
        path = self.folder / GRID_FILE
        if not path.exists():
            return {}
        try:
            before = json.loads(path.read_text())
            if before["format"] != 1:
                raise ValueError("another format")
            return dict(before)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                str(path), "is not from a grid of this version.", "Delete the folder and start again."
            ) from error

    def _faults(self) -> Mapping[str, list[str]]:
        path = self.folder / _FAULTS_FILE
        if path.exists():
            return {k: v for k, v in json.loads(path.read_text()).items() if k in self.sites}
        return {name: [site.plan.starts_with] for name, site in self.sites.items() if site.plan.starts_with}

    def _keep_faults(self) -> None:
        _write_json(self.folder / _FAULTS_FILE, {name: sorted(site.faults) for name, site in self.sites.items()})

    @staticmethod
    def _fixed(site: SandboxSite) -> dict[str, Any]:
        plan = site.plan
        return {
            "name": plan.name,
            "roc": plan.roc,
            "platform": str(plan.platform),
            "address": f"{plan.account}@{site.host}:{site.port}",
            "folder": str(site.folder.root),
            "subcluster": plan.subcluster,
            "canary": plan.canary,
            "accepts_previews": plan.accepts_previews,
        }

    def _now(self, site: SandboxSite) -> dict[str, Any]:
        return {
            "service": self.services[site.plan.name].describe(),
            "listening": site.listening,
            "faults": sorted(site.faults),
            "commands_running": site.commands_running,
            "previews": list(site.folder.previews()),
            "tags": list(site.folder.tags(site.plan)),
        }


def _plans(made_with: Mapping[str, Any]) -> Any:
    try:
        return plan_sites(
            made_with["sites"], made_with["seed"], Platform.parse(made_with["platform"]), healthy=made_with["healthy"]
        )
    except ValueError as error:
        raise ConfigurationError("sandbox", f"{error}.", "Choose another number of sites.") from error


def _only_one(folder: Path) -> IO[str]:
    """Lock the folder until the returned file is closed, or the process ends however it ends."""
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigurationError(
            f"sandbox {folder}", "a grid runs in this folder already.", "See: pps sandbox status."
        ) from error
    return lock


def _write_json(path: Path, value: object) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.replace(path)


async def run(grid: Grid, ready: Callable[[Grid], None]) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP; `ready` is called once, when everything answers."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    starting = asyncio.create_task(grid.start())
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            ready(grid)
            await ending
    finally:
        ending.cancel()
        starting.cancel()
        await asyncio.wait((starting,))
        await grid.stop()


def _say_ready(grid: Grid) -> None:
    # whoever started us may have gone; that is no reason to fail
    with suppress(BrokenPipeError):
        print(f"READY {grid.folder / GRID_FILE}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 with a sentence on standard error when the grid cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m pps.sandbox.grid.grid", description="Run a sandbox grid in the foreground."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sites", type=int, help=f"1 to {MOST_SITES}; {_SITES} in a new folder")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--platform", help=f"of the sites; {_PLATFORM} in a new folder")
    parser.add_argument("--healthy", action="store_true", default=None, help="no site fails or stays out at the start")
    parser.add_argument("--public-url", default="http://localhost:8080", help="where the product's pages will be")
    given = parser.parse_args(arguments)
    grid = Grid(
        given.folder,
        given.sites,
        given.seed,
        platform=given.platform,
        healthy=given.healthy,
        public_url=given.public_url,
    )
    try:
        asyncio.run(run(grid, _say_ready))
    except (RolloutError, OSError) as error:
        print(re.sub(r"\s+", " ", str(error)), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
