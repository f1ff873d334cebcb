"""The run of a pilot: few facts of many looks, incidents told once, an end that comes once, a journal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path as File

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bad_input import HTML, JINJA
from tests.support.desks import at_desk, at_office
from tests.support.examples import AUDIENCE, NOW, sqlite_store, templates
from tests.support.pilot_runs import ANA, COORDINATION, GOLD, INCIDENT, RUN_FOR, STRANGER, SUPPORT, APilot
from tests.support.thoroughness import examples

from pps.activities.pilots import journal as pilot_journal
from pps.activities.pilots import running as pilot_running
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.pilots import looks as pilot_looks
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath
from pps.domain.sites.probes import ProbeState

PIC = GOLD["PIC"]


def states(pilot: APilot, site: str = "PIC") -> list[str]:
    return [f.payload["state"] for f in pilot_looks.changes(pilot.record, site)]


@pytest.mark.sd("4.1.3", step=8)
def test_a_fortnight_of_looks_that_see_nothing_new_is_one_fact_a_day() -> None:
    pilot = APilot().set_up()
    for hour in range(2, 2 + 48):
        assert not pilot.look(hour)
    assert states(pilot) == []
    assert len(pilot.kinds(FactKind.SERVICE_PROBED)) == 2 * 3
    assert pilot_looks.days_looked(pilot.record, "PIC") == 3
    assert pilot.mails() == []


def test_only_changes_of_state_are_kept_and_each_is_another_one() -> None:
    pilot = APilot().set_up()
    for hour, state in enumerate([0, 0, 2, 2, 0, 2, 3, 0], start=3):
        pilot.answers("PIC", ProbeState(state))
        pilot.look(hour)
        pilot.look(hour + 0.5)
    assert states(pilot) == ["CRITICAL", "OK", "CRITICAL", "UNKNOWN", "OK"]
    assert [f.occasion for f in pilot_looks.changes(pilot.record, "PIC")] == [f"change-{n}" for n in range(1, 6)]
    seen = pilot_looks.add_up(
        pilot_looks.samples(pilot.record, "PIC"), NOW + timedelta(hours=2), NOW + timedelta(hours=12)
    )
    assert (seen.down, seen.unknown) == (timedelta(hours=3), timedelta(hours=1))


def test_two_looks_at_once_record_once(tmp_path: File) -> None:
    store = sqlite_store(tmp_path)
    pilot = APilot(store=store).set_up().answers("PIC", ProbeState.CRITICAL)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pilot.look, [3.0] * 8)) == [False] * 8
    assert states(pilot) == ["CRITICAL"]
    store.dispose()


def test_another_version_than_the_pilot_s_is_a_warning_and_still_available() -> None:
    pilot = APilot().set_up().answers("PIC", version="3.1.22")
    pilot.look(3)
    assert states(pilot) == ["WARNING"]
    assert "answers with version 3.1.22, not 3.1.23" in pilot_looks.state_now(pilot.record, "PIC").text


def test_a_long_outage_is_an_incident_that_is_told_once_and_so_is_its_end() -> None:
    pilot = APilot().set_up().answers("PIC", ProbeState.CRITICAL)
    pilot.look(3)
    pilot.look(3.4)
    assert pilot.kinds(FactKind.JOURNAL_ENTRY) == []
    for hours in (3.5, 3.6, 9):
        pilot.look(hours)
    assert sorted(to for to, _ in pilot.mails()) == ["grid-pic@example.org", SUPPORT]
    pilot.answers("PIC")
    for hours in (10, 11):
        pilot.look(hours)
    texts = [f.payload["text"] for f in pilot.kinds(FactKind.JOURNAL_ENTRY)]
    assert [text.partition(" ")[0] for text in texts] == ["Incident:", "The"]
    assert len(pilot.mails()) == 4


def test_a_short_outage_is_in_the_journal_and_no_news() -> None:
    pilot = APilot().set_up().answers("PIC", ProbeState.CRITICAL)
    pilot.look(3)
    pilot.answers("PIC").look(3.2)
    assert pilot.mails() == []
    assert [e.text.partition(":")[0] for e in pilot_looks.journal(pilot.record, "PIC")] == ["Set up", "CRITICAL", "OK"]


def test_a_service_that_comes_and_goes_is_called_unsteady_and_fills_no_record() -> None:
    pilot = APilot().set_up()
    for number in range(6 * 24):  # a day, every ten minutes
        pilot.answers("PIC", ProbeState(2 * (number % 2))).look(3 + number / 6)
    kept = pilot_looks.changes(pilot.record, "PIC")
    assert len(kept) <= 24 / 6 * 7 + 7
    assert kept[6].payload["state"] == "CRITICAL"
    assert kept[6].payload["text"].startswith("unsteady: more than 6 changes within 6h; last CRITICAL: https://wms.pic")
    seen = pilot_looks.add_up(
        pilot_looks.samples(pilot.record, "PIC"), NOW + timedelta(hours=3), NOW + timedelta(hours=27)
    )
    assert seen.share < 0.3, "what nobody can rely on is not well"
    incidents = [e for e in pilot.kinds(FactKind.JOURNAL_ENTRY) if e.payload["text"].startswith("Incident")]
    assert 1 <= len(incidents) <= 4
    pilot.answers("PIC").look(60)
    assert pilot_looks.state_now(pilot.record, "PIC").state is ProbeState.OK


_LOOKS = st.lists(st.tuples(st.sampled_from(ProbeState), st.integers(1, 240)), min_size=1, max_size=60)


@given(_LOOKS)
@settings(max_examples=examples(60))
def test_the_changes_on_record_are_bounded_and_of_a_steady_service_they_are_all(
    looks: list[tuple[ProbeState, int]],
) -> None:
    """Each look: what the service says, and after how many minutes."""
    span = pilot_looks.STEADY_SPAN * INCIDENT
    start = NOW + timedelta(hours=2)
    record = Rollout("r", (Fact("r", FactKind.SERVICE_SET_UP, "PIC", "", start, "t", {"endpoint": "", "version": ""}),))
    at, really = start, []
    for state, minutes in looks:
        at += timedelta(minutes=minutes)
        before = really[-1][1] if really else ProbeState.OK
        really += [(at, state)] if state is not before else []
        look = pilot_looks.Sample(at, state, "seen")
        if kept := pilot_looks.change_to_keep(record, "PIC", look, INCIDENT):
            occasion = f"change-{len(pilot_looks.changes(record, 'PIC')) + 1}"
            payload = {"state": kept.state.name, "text": kept.text}
            record = Rollout(
                "r", (*record.facts, Fact("r", FactKind.SERVICE_PROBED, "PIC", occasion, at, "t", payload))
            )
            assert pilot_looks.change_to_keep(record, "PIC", look, INCIDENT) is None, "looking again changes nothing"
    on_record = [(f.at, ProbeState[f.payload["state"]]) for f in pilot_looks.changes(record, "PIC")]
    for until, _ in on_record:
        assert sum(until - span < moment <= until for moment, _ in on_record) <= pilot_looks.STEADY_CHANGES + 1
    if all(sum(until - span < m <= until for m, _ in really) <= pilot_looks.STEADY_CHANGES for until, _ in really):
        assert on_record == really
    later = pilot_looks.Sample(at + span, looks[-1][0], "seen")
    settled = pilot_looks.change_to_keep(record, "PIC", later, INCIDENT) or pilot_looks.state_now(record, "PIC")
    assert settled.state is looks[-1][0], "and nothing is held back for longer than that"


def test_a_site_that_hangs_does_not_hide_the_other() -> None:
    pilot = APilot().set_up().answers("INFN-T1", ProbeState.CRITICAL)
    pilot.look(3)
    assert (states(pilot, "PIC"), states(pilot, "INFN-T1")) == ([], ["CRITICAL"])


@pytest.mark.sd("4.1.3", step=8)
def test_the_run_ends_on_the_agreed_date_once() -> None:
    pilot = APilot().set_up()
    end = NOW + timedelta(hours=2) + RUN_FOR
    assert not pilot.look_at(end - timedelta(seconds=1))
    looked = len(pilot.services.looked)
    for late in (0, 60):
        assert pilot.look_at(end + timedelta(seconds=late))
    assert len(pilot.services.looked) == looked
    (ended,) = pilot.kinds(FactKind.RUN_ENDED)
    assert (ended.at, ended.payload["outcome"]) == (end, "expired")
    assert Pilot(pilot.record).run_is_over(NOW)


def test_nothing_is_probed_nor_ended_before_a_site_is_ready_and_after_a_stop() -> None:
    pilot = APilot()
    assert not pilot.look(3)
    assert pilot.services.looked == []
    pilot.fact(FactKind.ROLLOUT_STOPPED, reason="Overruled for a vulnerability.")
    assert pilot.look(4)
    assert pilot.kinds(FactKind.RUN_ENDED) == []


@pytest.mark.sd("4.1.3", step=10)
def test_success_is_declared_by_the_coordination_once() -> None:
    pilot = APilot().set_up()
    why = "ATLAS submits all its jobs through it."

    def declare(mine: frozenset[str], reason: str = why, hours: float = 30) -> Fact:
        now = NOW + timedelta(hours=hours)
        return pilot_journal.declare_success(at_desk(pilot.record, pilot.store, now=now), reason, "carla", mine)

    with pytest.raises(RefusedError, match="Only the PPS Coordinator"):
        declare(ANA)
    with pytest.raises(RefusedError, match="three words"):
        declare(COORDINATION, "ok")
    first = declare(COORDINATION)
    assert declare(COORDINATION, hours=40) == first
    assert first.payload == {"outcome": "success", "reason": why, "user": "carla"}
    assert pilot.look(31)


def test_no_success_before_the_installation_is_complete() -> None:
    pilot = APilot().set_up("PIC")
    with pytest.raises(RefusedError, match="The set-up at INFN-T1 is not verified yet"):
        pilot_journal.declare_success(
            at_desk(pilot.record, pilot.store, now=NOW), "It works very well.", "carla", COORDINATION
        )


# --- the journal


def entry(pilot: APilot, text: str = "Raised the limit of open files.", minutes: float = 0, mine=ANA, **more) -> Fact:
    now = NOW + timedelta(hours=9, minutes=minutes)
    to = more.get("to", [SUPPORT])
    return pilot_journal.log_entry(
        at_desk(pilot.record, pilot.store, templates=templates(), now=now), PIC, text, "ana", mine, to
    )


@pytest.mark.sd("4.1.3", step=8)
def test_every_entry_goes_to_the_support_list_once() -> None:
    pilot = APilot().set_up()
    first = entry(pilot)
    assert entry(pilot, minutes=5) == first  # a second click
    assert pilot.mails() == [(SUPPORT, "PIC: Raised the limit of open files. (major-pilot-4711-1)")]
    again = entry(pilot, minutes=60)  # it was raised again
    assert again.occasion == f"{first.occasion}.2"
    assert len(pilot.mails()) == 2
    assert [e.user for e in pilot_looks.journal(pilot.record, "PIC")] == ["", "ana", "ana"]


@pytest.mark.sd("4.1.3", step=8)
def test_nobody_else_writes_for_a_site() -> None:
    pilot = APilot().set_up()
    with pytest.raises(RefusedError, match="Only the administrators of PIC"):
        entry(pilot, mine=STRANGER)
    assert entry(pilot, mine=COORDINATION).subject == "PIC"


def test_a_service_expert_is_called_with_a_copy() -> None:
    pilot = APilot().set_up()
    entry(pilot, to=[SUPPORT, "wms-developers@example.org", SUPPORT])
    assert sorted(to for to, _ in pilot.mails()) == [SUPPORT, "wms-developers@example.org"]


@pytest.mark.parametrize("text", ["", " \n\x00", "x" * 10_001])
def test_an_entry_must_be_one(text: str) -> None:
    with pytest.raises(RefusedError):
        entry(APilot().set_up(), text)


@pytest.mark.parametrize("text", [*HTML, *JINJA])
def test_what_people_write_is_data(text: str) -> None:
    pilot = APilot().set_up()
    entry(pilot, text)
    ((mail, _, _),) = pilot.store.outbox(pilot.name)
    assert "<script" not in mail.html and "\n" not in mail.subject


def test_the_journal_is_a_pilot_s_and_of_its_sites() -> None:
    pilot = APilot(sites=("INFN-T1",)).set_up()
    with pytest.raises(NotYetAllowedError, match="takes no part"):
        entry(pilot)


# --- the sweep


def sweep(pilot: APilot, hours: float) -> int:
    return pilot_running.remind_about_pilots(
        at_office(pilot.store, templates=templates(), now=NOW + timedelta(hours=hours), actor="pps"),
        AUDIENCE,
        GOLD,
        (0.5, 0.9),
    )


@pytest.mark.sd("4.1.3")
def test_vos_of_a_major_pilot_are_reminded_until_they_have_answered() -> None:
    pilot = APilot().set_up()
    assert sweep(pilot, 24) == 0
    assert [sweep(pilot, 12 * 24), sweep(pilot, 12 * 24 + 1)] == [1, 0]
    ((mail, _, _),) = pilot.store.outbox(pilot.name)
    assert mail.to == "atlas-grid@example.org"
    assert "no feedback from" in mail.text and "token=" in mail.text
    said = {"opinion": "works", "text": "", "invited": True}
    pilot.fact(FactKind.FEEDBACK_GIVEN, "atlas", "a1", 13 * 24, **said)
    assert sweep(pilot, 21 * 24) == 0


@pytest.mark.sd("4.1.3")
def test_a_minor_pilot_is_kept_internal_to_the_infrastructure() -> None:
    pilot = APilot(RolloutPath.MINOR_PILOT).set_up()
    assert [sweep(pilot, day * 24) for day in (12, 21)] == [0, 0]


def test_who_is_late_with_the_set_up_hears_of_it_once_a_day() -> None:
    pilot = APilot().set_up("PIC")
    assert sweep(pilot, 7 * 24 - 1) == 0
    assert [sweep(pilot, 7 * 24 + hours) for hours in (1, 2, 25, 26)] == [1, 0, 1, 0]
    assert {to for to, _ in pilot.mails()} == {"grid-infn-t1@example.org"}
    pilot.fact(FactKind.SITE_LEFT_OUT, "INFN-T1", "set-up", 10 * 24, reason="No time.")
    assert sweep(pilot, 11 * 24) == 0
