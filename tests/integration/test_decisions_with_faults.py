"""Deployment tests, release tests and joint decisions, with any faults, on the real store."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from tests.support.frail import CALM, Trouble
from tests.support.machines import PathMachine, walk
from tests.support.walked_paths import Run, Walked, walked  # noqa: F401

from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import FactKind

pytestmark = pytest.mark.needs("postgres")
WHY = "Everybody's proxies can be stolen through it."


class Decisions(PathMachine):
    """A patch of each kind."""

    @initialize(urgency=st.sampled_from(["urgent", "high priority"]), kind=st.sampled_from(["client", "minor"]))
    def begin(self, urgency: str, kind: str) -> None:
        w = self.world
        tried = w.patch("client", state=PatchState.CERTIFIED).number
        self.runs = [
            w.run("release_testing", tried),
            w.run("pre_deployment_test", tried),
            w.run("overrule_policies", w.patch(kind).number, urgency=urgency, reason=WHY),
        ]

    def elsewhere(self, run: Run, number: int, trouble: Trouble) -> None:
        """Somebody starts one again, after its end or before; certification goes on, a provider changes the patch."""
        patch = int(run.params["patch"])
        match number % 4:
            case 0 if len(self.runs) < 8:
                self.runs.append(self.world.run(run.dag, **run.params))
            case 1:  # and somebody may have rejected it by mistake
                before = PatchState.IN_CERTIFICATION if run.dag == "overrule_policies" else PatchState.CERTIFIED
                self.world.changes(patch, state=before if number // 4 % 3 else PatchState.REJECTED)
            case 2:
                self.world.changes(patch, release_notes="Corrected.")


def test_whatever_fails_a_test_or_decision_has_one_outcome_and_every_one_can_end(walked: Walked) -> None:
    walk(Decisions, walked, 8)


@pytest.mark.parametrize("kind", ["client", "minor"])
def test_a_joint_decision_on_a_patch_that_is_rejected_since_ends_with_that_reason_and_releases_nothing(
    walked: Walked, kind: str
) -> None:
    machine = Decisions.of(walked)
    machine.begin("high priority", kind)
    run = machine.runs[2]
    machine.goes_as_far_as_it_can(run)
    for number, task in enumerate(run.asked):
        machine.says(run, task, 0, ("ada", "ben")[number])
        machine.perform(run, task)
    while "write_release_notes" not in run.done:
        for task in machine.ready(run):
            machine.perform(run, task)
    walked.changes(run.params["patch"], state=PatchState.REJECTED)
    machine.goes_as_far_as_it_can(run)
    closed = walked.record(run.name).need(FactKind.ROLLOUT_CLOSED, "")
    (refused,) = walked.facts(run.name, FactKind.RELEASE_REFUSED)
    assert (closed.payload["outcome"], "Rejected" in refused.payload["reasons"][0]) == ("not released", True)
    assert walked.production.places == {} and run.skipped >= {"start_preview"}
    machine.once_more(run, 0, CALM)
    assert walked.facts(run.name, FactKind.RELEASE_REFUSED, FactKind.ROLLOUT_CLOSED) == [refused, closed]
