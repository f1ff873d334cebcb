"""Where a vulnerability still is, for the Security Officer and those who decide: what is unknown is not safe."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.support.described import as_described
from tests.support.desks import at_office
from tests.support.examples import NOW, PATCH, previewed
from tests.support.front import Front, MemoryServices, services, site, write_config  # noqa: F401
from tests.unit.web.test_late_answers import airflow_user, as_user, shared_store
from typer.testing import CliRunner

from pps.activities.packages.advice import note_advice
from pps.cli.main import app as cli
from pps.domain.packages.advice import Risk, Vulnerability
from pps.domain.quality.exposure import is_fixed
from pps.domain.record.facts import Fact, FactKind
from pps.web.app import create_app

CVE = "CVE-2026-12345"
OLD = PATCH
FIXING = replace(PATCH, number=4799, version="3.1.24", cves=(Vulnerability(CVE, Risk.CRITICAL),))
OFFICER = "sec:Security Officer"


class World:
    """3.1.23 is a preview at PIC, INFN-T1 and IFIC-LCG2; 3.1.24, which has the fix, at PIC alone."""

    def __init__(self, services: MemoryServices, folder: Path) -> None:
        self.services, self.now = services, NOW + timedelta(days=10)
        self.store = shared_store(folder)
        names = ("PIC", "INFN-T1", "IFIC-LCG2", "SARA")
        services.__dict__["config"] = write_config(folder / "c", [site(name) for name in names])
        services.__dict__["facts"] = self.store
        previewed(self.store, OLD)
        note_advice(at_office(self.store), FIXING)
        name = previewed(self.store, FIXING, at=NOW + timedelta(days=1), run="bc_client_update/second").name
        for gone in ("INFN-T1", "IFIC-LCG2"):
            away = Fact(name, FactKind.PREVIEW_REMOVED, gone, "x", NOW + timedelta(days=2), "pps", {"reason": "x"})
            self.store.record(away)
        self.fixing = name
        self.web = TestClient(
            create_app(lambda: services, airflow_user, lambda: self.now), base_url="https://pps.example.org"
        )

    def released(self, at: datetime) -> None:
        self.store.record(Fact(self.fixing, FactKind.RELEASED_TO_PRODUCTION, "", "", at, "pps", {"packages": []}))

    def rows(self) -> list[tuple[str, str, str, bool]]:
        answer = self.web.get(f"/api/v1/exposure/{CVE}", headers=as_user(OFFICER))
        assert answer.status_code == 200, answer.text
        as_described(self.web, answer)
        return [(r["site"], r["standing"], r["version"], r["overdue"]) for r in answer.json()["sites"]]


@pytest.fixture
def world(services: MemoryServices, tmp_path: Path) -> Iterator[World]:
    made = World(services, tmp_path)
    yield made
    made.store.dispose()


def test_sites_that_have_it_come_first_and_the_others_are_unknown_and_not_safe(world: World) -> None:
    assert world.rows() == [
        ("IFIC-LCG2", "has it", "3.1.23", False),
        ("INFN-T1", "has it", "3.1.23", False),
        ("PIC", "has it", "3.1.23", False),  # beside the fixed one
        ("IFIC-LCG2", "unknown", "", False),
        ("INFN-T1", "unknown", "", False),
        ("PIC", "unknown", "", False),
        ("SARA", "unknown", "", False),
    ]
    said = world.web.get(f"/exposure/{CVE}", headers=as_user(OFFICER)).text
    assert "“Unknown” is not safe" in said and "no deadline runs" in said
    assert "The fix is there as a preview (bc-client-4799-1), beside production." in said


def test_the_deadline_runs_from_the_release_and_only_what_is_known_to_be_there_is_overdue(world: World) -> None:
    world.released(NOW + timedelta(days=2))
    world.now = NOW + timedelta(days=9)  # to the second, seven days
    assert not any(overdue for *_, overdue in world.rows())
    world.now += timedelta(seconds=1)
    assert [row for row in world.rows() if row[3]] == [
        ("IFIC-LCG2", "has it", "3.1.23", True),
        ("INFN-T1", "has it", "3.1.23", True),
        ("PIC", "has it", "3.1.23", True),
    ]
    assert world.rows()[0][3] and "3 overdue" in world.web.get(f"/exposure/{CVE}", headers=as_user(OFFICER)).text


def test_a_service_that_went_back_from_the_fix_has_it_again(world: World) -> None:
    for kind, days in ((FactKind.SERVICE_SET_UP, 3), (FactKind.SERVICE_ROLLED_BACK, 4)):
        said = Fact(world.fixing, kind, "SARA", "1", NOW + timedelta(days=days), "pps", {"version": "x"})
        world.store.record(said)
        wanted = "has the fix" if kind is FactKind.SERVICE_SET_UP else "has it"
        assert [state for name, state, *_ in world.rows() if name == "SARA"] == [wanted]


@pytest.mark.parametrize(
    ("version", "fixes", "has_it"),
    [
        ("3.1.24", ["3.1.24"], True),
        ("3.1.30", ["3.1.24"], True),
        ("3.1.3", ["3.1.24"], False),  # by number, not by letter
        ("4.0.1", ["3.1.24", "4.0.2"], False),  # newer than the one, and before the fix of its own branch
        ("3.1.25", ["3.1.24", "4.0.2"], True),
        ("3.2.0", ["3.1.24", "4.0.2"], False),  # of another branch: nobody knows
        ("5", ["3.1.24", "4.0.2"], True),
    ],
)
def test_a_version_has_the_fix_only_if_that_is_known(version: str, fixes: list[str], *, has_it: bool) -> None:
    assert is_fixed(version, fixes) is has_it


@pytest.mark.parametrize(
    "who", ["ana:Site Administrator", "vic:Viewer", "vera:VO Representative", "op:Op", "pat:Software Provider"]
)
def test_nobody_else_sees_it(world: World, who: str) -> None:
    for place in (f"/exposure/{CVE}", f"/exposure/{CVE}/sites.csv", f"/api/v1/exposure/{CVE}"):
        answer = world.web.get(place, headers={**as_user(who), "Accept": "text/html"})
        assert answer.status_code == 403 and "Security Officer" in answer.text and "IFIC" not in answer.text
    assert world.web.get(f"/exposure/{CVE}").status_code == 401


def test_an_unknown_cve_says_what_to_do_and_a_wrong_id_comes_back(world: World) -> None:
    for place in ("/exposure/", "/api/v1/exposure/"):
        unknown = world.web.get(f"{place}CVE-2020-9999", headers=as_user(OFFICER))
        assert unknown.status_code == 404 and "Name it in the field" in unknown.text
        for wrong in ("cve-2026-12345", "CVE-2026-1", "4711", "<script>"):
            answer = world.web.get(f"{place}{wrong}", headers=as_user(OFFICER))
            assert answer.status_code == 422 and "is no CVE id such as CVE-2026-12345" in answer.text
            assert "<script>" not in answer.text or "json" in answer.headers["content-type"]


def test_spreadsheets_get_a_row_for_each_of_programs(world: World) -> None:
    sent = world.web.get(f"/exposure/{CVE}/sites.csv", headers=as_user(OFFICER))
    header, *rows = csv.reader(io.StringIO(sent.text))
    assert sent.headers["content-type"].startswith("text/csv") and header[:3] == ["site", "region", "platform"]
    sites = world.web.get(f"/api/v1/exposure/{CVE}", headers=as_user(OFFICER)).json()["sites"]
    assert [(row[0], row[4]) for row in rows] == [(it["site"], it["standing"]) for it in sites] and rows


def test_the_command_says_the_same_for_people_programs_and_spreadsheets(world: World) -> None:
    def said(*arguments: str) -> str:
        here = Front(world.services, now=lambda: world.now, pause=lambda _: None)
        result = CliRunner().invoke(cli, ["exposure", *arguments], obj=here)
        return result.output + (str(result.exception) if result.exception else "")

    assert "IFIC-LCG2" in said(CVE) and "unknown" in said(CVE)
    assert '"standing": "has it"' in said(CVE, "--json") and said(CVE, "--csv").startswith("site,region")
    assert "No patch on record closes it" in said("CVE-2020-9999")
    assert "'CVE-1' is no CVE id" in said("CVE-1")
