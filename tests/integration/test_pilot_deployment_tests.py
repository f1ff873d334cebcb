"""A pilot and its deployment test run "in parallel and separately" (SD 4.1.3), and the patch may change meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.pilot_walks import DAY, WEEK, Walk, walking

from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.orchestration.steps import pilots as steps_pilot


@pytest.fixture
def minor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with walking(tmp_path, monkeypatch, RolloutPath.MINOR_PILOT) as walk:
        yield walk


def _wants_to_release(walk: Walk) -> None:
    walk.step("invite_to_wrap_up")
    walk.wait(2 * DAY)
    walk.answers("pilot-wrap-up", "Release")
    assert steps_pilot.follow_decision.function(walk.name) == "wait_for_deployment_test"


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("result", [ScenarioResult.PASS, ScenarioResult.FAIL, ScenarioResult.INCONCLUSIVE])
def test_a_test_of_other_configuration_is_renewed_before_the_release(minor: Walk, result: ScenarioResult) -> None:
    minor.opens()
    assert minor.needs_test()
    minor.selected("PIC").kicked_off().deployment_tested(result).set_up()
    minor.changes_patch(special_configuration="Set CREAM_LIMIT.").runs(WEEK).reported()
    _wants_to_release(minor)
    assert minor.holds("deployment_test_is_over")
    for _ in range(2):  # a task that is cleared says the same
        assert minor.follows_test() == "start_another_deployment_test"
    assert not minor.holds("deployment_test_is_renewed"), "its run has not opened it yet"
    minor.deployment_tested(None)
    assert minor.follows_test() == "release_update", "one is under way"
    assert not minor.holds("deployment_test_is_renewed")
    minor.deployment_tested()
    assert minor.holds("deployment_test_is_renewed")
    assert minor.step("release_update") is True
    assert minor.step("end_pilot") == "released"


@pytest.mark.sd("4.1.3")
def test_a_test_that_the_change_of_the_patch_overtook_is_waited_for_and_then_renewed(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off().deployment_tested(None)
    assert not minor.needs_test()
    minor.set_up().changes_patch(new_variables=("CREAM_LIMIT",)).runs(WEEK).reported()
    _wants_to_release(minor)
    assert not minor.holds("deployment_test_is_over")
    minor.deployment_tested(ScenarioResult.INCONCLUSIVE)
    assert minor.holds("deployment_test_is_over")
    assert minor.follows_test() == "start_another_deployment_test"


def test_a_test_that_found_nothing_out_is_not_repeated_for_the_same_packages(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off().deployment_tested(ScenarioResult.INCONCLUSIVE).set_up()
    assert not minor.needs_test()
    minor.runs(WEEK).reported()
    _wants_to_release(minor)
    assert minor.follows_test() == "release_update"
    assert minor.step("release_update") is False
    assert minor.step("end_pilot") == "not released"


@pytest.mark.sd("4.1.3")
def test_packages_that_the_pilot_has_not_tried_are_not_released_and_no_test_is_started_for_them(minor: Walk) -> None:
    minor.opens().selected("PIC").kicked_off().deployment_tested().set_up()
    *others, last = minor.patch.packages
    minor.changes_patch(packages=tuple(others)).runs(WEEK).reported()
    lost = f"names other packages now than those that were tried ({last})"
    assert lost in " ".join(minor.body("pilot-wrap-up").split())
    _wants_to_release(minor)
    assert minor.follows_test() == "release_update"
    assert minor.holds("deployment_test_is_renewed")
    assert minor.step("release_update") is False
    assert lost in " ".join(minor.record.need(FactKind.RELEASE_REFUSED, "").payload["reasons"])
    assert minor.in_production() == {}


def test_a_pilot_whose_patch_was_tested_as_something_else_starts_its_own_test(minor: Walk) -> None:
    minor.deployment_tested()
    minor.changes_patch(special_configuration="Set CREAM_LIMIT.")
    minor.opens()
    assert minor.needs_test()
