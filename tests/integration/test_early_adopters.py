"""Sites and VOs offer slots, accept a release with a date, and report; through the real pages and doors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_submitted_releases import CLIENT
from tests.support.bad_input import HTML
from tests.support.described import as_described
from tests.support.examples import NOW, PATCH, previewed
from tests.support.provider import Provider, apt_provider  # noqa: F401
from tests.support.submitting import OTHER, PAT, Submitting
from tests.unit.web.test_pages import Read

from pps.domain.people.adopters import RECORD
from pps.domain.record.facts import Fact, FactKind

DOOR, PAGE = "/api/v1/provider/adopters", "/provider/adopters"
ANA, ADA, CAROL = "ana:Site Administrator", "ada:VO Representative", "carol:VO Representative"
CARLA = "carla:PPS Coordinator"
SITE, VO = "site:PIC", "vo:atlas"
OFFER = {"do": "offer", "party": SITE, "product": "glite-WN", "slots": 1}
UNTIL = (NOW + timedelta(days=7)).date().isoformat()
ACCEPT = {"do": "accept", "party": SITE, "patch": 1, "until": UNTIL}
REPORT = {"do": "report", "party": SITE, "patch": 1, "outcome": "works"}


@pytest.fixture
def world(apt_provider: Provider, tmp_path: Path) -> Iterator[Submitting]:
    (tmp_path / "world").mkdir()
    made = Submitting(apt_provider, tmp_path / "world")
    made.sent(made.document(CLIENT))
    yield made
    made.store.dispose()


def say(world: Submitting, said: dict[str, Any], who: str = ANA) -> Any:
    return as_described(world.web, world.post(DOOR, said, who))


def first(world: Submitting) -> dict[str, Any]:
    found: dict[str, Any] = as_described(world.web, world.get(DOOR)).json()["releases"][0]
    return found


def test_a_release_that_is_out_is_tried_by_nobody_early_though_the_tracker_does_not_say_so_yet(
    world: Submitting,
) -> None:
    assert first(world)["patch"] == 1
    out = {"patch": 1, "state": world.tracker.known[1].state.value, "comment": "It is out."}
    opened = Fact("bc-client-1-1", FactKind.ROLLOUT_OPENED, "", "", NOW, "pps", {"path": "bc-client", "patch": 1})
    world.store.open("bc-client", 1, opened, "run")
    world.store.record(Fact("bc-client-1-1", FactKind.RELEASED_TO_PRODUCTION, "", "", NOW, "pps", out))
    assert as_described(world.web, world.get(DOOR)).json()["releases"] == []


def test_a_release_with_too_few_adopters_is_shown_before_it_stalls_until_it_has_enough(world: Submitting) -> None:
    assert "0 of 2 early adopters" in first(world)["too_few"] and "it will stall" in first(world)["too_few"]
    assert "0 of 2 early adopters" in Read(world.get("/provider").text).words
    say(world, OFFER)
    assert "PIC could take it" in first(world)["too_few"]
    assert say(world, ACCEPT).status_code == 200
    assert "1 of 2 early adopters" in first(world)["too_few"]
    say(world, {**OFFER, "party": VO}, ADA)
    say(world, {**ACCEPT, "party": VO}, ADA)
    assert first(world)["too_few"] == ""
    assert "early adopters" not in Read(world.get("/provider/glite-WN/3.1.24").text).words
    world.clock.at += timedelta(days=8)
    assert "PIC, VO atlas said a date that has passed" in first(world)["too_few"]


def test_a_report_is_filled_in_from_receipts_and_probes(world: Submitting) -> None:
    previewed(world.store, replace(PATCH, number=1, version="3.1.24"))
    say(world, OFFER)
    say(world, ACCEPT)
    (waiting,) = world.get(DOOR, ANA).json()["waiting"]
    assert any("was installed" in line for line in waiting["seen"])
    assert any("all probes passed" in line for line in waiting["seen"])
    assert "was installed" in Read(world.get(PAGE, ANA).text).words
    say(world, {**REPORT, "text": "**Fast** at PIC."})
    (adopter,) = first(world)["adopters"]
    assert (adopter["outcome"], adopter["seen"]) == ("works", waiting["seen"])
    assert "<strong>Fast</strong>" in world.get(PAGE, PAT).text, "its provider reads it"
    assert world.get(DOOR, ANA).json()["waiting"] == []


@pytest.mark.parametrize(
    ("party", "who", "may"),
    [
        (SITE, ANA, True),
        (SITE, CARLA, True),
        (SITE, "bob:Site Administrator", False),
        (SITE, PAT, False),
        (SITE, ADA, False),
        (VO, ADA, True),
        (VO, CAROL, False),
        (VO, ANA, False),
        (VO, OTHER, False),
    ],
)
def test_each_site_and_each_vo_speaks_for_itself(world: Submitting, party: str, who: str, may: bool) -> None:
    for said in (OFFER, ACCEPT, REPORT):
        theirs = {**said, "party": party}
        form = {key: str(value) for key, value in theirs.items()}
        if not may:
            assert world.form(PAGE, form, who).status_code == 422
            answer = say(world, theirs, who)
            assert (answer.status_code, "Only " in answer.json()["detail"]) == (422, True), said
        # what was refused would have been taken from those who may
        assert say(world, theirs, who if may else CARLA).status_code == 200, said
    assert (party in world.get(DOOR, who).json()["mine"]) is may


def test_what_makes_no_sense_is_refused_with_the_reason(world: Submitting) -> None:
    for said, why in (
        (ACCEPT, "offers no slot for glite-WN"),
        ({**OFFER, "product": "nobodys"}, "no product of a provider"),
        ({**OFFER, "slots": 10}, "0 to 9 slots"),
        ({**OFFER, "party": "PIC"}, "site:<site> or vo:<VO>"),
        ({**OFFER, "party": "site:NOWHERE"}, "has no site"),
        ({**REPORT}, "has not accepted"),
        ({**REPORT, "outcome": "great"}, "outcome"),
    ):
        answer = say(world, said, CARLA)
        assert (answer.status_code, why in answer.json()["detail"]) == (422, True), answer.text
    say(world, OFFER)
    for said, why in (
        ({**ACCEPT, "until": "soon"}, "a date is wanted"),
        ({**ACCEPT, "until": "2007-01-01"}, "The date must be from"),
        ({**ACCEPT, "patch": 99}, "no release that can be tried now"),
    ):
        answer = say(world, said)
        assert (answer.status_code, why in answer.json()["detail"]) == (422, True), answer.text
    say(world, ACCEPT)
    assert "accepted it already" in say(world, ACCEPT).json()["detail"]
    assert "Say what the problem is" in say(world, {**REPORT, "outcome": "problem"}).json()["detail"]
    say(world, REPORT)
    assert "has reported on patch 1 already" in say(world, REPORT).json()["detail"]


def test_a_slot_is_taken_by_one_release_until_its_report(world: Submitting) -> None:
    world.sent(world.document(CLIENT, version="3.1.25"))
    say(world, OFFER)
    say(world, ACCEPT)
    assert "All slots of PIC for glite-WN are taken" in say(world, {**ACCEPT, "patch": 2}).json()["detail"]
    say(world, REPORT)
    assert say(world, {**ACCEPT, "patch": 2}).status_code == 200
    assert say(world, {**OFFER, "slots": 0}).json()["offers"] == []


def test_nobody_comes_in_without_signing_in_and_the_record_is_behind_no_public_address(world: Submitting) -> None:
    assert [world.get(p, "").status_code for p in (PAGE, DOOR)] == [401, 401]
    assert [world.post(DOOR, OFFER, "").status_code, world.form(PAGE, {"do": "offer"}, "").status_code] == [401, 401]
    evil = {"Origin": "https://evil.example.net"}
    assert world.post(DOOR, OFFER, ANA, **evil).status_code == 403
    say(world, OFFER)
    assert world.get(f"/api/v1/rollouts/{RECORD}/facts").status_code == 404


def test_no_hostile_text_of_a_report_becomes_markup(world: Submitting) -> None:
    say(world, OFFER)
    say(world, ACCEPT)
    say(world, {**REPORT, "outcome": "problem", "text": " ".join(HTML)})
    text = world.get(PAGE, PAT).text
    assert "<script>alert" not in text and "<img src=x" not in text and 'href="javascript:' not in text
