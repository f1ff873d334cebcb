"""Whole pilots, step by step with the DAGs' own forms and tasks: the ways that SD 4.1.3 and 4.1.4 know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from tests.support.desks import at_desk
from tests.support.examples import templates
from tests.support.pilot_walks import COORDINATOR, DAY, OLD, WEEK, Walk, endpoint_of, walking

from pps.activities.pilots import journal as pilot_journal
from pps.activities.pilots import roll_back as pilot_roll_back
from pps.activities.pilots import screening as pilot_screening
from pps.activities.ports.tracker import Ticket
from pps.domain.base.errors import NotYetAllowedError, RefusedError, ServiceError, TamperedError
from pps.domain.people.effort import credits_of
from pps.domain.pilots.pilot import Stage
from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath, dossier_name
from pps.domain.sites.probes import ProbeState
from pps.orchestration.steps import pilots as steps_pilot


@contextmanager
def down(walk: Walk, monkeypatch: pytest.MonkeyPatch, form: str) -> Iterator[None]:
    """The tracker is down after the question was put."""

    def no_answer(number: int) -> None:
        raise ServiceError("tracker", "does not answer.")

    assert walk.asks(form, COORDINATOR)
    with monkeypatch.context() as broken:
        broken.setattr(walk.services.tracker, "patch", no_answer)
        yield


CARLA = frozenset({"1", "user:carla", "role:PPS Coordinator"})


@pytest.fixture
def minor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with walking(tmp_path, monkeypatch, RolloutPath.MINOR_PILOT) as walk:
        yield walk


@pytest.fixture
def major(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with walking(tmp_path, monkeypatch, RolloutPath.MAJOR_PILOT) as walk:
        yield walk


@pytest.mark.sd("4.1.3")
def test_a_minor_pilot_runs_a_week_without_vos_and_what_the_site_ran_is_released(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off(experts="ITR: ivan").deployment_tested().set_up()
    mirrored = minor.record.need(FactKind.MIRROR_MADE, "").payload
    assert mirrored["mirror"]
    minor.runs(WEEK).reported()
    assert minor.of(FactKind.RUN_ENDED)[0].at == minor.pilot.running_since + WEEK

    assert minor.wrapped_up("Release", guidelines="Give it 2 GB of memory.") == "released"

    assert dict(minor.record.need(FactKind.PACKAGES_KEPT, "").payload)["packages"]
    kept = {
        name.rsplit("-", 2)[0]: sha for name, sha in minor.record.need(FactKind.PACKAGES_KEPT, "").payload["packages"]
    }
    assert set(minor.in_production().values()) <= set(kept.values())
    assert minor.services.tracker.patch(minor.patch.number).state == "In production"
    assert minor.told("atlas@example.org") == ["In production: glite-CREAM 3.1.23 (patch 4711)"], (
        "VOs have no part in it"
    )
    assert "Pilot released: glite-CREAM 3.1.23 (minor-pilot-4711-1)" in minor.told("emt@example.org")
    notes = minor.notes()
    assert "kept internal to the service infrastructure" in notes
    assert "FEEDBACK FROM USERS" not in notes
    assert "> Give it 2 GB of memory." in notes
    assert minor.pilot.stage is Stage.CLOSED


@pytest.mark.sd("4.1.3")
def test_the_effort_of_a_pilot_is_credited_once_for_each_completed_activity(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off(experts="ITR: ivan", itr="ivan", run_for="3w").set_up()
    minor.runs(3 * WEEK).reported()
    minor.wrapped_up("Reject", reason="It is too slow for us.")
    spent: dict[str, int] = {}
    for credit in credits_of(minor.record.facts):
        spent[credit.who] = spent.get(credit.who, 0) + credit.credits
    # SD: "PPS Coordination: 1.25PD", without its part in the meetings; "Gold Site: 5.5PD"; "expert support: 6PD"
    assert spent["carla"] == 6 + 2 + 2 + 2 + 2
    assert spent["PIC"] == 12 + 3 * 8 + 4 + 2 + 2
    assert spent["ivan"] == 3 * 16 + 2


@pytest.mark.sd("4.1.3")
def test_a_major_pilot_of_two_rounds_has_one_vo_in_the_first_and_another_in_the_second(major: Walk) -> None:
    """As the CREAM pilot of 2008 had."""
    major.opens(vo="cms")
    pilot_first = major.name
    major.selected("PIC", "INFN-T1").kicked_off(vos="cms", requirements="Selectable in the JDL.").deployment_tested()
    assert not major.holds("vos_may_begin")
    major.set_up("PIC")
    assert not major.holds("vos_may_begin"), "VOs come when it is set up everywhere"
    major.set_up("INFN-T1")
    assert major.holds("vos_may_begin")
    assert major.step("invite_vos") == 1
    assert not [m for m in major.told("atlas@example.org") if "please use it" in m]
    first = major.runs(2 * WEEK).record
    assert not major.holds("vos_are_heard")
    major.said("cms", "problem", "Proxies are not renewed.")
    assert major.holds("vos_are_heard")
    major.reported()
    body = major.body("pilot-wrap-up")
    assert "cms reports a problem: Proxies are not renewed." in body
    major.name = pilot_first
    second = major.wrapped_up("Prolong", reason="ATLAS wants to try the fix.", prolong_for="1w", guidelines="")
    assert (major.outcome(), second) == ("prolonged", "major-pilot-4711-2")
    assert "Another round follows, major-pilot-4711-2." in next(
        m.text for m in major.mails if m.to == "cms@example.org" and m.subject.startswith("Pilot prolonged")
    )

    major.opens(continues=pilot_first)
    assert major.name == second
    assert (major.pilot.round, major.pilot.first_round) == (2, pilot_first)
    assert not major.asks("pilot-acceptance", COORDINATOR), "it was accepted in the first round"
    assert major.step("request_is_accepted")
    assert major.step("rank_candidates") == []
    assert major.step("ask_vos_for_interest") == 0
    assert not major.asks("pilot-selection", COORDINATOR)
    assert major.step("instruct_sites") == 0
    major.kicked_off(vos="atlas")
    assert major.pilot.agreement.run_for == WEEK
    major.step("mirror_repository")
    assert major.record.need(FactKind.MIRROR_MADE, "").payload["mirror"].startswith(f"{pilot_first}/"), (
        "one mirror for all rounds"
    )
    assert not major.asks("pilot-set-up", "PIC"), "the services stay as they are"
    assert major.holds("pilot_is_set_up", site="PIC")
    assert not major.holds("pilot_run_is_over"), "it does not end with the first round's time"
    assert major.step("invite_vos") == 1
    major.said("atlas", "works", "A million jobs in three days.")
    begun = major.clock
    major.runs(WEEK).reported()
    assert major.of(FactKind.RUN_ENDED)[0].at == begun + WEEK
    assert major.wrapped_up("Release") == "released"

    notes = major.notes()
    assert "round 2" in notes
    assert "atlas: works" in notes
    assert "NO FEEDBACK" not in notes
    assert "cms" not in {f.subject for f in major.of(FactKind.VO_INVITED)}
    assert first.need(FactKind.RUN_ENDED, "").payload["outcome"] == "expired"


@pytest.mark.sd("4.1.3")
def test_without_an_answer_of_a_vo_operations_judge_alone_and_the_release_notes_say_so(major: Walk) -> None:
    major.opens(vo="atlas").selected("PIC").kicked_off(vos="atlas").deployment_tested().set_up()
    major.step("invite_vos")
    major.runs(2 * WEEK)
    with pytest.raises(NotYetAllowedError, match="the VOs may answer until"):
        major.body("pilot-wrap-up")
    major.clock = major.pilot.agreement.feedback_until + timedelta(seconds=1)
    assert major.holds("vos_are_heard")
    major.reported()
    assert "**No feedback from users** was received" in major.body("pilot-wrap-up")
    assert major.wrapped_up("Release") == "released"
    assert "NO FEEDBACK FROM USERS was received during the pilot service" in major.notes()
    assert "No feedback from users was received during the pilot service" in major.notes("html")
    out = next(m for m in major.mails if m.to == "cms@example.org" and m.subject.startswith("In production"))
    assert "No feedback from users was received" in out.text


@pytest.mark.sd("4.1.3")
def test_a_major_pilot_to_which_no_vo_commits_itself_waits_for_none(major: Walk) -> None:
    major.opens().selected("PIC").kicked_off(published=False)
    assert major.step("mirror_repository").startswith("The service is not published")
    major.set_up()
    assert major.step("invite_vos") == 0
    major.runs(2 * WEEK)
    assert major.holds("vos_are_heard")
    major.reported()
    assert major.wrapped_up("Reject", reason="Nobody wanted to try it.") == "rejected"


@pytest.mark.sd("4.1.3", step=8)
def test_a_site_that_rolls_back_ends_its_part_and_the_wrap_up_is_still_held(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off().set_up()
    assert not minor.holds("pilot_ends_at_site", site="PIC")
    assert not minor.asks("pilot-roll-back", "PIC"), "nobody has asked for one"
    pic = minor.services.config.sites["PIC"]
    pilot_roll_back.ask_roll_back(
        at_desk(minor.record, minor.store, templates=minor.services.templates, now=minor.clock),
        pic,
        "Jobs are lost every night.",
        "carla",
        CARLA,
        "support@example.org",
    )
    assert minor.holds("pilot_ends_at_site", site="PIC")
    minor.answers("pilot-roll-back", "Rolled back", "PIC", version=OLD)
    assert not minor.holds("pilot_is_rolled_back", site="PIC"), "it is looked at before it counts"
    minor.serves("PIC", OLD)
    minor.wait(timedelta(hours=1))
    assert minor.holds("pilot_is_rolled_back", site="PIC")
    minor.step("tell_of_roll_back", "PIC")
    minor.runs(DAY)
    assert minor.of(FactKind.RUN_ENDED)[0].payload["outcome"] == "rolled back"
    minor.reported("PIC")
    body = minor.body("pilot-wrap-up")
    assert "It was rolled back at PIC: Jobs are lost every night." in body
    with pytest.raises(RefusedError, match="say why it is released all the same"):
        minor.answers("pilot-wrap-up", "Release")
    assert minor.wrapped_up("Reject", reason="Jobs are lost every night.") == "rejected"
    assert minor.in_production() == {}


@pytest.mark.sd("4.1.4")
def test_a_non_bc_update_runs_at_a_platinum_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with walking(tmp_path, monkeypatch, RolloutPath.MAJOR_PILOT, database_schema_changed=True) as walk:
        walk.opens(vo="atlas")
        assert "**not** backward compatible" in walk.body("pilot-acceptance")
        walk.answers("pilot-acceptance", "Accept")
        assert walk.step("rank_candidates") == ["SARA"]
        walk.answers("pilot-selection", "Select", sites="SARA")
        walk.step("instruct_sites")
        walk.kicked_off(vos="atlas").deployment_tested().set_up("SARA")
        walk.step("invite_vos")
        walk.said("atlas", "works", "")
        walk.runs(2 * WEEK).reported()
        assert walk.wrapped_up("Release") == "released"


@pytest.mark.sd("4.1.3")
def test_a_pilot_whose_policies_are_overruled_waits_for_no_vo_and_needs_no_deployment_test(major: Walk) -> None:
    major.opens(vo="atlas").selected("PIC").kicked_off(vos="atlas").set_up()
    major.step("invite_vos")
    assert not major.holds("vos_are_heard")
    dossier = dossier_name(major.patch.number)
    decision = {
        "urgency": "urgent",
        "reason": "Anybody can read everybody's proxies.",
        "by": {"EMT": "emil", "PPS Coordinator": "carla"},
        "state": "Certified",
    }
    fact = Fact(dossier, FactKind.POLICIES_OVERRULED, "", "overrule-4711-1", major.clock, "pps", decision)
    major.store.record_in_dossier(major.patch.number, fact)
    assert major.holds("vos_are_heard")
    pilot_journal.declare_success(
        at_desk(major.record, major.store, now=major.clock), "It is a fix that cannot wait.", "carla", CARLA
    )
    assert major.holds("pilot_run_is_over")
    major.reported()
    assert "The policies were overruled, so nobody waited for atlas." in major.body("pilot-wrap-up")
    assert major.wrapped_up("Release") == "released"
    assert "Anybody can read everybody's proxies." in major.notes()


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("result", [None, ScenarioResult.FAIL])
def test_nothing_is_released_without_a_deployment_test_that_has_passed(
    minor: Walk, result: ScenarioResult | None
) -> None:
    minor.opens().selected("PIC").kicked_off().set_up().runs(WEEK).reported()
    if result:
        minor.deployment_tested(result)
    minor.step("invite_to_wrap_up")
    minor.answers("pilot-wrap-up", "Release")
    assert steps_pilot.follow_decision.function(minor.name) == "wait_for_deployment_test"
    assert minor.holds("deployment_test_is_over") is (result is not None)
    assert minor.step("release_update") is False
    assert minor.step("end_pilot") == "not released"
    assert minor.in_production() == {}
    assert minor.told("atlas@example.org") == []


@pytest.mark.parametrize("form", ["pilot-acceptance", "pilot-selection", "pilot-kick-off", "pilot-wrap-up"])
def test_the_coordinator_s_silence_ends_the_pilot_with_that_reason(minor: Walk, form: str) -> None:
    minor.opens()
    if form == "pilot-selection":
        minor.answers("pilot-acceptance", "Accept")
        minor.step("rank_candidates")
    elif form != "pilot-acceptance":
        minor.selected("PIC")
        minor.step("invite_to_kick_off")
        if form == "pilot-wrap-up":
            minor.answers("pilot-kick-off", "Agreed")
            minor.set_up().runs(WEEK).reported()
            minor.step("invite_to_wrap_up")
    assert minor.is_silent(form) == "expired"
    closed = minor.record.need(FactKind.ROLLOUT_CLOSED, "").payload
    assert closed["reasons"][0].startswith("The PPS Coordinator ")
    gates = {"pilot-acceptance": "request_is_accepted", "pilot-selection": "sites_are_selected"}
    if form == "pilot-wrap-up":
        assert steps_pilot.follow_decision.function(minor.name) == "end_pilot"
        assert minor.step("end_pilot") == "not decided"
    else:
        assert minor.step(gates.get(form, "dates_are_agreed")) is False
    assert minor.told("atlas@example.org") == []


def test_an_answer_that_comes_while_the_tracker_is_down_is_not_given_twice(
    minor: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    minor.opens().selected("PIC")
    minor.step("invite_to_kick_off")
    minor.wait(2 * DAY)

    with down(minor, monkeypatch, "pilot-kick-off"):
        with pytest.raises(ServiceError):
            minor.gives("pilot-kick-off", "Agreed", run_for="3w")
        with pytest.raises(ServiceError):
            minor.retries("pilot-kick-off")
    answered_at = minor.clock
    minor.wait(2 * WEEK)  # the time to answer is over, but the answer came in time
    assert minor.retries("pilot-kick-off") == "Agreed"
    assert minor.pilot.agreement.run_for == 3 * WEEK
    assert [f.at for f in minor.of(FactKind.ANSWER_GIVEN) if f.occasion.startswith("pilot-kick-off")] == [answered_at]
    assert minor.retries("pilot-kick-off") == "Agreed"


def test_an_answer_that_was_set_aside_and_is_refused_afterwards_is_asked_for_again(
    minor: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    minor.opens().selected("PIC")
    minor.step("invite_to_kick_off")
    with down(minor, monkeypatch, "pilot-kick-off"), pytest.raises(ServiceError):
        minor.gives("pilot-kick-off", "No agreement")
    assert minor.retries("pilot-kick-off") == "", "it gives no reason"
    minor.gives("pilot-kick-off", "Agreed")
    assert minor.retries("pilot-kick-off") == "Agreed"


def test_a_meeting_without_agreement_ends_the_pilot_and_the_sites_hear_why(major: Walk) -> None:
    major.opens().selected("PIC")
    major.step("invite_to_kick_off")
    with pytest.raises(RefusedError):
        major.answers("pilot-kick-off", "No agreement")
    major.answers("pilot-kick-off", "No agreement", reason="No site has time before the summer.")
    assert major.outcome() == "no agreement"
    assert "Pilot no agreement" in " ".join(major.told("admin@pic.example.org"))
    assert not major.step("dates_are_agreed")


def test_a_site_that_does_not_set_it_up_is_not_waited_for(minor: Walk) -> None:
    minor.opens().selected("PIC", "INFN-T1").kicked_off().set_up("PIC")
    assert not minor.holds("pilot_run_is_over")
    minor.is_silent("pilot-set-up", "INFN-T1")
    assert minor.pilot.sites == ("PIC",)
    minor.runs(2 * WEEK).reported("PIC")
    assert minor.wrapped_up("Reject", reason="One site is not enough.") == "rejected"
    assert "INFN-T1: left out" in next(m.text for m in minor.mails if m.subject.startswith("Pilot rejected"))
    # it was decided before the day of the meeting, which leaves everybody's calendar
    assert minor.told("rm@example.org").count("Cancelled: Wrap-up meeting: pilot of glite-CREAM 3.1.23") == 1


def test_nobody_could_set_it_up_and_there_is_nothing_to_report(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off()
    minor.step("mirror_repository")
    minor.answers("pilot-set-up", "Cannot", "PIC", remarks="Our machines are being moved.")
    minor.runs(DAY)
    assert minor.of(FactKind.RUN_ENDED)[0].payload["outcome"] == "not set up"
    assert not minor.asks("post-mortem", "PIC")
    assert "The service was never set up" in minor.body("pilot-wrap-up")
    assert minor.wrapped_up("Reject", reason="No site could set it up.") == "rejected"


def test_an_incident_stands_against_the_release_and_a_reason_is_wanted(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off().deployment_tested().set_up()
    minor.serves("PIC", "", ProbeState.CRITICAL)
    minor.runs(WEEK).reported()
    assert "An incident is open at PIC" in minor.body("pilot-wrap-up")
    minor.step("invite_to_wrap_up")
    reason = "The power of the whole site was off."
    minor.answers("pilot-wrap-up", "Release", reason=reason)
    minor.step("release_update")
    assert f"> {reason}" in minor.notes()
    assert endpoint_of("PIC") in minor.notes()


def test_the_dag_of_the_other_size_refuses_with_the_reasons(minor: Walk) -> None:
    minor.path = RolloutPath.MAJOR_PILOT
    with pytest.raises(RefusedError, match="It is a minor update"):
        minor.opens()
    assert minor.store.rollouts() == ()


def test_a_vo_that_shows_interest_is_invited_to_the_kick_off(major: Walk) -> None:
    major.opens()
    major.answers("pilot-acceptance", "Accept")
    major.step("rank_candidates")
    assert major.step("ask_vos_for_interest") == 2
    vos = {vo.name: vo.representatives for vo in major.services.config.people.vos}
    mine, to = {"user:ada"}, major.services.coordination.address
    pilot_screening.show_interest(
        at_desk(major.record, major.store, templates=templates(), now=major.clock),
        "atlas",
        "Bulk submission.",
        "ada",
        mine,
        vos,
        to,
    )
    major.answers("pilot-selection", "Select", sites="PIC")
    major.step("invite_to_kick_off")
    assert "atlas wants to take part in the pilot of glite-CREAM 3.1.23" in major.told(to)
    invited = {mail.to for mail in major.mails if mail.subject.startswith("Kick-off meeting")}
    assert invited == {
        "admin@pic.example.org",
        "atlas@example.org",
        "cream-developers@example.org",
        "coordination@example.org",
        "rm@example.org",
    }


def test_a_mirror_that_was_changed_is_not_tried_and_the_people_in_charge_hear_of_it_once(
    minor: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise ServiceError("artefact store", "does not work.")

    minor.opens().selected("PIC").kicked_off(experts="ITR: ivan")
    with monkeypatch.context() as broken, pytest.raises(ServiceError):  # the mirror is made, nothing is kept yet
        broken.setattr(steps_pilot, "keep_packages_once", dies)
        minor.step("mirror_repository")
    place = minor.record.need(FactKind.MIRROR_MADE, "").payload["mirror"]
    mirror = Path(minor.services.mirror_folder.path) / place
    for package in mirror.rglob("*.deb"):
        package.chmod(0o644)
        package.write_bytes(b"x" * package.stat().st_size)
    for _ in range(2):
        with pytest.raises(TamperedError, match="find out who changed it"):
            minor.step("mirror_repository")
    assert not minor.of(FactKind.PACKAGES_KEPT)
    for address in ("coordination@example.org", "rm@example.org"):
        assert len([m for m in minor.told(address) if m.startswith("Refused: what is kept for")]) == 1


def test_an_incident_gets_one_ticket_that_is_closed_when_the_service_answers_again(minor: Walk) -> None:
    class Board(type(minor.services.tracker)):  # type: ignore[misc]
        tickets: ClassVar[dict[str, Ticket]] = {}
        closed: ClassVar[dict[str, str]] = {}

        def open_ticket(self, ticket: Ticket) -> str:
            self.tickets.setdefault(ticket.marker, ticket)
            return "https://tracker.example.org/ticket1"

        def close_ticket(self, marker: str, text: str) -> None:
            self.closed[marker] = text

    board = minor.services.tracker
    board.__class__ = Board
    minor.opens().selected("PIC").kicked_off().set_up()
    minor.serves("PIC", state=ProbeState.CRITICAL)
    for _ in range(3):
        assert not minor.holds("pilot_run_is_over")
        minor.wait(DAY)
    ((marker, ticket),) = board.tickets.items()
    assert marker.startswith(f"pps:incident:{minor.record.name}:PIC:") and "Incident at PIC" in ticket.title
    assert board.closed == {}
    minor.serves("PIC")
    for _ in range(2):
        assert not minor.holds("pilot_run_is_over")
        minor.wait(DAY)
    assert list(board.tickets) == [marker], "one ticket for one incident"
    assert board.closed.keys() == {marker} and "It answers again since" in board.closed[marker]
