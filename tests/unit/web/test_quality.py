"""How products do: for their providers' people and the release management; planned, checked, and acted on by rule."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support.bad_input import HTML
from tests.support.described import as_described
from tests.support.examples import NOW
from tests.support.quality import DAY, MANAGER, OTHER, PROVIDER, AQuality, release, submit
from tests.support.quality_by_hand import reckoned, rows_of
from tests.unit.cli.people.test_credits import FORMULAS
from tests.unit.web.test_pages import Read

from pps.domain.record.facts import FactKind

WN = "/api/v1/quality/glite-WN"
WHY = "As agreed with the release management."
PAGES = ("", "/releases/4703", "/releases.csv")


@pytest.fixture
def world(tmp_path: Path) -> AQuality:
    return AQuality.of(tmp_path)


def target(client: TestClient, measure: str, number: float | None, product: str = "glite-WN") -> int:
    body = {"measure": measure, "target": number, "reason": WHY}
    return client.post(f"/api/v1/quality/{product}/targets", json=body).status_code


def product(client: TestClient, name: str = "glite-WN", **period: str) -> dict[str, Any]:
    answer = as_described(client, client.get(f"/api/v1/quality/{name}", params=period))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def measure(found: dict[str, Any], key: str) -> dict[str, Any]:
    return next(m for m in found["measures"] if m["key"] == key)


# --- who sees what ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_product_is_seen_by_its_providers_people_and_those_in_charge_alone(world: AQuality, page: str) -> None:
    for place in (
        f"/quality/glite-WN{page}",
        f"/api/v1/quality/glite-WN{page.removesuffix('.csv')}".removesuffix("/releases"),
    ):
        for allowed in (MANAGER, PROVIDER, "carl:PPS Coordinator", "eve:EMT"):
            assert world.who(allowed).get(place).status_code == 200, (allowed, place)
        for other in (OTHER, "root:Admin", "ana:Site Administrator", "vera:VO Representative"):
            refused = world.who(other).get(place)
            assert refused.status_code == 403, (other, place)
            assert "people.yaml" in refused.json()["detail"]
        assert world.who().get(place).status_code == 401
        assert world.who("gina:none").get(place).status_code == 403


def test_the_list_has_no_word_of_others_products(world: AQuality) -> None:
    mine = world.who(PROVIDER).get("/api/v1/quality").json()
    assert [p["product"] for p in mine["products"]] == ["CREAM-CE", "glite-WN"]
    assert [p["provider"] for p in mine["providers"]] == ["globus"]
    assert "glite-SE_dpm" not in world.who(PROVIDER).get("/quality").text
    assert "glite-WN" not in world.who(OTHER).get("/quality").text
    everything = as_described(world.who(MANAGER), world.who(MANAGER).get("/api/v1/quality")).json()
    assert [p["product"] for p in everything["products"]] == ["CREAM-CE", "glite-CREAM", "glite-SE_dpm", "glite-WN"]
    assert world.who("ana:Site Administrator").get("/api/v1/quality").json()["products"] == []


def test_whoever_may_not_see_a_product_does_not_learn_whether_there_is_one(world: AQuality) -> None:
    assert world.who(OTHER).get("/quality/glite-WN").status_code == 403
    assert world.who(OTHER).get("/quality/no-such").status_code == 403
    assert world.who(MANAGER).get("/quality/no-such").status_code == 404
    for place in (
        "/quality/glite-WN/releases/4790",
        "/quality/glite-WN/reviews/1",
        "/quality/a b",
        "/quality/glite-WN/releases/0",
    ):
        assert world.who(MANAGER).get(place).status_code == 404, place


@pytest.mark.parametrize("who", [OTHER, "eve:EMT", "root:Admin", "ana:Site Administrator"])
def test_others_can_neither_plan_nor_act_and_nothing_is_put_on_record(world: AQuality, who: str) -> None:
    manager, other = world.who(MANAGER), world.who(who)
    action = {"text": "Test large files first.", "owner": "gina", "due": "2025-12-24"}
    assert manager.post(f"{WN}/actions", json=action).status_code == 201
    for place, body in (
        ("targets", {"measure": "regressions", "target": 0, "reason": WHY}),
        ("actions", {"text": "Test large files again.", "owner": "gina", "due": "2025-12-24"}),
        ("actions/1", {"done": True, "text": "I say that it was done."}),
        ("reviews", {"text": "All is very well."}),
    ):
        assert other.post(f"{WN}/{place}", json=body).status_code in (403, 422), place
    for form in ({"do": "review", "text": "All is very well."}, {"do": "done", "number": "1", "text": "It was done."}):
        assert other.post("/quality/glite-WN", data=form).status_code in (403, 422)
    found = product(manager)
    assert (found["targets"], found["reviews"], [a["state"] for a in found["actions"]]) == ([], [], ["open"])


def test_the_record_is_in_no_list_of_rollouts_and_has_no_public_page(world: AQuality) -> None:
    target(world.who(PROVIDER), "regressions", 0)
    for place in (
        "/api/v1/rollouts/quality",
        "/feedback/quality",
        "/rollouts/quality",
        "/api/v1/rollouts/quality/facts",
    ):
        assert world.who(MANAGER).get(place).status_code == 404, place
    assert "quality" not in [r["rollout"] for r in world.who(MANAGER).get("/api/v1/rollouts").json()["rollouts"]]
    assert "gina" not in world.who().get("/bulletin.json").text
    refused = world.who(MANAGER, Origin="https://evil.example.com").post(f"{WN}/reviews", json={"text": "All is well."})
    assert refused.status_code == 403


# --- check --------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_facts_and_lead_to_them(world: AQuality, tmp_path: Path) -> None:
    by_hand = reckoned(rows_of(str(tmp_path / "facts.db")))
    found = product(world.who(PROVIDER))
    assert [r["patch"] for r in found["releases"]] == [4704, 4703, 4702, 4701]
    for r in found["releases"]:
        for key, value in r["values"].items():
            state, number, part, whole = by_hand[r["patch"]][key]
            assert (value["state"], value["part"], value["whole"]) == (state, part, whole), (r["patch"], key)
            assert number is None or value["number"] == round(number, 4)
            one = as_described(world.who(PROVIDER), world.who(PROVIDER).get(f"{WN}/releases/{r['patch']}")).json()
            counted = one["values"][key]["counted"]
            assert part is None or len(counted) == part
            facts = world.store.rollout(counted[0]["rollout"]).facts if counted else ()
            assert not counted or any(
                (f.kind, f.at.isoformat()) == (counted[0]["kind"], counted[0]["at"]) for f in facts
            )
    worse = {
        r["patch"]: (r["values"]["regressions"]["part"], r["values"]["regressions"]["whole"]) for r in found["releases"]
    }
    assert worse == {4701: (None, None), 4702: (1, 4), 4703: (0, 4), 4704: (1, 4)}
    page = Read(world.who(PROVIDER).get("/quality/glite-WN/releases/4702").text)
    assert "Withdrawn previews: 1 of 1" in page.words
    assert "rollouts/bc-client-4702-1" in world.who(PROVIDER).get("/quality/glite-WN/releases/4702").text


def test_what_goes_on_waits_and_what_nobody_knows_is_no_zero(world: AQuality) -> None:
    world.now = NOW - 3 * DAY  # targets before the newest release
    for key, number in (("feedback-rate", 60), ("regressions", 0), ("scenarios-passed", 100), ("time-to-preview", 1)):
        assert target(world.who(PROVIDER), key, number) == 201
    world.now = NOW
    newest = product(world.who(PROVIDER))["releases"][0]["values"]
    shown = {key: (newest[key]["number"], newest[key]["verdict"], newest[key]["words"]) for key in newest}
    assert shown["feedback-rate"] == (None, "waiting", "so far 0 of 2")
    assert shown["regressions"] == (None, "waiting", "so far 1 of 4")
    assert shown["scenarios-passed"] == (None, "not measured", "not measured")
    assert shown["time-to-preview"][1:] == ("met", "1 hour")
    assert (newest["bugs-reopened"]["state"], newest["waived-findings"]["state"]) == ("not measured", "not measured")
    assert "no bugs of whose state the tracker has told" in newest["bugs-reopened"]["why"]
    assert (shown["withdrawn-previews"][0], shown["withdrawn-previews"][1]) == (None, "no target then")


def test_a_release_is_judged_by_the_target_that_stood_when_it_began(world: AQuality) -> None:
    client = world.who(PROVIDER)
    for at, number in ((NOW - 70 * DAY, 40.0), (NOW - 50 * DAY, 100.0), (NOW - DAY, None)):
        world.now = at
        assert target(client, "sites-reached", number) == 201
    world.now = NOW
    found = product(client)
    verdicts = {r["patch"]: r["values"]["sites-reached"]["verdict"] for r in found["releases"]}
    assert verdicts == {4701: "no target then", 4702: "met", 4703: "met", 4704: "waiting"}
    reached = measure(found, "sites-reached")
    assert (reached["met"], reached["missed"], reached["target"]) == (2, 0, None)
    assert [t["target"] for t in found["targets"]] == [None, 100.0, 40.0]
    assert found["targets"][-1] | {"at": ""} == {
        "number": 1,
        "at": "",
        "measure": "sites-reached",
        "target": 40.0,
        "reason": WHY,
        "user": "gina",
        "role": "provider globus",
    }


def test_the_page_of_a_release_says_with_what_its_times_begin(world: AQuality) -> None:
    place = "/quality/glite-WN/releases/4702"
    assert ", with the first record about it ·" in world.who(PROVIDER).get(place).text
    submit(world.store, [], [4702], [(4702, NOW - 100 * DAY, True)])
    assert ", with its provider&#39;s first submission ·" in world.who(PROVIDER).get(place).text
    said = world.who(PROVIDER).get(f"/api/v1{place}").json()
    assert said["begun_with"] == "its provider's first submission"


def test_a_period_has_the_releases_that_began_in_it(world: AQuality) -> None:
    day = (NOW - 60 * DAY).date().isoformat()
    assert [r["patch"] for r in product(world.who(PROVIDER), since=day, until=day)["releases"]] == [4702]
    by_period = world.who(MANAGER).get("/api/v1/quality", params={"since": day, "provider": "globus"}).json()
    assert [(p["product"], p["releases"]) for p in by_period["products"]] == [("CREAM-CE", 1), ("glite-WN", 3)]
    (globus,) = by_period["providers"]
    assert (globus["releases"], globus["together"]["sites-reached"]["part"]) == (4, 8)
    for wrong in ({"since": "yesterday"}, {"since": "2025-12-02", "until": "2025-12-01"}):
        assert world.who(MANAGER).get(WN, params=wrong).status_code == 422
        page = world.who(MANAGER).get("/quality/glite-WN", params=wrong)
        assert page.status_code == 422
        assert 'role="alert"' in page.text
        assert f'value="{wrong["since"]}"' in page.text


def test_the_trend_is_the_last_ten_releases_and_the_table_beside_it_says_the_same(world: AQuality) -> None:
    for number in range(12):
        release(world.store, 5000 + number, f"4.{number}", NOW + number * DAY, days=number + 1)
    world.now = NOW + 40 * DAY
    found = product(world.who(PROVIDER))
    assert [r["patch"] for r in found["releases"]] == list(range(5011, 5001, -1))
    page = world.who(PROVIDER).get("/quality/glite-WN").text
    drawn = next(part for part in page.split("<svg ")[1:] if "Time to production, from" in part)
    assert "4.2 3 days; 4.3 4 days;" in drawn
    assert drawn.partition("</svg>")[0].count("<rect ") == 10
    assert all(f"4.{n}<" in page for n in range(2, 12))


# --- act ----------------------------------------------------------------------------------------


def test_an_action_stays_open_until_somebody_says_how_it_ended_and_an_overdue_one_stands_out(world: AQuality) -> None:
    client = world.who(PROVIDER)
    action = {"text": "Test large files first.", "owner": "gina", "due": "2025-12-02", "measure": "regressions"}
    first = as_described(client, client.post(f"{WN}/actions", json=action))
    world.wait(timedelta(seconds=1))
    again = client.post(f"{WN}/actions", json=action)
    assert (first.status_code, again.status_code, again.json()["number"]) == (201, 200, 1)
    world.now = NOW + timedelta(hours=38)  # late on 2 December, in UTC: the day itself is in time
    assert product(client)["actions"][0]["state"] == "open"
    world.now = NOW + timedelta(hours=39)
    assert product(client)["actions"][0]["state"] == "overdue"
    assert world.who(MANAGER).get("/api/v1/quality").json()["products"][-1]["actions_overdue"] == 1
    assert "overdue" in Read(client.get("/quality/glite-WN").text).words
    said = {"do": "not-done", "number": "1", "text": "The test bed is gone."}
    assert client.post("/quality/glite-WN", data=said).headers["location"].endswith("glite-WN#act")
    (ended,) = product(client)["actions"]
    assert (ended["state"], ended["said"]) == ("not done", "The test bed is gone.")
    differs = client.post(f"{WN}/actions/1", json={"done": True, "text": "It was done after all."})
    assert differs.status_code == 422
    assert "already, as not done" in differs.json()["detail"]
    assert client.post(f"{WN}/actions/9", json={"done": True, "text": "It was done after all."}).status_code == 409


def test_a_review_keeps_the_numbers_as_they_were_and_the_next_one_remembers_the_actions(
    world: AQuality, tmp_path: Path
) -> None:
    client = world.who(PROVIDER)
    target(client, "regressions", 0)
    client.post(f"{WN}/actions", json={"text": "Test large files first.", "owner": "gina", "due": "2025-12-02"})
    then = reckoned(rows_of(str(tmp_path / "facts.db")))
    held = as_described(client, client.post(f"{WN}/reviews", json={"text": "One release was withdrawn."}))
    world.wait(timedelta(seconds=1))
    twice = client.post(f"{WN}/reviews", json={"text": "One release was withdrawn."})
    assert (held.status_code, twice.status_code, twice.json()["number"]) == (201, 200, 1)
    world.now = NOW + 5 * DAY
    release(world.store, 4705, "3.1.24", NOW + DAY, days=3)
    client.post(f"{WN}/actions/1", json={"done": True, "text": "They are tested every night."})
    client.post(f"{WN}/reviews", json={"text": "It went well this time."})
    first, second = (as_described(client, client.get(f"{WN}/reviews/{n}")).json() for n in (1, 2))
    assert [r["patch"] for r in first["releases"]] == [4701, 4702, 4703, 4704]
    for seen in first["releases"]:
        for key, value in seen["values"].items():
            state, number, part, whole = then[seen["patch"]][key]
            assert (value["state"], value["part"], value["whole"]) == (state, part, whole)
            assert value["number"] == (None if number is None else round(number, 4))
    assert first["together"]["regressions"]["target"] == 0
    assert [(a["state"], a["said"]) for a in first["actions"]] == [("open", "")]
    assert [r["patch"] for r in second["releases"]][-1] == 4705
    assert [(a["state"], a["said"]) for a in second["actions"]] == [("done", "They are tested every night.")]
    assert "One release was withdrawn." in Read(client.get("/quality/glite-WN/reviews/1").text).words


@pytest.mark.parametrize(
    ("place", "body", "why"),
    [
        ("targets", {"measure": "speed", "target": 1, "reason": WHY}, "no such measure"),
        ("targets", {"measure": "sites-reached", "target": 101, "reason": WHY}, "between 0 and 100"),
        ("targets", {"measure": "time-to-preview", "target": -1, "reason": WHY}, "between 0 and 3650"),
        ("targets", {"measure": "regressions", "target": 0.5, "reason": WHY}, "whole number"),
        ("targets", {"measure": "regressions", "target": 0, "reason": "x"}, "three words"),
        ("targets", {"measure": "regressions", "target": "0", "reason": WHY}, "number"),
        ("actions", {"text": "Do it.", "owner": "gina", "due": "2025-12-24"}, "The action must be a sentence"),
        ("actions", {"text": "Test large files first.", "owner": "g i", "due": "2025-12-24"}, "no user name"),
        ("actions", {"text": "Test large files first.", "owner": "gina", "due": "2025-11-30"}, "no day to come"),
        ("actions", {"text": "Test large files first.", "owner": "gina", "due": "soon"}, "no day"),
        ("reviews", {"text": "ok"}, "The conclusion must be a sentence"),
    ],
)
def test_what_cannot_be_held_to_is_refused_with_the_reason(
    world: AQuality, place: str, body: dict[str, Any], why: str
) -> None:
    refused = world.who(PROVIDER).post(f"{WN}/{place}", json=body)
    assert refused.status_code == 422
    assert why in refused.json()["detail"]
    assert FactKind.QUALITY_REVIEWED not in {f.kind for f in world.store.facts_of_kind(list(FactKind))}


def test_a_form_that_is_refused_comes_back_with_the_reason_and_with_what_was_typed(world: AQuality) -> None:
    typed = {"do": "action", "text": "Test <b>large</b> files.", "owner": "gina", "due": "2025-11-01"}
    page = world.who(PROVIDER).post("/quality/glite-WN", data=typed)
    assert page.status_code == 422
    assert "no day to come" in page.text
    assert "Test &lt;b&gt;large&lt;/b&gt; files.</textarea>" in page.text
    lifted = world.who(PROVIDER).post("/quality/glite-WN", data={"do": "lift", "measure": "regressions", "text": WHY})
    assert lifted.status_code == 409
    number = world.who(PROVIDER).post(
        "/quality/glite-WN", data={"do": "target", "measure": "regressions", "target": "none", "text": WHY}
    )
    assert number.status_code == 422
    assert 'value="none"' in number.text


@pytest.mark.parametrize("text", HTML)
def test_what_people_write_is_text_on_every_page(world: AQuality, text: str) -> None:
    client = world.who(PROVIDER)
    said = f"Three words at least. {text}"
    due = date(2025, 12, 24).isoformat()
    client.post(f"{WN}/actions", json={"text": said, "owner": "gina", "due": due})
    client.post(f"{WN}/targets", json={"measure": "regressions", "target": 0, "reason": said})
    client.post(f"{WN}/reviews", json={"text": said})
    for place in ("/quality", "/quality/glite-WN", "/quality/glite-WN/reviews/1"):
        page = client.get(place).text
        assert "<script>" not in page
        assert "<img" not in page


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_spreadsheet_takes_a_version_for_a_formula(world: AQuality, formula: str) -> None:
    release(world.store, 4799, formula, NOW)
    answer = world.who(PROVIDER).get("/quality/glite-WN/releases.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    cells = [cell for row in csv.reader(io.StringIO(answer.text)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n\uff1d")]
