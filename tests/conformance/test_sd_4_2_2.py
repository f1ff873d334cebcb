"""SD 4.2.2, pre-deployment test: its heading has no text; the rules are those of 4.1.1, 4.1.2 and 4.2.1."""

from __future__ import annotations

import pytest
from tests.support.histories import DEBIAN, SL5, a_patch
from tests.support.scenarios import SITES, a_scenario, outcome_of

from pps.domain.clients.updates import platforms_for_production, reasons_against_production
from pps.domain.packages.patch import PatchState
from pps.domain.quality.scenarios import (
    DeploymentOutcome,
    Origin,
    OriginKind,
    ScenarioResult,
    contradictions,
    deployment_verdict,
    reasons_against_deployment_test,
)

CONFIGURED = a_patch(
    state=PatchState.CERTIFIED,
    special_configuration="Set BDII_EMIR_HOST.",
    new_variables=("BDII_EMIR_HOST",),
    platforms=(DEBIAN, SL5),
    install_tested=(),
)


@pytest.mark.sd("4.1.2")
def test_special_configuration_and_variables_need_a_deployment_test_before_production() -> None:
    reasons = " ".join(reasons_against_production(CONFIGURED))
    assert "special configuration, so a pre-deployment test is needed" in reasons
    assert "variables are new or changed, so a pre-deployment test is needed" in reasons


@pytest.mark.sd("4.2.2")
def test_a_passed_deployment_test_answers_for_configuration_and_variables() -> None:
    verdict = deployment_verdict(outcome_of((a_scenario(), ScenarioResult.PASS)))
    assert reasons_against_production(CONFIGURED, verdict) == ()


@pytest.mark.sd("4.2.2")
def test_the_release_is_limited_to_the_platforms_that_passed() -> None:
    record = outcome_of(
        (a_scenario(), ScenarioResult.PASS),
        (a_scenario("sl5", platform=SL5), ScenarioResult.FAIL),
        platforms=(DEBIAN, SL5),
    )
    verdict = deployment_verdict(record)
    assert verdict.outcome is DeploymentOutcome.PASSED
    assert platforms_for_production(CONFIGURED, verdict) == (DEBIAN,)
    assert verdict.reasons[0] == "sl5-x86_64: scenario sl5 failed: dpkg says no."


@pytest.mark.sd("4.2.2")
@pytest.mark.parametrize("result", [ScenarioResult.FAIL, ScenarioResult.INCONCLUSIVE, None])
def test_a_test_that_is_not_passed_stands_against_production_also_of_what_certification_installed(
    result: ScenarioResult | None,
) -> None:
    plain = a_patch(state=PatchState.CERTIFIED)
    assert reasons_against_production(plain) == ()
    verdict = deployment_verdict(outcome_of((a_scenario(), result)))
    reasons = reasons_against_production(plain, verdict)
    assert verdict.outcome in reasons[0]
    assert "scenario wn" in reasons[1]
    assert platforms_for_production(plain, verdict) == ()


@pytest.mark.sd("4.1.1")
def test_without_special_configuration_and_test_the_platforms_are_those_of_certification() -> None:
    both = a_patch(state=PatchState.CERTIFIED, platforms=(DEBIAN, SL5), install_tested=(SL5,))
    assert platforms_for_production(both) == (SL5,)


@pytest.mark.sd("4.1.2")
def test_the_test_runs_beside_certification_and_preview() -> None:
    assert reasons_against_deployment_test(a_patch(state=PatchState.IN_CERTIFICATION), [a_scenario()]) == ()


@pytest.mark.sd("4.2.1")
@pytest.mark.parametrize("kind", list(OriginKind))
def test_regions_sites_vos_developers_and_the_coordination_set_requirements(kind: OriginKind) -> None:
    names = {OriginKind.REGION: "Italy", OriginKind.SITE: "INFN-T1", OriginKind.VO: "atlas"}
    scenario = a_scenario(origin=Origin(kind, names.get(kind, "team")))
    assert contradictions([scenario], SITES, vos=["atlas"]) == ()


@pytest.mark.sd("4.2.1")
def test_only_pps_member_sites_run_scenarios() -> None:
    (reason,) = contradictions([a_scenario(runner="INFN-T1")], SITES)
    assert "no PPS member site" in reason
