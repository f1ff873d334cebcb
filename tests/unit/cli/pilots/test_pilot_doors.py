"""`pps pilot`: what is decided on a pilot, from the command line through the web's door into the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.examples import templates
from tests.support.front import MemoryAirflow, MemoryTracker, front, services  # noqa: F401
from tests.support.pilots import DAY, MAJOR, APilot
from tests.support.withdrawals import Postbox
from tests.unit.cli.test_commands import as_json, one_line, pps
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store
from tests.unit.web.test_pilot_doors import called, invitations, sequence

from pps.cli.front import Front
from pps.domain.packages.patch import PatchState
from pps.web.app import create_app

CARLA = "carla:PPS Coordinator"


@dataclass
class Through(MemoryAirflow):
    """Airflow's api-server, as far as it hands requests on to our application below /pps."""

    web: TestClient | None = None
    who: str = CARLA

    def request(self, method: str, path: str, **arguments: Any) -> Any:  # type: ignore[override]
        assert self.web is not None
        assert path.startswith("pps/")
        headers = {**arguments.pop("headers", {}), **self._headers()}
        answer = self.web.request(method, path.removeprefix("pps"), headers=headers, **arguments)
        answer.ok = answer.is_success  # type: ignore[attr-defined]
        return answer

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.who}"}


@pytest.fixture
def pilot(tmp_path: Path) -> Any:
    store = shared_store(tmp_path)
    yield APilot(MAJOR, store, vo="cms").accepted().ranked()
    store.dispose()


@pytest.fixture
def airflow(front: Front, pilot: APilot) -> Through:
    uncertified = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    given = {"facts": pilot.store, "tracker": MemoryTracker(uncertified), "templates": templates(), "mailer": Postbox()}
    front.services.__dict__.update(given)
    front.now = lambda: pilot.at
    app = create_app(lambda: front.services, airflow_user, Clock(pilot.at + timedelta(hours=1)))
    made = Through(web=TestClient(app, base_url="https://pps.example.org"))
    front.__dict__["airflow"] = made
    return made


def test_a_vo_takes_part_and_the_coordinator_sees_it(front: Front, pilot: APilot, airflow: Through) -> None:
    airflow.who = "ada:VO Representative"
    words = ("pilot", "interest", pilot.name, "atlas", "--text", "Bulk submission.")
    assert "atlas wants to take part" in pps(front, *words)[1]
    assert as_json(front, *words)["new"] is False
    assert "Bulk submission." in pps(front, "pilot", "show", pilot.name)[1]
    airflow.who = "eve:Site Administrator"
    code, _, err = pps(front, "pilot", "interest", pilot.name, "cms", "--text", "We as well.")
    assert (code, "may speak for cms" in one_line(err)) == (1, True)


def test_a_meeting_moves_and_the_new_date_is_shown(front: Front, pilot: APilot, airflow: Through) -> None:
    called(pilot)
    to = (pilot.at + 3 * DAY).isoformat()
    words = ("pilot", "move-meeting", pilot.name, "kick-off", "--to", to, "--reason", "The developers are away.")
    assert "moves to 2025-12-04 09:30 UTC" in one_line(pps(front, *words)[1])
    assert "was at that time already" in one_line(pps(front, *words)[1])
    assert [sequence(calendar) for calendar in invitations(pilot)["cms@example.org"]] == [0, 1]
    assert "2025-12-04 09:30 UTC (moved)" in one_line(pps(front, "pilot", "show", pilot.name)[1])
    code, _, err = pps(front, "pilot", "move-meeting", pilot.name, "kick-off", "--to", "2025-11-01T09:00Z")
    assert (code, "has passed already" in one_line(err)) == (1, True)


def test_software_is_justified_by_those_who_may(front: Front, pilot: APilot, airflow: Through) -> None:
    why = "The fix cannot wait for certification."
    airflow.who = "ana:Site Administrator"
    code, _, err = pps(front, "pilot", "justify", pilot.name, "--reason", why)
    assert (code, "may decide on it" in one_line(err)) == (1, True)
    airflow.who = "erika:EMT"
    assert f"is on record: {why}" in one_line(pps(front, "pilot", "justify", pilot.name, "--reason", why)[1])
    assert f"not certified {why}" in one_line(pps(front, "pilot", "show", pilot.name)[1])
