"""Why the patch of a pilot is still where it is: at each moment of a whole walk, and when it goes another way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.pilot_walks import WEEK, Walk, walking
from tests.support.whys import (
    FAILED,
    MET,
    NOT_YET,
    POLICIES,
    WAITING,
    WAIVED,
    never_ahead_of_the_record,
    of,
)

from pps.activities.pilots.wrap_up import reasons_against_pilot_release
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.workflow.why import Told, Why, public_view, why

# --- pilots -----------------------------------------------------------------------------------------------------


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("path", [RolloutPath.MINOR_PILOT, RolloutPath.MAJOR_PILOT])
def test_of_a_pilot_nothing_is_said_before_it_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: RolloutPath
) -> None:
    major = path is RolloutPath.MAJOR_PILOT
    with walking(tmp_path, monkeypatch, path) as walk:
        walk.opens(**({"vo": "cms"} if major else {})).selected("PIC", "INFN-T1")
        walk.kicked_off(**({"vos": "cms"} if major else {})).deployment_tested(None).set_up()
        if major:
            walk.step("invite_vos")
        walk.runs(2 * WEEK)
        if major:
            walk.said("cms", "works", "A million jobs.")
        walk.reported().deployment_tested()
        assert walk.wrapped_up("Release") == "released"

        def patch_at(seen: set[FactKind]) -> Patch:
            out = FactKind.RELEASED_TO_PRODUCTION in seen
            return replace(walk.patch, state=PatchState.IN_PRODUCTION if out else PatchState.CERTIFIED)

        said = never_ahead_of_the_record(walk.store, patch_at, ["deployment test"])
        asked = "the PPS Coordinator accepts or declines it by Sat 6 Dec 2025, 09:30 UTC; silence declines it."
        assert f"It waits for the request: {asked}" in said
        until = "Wed 10 Dec 2025, 09:30 UTC"
        set_up = f"1 of 2 sites have set it up; a site that has not by {until} is left out."
        assert f"It waits for the set-up and the deployment test. First of these: {set_up}" in said
        assert any("0 of 1 committed VOs have answered; it ends on" in text for text in said) is major


def asked_at(walk: Walk) -> Why:
    return why(walk.store, walk.patch.number, Told(walk.patch), POLICIES, walk.clock)


@pytest.mark.sd("4.1.3")
def test_a_pilot_that_was_rolled_back_still_waits_for_report_and_decision_without_the_site_s_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with walking(tmp_path, monkeypatch, RolloutPath.MINOR_PILOT) as walk:
        walk.opens().selected("PIC").kicked_off().deployment_tested().set_up()
        walk.store.record(
            Fact(
                walk.name,
                FactKind.SERVICE_ROLLED_BACK,
                "PIC",
                "1",
                walk.clock,
                "x",
                {"reason": "Our words.", "version": "3.1.22", "by": "PIC"},
            )
        )
        assert walk.holds("pilot_run_is_over")
        found = asked_at(walk)
        assert (of(found, "run").state, of(found, "reports").state) == (FAILED, WAITING)
        assert found.answer.startswith("It waits for the reports: 0 of 1 sites have written theirs")
        assert "In the way of its release: the run." in found.answer
        walk.reported("PIC")
        assert walk.wrapped_up("Reject", reason="It loses jobs.") == "rejected"
        found = asked_at(walk)
        assert of(found, "decision").state is FAILED
        assert "Minor pilot minor-pilot-4711-1 has ended: rejected." in found.answer
        assert "It loses jobs." in of(found, "decision").sentence
        assert "Our words" not in str(public_view(found))


@pytest.mark.sd("4.1.3")
def test_software_that_is_not_certified_is_waived_by_a_role_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "The certified version loses jobs at every site."
    with walking(tmp_path, monkeypatch, RolloutPath.MINOR_PILOT, state=PatchState.IN_CERTIFICATION) as walk:
        walk.opens(justification=reason).selected("PIC")
        assert of(asked_at(walk), "certified software").state is NOT_YET
        walk.kicked_off(justification=reason)
        found = of(asked_at(walk), "certified software")
        assert found.state is WAIVED
        assert found.sentence == f"The PPS Coordinator or the EMT allows software that is not certified. {reason}"
        assert of(asked_at(walk), "certification").state is WAITING


def test_silence_of_the_coordinator_is_no_acceptance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with walking(tmp_path, monkeypatch, RolloutPath.MINOR_PILOT) as walk:
        walk.opens().is_silent("pilot-acceptance")
        found = asked_at(walk)
        assert of(found, "request").state is FAILED
        assert not any(c.state is WAITING for c in found.conditions if c.name != "certification")
        assert "did not answer by" in found.answer


@pytest.mark.sd("4.1.3")
def test_a_pilot_that_is_prolonged_says_that_another_round_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with walking(tmp_path, monkeypatch, RolloutPath.MINOR_PILOT) as walk:
        walk.opens().selected("PIC").kicked_off().deployment_tested().set_up().runs(WEEK).reported()
        second = walk.wrapped_up("Prolong", reason="We want to see another week.")
        assert asked_at(walk).answer.endswith(f"The next round follows: {second}.")
        walk.opens(continues=walk.name)
        found = asked_at(walk)
        assert found.answer.startswith("It waits for the kick-off")
        assert (of(found, "request").state, of(found, "decision").state) == (MET, NOT_YET)
        assert len({(e.at, e.what) for e in found.events}) == len(found.events)


@pytest.mark.sd("4.1.3")
def test_a_pilot_s_release_needs_a_deployment_test_whatever_certification_has_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with walking(tmp_path, monkeypatch, RolloutPath.MINOR_PILOT) as walk:
        walk.opens().changes_patch(install_tested=walk.patch.platforms)
        test = of(asked_at(walk), "deployment test")
        assert test.state is NOT_YET
        assert test.sentence.startswith("A pilot's release needs one, and none has ended yet. The rollout starts it")
        assert reasons_against_pilot_release(walk.desk) == ("No pre-deployment test of it has ended yet.",)
        walk.deployment_tested()
        assert of(asked_at(walk), "deployment test").state is MET
        assert reasons_against_pilot_release(walk.desk) == ()
