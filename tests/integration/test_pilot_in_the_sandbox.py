"""A whole pilot at a site of the sandbox: a real service, a real information system, real probes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.desks import at_desk
from tests.support.examples import NOW, PLATFORM, templates
from tests.support.pilot_runs import ANA, SUPPORT, APilot, gold

from pps.activities.pilots import roll_back as pilot_roll_back
from pps.activities.pilots import set_up as pilot_setup
from pps.adapters.services.bdii import Bdii
from pps.adapters.services.service_probe import NetworkProbes
from pps.domain.pilots import looks as pilot_looks
from pps.domain.pilots.pilot import Pilot
from pps.domain.sites.site import SshEndpoint
from pps.sandbox.grid import ldap_servers
from pps.sandbox.grid.information_system import PublishedSite, SandboxInformationSystem
from pps.sandbox.grid.landscape import SitePlan
from pps.sandbox.grid.pilot_service import PilotService, ServiceAction
from pps.sandbox.grid.site_folder import SiteFolder

PLAN = SitePlan("PIC", "SouthWest", PLATFORM, "ppsadm", "pic.example.org", "UTC")
SITE = replace(gold("PIC"), ssh=SshEndpoint("127.0.0.1", 22, "ppsadm", "ssh-ed25519 AAAA"))
PROBES = NetworkProbes(total_s=5)


@pytest.fixture(params=[pytest.param("slapd", marks=pytest.mark.needs("slapd")), "ldaptor"])
def bdii(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bdii]:
    if request.param == "ldaptor":
        monkeypatch.setattr(ldap_servers, "_schemas", lambda: None)
    folder = SiteFolder(tmp_path / "PIC")
    (tmp_path / "PIC/opt").mkdir(parents=True)
    published = PublishedSite("PIC", PLAN.subcluster, folder.tag_dir, PLATFORM, services_file=folder.services_file)
    with SandboxInformationSystem(tmp_path / "is", [published], ["ops"]) as running:
        yield Bdii(running.url)


@contextmanager
def a_site(folder: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Its people act on its service, which runs in a loop of its own, as in the grid."""
    with asyncio.Runner() as runner, _Thread(runner) as run:
        service = PilotService(PLAN, SiteFolder(folder / "PIC"))
        run(service.start())

        def act(action: ServiceAction, version: str = "") -> dict[str, Any]:
            run(service.act(action, version))
            return service.describe()

        yield act
        run(service.stop())


class _Thread:
    """Runs an event loop beside the test."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._loop = runner.get_loop()

    def __enter__(self) -> Callable[[Awaitable[Any]], Any]:
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return lambda work: asyncio.run_coroutine_threadsafe(work, self._loop).result(20)  # type: ignore[arg-type]

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def eventually(reasons: Callable[[], tuple[str, ...]], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while found := reasons():
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.sd("4.1.3", step=7)
def test_a_pilot_is_set_up_crashes_recovers_and_is_rolled_back(bdii: Bdii, tmp_path: Path) -> None:
    with a_site(tmp_path) as act:
        before = act(ServiceAction.START, "3.1.22")
        pilot = APilot(sites=("PIC",)).says("PIC", endpoint=before["endpoint"], version="3.1.23", previous="3.1.22")

        def verify() -> tuple[str, ...]:
            return pilot_setup.verify_set_up(
                at_desk(pilot.record, pilot.store, patch=pilot.patch, now=NOW, actor="pps"), PROBES, bdii, SITE
            )

        assert "answers with version 3.1.22; the pilot's is 3.1.23" in verify()[0]
        act(ServiceAction.UPGRADE, "3.1.23")
        eventually(verify)

        pilot.services = PROBES
        pilot.look(3)
        act(ServiceAction.STOP)
        pilot.look(4)
        act(ServiceAction.START)
        pilot.look(5)
        states = [f.payload["state"] for f in pilot_looks.changes(pilot.record, "PIC")]
        assert states == ["CRITICAL", "OK"]

        pilot_roll_back.ask_roll_back(
            at_desk(pilot.record, pilot.store, templates=templates(), now=NOW),
            SITE,
            "It loses jobs now and then.",
            "ana",
            ANA,
            SUPPORT,
        )

        def rolled_back() -> tuple[str, ...]:
            return pilot_roll_back.verify_roll_back(
                at_desk(pilot.record, pilot.store, now=NOW, actor="pps"), PROBES, bdii, SITE
            )

        assert len(rolled_back()) == 2
        assert act(ServiceAction.ROLL_BACK)["version"] == "3.1.22"
        eventually(rolled_back)
        assert pilot.look(6)
        ended = Pilot(pilot.record).run_ended
        assert ended is not None and ended.payload["outcome"] == "rolled back"


def test_a_service_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    with a_site(tmp_path) as act:
        first = act(ServiceAction.UPGRADE, "3.1.23")
    with a_site(tmp_path) as act:
        again = act(ServiceAction.UPGRADE, "3.1.23")
        assert again == first
        assert (again["previous"], again["running"], again["published"]) == ("3.1.22", True, True)
        gone = act(ServiceAction.WITHDRAW)
        assert (gone["running"], gone["published"]) == (False, False)
        act(ServiceAction.ROLL_BACK)
        for action, version, why in (
            (ServiceAction.ROLL_BACK, "", "no earlier version"),
            (ServiceAction.UPGRADE, "", "to which version"),
            (ServiceAction.UPGRADE, "x;y", "is no version"),
        ):
            with pytest.raises(ValueError, match=why):
                act(action, version)
