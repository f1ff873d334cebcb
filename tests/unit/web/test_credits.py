"""The credits' page, its CSV and its JSON: for those who work here, by what they choose."""

from __future__ import annotations

import csv
import io
import json
from html import unescape
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML
from tests.support.front import MemoryServices, services  # noqa: F401
from tests.unit.cli.people.test_credits import FORMULAS, credited, pps
from tests.unit.web.test_api import airflow_user, ticking
from tests.unit.web.test_pages import BROWSER, Read

from pps.cli.front import Front
from pps.web.app import create_app

KINDS = ("person", "site", "region", "activity", "month", "week")


@pytest.fixture
def user(services: MemoryServices) -> TestClient:
    front = Front(services)
    credited(front, "PIC", "pilot-setup", 12, site="PIC", roc="SouthWest", person="ada")
    credited(front, "CNAF", "release-test", 1, days=1, site="CNAF", roc="Italy")
    credited(front, "PIC", "release-test", 1, days=31, site="PIC", roc="SouthWest", person="bob")
    credited(front, "carol", "pilot-pre-screening", 6, days=40)
    app = create_app(lambda: services, airflow_user, ticking())
    return TestClient(app, headers={"Authorization": "Bearer good", "X-Test-Role": "Regional Manager"})


def sums(user: TestClient, **wanted: str) -> dict[str, int]:
    answer = user.get("/api/v1/credits", params=wanted)
    assert answer.status_code == 200, answer.text
    return {t["key"]: t["credits"] for t in answer.json()["totals"]}


def links(page: str) -> list[str]:
    return [unescape(part.partition('"')[0]) for part in page.split('href="')[1:]]


@pytest.mark.parametrize("path", ["/credits", "/credits.csv", "/api/v1/credits"])
def test_a_stranger_and_somebody_without_a_role_see_nothing(user: TestClient, path: str) -> None:
    assert user.get(path).status_code == 200
    assert user.get(path, headers={"X-Test-Role": ""}).status_code == 403
    assert user.get(path, headers={"Authorization": ""}).status_code == 401


def manages(services: MemoryServices, *regions: str) -> None:
    """Ada is Regional Manager of these."""
    file = services.config.folder / "people.yaml"
    people = yaml.safe_load(file.read_text())
    people["rocs"] = [{"name": roc, "contact": "roc@example.org", "managers": ["ada"]} for roc in regions]
    file.write_text(yaml.safe_dump(people))


def test_a_regional_manager_begins_with_the_own_region_and_sees_the_others_when_asking(
    user: TestClient, services: MemoryServices
) -> None:
    manages(services, "Italy")
    began = user.get("/credits", follow_redirects=False)
    assert (began.status_code, began.headers["location"]) == (303, "credits?region=Italy")
    assert "1 credit (" in Read(user.get("/credits").text).words
    assert "20 credits (" in Read(user.get("/credits?by=activity").text).words, "all regions, as the form asks for them"
    assert sum(sums(user).values()) == 20, "programs get what they ask for"
    part = user.get("/tasks/waiting").text
    assert 'href="./map?roc=Italy"' in part and 'href="./credits?region=Italy"' in part


def test_where_the_file_names_no_managers_everybody_begins_with_all(user: TestClient) -> None:
    assert user.get("/credits", follow_redirects=False).status_code == 200
    assert "Your region" not in user.get("/tasks/waiting").text


def test_a_region_is_seen_with_all_that_its_sites_have_done(user: TestClient) -> None:
    assert sums(user, region="SouthWest", by="person") == {"ada": 12, "bob": 1}
    assert sums(user, region="SouthWest", by="month", until="2026-03-31") == {"2026-03": 12}
    words = Read(user.get("/credits", params={"region": "Italy", "by": "site"}).text).words
    assert "1 credit (0.125 person days) for 1 completed activity." in words
    assert "CNAF 1 0.125 1" in words


@pytest.mark.parametrize("by", KINDS)
def test_each_row_leads_to_the_credits_that_it_adds_up(user: TestClient, by: str) -> None:
    totals = user.get("/api/v1/credits", params={"by": by}).json()["totals"]
    rows = [link for link in links(user.get("/credits", params={"by": by}).text) if "show=list" in link][1:]
    assert len(rows) >= len(totals)  # "Each of them", then one for each row, then those for programs
    for total, link in zip(totals, rows, strict=False):
        wanted = {key: values[0] for key, values in parse_qs(urlsplit(link).query).items()}
        found = user.get("/api/v1/credits", params=wanted).json()
        assert [sum(c["credits"] for c in found["each"]), len(found["each"])] == [total["credits"], total["times"]]
        page = user.get(f"/{link}")
        assert page.status_code == 200
        assert page.text.count("<time ") == total["times"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--by", "week", "--region", "SouthWest"), {"by": "week", "region": "SouthWest"}),
        (("--site", "-", "--list"), {"site": "-", "show": "list"}),
    ],
)
def test_the_command_says_the_same(
    user: TestClient, services: MemoryServices, words: tuple[str, ...], wanted: dict[str, str]
) -> None:
    code, out, _ = pps(Front(services), *words, "--json")
    assert code == 0
    assert json.loads(out) == user.get("/api/v1/credits", params=wanted).json()
    _, out, _ = pps(Front(services), *words, "--csv")
    assert out.splitlines() == user.get("/credits.csv", params=wanted).text.splitlines()
    code, _, err = pps(Front(services), "--site", "NOWHERE")
    assert code == 1
    assert "PIC" in err


def test_the_newest_credit_comes_first_in_the_list_and_sums_are_what_the_command_says(user: TestClient) -> None:
    found = user.get("/api/v1/credits", params={"show": "list"}).json()
    assert all(a["at"] >= b["at"] for a, b in pairwise(found["each"]))
    assert (found["credits"], found["times"], found["effort_ph"]) == (20, 4, 20)
    assert found["each"][0] | {"at": ""} == {
        "at": "",
        "activity": "pilot-pre-screening",
        "site": "",
        "region": "",
        "person": "carol",
        "role": "",
        "rollout": "bc-client-4711-1",
        "credits": 6,
        "effort_ph": 6,
    }


@pytest.mark.parametrize(
    ("field", "typed", "valid"),
    [
        ("by", "weight", "week"),
        ("show", "all", "list"),
        ("site", "NOWHERE", "PIC"),
        ("person", "nobody", "ada"),
        ("activity", "pilot-set-up", "pilot-setup"),
        ("region", "Atlantis", "Italy"),
        ("since", "yesterday", "2026-03-01"),
        ("until", "31.12.2026", "2026-03-01"),
    ],
)
def test_a_wrong_choice_is_422_with_those_that_there_are_and_keeps_what_was_typed(
    user: TestClient, field: str, typed: str, valid: str
) -> None:
    given = {"region": "SouthWest", field: typed}
    for path in ("/api/v1/credits", "/credits.csv"):
        answer = user.get(path, params=given)
        assert answer.status_code == 422
        assert repr(typed) in answer.json()["detail"]
        assert valid in answer.json()["detail"]
    page = user.get("/credits", params=given, headers=BROWSER)
    assert page.status_code == 422
    assert valid in Read(page.text).words
    assert f'value="{typed}"' in page.text or field == "show"
    assert 'value="SouthWest" selected' in page.text or field == "region"


def test_a_period_that_ends_before_it_begins_is_422_and_the_last_day_of_all_is_none(user: TestClient) -> None:
    assert user.get("/credits", params={"since": "2026-03-02", "until": "2026-03-01"}).status_code == 422
    assert sum(sums(user, since="0001-01-01", until="9999-12-31").values()) == 20


@pytest.mark.parametrize("show", ["sums", "list"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_no_spreadsheet_takes_a_cell_for_a_formula(
    user: TestClient, services: MemoryServices, formula: str, show: str
) -> None:
    credited(Front(services), formula, formula, 99, site=formula, roc=formula, person=formula)
    answer = user.get("/credits.csv", params={"by": "person", "show": show})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    cells = [cell for row in csv.reader(io.StringIO(answer.text)) for cell in row]
    assert any(cell.startswith("'") for cell in cells)
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n\uff1d")]


@pytest.mark.parametrize("text", HTML)
def test_what_is_typed_or_was_recorded_is_text_on_the_page(
    user: TestClient, services: MemoryServices, text: str
) -> None:
    credited(Front(services), text, "release-test", 1, site=text, roc=text, person=text)
    for wanted in ({"by": "person"}, {"show": "list"}, {"site": text}, {"since": text}, {"by": text}):
        page = user.get("/credits", params=wanted).text
        assert "<script>" not in page
        assert "<img" not in page
        assert "onerror=" not in page.replace("&#34;", "") or "&lt;" in page
