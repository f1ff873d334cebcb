"""Deployment scenarios: which fit, what contradicts, and what their results allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.histories import DEBIAN, SL5, History, a_patch
from tests.support.scenarios import SITES, a_scenario, outcome_of

from pps.domain.base.errors import InvalidNameError, NotYetAllowedError
from pps.domain.clients.updates import platforms_for_production, reasons_against_production
from pps.domain.packages.patch import PatchState
from pps.domain.quality.scenarios import (
    DeploymentOutcome,
    Origin,
    OriginKind,
    ScenarioResult,
    applicable,
    contradictions,
    deployment_verdict,
    planned_scenario,
    planned_scenarios,
    reasons_against_deployment_test,
    reasons_against_platforms,
)
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import Platform


@pytest.mark.parametrize(
    ("node_type", "fits"), [("WN", True), ("wn", True), ("any", True), ("glite-WN", True), ("UI", False), ("N", False)]
)
def test_a_scenario_fits_the_metapackage_of_its_node_type(node_type: str, fits: bool) -> None:
    assert (applicable([a_scenario(node_type=node_type)], a_patch()) != ()) is fits


def test_a_scenario_on_another_platform_does_not_apply() -> None:
    assert applicable([a_scenario(platform=SL5)], a_patch()) == ()


def test_a_table_without_contradictions_is_accepted() -> None:
    table = [a_scenario(), a_scenario("wn-torque", system="torque", runner="CNAF-PPS")]
    assert contradictions(table, SITES) == ()


@pytest.mark.parametrize(
    ("different", "says"),
    [
        ({"runner": "CNAF-PPS"}, "the same combination (debian12-amd64, WN) is given to automatic and to CNAF-PPS"),
        ({"mandatory": False}, "is mandatory in one of them, and not in another"),
        ({"system": "dpm", "runner": "INFN-T1"}, "is no PPS member site (Production)"),
        ({"system": "dpm", "runner": "NOWHERE"}, "neither automatic nor a site that we know"),
        ({"system": "dpm", "runner": "CNAF-PPS", "platform": SL5}, "runs debian12-amd64, not sl5-x86_64"),
        ({"system": "dpm", "origin": Origin(OriginKind.REGION, "Atlantis")}, "Atlantis, which is no ROC"),
        ({"system": "dpm", "origin": Origin(OriginKind.SITE, "NOWHERE")}, "NOWHERE, which is no site"),
        ({"system": "dpm", "origin": Origin(OriginKind.VO, "atlas")}, "atlas, which is no VO"),
        ({"system": "dpm", "name": "WN"}, "wn: the name is used 2 times"),
    ],
)
def test_each_contradiction_is_told(different: dict[str, object], says: str) -> None:
    (found,) = contradictions([a_scenario(), a_scenario(**({"name": "other"} | different))], SITES)
    assert says in found


def test_origins_that_people_yaml_knows_and_teams_of_developers_are_known() -> None:
    origins = [
        Origin(OriginKind.REGION, "North"),
        Origin(OriginKind.VO, "atlas"),
        Origin(OriginKind.DEVELOPER, "dpm"),
        Origin(OriginKind.COORDINATION, "PPS"),
    ]
    table = [a_scenario(f"s{n}", system=f"s{n}", origin=o) for n, o in enumerate(origins)]
    assert contradictions(table, SITES, rocs=["North"], vos=["atlas"]) == ()


@pytest.mark.parametrize("field", ["name", "node_type", "system", "runner"])
def test_what_reaches_paths_and_shells_is_a_name(field: str) -> None:
    with pytest.raises(InvalidNameError):
        a_scenario(**{field: "a;reboot"})


def test_the_plan_is_read_back_as_it_was_agreed() -> None:
    scenario = a_scenario(system="torque", runner="CNAF-PPS", mandatory=False)
    record = outcome_of((scenario, None))
    assert planned_scenarios(record) == (scenario,)
    assert planned_scenario(record, "wn") == scenario
    with pytest.raises(NotYetAllowedError, match="no scenario 'ui'"):
        planned_scenario(record, "ui")


def test_the_newest_end_of_a_scenario_counts() -> None:
    record = outcome_of((a_scenario(), ScenarioResult.INCONCLUSIVE))
    again = History()
    again.facts = list(record.facts)
    again.then(FactKind.SCENARIO_ENDED, "wn", "2", result="pass")
    assert deployment_verdict(again.rollout).platforms == (DEBIAN,)


def test_a_platform_without_scenario_stays_behind_and_says_so() -> None:
    record = outcome_of((a_scenario(), ScenarioResult.PASS), platforms=(DEBIAN, SL5))
    assert deployment_verdict(record).platforms == (DEBIAN,)
    assert reasons_against_platforms(record)[SL5] == ("sl5-x86_64: no deployment scenario covers it.",)


def test_an_optional_scenario_holds_nothing_back_but_its_pass_counts() -> None:
    optional = a_scenario("extra", system="dpm", mandatory=False)
    both = outcome_of((a_scenario(), ScenarioResult.PASS), (optional, ScenarioResult.FAIL))
    assert deployment_verdict(both).platforms == (DEBIAN,)
    assert deployment_verdict(outcome_of((optional, ScenarioResult.PASS))).platforms == (DEBIAN,)
    assert deployment_verdict(outcome_of((optional, ScenarioResult.FAIL))).platforms == ()


def test_a_pass_beside_optional_failures_names_them_in_words_and_keeps_its_value() -> None:
    more = [(a_scenario(name, system=name, mandatory=False), ScenarioResult.FAIL) for name in ("dpm", "lsf")]
    verdicts = [deployment_verdict(outcome_of((a_scenario(), ScenarioResult.PASS), *more[:n])) for n in range(3)]
    assert [v.in_words for v in verdicts] == [
        "passed",
        "passed; optional scenario dpm failed",
        "passed; optional scenarios dpm and lsf failed",
    ]
    assert {v.outcome for v in verdicts} == {DeploymentOutcome.PASSED}
    assert deployment_verdict(outcome_of((a_scenario(), ScenarioResult.FAIL), *more)).in_words == "failed"
    elsewhere = (a_scenario("sl", platform=SL5), ScenarioResult.FAIL)
    verdict = deployment_verdict(outcome_of((a_scenario(), ScenarioResult.PASS), elsewhere, platforms=(DEBIAN, SL5)))
    assert verdict.in_words == "passed", "a mandatory one holds its platform back, and is no optional one"


def test_a_patch_that_is_neither_in_certification_nor_certified_is_not_tested() -> None:
    assert reasons_against_deployment_test(a_patch(), [a_scenario()]) == ()
    assert reasons_against_deployment_test(a_patch(state=PatchState.CERTIFIED), [a_scenario()]) == ()
    reasons = reasons_against_deployment_test(a_patch(state=PatchState.REJECTED, packages=()), [])
    assert len(reasons) == 3
    assert "No scenario of scenarios.yaml fits glite-WN on debian12-amd64." in reasons


RESULTS = st.sampled_from([*ScenarioResult, None])
PLATFORMS = st.sampled_from([DEBIAN, SL5, Platform("debian11", "amd64")])
TESTS = st.lists(st.tuples(PLATFORMS, st.booleans(), RESULTS), max_size=8)


@given(TESTS)
def test_a_platform_goes_out_exactly_if_one_scenario_passed_and_no_mandatory_one_did_not(
    drawn: list[tuple[Platform, bool, ScenarioResult | None]],
) -> None:
    pairs = [(a_scenario(f"s{n}", platform=p, mandatory=m), r) for n, (p, m, r) in enumerate(drawn)]
    record = outcome_of(*pairs)
    passed = deployment_verdict(record).platforms
    for platform, reasons in reasons_against_platforms(record).items():
        mine = [(s, r) for s, r in pairs if s.platform == platform]
        one = any(r is ScenarioResult.PASS for _, r in mine)
        none_against = all(r is ScenarioResult.PASS for s, r in mine if s.mandatory)
        assert (platform in passed) is (one and none_against)
        assert (reasons == ()) is (platform in passed)
    verdict = deployment_verdict(record)
    assert (verdict.outcome is DeploymentOutcome.PASSED) is bool(passed)
    assert verdict.platforms == passed
    if verdict.outcome is DeploymentOutcome.FAILED:
        assert any(r is ScenarioResult.FAIL for _, r in pairs)


@given(TESTS, st.lists(PLATFORMS, unique=True))
def test_a_further_failure_never_opens_a_platform_and_a_release_never_leaves_those_that_passed(
    drawn: list[tuple[Platform, bool, ScenarioResult | None]], platforms: list[Platform]
) -> None:
    pairs = [(a_scenario(f"s{n}", platform=p, mandatory=m), r) for n, (p, m, r) in enumerate(drawn)]
    before = deployment_verdict(outcome_of(*pairs))
    after = deployment_verdict(outcome_of(*pairs, (a_scenario("last"), ScenarioResult.FAIL)))
    assert set(after.platforms) <= set(before.platforms)
    patch = a_patch(state=PatchState.CERTIFIED, platforms=tuple(platforms), install_tested=tuple(platforms))
    allowed = platforms_for_production(patch, before)
    assert set(allowed) == set(platforms) & set(before.platforms)
    assert (reasons_against_production(patch, before) == ()) is bool(allowed)
