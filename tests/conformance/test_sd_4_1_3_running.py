"""SD 4.1.3, steps 7 to 9: set-up, run, roll-back and report of a pilot, every sentence of them that is a rule."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from tests.support.desks import at_desk, at_office
from tests.support.examples import AUDIENCE, NOW, templates
from tests.support.front import CONFIG
from tests.support.pilot_runs import ANA, COORDINATION, GOLD, INCIDENT, SERVER, STRANGER, SUPPORT, APilot

from pps.activities.clients.nightly import Night, plan_the_night
from pps.activities.pilots import journal as pilot_journal
from pps.activities.pilots import report as pilot_report
from pps.activities.pilots import roll_back as pilot_roll_back
from pps.activities.pilots import running as pilot_running
from pps.activities.pilots import set_up as pilot_setup
from pps.adapters.packages.folders import PublishedFolder
from pps.config.loader import Configuration
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.packages.patch import PatchState
from pps.domain.people.questions import Given
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, RolloutPath
from pps.domain.sites.probes import ProbeState

POLICIES = Configuration(CONFIG).policies.pilots
PIC = GOLD["PIC"]
BOTH = pytest.mark.parametrize("path", [RolloutPath.MINOR_PILOT, RolloutPath.MAJOR_PILOT])


@pytest.mark.sd("4.1.3")
@BOTH
def test_pilots_use_certified_software_or_a_recorded_justification(path: RolloutPath) -> None:
    """ "The use of non-certified software in the pilots has however to be justified, documented and recorded"."""
    pilot = APilot(path, replace(SERVER, state=PatchState.IN_CERTIFICATION)).says("PIC").answers("PIC")
    pilot.published.show("PIC", SERVER.version)
    assert pilot.verify("PIC")
    why = "The operations meeting wants bulk submission now."
    pilot_setup.justify_software(
        at_desk(pilot.record, pilot.store, patch=pilot.patch, now=NOW), why, "carla", COORDINATION
    )
    assert pilot.verify("PIC") == ()
    view = pilot_report.report_view(pilot.record, pilot.patch, PIC, {}, NOW, incident_after=INCIDENT)
    assert view["not_certified"] == why


@pytest.mark.sd("4.1.3", step=7)
@pytest.mark.parametrize("path", RolloutPath)
def test_only_clients_are_kept_at_sites_by_the_nightly_distribution(path: RolloutPath) -> None:
    """A pilot's service is set up by "[Gold Site]" alone, though it has a date for feedback as a preview has."""
    pilot = APilot(path)
    pilot.fact(FactKind.FEEDBACK_DATE_AGREED, due=(NOW + timedelta(days=14)).isoformat())
    assert pilot.record.is_open_preview is (path in PREVIEWS)


@pytest.mark.sd("4.1.3", step=7)
@BOTH
def test_a_night_touches_no_site_of_a_pilot(path: RolloutPath) -> None:
    pilot = APilot(path).set_up()
    pilot.fact(FactKind.FEEDBACK_DATE_AGREED, due=(NOW + timedelta(days=14)).isoformat())
    facts = pilot.record.facts

    def login(sites: object) -> NoReturn:
        raise AssertionError("a night logs in at a pilot's site")

    nothing: Any = None
    night = Night(
        at_office(pilot.store, now=NOW + timedelta(days=1)), GOLD, login, nothing, nothing, nothing, nothing, 4
    )
    assert asyncio.run(plan_the_night(night)) == []
    assert pilot.record.facts == facts


@pytest.mark.sd("4.1.3", step=7)
@BOTH
def test_the_gold_site_sets_the_pilot_service_up(path: RolloutPath) -> None:
    pilot = APilot(path)
    assert pilot.verify("PIC") == ("Nobody at PIC has said that the service is set up.",)
    pilot.set_up("PIC")
    (fact,) = pilot.kinds(FactKind.SERVICE_SET_UP)
    assert (fact.subject, fact.payload["by"]) == ("PIC", "ana")


@pytest.mark.sd("4.1.3", step=8)
def test_default_durations_are_one_week_for_minor_and_two_for_major_updates() -> None:
    """ "The default duration of the pilot [...] is fixed to 1 week for minor updates and 2 weeks for major updates"."""
    assert (POLICIES.minor_runs_for, POLICIES.major_runs_for) == (timedelta(weeks=1), timedelta(weeks=2))


@pytest.mark.sd("4.1.3", step=8)
@BOTH
def test_the_duration_counts_after_completed_installation(path: RolloutPath) -> None:
    week = timedelta(weeks=1)
    pilot = APilot(path, run_for_s=week.total_seconds()).set_up("PIC", hours=10).set_up("INFN-T1", hours=99)
    last = NOW + timedelta(hours=99)
    assert not pilot.look_at(last + week - timedelta(seconds=1))
    assert pilot.look_at(last + week)


@pytest.mark.sd("4.1.3", step=8)
def test_only_the_gold_site_manager_applies_changes() -> None:
    """ "Changes in the system however should only be applied by the Gold Site manager"."""
    pilot = APilot().set_up()
    desk = at_desk(pilot.record, pilot.store, now=NOW)
    with pytest.raises(RefusedError, match="Only the administrators of PIC"):
        pilot_journal.log_entry(desk, PIC, "Upgraded the JVM.", "eve", STRANGER, [SUPPORT])
    assert pilot_journal.log_entry(desk, PIC, "Upgraded the JVM.", "ana", ANA, [SUPPORT])


@pytest.mark.sd("4.1.3", step=8)
def test_any_subsequent_change_or_issue_is_notified_to_the_support_list() -> None:
    """ "Any subsequent change/issue in the system following the first set-up should be also notified in copy"."""
    pilot = APilot().set_up()
    pilot_journal.log_entry(
        at_desk(pilot.record, pilot.store, templates=templates(), now=NOW),
        PIC,
        "Upgraded the JVM.",
        "ana",
        ANA,
        [SUPPORT],
    )
    pilot.answers("PIC", ProbeState.CRITICAL)
    for hours in (3, 3 + INCIDENT / timedelta(hours=1)):
        pilot.look(hours)
    to_support = [subject for to, subject in pilot.mails() if to == SUPPORT]
    assert len(to_support) == 2
    assert any("Incident" in subject for subject in to_support)


@pytest.mark.sd("4.1.3", step=8)
def test_itr_and_developers_may_be_called_to_help() -> None:
    pilot = APilot().set_up()
    to = [SUPPORT, SERVER.provider]
    pilot_journal.log_entry(
        at_desk(pilot.record, pilot.store, templates=templates(), now=NOW), PIC, "It hangs.", "ana", ANA, to
    )
    assert SERVER.provider in {to for to, _ in pilot.mails()}


@pytest.mark.sd("4.1.3", step=8)
def test_reminders_are_sent_to_vos_of_major_updates_only() -> None:
    """ "VOs get explicitly involved in the activity only in case of major updates"; "reminders for feedback are
    regularly sent to the VOs"."""
    sent = {}
    for path in (RolloutPath.MINOR_PILOT, RolloutPath.MAJOR_PILOT):
        pilot = APilot(path).set_up()
        sent[path] = [
            pilot_running.remind_about_pilots(
                at_office(pilot.store, templates=templates(), now=NOW + timedelta(days=day), actor="pps"),
                AUDIENCE,
                GOLD,
                (0.5, 0.9),
            )
            for day in (1, 12, 13, 21)
        ]
    assert sent == {RolloutPath.MINOR_PILOT: [0, 0, 0, 0], RolloutPath.MAJOR_PILOT: [0, 1, 0, 1]}


@pytest.mark.sd("4.1.3", step=8)
@pytest.mark.parametrize("mine", [ANA, COORDINATION])
@BOTH
def test_a_roll_back_is_possible_at_any_time_and_the_report_still_follows(
    path: RolloutPath, mine: frozenset[str]
) -> None:
    """ "a prompt reaction is requested in case of problems in order to roll-back"."""
    assert POLICIES.roll_back_within <= timedelta(days=1)
    pilot = APilot(path, sites=("PIC",)).set_up()
    user = "ana" if mine is ANA else "carla"
    pilot_roll_back.ask_roll_back(
        at_desk(pilot.record, pilot.store, templates=templates(), now=NOW),
        PIC,
        "Jobs are lost at night.",
        user,
        mine,
        SUPPORT,
    )
    pilot.answers("PIC", version="3.1.22")
    pilot.published.show("PIC", "3.1.22")
    later = NOW + timedelta(hours=5)
    assert not pilot_roll_back.verify_roll_back(
        at_desk(pilot.record, pilot.store, now=later, actor="pps"), pilot.services, pilot.published, PIC
    )
    assert pilot.look(6)
    ended = Pilot(pilot.record).run_ended
    assert ended is not None and ended.payload["outcome"] == "rolled back"
    assert Pilot(pilot.record).served == ("PIC",)
    # the wrap-up is still held: nothing but that closes a pilot
    assert not pilot.record.is_closed and not pilot.record.is_over


@pytest.mark.sd("4.1.3", step=9)
@BOTH
def test_the_gold_site_reports_set_up_and_non_functional_issues(path: RolloutPath) -> None:
    """ "(set-up description, non-functional issues e.g. resource consumption, stability): 4PH"."""
    pilot = APilot(path).set_up()
    with pytest.raises(RefusedError, match="resources, stability"):
        pilot_report.facts_of_report(
            at_desk(pilot.record, now=NOW, actor="pps"), "PIC", Given(pilot_report.REPORT, {}, "ana", NOW)
        )
    assert Configuration(CONFIG).activity("pilot-post-mortem").effort_ph == 4


@pytest.mark.sd("4.1.3", step=10)
def test_the_run_ends_upon_success_or_expiration_of_the_timeline(tmp_path) -> None:
    pilot = APilot().set_up()
    with pytest.raises(NotYetAllowedError, match="has not ended"):
        pilot_report.write_report(
            at_desk(pilot.record, pilot.store, patch=pilot.patch),
            PIC,
            PublishedFolder(tmp_path),
            incident_after=INCIDENT,
        )
    pilot_journal.declare_success(
        at_desk(pilot.record, pilot.store, now=NOW + timedelta(days=3)),
        "ATLAS has moved all its jobs.",
        "carla",
        COORDINATION,
    )
    assert pilot.look(80)
    ended = Pilot(pilot.record).run_ended
    assert ended is not None and ended.payload["outcome"] == "success"
