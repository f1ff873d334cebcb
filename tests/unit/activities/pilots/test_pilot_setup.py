"""Set-up of a pilot: what a site's people may say, and what must be seen before it counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.bad_input import HTML, JINJA, TEXTS
from tests.support.desks import at_desk
from tests.support.examples import NOW, templates
from tests.support.pilot_runs import COORDINATION, GOLD, SERVER, APilot, endpoint_at

from pps.activities.pilots import set_up as pilot_setup
from pps.activities.pilots.set_up import CANNOT, SET_UP, facts_of_set_up, set_up_is_settled
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.people.questions import Given
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import FactKind
from pps.domain.sites.probes import ProbeState

PIC = GOLD["PIC"]
GOOD = {"endpoint": endpoint_at("PIC"), "version": "3.1.23", "previous": "3.1.22", "version_at": None, "remarks": None}


def answered(choice: str = SET_UP, **form: Any) -> Any:
    return facts_of_set_up(
        at_desk(APilot().record, now=NOW, actor="pps"), PIC, Given(choice, {**GOOD, **form}, "ana", NOW)
    )


def test_an_answer_alone_sets_nothing_up() -> None:
    assert answered() == ()


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"endpoint": None}, "is not http, https"),
        ({"endpoint": "http://169.254.169.254/latest"}, "no host of PIC"),
        ({"endpoint": "http://localhost:8080/api"}, "no host of PIC"),
        ({"version": None}, "does not say which version"),
        ({"version": "3.1.22"}, "the pilot's is 3.1.23"),
        ({"version_at": "banner"}, "does not fit https"),
        ({"previous": "the old one"}, "is no version"),
    ],
)
def test_a_form_that_cannot_be_taken_says_why(form: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        answered(**form)


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS])
def test_no_field_takes_a_hostile_text(text: str) -> None:
    for field in ("endpoint", "version"):
        with pytest.raises(RefusedError):
            answered(**{field: f"{text} "})


def test_who_cannot_is_left_out_with_the_reason() -> None:
    (fact,) = answered(CANNOT, remarks="The hardware\nis broken.")
    assert (fact.kind, fact.subject) == (FactKind.SITE_LEFT_OUT, "PIC")
    assert fact.payload["reason"] == "Its people cannot set the service up: The hardware is broken."
    with pytest.raises(RefusedError, match="do not say why"):
        answered(CANNOT)


@pytest.mark.sd("4.1.3", step=7)
def test_it_counts_when_it_answers_as_the_pilot_and_is_published() -> None:
    pilot = APilot().says("PIC")
    assert pilot.verify("PIC") == (
        f"{endpoint_at('PIC')} does not answer.",
        "The information system shows no service at wms.pic.example.org:7443.",
    )
    pilot.answers("PIC", version="3.1.22")
    pilot.published.show("PIC", "3.1.22")
    assert pilot.verify("PIC") == (
        f"{endpoint_at('PIC')} answers with version 3.1.22; the pilot's is 3.1.23.",
        "The information system shows version 3.1.22 at wms.pic.example.org:7443; the pilot's is 3.1.23.",
    )
    pilot.answers("PIC", version="3.1.23-2")
    assert len(pilot.verify("PIC")) == 1
    pilot.published.show("PIC", "3.1.23")
    assert pilot.verify("PIC") == ()
    (fact,) = pilot.kinds(FactKind.SERVICE_SET_UP)
    assert (fact.payload["version"], fact.payload["previous"], fact.payload["by"]) == ("3.1.23-2", "3.1.22", "ana")


def test_looking_twice_records_once() -> None:
    pilot = APilot().set_up("PIC")
    assert pilot.verify("PIC", hours=9) == ()
    assert len(pilot.kinds(FactKind.SERVICE_SET_UP)) == 1


def test_where_nothing_is_to_be_published_the_service_must_say_its_version_itself() -> None:
    pilot = APilot(published=False).says("PIC").answers("PIC")
    assert pilot.verify("PIC") == ()
    silent = APilot(published=False).says("PIC")
    silent.services.state[endpoint_at("PIC")] = (ProbeState.OK, "")
    (reason,) = silent.verify("PIC")
    assert "nobody can see which one it is" in reason


def test_a_service_that_says_no_version_is_known_by_the_published_one() -> None:
    pilot = APilot().says("PIC")
    pilot.services.state[endpoint_at("PIC")] = (ProbeState.OK, "")
    pilot.published.show("PIC", "")
    assert "shows no version" in pilot.verify("PIC")[0]
    pilot.published.show("PIC", "3.1.23")
    assert pilot.verify("PIC") == ()


@pytest.mark.sd("4.1.3")
def test_software_that_is_not_certified_needs_a_justification_on_record() -> None:
    pilot = APilot(patch=replace(SERVER, state=PatchState.IN_CERTIFICATION)).says("PIC").answers("PIC")
    pilot.published.show("PIC", SERVER.version)
    (reason,) = pilot.verify("PIC")
    assert "not certified" in reason
    with pytest.raises(RefusedError):
        pilot_setup.justify_software(
            at_desk(pilot.record, pilot.store, patch=pilot.patch, now=NOW), "x", "carla", COORDINATION
        )
    for why in ("LHCb cannot wait for bulk submission.", "Another reason for the same."):
        kept = pilot_setup.justify_software(
            at_desk(pilot.record, pilot.store, patch=pilot.patch, now=NOW), why, "carla", COORDINATION
        )
    assert kept.payload["reason"] == "LHCb cannot wait for bulk submission."
    assert pilot.verify("PIC") == ()


def test_a_site_that_has_rolled_back_waits_for_the_next_round() -> None:
    pilot = APilot().set_up("PIC")
    pilot.fact(FactKind.SERVICE_ROLLED_BACK, "PIC", hours=5, reason="Jobs are lost.", version="3.1.22", by="PIC")
    (reason,) = pilot.verify("PIC", hours=6)
    assert "its part in this round has ended" in reason
    assert len(pilot.kinds(FactKind.SERVICE_SET_UP)) == 1


def test_without_an_answer_nobody_is_believed() -> None:
    (reason,) = APilot().verify("PIC")
    assert "Nobody at PIC has said" in reason


def test_a_withdrawn_pilot_is_not_set_up_any_more() -> None:
    pilot = APilot().says("PIC")
    pilot.fact(FactKind.WITHDRAWAL_ASKED, reason="A vulnerability.")
    with pytest.raises(NotYetAllowedError):
        pilot.verify("PIC")


def settled(pilot: APilot, hours: float, site: str = "PIC") -> bool:
    return set_up_is_settled(
        at_desk(
            pilot.record,
            pilot.store,
            templates=templates(),
            patch=pilot.patch,
            now=NOW + timedelta(hours=hours),
            actor="pps",
        ),
        pilot.services,
        pilot.published,
        GOLD.get(site),
        site,
        patience=timedelta(minutes=20),
        grace=timedelta(days=5),
    )


def test_a_site_hears_once_why_it_does_not_count_and_not_before_the_information_system_could_know() -> None:
    pilot = APilot().says("PIC", hours=1).answers("PIC")
    assert not settled(pilot, 1.1)
    assert pilot.mails() == []
    for hours in (2, 3, 4):
        assert not settled(pilot, hours)
    assert pilot.mails() == [("grid-pic@example.org", "PIC: the pilot of glite-WMS 3.1.23 is not seen yet")]
    assert "shows no service" in pilot_setup.newest_reasons(pilot.record, "PIC")[0]
    pilot.published.show("PIC", "3.1.23")
    assert settled(pilot, 5)
    assert Pilot(pilot.record).service_at("PIC") is not None


def test_who_is_not_right_long_after_the_agreed_time_is_left_out() -> None:
    pilot = APilot().says("PIC")
    assert not settled(pilot, 7 * 24 + 5 * 24)
    assert settled(pilot, 7 * 24 + 5 * 24 + 0.1)
    assert Pilot(pilot.record).is_left_out("PIC")


def test_the_wait_ends_with_silence_with_a_site_that_has_left_and_with_the_rollout() -> None:
    assert not settled(APilot(), 1)
    pilot = APilot(sites=("PIC", "GONE")).says("GONE")
    assert settled(pilot, 2, "GONE")
    assert Pilot(pilot.record).is_left_out("GONE")
    stopped = APilot()
    stopped.fact(FactKind.ROLLOUT_STOPPED, reason="Overruled.")
    assert settled(stopped, 1)
