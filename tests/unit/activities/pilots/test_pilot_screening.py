"""Pre-screening: candidates, VOs' interest, documentation, selection."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.bad_input import HTML
from tests.support.desks import at_desk
from tests.support.examples import AUDIENCE, templates
from tests.support.pilots import DAY, GOLD, MAJOR, MINOR, APilot
from tests.support.snapshots import matches_snapshot

from pps.activities.pilots import screening
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.people.questions import Given
from pps.domain.pilots.candidates import Load
from pps.domain.pilots.pilot import Stage
from pps.domain.record.facts import FactKind


def rankings(pilot: APilot) -> list[list[str]]:
    facts = [f for f in pilot.record.facts if f.kind is FactKind.CANDIDATES_RANKED]
    return [[c["site"] for c in f.payload["candidates"]] for f in facts]


def test_nothing_is_screened_before_the_request_is_accepted() -> None:
    with pytest.raises(NotYetAllowedError, match="not accepted"):
        APilot().ranked()


def test_the_same_ranking_is_on_record_once_and_the_newest_counts() -> None:
    pilot = APilot().accepted().ranked().ranked()
    assert len(rankings(pilot)) == 1
    pilot.ranked(in_downtime=["PIC"]).ranked()
    assert [("PIC" in names) for names in rankings(pilot)] == [True, False, True]
    assert "PIC" in {c["site"] for c in pilot.record.the(FactKind.CANDIDATES_RANKED).payload["candidates"]}
    with pytest.raises(NotYetAllowedError, match="agreed on its sites"):
        pilot.selected().kicked_off().ranked()


def test_a_sites_load_is_its_open_pilots_and_its_credits_for_pilots() -> None:
    pilot = APilot().accepted().ranked().selected()
    other = replace(MAJOR, number=4712)
    second = APilot(other, pilot.store).accepted()
    pilot.then(FactKind.CREDITED, "PIC", "pilot-setup", activity="pilot-setup", credits=12, effort_ph=12, site="PIC")
    pilot.then(FactKind.CREDITED, "PIC", "release-test", activity="release-test", credits=1, effort_ph=1, site="PIC")
    assert screening.loads(pilot.store, second.name) == {"PIC": Load(1, 12)}
    assert screening.loads(pilot.store, pilot.name) == {"PIC": Load(0, 12)}


def test_every_vo_is_asked_once_and_may_say_what_it_wants() -> None:
    pilot = APilot(vo="atlas").accepted()

    def ask() -> int:
        desk = at_desk(pilot.record, pilot.store, patch=pilot.patch, now=pilot.at)
        return screening.ask_for_interest(desk, AUDIENCE.vos, "pps@example.org", "https://pps.example.org")

    assert (ask(), ask()) == (2, 0)
    mail = pilot.store.outbox(pilot.name)[0][0]
    assert mail.to == "atlas-grid@example.org"
    matches_snapshot("pilot_interest.txt", mail.text)
    for text in ("We try it.", " We try it. "):
        pilot.shows_interest(text=text)
    assert [f.payload["text"] for f in pilot.record.facts if f.kind is FactKind.INTEREST_SHOWN] == ["We try it."]
    assert screening.interested(pilot.record) == {"atlas": "We try it."}
    assert pilot.pilot.stage is Stage.SCREENING


@pytest.mark.parametrize(
    ("vo", "text", "why"),
    [
        ("nobody", "We try it.", "not in people.yaml"),
        ("atlas", " \u200b ", "does not say what"),
        ("atlas", "x" * 5001, "at most 5000"),
    ],
)
def test_an_interest_that_says_nothing_is_refused(vo: str, text: str, why: str) -> None:
    pilot = APilot().accepted()
    with pytest.raises(RefusedError, match=why):
        pilot.shows_interest(vo, text)


def test_what_a_vo_said_last_counts_also_if_it_has_said_so_before() -> None:
    pilot = APilot().accepted()
    for text in ("We try it.", "Bulk submission.", "We try it."):
        pilot.shows_interest(text=text)
        assert screening.interested(pilot.record) == {"atlas": text}
    assert pilot.shows_interest() == pilot.shows_interest()
    assert sum(f.kind is FactKind.INTEREST_SHOWN for f in pilot.record.facts) == 3


def test_a_vo_is_spoken_for_by_its_representatives_and_the_coordination() -> None:
    pilot = APilot().accepted()
    for vo, mine in (("lhcb", {"user:lena"}), ("lhcb", {"role:PPS Coordinator"}), ("cms", {"role:PPS Coordinator"})):
        assert pilot.shows_interest(vo, mine=mine).subject == vo
    for vo, mine in (("lhcb", {"user:eve", "role:VO Representative"}), ("cms", {"user:eve", "role:VO Representative"})):
        with pytest.raises(RefusedError, match=f"may speak for {vo}"):
            pilot.shows_interest(vo, "Another word.", mine)


def test_the_coordination_hears_of_each_interest_once_and_whether_the_vo_is_invited() -> None:
    pilot = APilot(vo="atlas").accepted()

    def mails() -> list[str]:
        found = [m for m, _, _ in pilot.store.outbox(pilot.name) if m.to == "coordination@example.org"]
        return [m.text for m in sorted(found, key=lambda m: m.key)]

    pilot.shows_interest(), pilot.shows_interest()
    (text,) = mails()
    matches_snapshot("pilot_interest_shown.txt", text)
    pilot.ranked().selected().wait(DAY)
    pilot.shows_interest("lhcb", mine={"user:lena"})
    assert "It will be invited to the kick-off" in mails()[-1]
    starts = pilot.at + 2 * DAY
    pilot.then(FactKind.MEETING_CALLED, occasion="kick-off", starts=starts.isoformat(), ends=starts.isoformat(), to=[])
    pilot.wait(DAY).shows_interest("cms", mine={"role:PPS Coordinator"})
    pilot.shows_interest("lhcb", "Bulk submission.", {"user:lena"})
    assert sum("cms is not invited yet" in " ".join(text.split()) for text in mails()) == 1
    assert sum("lhcb is invited." in " ".join(text.split()) for text in mails()) == 1


def test_after_the_kick_off_a_vo_waits_for_another_round() -> None:
    pilot = APilot().running("cms")
    with pytest.raises(RefusedError, match="another round"):
        pilot.shows_interest()


def test_documentation_that_the_patch_lacks_may_come_with_the_form() -> None:
    patch = replace(MINOR, installation_guide="")
    assert screening.documentation(patch)["installation"] == ""
    pilot = APilot(patch).accepted().ranked()
    form = {"sites": "PIC, INFN-T1\nPIC", "installation": "https://docs.example.org/new", "configuration": None}
    facts = screening.facts_of_selection(
        at_desk(pilot.record, now=pilot.at, actor="user carla"), patch, Given("Select", form, "carla", pilot.at)
    )
    pilot.store.record(*facts)
    assert pilot.pilot.sites == ("PIC", "INFN-T1")
    found = pilot.record.the(FactKind.DOCUMENTATION_CHECKED).payload
    assert found == {
        "missing": [],
        "found": {"installation": "https://docs.example.org/new", "configuration": MINOR.configuration_guide},
    }


@pytest.mark.parametrize(
    ("choice", "form", "why"),
    [
        ("Select", {"sites": None}, "no site is selected"),
        ("Select", {"sites": " ,\n"}, "no site is selected"),
        ("Select", {"sites": "NOWHERE"}, "do not include NOWHERE"),
        ("No site", {"reason": None}, "reason"),
    ],
)
def test_a_selection_that_cannot_be_taken_is_refused(choice: str, form: dict, why: str) -> None:
    pilot = APilot().accepted().ranked()
    with pytest.raises(RefusedError, match=why):
        screening.facts_of_selection(
            at_desk(pilot.record, now=pilot.at, actor="user carla"), pilot.patch, Given(choice, form, "carla", pilot.at)
        )


def test_no_site_ends_the_pilot_with_the_reason() -> None:
    pilot = APilot().accepted().ranked()
    form = {"reason": "All are busy until June."}
    facts = screening.facts_of_selection(
        at_desk(pilot.record, now=pilot.at, actor="user carla"), pilot.patch, Given("No site", form, "carla", pilot.at)
    )
    assert facts == ()
    screening.close_without_site(at_desk(pilot.record, pilot.store, now=pilot.at, actor="pps"), form["reason"])
    assert pilot.pilot.stage is Stage.CLOSED


@pytest.mark.parametrize("ranked", [True, False])
def test_the_coordinators_question_shows_candidates_interest_and_documentation(ranked: bool) -> None:
    pilot = APilot(replace(MAJOR, configuration_guide="")).accepted()
    pilot.ranked(GOLD if ranked else {}, in_downtime=["INFN-T1"])
    if ranked:
        pilot.shows_interest(text=f"We try it. {HTML[0]}")
    view = screening.selection_view(pilot.record, pilot.patch, pilot.at)
    text = templates().render("ask_pilot_selection.md", view)
    matches_snapshot("ask_pilot_selection.md" if ranked else "ask_pilot_selection_nobody.md", text)
