"""What a release waits for: the deployment test of its patch (SD 4.1.2: "the two activities run in parallel")."""

from __future__ import annotations

from pps.activities.packages.fetching import reasons_if_changed
from pps.activities.quality.conditions import waits_for_test_until
from pps.activities.quality.deployment_tests import needs_deployment_test, newest_deployment_verdict
from pps.activities.release import overruling
from pps.domain.record.rollouts import RolloutPath
from pps.workflow.desk import FrontDesk


def _no_test_is_waited_for(d: FrontDesk) -> bool:
    """Nothing waits for a deployment test any more, or the time is up; the release then has its reasons."""
    if d.rollout.is_over or overruling.standing(d.facts, d.rollout.patch_number) is not None:
        return True
    return d.now > waits_for_test_until(d.rollout, d.policies.deployment_test.wait_at_most)


def _is_under_way(d: FrontDesk) -> bool:
    paths = [RolloutPath.PRE_DEPLOYMENT]
    return bool(d.facts.rollouts(open_only=True, paths=paths, patch=d.rollout.patch_number))


def deployment_test_is_over(d: FrontDesk) -> bool:
    """The deployment test of the patch has ended."""
    if _no_test_is_waited_for(d):
        return True
    return not _is_under_way(d) and newest_deployment_verdict(d.facts, d.rollout.patch_number) is not None


def deployment_test_is_renewed(d: FrontDesk) -> bool:
    """Another deployment test, of the patch as it is now, has ended.

    Also true when the patch is no longer what was tried: then nothing is released, whatever a test says.
    """
    if _no_test_is_waited_for(d) or reasons_if_changed(d.rollout, d.patch):
        return True
    return not _is_under_way(d) and not needs_deployment_test(d.facts, d.patch)
