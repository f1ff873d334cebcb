"""Reports of pilots and results of deployment tests are public, logs are for users; nothing else of the folder is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML, NAMES
from tests.support.desks import at_desk
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, services  # noqa: F401
from tests.support.pilot_runs import GOLD, INCIDENT, APilot
from tests.unit.web.test_late_answers import airflow_user, shared_store

from pps.activities.pilots import report as pilot_report
from pps.activities.quality import deployment_tests
from pps.adapters.packages.folders import PublishedFolder
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath as Way
from pps.web.app import create_app

PILOT, TEST = "/pilots/major-pilot-4711-1", "/deployment-tests/pre-deployment-4711-1"
USER = {"Authorization": "Bearer ana"}


@pytest.fixture
def pilot(tmp_path: Path, services: MemoryServices) -> Any:
    store = shared_store(tmp_path)
    made = APilot(store=store).set_up()
    services.__dict__["facts"] = store
    yield made
    store.dispose()


@pytest.fixture
def folder(services: MemoryServices) -> Path:
    return Path(services.publication_folder.root)


@pytest.fixture
def web(services: MemoryServices, pilot: APilot) -> TestClient:
    return TestClient(create_app(lambda: services, airflow_user, lambda: NOW), base_url="https://pps.example.org")


def reported(pilot: APilot, folder: Path, **said: str) -> None:
    """PIC's report, as its form writes it."""
    pilot.fact(FactKind.RUN_ENDED, outcome="expired", reason="")
    due = NOW.isoformat()
    pilot.fact(FactKind.QUESTION_ASKED, "PIC", pilot_report.STEP, due=due, to="", title="", assigned_to=["user:ana"])
    answer = {"step": pilot_report.STEP, "choice": "Report", "form": said, "user": "ana"}
    pilot.fact(FactKind.ANSWER_GIVEN, "PIC", f"{pilot_report.STEP}/1", **answer)
    pilot_report.write_report(
        at_desk(pilot.record, pilot.store, templates=templates(), patch=pilot.patch, now=NOW, actor="pps"),
        GOLD["PIC"],
        PublishedFolder(folder),
        incident_after=INCIDENT,
    )


def tested(pilot: APilot, folder: Path, text: str = "It installs.", *, ended: bool = True) -> None:
    """A deployment test with one log."""
    name, store = "pre-deployment-4711-1", pilot.store
    opened = {"path": Way.PRE_DEPLOYMENT.value, "patch": 4711, "metapackage": "glite-WMS", "version": "3.1.23"}
    store.open(Way.PRE_DEPLOYMENT, 4711, Fact(name, FactKind.ROLLOUT_OPENED, "", "", NOW, "pps", opened), "t/1")
    log = deployment_tests.log_name(name, "wms-install")
    (folder / log).parent.mkdir(parents=True)
    (folder / log).write_text(text)
    (folder / log).with_name("results.json").write_text(json.dumps({"version": 1}))
    said = {"result": "pass", "log": log, "reason": "", "platform": "debian12-amd64", "by": "automatic"}
    store.record(Fact(name, FactKind.SCENARIO_ENDED, "wms-install", "", NOW, "pps", said))
    if ended:
        store.close(Fact(name, FactKind.ROLLOUT_CLOSED, "", "", NOW, "pps", {"outcome": "pass"}))


# --- reports


def test_anybody_reads_a_report_at_the_address_that_our_mails_name(
    web: TestClient, pilot: APilot, folder: Path
) -> None:
    from pps.activities.pilots.wrap_up import report_links, results

    assert web.get(f"{PILOT}/PIC.html").status_code == 404
    reported(pilot, folder, resources="2 GB of memory.", stability="No restart.")
    links = report_links(results(pilot.record, NOW), "https://pps.example.org")
    assert links == {"PIC": f"https://pps.example.org/pps{PILOT}/PIC.html"}
    page = web.get(links["PIC"].replace("/pps/", "/", 1))  # Airflow mounts the application below /pps
    assert page.status_code == 200
    assert "2 GB of memory." in page.text
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    text = web.get(f"{PILOT}/PIC.txt")
    assert text.headers["content-type"].startswith("text/plain")
    assert text.headers["x-content-type-options"] == "nosniff"


def test_a_report_shows_no_user_no_mail_address_and_no_login(web: TestClient, pilot: APilot, folder: Path) -> None:
    pilot.fact(FactKind.JOURNAL_ENTRY, "PIC", "1", text="Ask bruno@cnaf.example.org.", user="ana", to=[])
    reported(pilot, folder, resources="See https://ana:geheim@wiki.example.org/x", stability="eve@example.org knows.")
    for kind in ("html", "txt"):
        said = web.get(f"{PILOT}/PIC.{kind}").text
        assert "https://wiki.example.org/x" in said
        assert "b***@cnaf.example.org" in said
        for secret in ("geheim", "bruno@", "eve@", "ana"):
            assert secret not in said


@pytest.mark.parametrize("text", HTML)
def test_what_people_write_into_a_report_stays_text(web: TestClient, pilot: APilot, folder: Path, text: str) -> None:
    reported(pilot, folder, resources=text, stability="x")
    page = web.get(f"{PILOT}/PIC.html")
    assert page.status_code == 200
    assert "<script>" not in page.text.partition("</style>")[2]
    assert "script-src" not in page.headers["content-security-policy"]


# --- logs and results


def test_logs_are_for_users_and_results_for_anybody(web: TestClient, pilot: APilot, folder: Path) -> None:
    tested(pilot, folder)
    assert web.get(f"{TEST}/wms-install.txt").status_code == 401
    assert web.get(f"{TEST}/wms-install.txt", headers=USER).text == "It installs."
    assert web.get(f"{TEST}/results.json").json() == {"version": 1}


def test_results_of_a_test_that_goes_on_are_not_there(web: TestClient, pilot: APilot, folder: Path) -> None:
    tested(pilot, folder, ended=False)
    assert web.get(f"{TEST}/results.json").status_code == 404
    assert web.get("/deployment-tests/major-pilot-4711-1/results.json").status_code == 404


@pytest.mark.parametrize("text", HTML)
def test_a_log_is_text_whatever_it_says(web: TestClient, pilot: APilot, folder: Path, text: str) -> None:
    tested(pilot, folder, text)
    log = web.get(f"{TEST}/wms-install.txt", headers=USER)
    assert log.text == text
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert log.headers["x-content-type-options"] == "nosniff"
    assert log.headers["content-security-policy"].startswith("default-src 'none'")


# --- hostile names


@pytest.mark.parametrize(
    "file",
    [
        *NAMES,
        "../../bulletin.json",
        "..%2F..%2Fbulletin.json",
        "../../deployment-tests/pre-deployment-4711-1/wms-install.txt",
        "INFN-T1.html",
        "PIC.HTML",
        "PIC.html%00",
        "notes.html",
    ],
    ids=lambda n: repr(n[:30]),
)
def test_no_name_reaches_another_file_of_the_folder(web: TestClient, pilot: APilot, folder: Path, file: str) -> None:
    reported(pilot, folder, resources="x", stability="x")
    tested(pilot, folder)
    secret = "not to be read"
    for place in ("bulletin.json", "pilots/major-pilot-4711-1/notes.html", "deployment-tests/secret.txt"):
        (folder / place).write_text(secret)
    for base in (PILOT, TEST, "/pilots", "/deployment-tests", "/release-notes"):
        for name in {quote(file, safe=""), quote(file, safe="%")}:
            answer = web.get(f"{base}/{name}", headers=USER)
            # a client that takes `..` away itself asks for the first page
            assert answer.status_code == (200 if answer.url.path == "/" else 404), (base, name)
            assert secret not in answer.text


@pytest.mark.parametrize("target", ["/etc/hostname", "../../bulletin.json", "../../deployment-tests/secret.txt"])
def test_a_link_in_the_place_of_a_document_is_not_followed(
    web: TestClient, pilot: APilot, folder: Path, target: str
) -> None:
    reported(pilot, folder, resources="x", stability="x")
    tested(pilot, folder)
    (folder / "bulletin.json").write_text("{}")
    (folder / "deployment-tests/secret.txt").write_text("not to be read")
    for base, file in ((PILOT, "PIC.html"), (TEST, "wms-install.txt"), (TEST, "results.json")):
        place = folder / base[1:] / file
        place.unlink()
        place.symlink_to(target)
        assert web.get(f"{base}/{file}", headers=USER).status_code == 404
        place.unlink()
        place.mkdir()
        assert web.get(f"{base}/{file}", headers=USER).status_code == 404


def test_a_folder_in_the_place_of_a_folder_is_no_way_out(
    web: TestClient, pilot: APilot, folder: Path, tmp_path: Path
) -> None:
    reported(pilot, folder, resources="x", stability="x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/PIC.html").write_text("not to be read")
    (folder / "pilots/major-pilot-4711-1").rename(tmp_path / "away")
    (folder / "pilots/major-pilot-4711-1").symlink_to(tmp_path / "elsewhere")
    assert web.get(f"{PILOT}/PIC.html").status_code == 404
