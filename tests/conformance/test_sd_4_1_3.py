"""SD 4.1.3 and 4.1.4: minor and major, backward compatible or not, and what the pilot policies ask."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from tests.support.desks import at_desk
from tests.support.pilots import DAY, ENOUGH, GOLD, LIMITS, MAJOR, MINOR, SCOPE, WEEK, APilot, bugs, partner

from pps.activities.pilots import request as pilot_request
from pps.activities.pilots import screening as pilot_screening
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.packages.patch import PatchState, Severity
from pps.domain.people.questions import Given
from pps.domain.pilots import rules as pilot_rules
from pps.domain.pilots.pilot import PROLONG, Pilot, Stage
from pps.domain.pilots.server_updates import Compatibility, Size, judge, reasons_for_major, reasons_for_non_bc
from pps.domain.pilots.success import JudgedBy, assess
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.domain.sites.site import PartnerLevel
from pps.orchestration.roles import ROLES

#: Each breaks one condition of "minor".
BREAKS = {
    "YAIM": {"new_variables": ("CREAM_MAX_JOBS",)},
    "component": {"component_parameters": ("cream.conf:max_jobs",)},
    "major bugs": {"bugs": bugs(Severity.MAJOR, 2)},
    "normal bugs": {"bugs": bugs(Severity.NORMAL, 5)},
    "effort": {"programming_ph": 17},
    "not validated": {"programming_ph": None},
    "operation": {"operational_changes": "The daemon must be restarted every night."},
}
#: Each breaks one condition of "backward compatible".
NON_BC = {"database_schema_changed": True, "clients_compatible": False, "new_functionality": True}


@pytest.mark.sd("4.1.3")
def test_an_update_for_which_all_conditions_hold_is_minor() -> None:
    assert reasons_for_major(MINOR, LIMITS) == ()
    assert judge(MINOR, LIMITS).path is RolloutPath.MINOR_PILOT


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("broken", BREAKS)
def test_major_when_any_of_the_conditions_is_false(broken: str) -> None:
    (reason,) = reasons_for_major(replace(MINOR, **BREAKS[broken]), LIMITS)
    assert reason.endswith(".")
    assert judge(replace(MINOR, **BREAKS[broken]), LIMITS).path is RolloutPath.MAJOR_PILOT


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize(("one", "other"), list(combinations(BREAKS, 2)))
def test_every_broken_condition_is_named(one: str, other: str) -> None:
    different = BREAKS[one] | BREAKS[other]
    assert len(reasons_for_major(replace(MINOR, **different), LIMITS)) == len(different)


@pytest.mark.sd("4.1.3")
def test_a_parameter_that_only_the_packages_show_is_new_all_the_same() -> None:
    (reason,) = reasons_for_major(MINOR, LIMITS, ["CREAM_MAX_JOBS"])
    assert "CREAM_MAX_JOBS" in reason


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize(
    ("fixed", "size"),
    [
        (bugs(Severity.MAJOR, 1) + bugs(Severity.NORMAL, 4), Size.MINOR),
        (bugs(Severity.MINOR, 50), Size.MINOR),
        (bugs(Severity.CRITICAL, 1), Size.MINOR),
        (bugs(Severity.CRITICAL, 1) + bugs(Severity.MAJOR, 1), Size.MAJOR),
        (bugs(Severity.MAJOR, 2), Size.MAJOR),
        (bugs(Severity.NORMAL, 5), Size.MAJOR),
    ],
)
def test_less_than_2_major_plus_5_normal_bug_fixes(fixed: tuple, size: Size) -> None:
    assert judge(replace(MINOR, bugs=fixed), LIMITS).size is size


@pytest.mark.sd("4.1.3")
def test_two_man_days_are_not_more_than_two_man_days() -> None:
    assert reasons_for_major(replace(MINOR, programming_ph=16), LIMITS) == ()


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("field", NON_BC)
def test_what_changes_schema_clients_or_functionality_is_not_backward_compatible(field: str) -> None:
    assert len(reasons_for_non_bc(replace(MINOR, **{field: NON_BC[field]}))) == 1


@pytest.mark.sd("4.1.4")
@pytest.mark.parametrize(("size", "patch"), [(Size.MINOR, MINOR), (Size.MAJOR, MAJOR)])
def test_gold_partners_run_bc_updates_and_platinum_partners_non_bc_ones_minor_or_major(
    size: Size, patch: object
) -> None:
    bc, non_bc = judge(patch, LIMITS), judge(replace(patch, database_schema_changed=True), LIMITS)
    assert (bc.size, bc.compatibility, bc.level) == (size, Compatibility.BC, PartnerLevel.GOLD)
    assert (non_bc.size, non_bc.compatibility, non_bc.level) == (size, Compatibility.NON_BC, PartnerLevel.PLATINUM)


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("justification", ["", "urgent", "..."])
def test_software_that_is_not_certified_needs_a_justification(justification: str) -> None:
    patch = replace(MAJOR, state=PatchState.IN_CERTIFICATION)
    with pytest.raises(RefusedError, match="has to be justified"):
        APilot(patch, justification=justification)


@pytest.mark.sd("4.1.3")
def test_the_justification_is_recorded() -> None:
    why = "The VO needs it before its data challenge."
    pilot = APilot(replace(MAJOR, state=PatchState.IN_CERTIFICATION), justification=why)
    assert (pilot.record.opened["certified"], pilot.record.opened["justification"]) == (False, why)


@pytest.mark.sd("4.1.3")
def test_vos_are_asked_only_in_case_of_major_updates() -> None:
    minor = APilot(MINOR).accepted()
    nobody = pilot_screening.ask_for_interest(
        at_desk(minor.record, minor.store, templates=None, patch=MINOR, now=minor.at, actor="x"),
        (),
        "x@example.org",
        "https://x",
    )
    assert nobody == 0
    with pytest.raises(RefusedError, match="VOs have no part"):
        minor.shows_interest()


@pytest.mark.sd("4.1.3", step=1)
@pytest.mark.parametrize(("vo", "role"), [("", "EMT"), ("atlas", "VO Representative")])
@pytest.mark.parametrize("patch", [MINOR, MAJOR])
def test_emt_and_vos_ask_and_the_rules_say_which_it_is(vo: str, role: str, patch: object) -> None:
    pilot = APilot(patch, vo=vo)
    assert pilot.record.the(FactKind.PILOT_REQUESTED).payload["role"] == role
    assert role in ROLES
    assert pilot.pilot.is_major is (patch is MAJOR)


@pytest.mark.sd("4.1.3", step=2)
def test_sites_are_selected_only_with_documentation_for_installation_and_configuration() -> None:
    pilot = APilot(replace(MAJOR, configuration_guide="")).accepted().ranked()
    with pytest.raises(RefusedError, match="no documentation for configuration"):
        pilot.selected("PIC")


@pytest.mark.sd("4.1.3", step=2)
def test_candidates_are_gold_sites_or_volunteers() -> None:
    sites = GOLD | {"INFN-BARI": partner("INFN-BARI", PartnerLevel.SILVER)}
    pilot = APilot().accepted().ranked(sites)
    with pytest.raises(RefusedError, match="candidates do not include INFN-BARI"):
        pilot.selected("INFN-BARI")
    pilot.ranked(sites, volunteers=["INFN-BARI"]).selected("INFN-BARI")
    assert pilot.pilot.sites == ("INFN-BARI",)


@pytest.mark.sd("4.1.3", step=7)
def test_nobody_sets_it_up_before_the_kick_off() -> None:
    pilot = APilot().accepted().ranked().selected()
    with pytest.raises(NotYetAllowedError, match="kick-off"):
        pilot_rules.may_set_up(pilot.pilot, "PIC")
    pilot_rules.may_set_up(pilot.kicked_off().pilot, "PIC")


@pytest.mark.sd("4.1.3", step=8)
def test_the_run_counts_from_the_completed_installation() -> None:
    pilot = APilot().accepted().ranked().selected("PIC", "INFN-T1").kicked_off().wait(DAY).set_up()
    with pytest.raises(NotYetAllowedError, match="set-up at INFN-T1 is not verified"):
        pilot_rules.may_run(pilot.pilot)
    pilot.wait(3 * DAY).set_up("INFN-T1")
    assert (pilot.pilot.running_since, pilot.pilot.runs_until) == (pilot.at, pilot.at + 2 * WEEK)


@pytest.mark.sd("4.1.3", step=9)
def test_the_report_comes_before_the_wrap_up() -> None:
    pilot = APilot().running().wait(2 * WEEK).ended()
    with pytest.raises(NotYetAllowedError, match="no report from PIC"):
        pilot_rules.may_wrap_up(pilot.pilot)
    pilot_rules.may_wrap_up(pilot.then(FactKind.REPORT_WRITTEN, "PIC").pilot)


@pytest.mark.sd("4.1.3", step=10)
def test_the_wrap_up_may_prolong_the_testing_time_with_a_new_agreement() -> None:
    first = APilot().running("atlas").wait(2 * WEEK).ended().wrapped_up(PROLONG)
    name = pilot_request.open_next_round(
        at_desk(first.record, first.store, now=first.at, actor="pps"), run="pilot/second"
    )
    second = Pilot(first.store.rollout(name))
    assert (second.name, second.first_round, second.round) == ("major-pilot-4711-2", first.name, 2)
    assert (second.stage, second.sites, second.running_since) == (Stage.KICK_OFF, ("PIC",), None)
    first.name = name
    first.wait(DAY).kicked_off("cms")
    # what is set up already runs; its new time counts from the new agreement
    assert (first.pilot.stage, first.pilot.runs_until) == (Stage.RUNNING, first.at + 2 * WEEK)
    assert first.pilot.agreement.vos == ("cms",)


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("vos", [(), ("atlas",)])
def test_without_committed_vo_or_feedback_in_time_operations_judge_and_the_notes_say_so(vos: tuple[str, ...]) -> None:
    pilot = APilot().running(*vos).wait(4 * WEEK).ended().said("atlas", "problem")
    found = assess(pilot.pilot, ENOUGH, pilot.at)
    assert (found.by, found.no_feedback, found.reasons_against) == (JudgedBy.OPERATIONS, True, ())


@pytest.mark.sd("4.1.3")
def test_with_feedback_the_vos_words_decide() -> None:
    pilot = APilot().running("atlas", "cms").wait(WEEK).said("atlas", "problem").wait(WEEK).ended()
    found = assess(pilot.pilot, ENOUGH, pilot.at)
    assert (found.by, found.no_feedback) == (JudgedBy.USERS, False)
    assert found.reasons_against == ("atlas reports a problem: So it is.",)
    assert found.remarks == ("No feedback from cms in time.",)


@pytest.mark.sd("4.1.3")
def test_a_minor_one_is_judged_by_operations_alone() -> None:
    pilot = APilot(MINOR).running(run_for=WEEK).wait(WEEK).ended()
    found = assess(pilot.pilot, ENOUGH, pilot.at)
    assert (found.by, found.no_feedback, found.reasons_against) == (JudgedBy.OPERATIONS, False, ())


@pytest.mark.sd("4.1.3", step=1)
def test_the_coordinator_says_why_a_request_is_declined() -> None:
    pilot = APilot()
    with pytest.raises(RefusedError, match="reason"):
        pilot_request.facts_of_acceptance(
            at_desk(pilot.record, now=pilot.at, actor="pps"), Given("Decline", {"reason": "no"}, "carla", pilot.at)
        )
    assert SCOPE in pilot.record.the(FactKind.PILOT_REQUESTED).payload["scope"]
