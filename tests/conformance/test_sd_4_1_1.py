"""SD 4.1.1, fully backward compatible client update: each sentence that is a rule."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.histories import DEBIAN, NOON, SL5, History, a_patch, a_site

from pps.domain.base.errors import NotYetAllowedError
from pps.domain.clients.batches import (
    KEEPS_US_WAITING,
    BatchLimits,
    GateVerdict,
    ends_without_late_sites,
    judge_canaries,
    kept_others_waiting,
    plan_batches,
    reasons_to_stop,
)
from pps.domain.clients.updates import (
    platforms_for_production,
    reasons_against_bc_client_preview,
    reasons_against_production,
)
from pps.domain.packages.patch import PatchState
from pps.domain.packages.tags import jdl_requirement, preview_tag
from pps.domain.people.feedback import Outcome, answers, feedback_is_over, outcome, summary
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import CertificationStatus, Infrastructure, reasons_against_preview

LIMITS = BatchLimits(
    canaries=2, sites_per_batch=3, canaries_healthy_at_least=1.0, failure_budget=0.3, failures_always_allowed=1
)


@pytest.mark.sd("4.1.1")
@pytest.mark.parametrize("state", [s for s in PatchState if s is not PatchState.IN_CERTIFICATION])
def test_a_patch_in_any_other_state_than_in_certification_is_not_distributed(state: PatchState) -> None:
    assert reasons_against_bc_client_preview(a_patch()) == ()
    (reason,) = reasons_against_bc_client_preview(a_patch(state=state))
    assert state in reason


@pytest.mark.sd("4.1.1")
def test_a_patch_that_sa3_has_not_flagged_is_not_distributed() -> None:
    (reason,) = reasons_against_bc_client_preview(a_patch(basic_certification_passed=False))
    assert "SA3" in reason


@pytest.mark.sd("4.1.1")
def test_a_new_or_changed_variable_makes_it_no_backward_compatible_client() -> None:
    assert "BDII_IPV6_SUPPORT" in reasons_against_bc_client_preview(a_patch(new_variables=("BDII_IPV6_SUPPORT",)))[0]
    assert "SE_LIST" in reasons_against_bc_client_preview(a_patch(changed_variables=("SE_LIST",)))[0]


@pytest.mark.sd("4.1.1")
def test_every_broken_precondition_is_named_at_once() -> None:
    patch = a_patch(state=PatchState.REJECTED, basic_certification_passed=False, new_variables=("X",), packages=())
    assert len(reasons_against_bc_client_preview(patch)) == 4


@pytest.mark.sd("4.1.1", step=2)
@pytest.mark.parametrize(
    "different",
    [
        {"accepts_previews": False},
        {"infrastructure": Infrastructure.PPS},
        {"certification": CertificationStatus.SUSPENDED},
        {"platform": SL5},
    ],
)
def test_only_collaborating_sites_in_production_on_a_platform_of_the_patch_get_the_preview(different: dict) -> None:
    assert reasons_against_preview(a_site(), [DEBIAN]) == ()
    assert len(reasons_against_preview(a_site(**different), [DEBIAN])) == 1


@pytest.mark.sd("4.1.1", step=4)
@pytest.mark.parametrize("kind", [FactKind.PREVIEW_INSTALLED, FactKind.PROBES_FAILED, FactKind.SITE_FAILED])
def test_no_tag_before_the_local_tests_have_passed(kind: FactKind) -> None:
    history = History().planned(canary=["PIC"]).then(kind, "PIC")
    with pytest.raises(NotYetAllowedError):
        history.rollout.may_tag("PIC")
    history.then(FactKind.PROBES_PASSED, "PIC").rollout.may_tag("PIC")


@pytest.mark.sd("4.1.1", step=4)
def test_a_preview_that_was_installed_again_must_be_tested_again_before_its_tag() -> None:
    history = History().planned(canary=["PIC"]).then(FactKind.PROBES_PASSED, "PIC")
    history.then(FactKind.PREVIEW_LOST, "PIC").then(FactKind.PREVIEW_INSTALLED, "PIC", "night")
    with pytest.raises(NotYetAllowedError):
        history.rollout.may_tag("PIC")


@pytest.mark.sd("4.1.1")
def test_users_select_the_version_by_a_requirement_in_the_jdl() -> None:
    tag = preview_tag(a_patch(), "ops")
    assert str(tag) == "VO-ops-PPS-GLITE-WN-3.1.23"
    assert (
        jdl_requirement(tag)
        == 'Requirements = Member("VO-ops-PPS-GLITE-WN-3.1.23", other.GlueHostApplicationSoftwareRunTimeEnvironment);'
    )


def asked(*vos: str) -> History:
    history = History().then(FactKind.FEEDBACK_DATE_AGREED, due=(NOON + timedelta(days=14)).isoformat())
    for vo in vos:
        history.then(FactKind.VO_INVITED, vo)
    return history


def answer(history: History, vo: str, after: timedelta, invited: bool = True) -> History:
    return history.then(
        FactKind.FEEDBACK_GIVEN, vo, f"{vo}{after}", at=NOON + after, opinion="works", text="ok", invited=invited
    )


@pytest.mark.sd("4.1.1")
def test_nobody_answering_is_an_outcome_of_its_own() -> None:
    assert outcome(asked("atlas").rollout) is Outcome.NONE


@pytest.mark.sd("4.1.1")
@pytest.mark.parametrize(("seconds", "late"), [(-1, False), (0, False), (1, True)])
def test_an_answer_counts_up_to_the_very_instant_of_the_agreed_date(seconds: int, late: bool) -> None:
    rollout = answer(asked("atlas"), "atlas", timedelta(days=14, seconds=seconds)).rollout
    assert answers(rollout)[0].late is late
    assert outcome(rollout) is (Outcome.NONE if late else Outcome.ALL)


@pytest.mark.sd("4.1.1")
def test_waiting_ends_at_the_agreed_date_or_when_every_invited_vo_has_answered() -> None:
    history = asked("atlas", "cms")
    assert not feedback_is_over(history.rollout, NOON + timedelta(days=13))
    assert feedback_is_over(history.rollout, NOON + timedelta(days=14, seconds=1))
    answer(history, "atlas", timedelta(days=1))
    assert not feedback_is_over(history.rollout, NOON + timedelta(days=2))
    answer(history, "cms", timedelta(days=2))
    assert feedback_is_over(history.rollout, NOON + timedelta(days=2))


@pytest.mark.sd("4.1.1")
def test_who_was_not_invited_is_heard_but_ends_no_waiting() -> None:
    history = answer(asked("atlas"), "atlas", timedelta(days=1), invited=False)
    assert outcome(history.rollout) is Outcome.NONE
    assert not feedback_is_over(history.rollout, NOON + timedelta(days=2))
    assert len(answers(history.rollout)) == 1


@pytest.mark.sd("4.1.1")
def test_a_vo_that_takes_its_answer_back_is_silent_and_its_silence_is_an_outcome() -> None:
    history = answer(asked("atlas", "cms"), "atlas", timedelta(days=1))
    answer(history, "cms", timedelta(days=1))
    assert feedback_is_over(history.rollout, NOON + timedelta(days=2))
    history.then(FactKind.FEEDBACK_WITHDRAWN, "atlas", f"atlas{timedelta(days=1)}", at=NOON + timedelta(days=2))
    assert outcome(history.rollout) is Outcome.SOME
    assert summary(history.rollout).silent == ("atlas",)
    assert not feedback_is_over(history.rollout, NOON + timedelta(days=3))
    assert len(answers(history.rollout)) == 2, "the record keeps both"


@pytest.mark.sd("4.1.1")
def test_a_vo_for_which_it_works_and_a_bug_is_not_fixed_says_both() -> None:
    history = asked("atlas").then(
        FactKind.FEEDBACK_GIVEN, "atlas", "x", opinion="works", text="", invited=True, bugs={"101": "not fixed"}
    )
    (said,) = summary(history.rollout).counting
    assert said.words == "works as a whole; bug 101 not fixed"
    (tally,) = summary(history.rollout).bugs
    assert (tally.name, tally.good, tally.bad) == ("101", (), ("atlas",))


@pytest.mark.sd("4.1.1")
def test_release_needs_the_certification_and_no_special_configuration() -> None:
    certified = a_patch(state=PatchState.CERTIFIED)
    assert reasons_against_production(certified) == ()
    assert "certification" in reasons_against_production(a_patch())[0].lower()
    assert (
        "special configuration"
        in reasons_against_production(a_patch(state=PatchState.CERTIFIED, special_configuration="Set SE_LIST."))[0]
    )


@pytest.mark.sd("4.1.1")
def test_release_is_limited_to_platforms_on_which_certification_did_an_installation_test() -> None:
    both = a_patch(state=PatchState.CERTIFIED, platforms=(DEBIAN, SL5), install_tested=(SL5,))
    assert platforms_for_production(both) == (SL5,)
    untested = a_patch(state=PatchState.CERTIFIED, install_tested=())
    assert "installation test" in reasons_against_production(untested)[0]


def test_volunteers_are_the_first_canaries_and_every_site_is_in_the_plan_once() -> None:
    sites = [a_site(f"S{n}", canary=n in (5, 6)) for n in range(10)]
    plan = plan_batches("bc-client-4711-1", sites, LIMITS)
    assert set(plan["canary"]) == {"S5", "S6"}
    assert sorted(s for batch in plan.values() for s in batch) == sorted(s.name for s in sites)
    assert all(len(batch) <= 3 for name, batch in plan.items() if name != "canary")
    assert plan == plan_batches("bc-client-4711-1", reversed(sites), LIMITS)


def test_sites_that_have_kept_others_waiting_come_last_in_batches_of_their_own() -> None:
    sites = [a_site(f"S{n}", canary=n in (5, 6)) for n in range(12)]
    last = {"S1", "S5", "S8"}
    plan = plan_batches("bc-client-4711-1", sites, LIMITS, last=last)
    batches = list(plan.values())
    assert "S6" in plan["canary"] and not last & set(plan["canary"]), "not even as volunteers"
    assert set(batches[-1]) == last
    assert sorted(s for batch in batches for s in batch) == sorted(s.name for s in sites)
    alone = plan_batches("r", sites[1:2], LIMITS, last=last)
    assert alone["canary"] == ["S1"], "where there is no other, it is the first all the same"
    mixed = plan_batches("r", [a_site("S1", platform=SL5), a_site("S2"), a_site("S3")], LIMITS, last=last)
    assert "S1" not in mixed["canary"], "not even as the only one of its platform"


def test_who_has_kept_others_waiting_is_told_by_the_newest_outcome_of_any_rollout() -> None:
    unreachable = {"error": "SiteUnreachableError", "step": "distribute"}
    history = (
        History()
        .then(FactKind.SITE_FAILED, "BACK", **unreachable)
        .then(FactKind.PREVIEW_INSTALLED, "BACK", seconds=12.5)
        .then(FactKind.PREVIEW_INSTALLED, "DEAD", seconds=3.0)
        .then(FactKind.SITE_FAILED, "DEAD", **unreachable)
        .then(FactKind.PREVIEW_INSTALLED, "SLOW", seconds=300)
        .then(FactKind.SITE_FAILED, "FULL", error="SiteRefusedError")
        .then(FactKind.PREVIEW_INSTALLED, "OLD")
        .then(FactKind.SITE_KEEPS_WAITING, "LATE")
        .then(FactKind.SITE_KEEPS_WAITING, "WELL")
        .then(FactKind.PREVIEW_INSTALLED, "WELL", seconds=3.0)
    )
    assert kept_others_waiting(history.rollout.facts, timedelta(minutes=5)) == {"DEAD", "SLOW", "LATE"}


def test_no_platform_reaches_the_fleet_untried_where_canaries_suffice() -> None:
    sites = [a_site(f"A{n}", canary=True) for n in range(5)] + [a_site("B0", platform=SL5)]
    plan = plan_batches("r", sites, LIMITS)
    assert "B0" in plan["canary"]


def test_unreachable_canaries_make_the_gate_inconclusive_and_sick_ones_make_it_fail() -> None:
    history = History().planned(canary=["A", "B"]).then(FactKind.TAG_SEEN, "A")
    history.then(FactKind.SITE_FAILED, "B", reason="no answer")
    canaries = history.rollout.all_progress(["A", "B"])
    assert judge_canaries(canaries, frozenset({"B"}), LIMITS)[0] is GateVerdict.INCONCLUSIVE
    assert judge_canaries(canaries, frozenset(), LIMITS)[0] is GateVerdict.FAILED
    assert judge_canaries(canaries[:1], frozenset(), LIMITS)[0] is GateVerdict.HEALTHY
    assert judge_canaries((), frozenset(), LIMITS)[0] is GateVerdict.INCONCLUSIVE


def test_the_rollout_stops_by_itself_when_the_failure_budget_is_used_up() -> None:
    names = [f"S{n}" for n in range(10)]
    history = History().planned(canary=names)
    for name in names[:3]:
        history.then(FactKind.SITE_FAILED, name, reason="disk full")
    assert reasons_to_stop(history.rollout.all_progress(names), LIMITS) == ()
    history.then(FactKind.PROBES_FAILED, names[3], reason="ldd")
    reasons = reasons_to_stop(history.rollout.all_progress(names), LIMITS)
    assert "4 of 10" in reasons[0]
    assert "S3: ldd" in reasons


def test_sites_that_keep_us_waiting_are_no_failures_and_count_like_them_until_they_have_had_their_time() -> None:
    names = [f"S{n}" for n in range(10)]
    history = History().planned(canary=names)
    history.then(FactKind.SITE_FAILED, names[0], reason="disk full")
    for name in names[1:3]:
        history.then(FactKind.SITE_KEEPS_WAITING, name, "fleet-1", reason=KEEPS_US_WAITING)
    assert reasons_to_stop(history.rollout.all_progress(names), LIMITS) == ()
    history.then(FactKind.SITE_KEEPS_WAITING, names[3], "fleet-1", reason=KEEPS_US_WAITING)
    reasons = reasons_to_stop(history.rollout.all_progress(names), LIMITS)
    assert reasons[0] == "1 of 10 sites failed and 3 keep us waiting; the failure budget allows 3."
    assert f"S3: {KEEPS_US_WAITING}" in reasons
    history.then(FactKind.PREVIEW_INSTALLED, names[3], "stragglers")
    assert reasons_to_stop(history.rollout.all_progress(names), LIMITS) == ()
    assert history.rollout.batch("stragglers") == ("S1", "S2", "S3"), "the same for each of its steps"
    assert history.rollout.is_planned("stragglers"), "a pause holds it back, as any batch of the plan"


def test_only_batches_that_others_wait_for_end_without_late_sites() -> None:
    history = History().planned(canary=["A"], fleet_1=["B"])
    history.then(FactKind.NIGHT_PLANNED, "", "night-2026-03-02", sites=["A"])
    which = ("canary", "fleet-1", "stragglers", "night-2026-03-02")
    assert [batch for batch in which if ends_without_late_sites(history.rollout, batch)] == ["fleet-1"]


def test_a_repeated_failure_after_a_repair_is_on_record_and_a_retry_is_not() -> None:
    history = History().planned(canary=["A"])
    kind = FactKind.SITE_FAILED
    assert history.rollout.occasion(kind, "A", "canary") == "canary"
    history.then(kind, "A", "canary")
    assert history.rollout.occasion(kind, "A", "canary") == "canary"
    history.then(FactKind.PREVIEW_INSTALLED, "A", "canary")
    assert history.rollout.occasion(kind, "A", "canary") == "canary.2"
