"""Fully backward compatible client update (service description, 4.1.1).

The Release Manager has moved a patch that is "In certification" to preview.
All of this runs beside the standard certification, not after it.

1. Creation of the tarball: `build_tarball`
2. Distribution to the sites: `canary.distribute_client`, `fleet.distribute_client`, `stragglers.distribute_client`
3. Local testing at the sites: `canary.run_probe_tests`, `fleet.run_probe_tests`, `stragglers.run_probe_tests`
4. Publication of the tag: `canary.publish_tag`, `fleet.publish_tag`, `stragglers.publish_tag`
5. Update of the release bulletin: `update_release_bulletin`
6. General notification: `broadcast_to_vos_and_rocs`
7. Personal notification: `invite_originators`

Sites with a kit install nothing that a Release Manager and a PPS Coordinator have not signed, so both are
asked first (`signatures.sign_as_release_manager`, `signatures.sign_as_coordinator`), if `signatures.offer_statements`
finds such a site in the plan.

Before the fleet stands a gate (`canaries_are_healthy`), before and behind each batch the failure
budget (`failure_budget_holds`): the rollout stops by itself before it harms many. A batch of the fleet does not wait
for sites that keep it waiting: those are a batch of their own at the end (`plan_stragglers`), mostly an empty one.

Then the VOs have until the agreed date (`wait_for_feedback`), and the release notes say what they
said (`write_release_notes`). Silence is reported as silence.

Meanwhile `wait_for_certification` watches the tracker. A rejected patch is withdrawn at once
(`withdraw_preview`): its tags go (`withdrawal.withdraw_tags`), and when the information system no
longer shows them (`withdrawal.wait_for_tags_to_go`) the preview leaves the sites (`withdrawal.remove_previews`)
and people are told (`withdrawal.tell_of_withdrawal`). A certified one goes to production without a
further deployment test (`release_to_production`) if `decide_on_release` finds no special configuration
in its release notes, and only for the platforms that certification has install-tested.
"""

from __future__ import annotations

from airflow.sdk import dag

from pps.domain.record.rollouts import RolloutPath
from pps.orchestration import params, retries
from pps.orchestration.groups import first_preview, preview, signatures, withdrawal
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import withdrawal as steps_withdrawal
from pps.orchestration.steps.release_notes import WriteReleaseNotes


@dag(
    schedule=None,
    params=params.of("bc_client_update"),
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    max_active_runs=20,
    tags=["preview", "client"],
)
def bc_client_update() -> None:
    rollout = steps.open_rollout(RolloutPath.BC_CLIENT.value)
    tarball = steps.build_tarball(rollout)
    batches = steps.plan_batches(rollout)

    signed = signatures(rollout)
    canary = first_preview.override(group_id="canary")(rollout, "canary")
    gate = steps.canaries_are_healthy(rollout)
    fleet = preview.override(group_id="fleet").partial(rollout=rollout).expand(batch=batches)

    late = steps.plan_stragglers(rollout)
    stragglers = preview.override(group_id="stragglers").partial(rollout=rollout).expand(batch=late)

    budget = steps.failure_budget_holds(rollout)
    due = steps.agree_feedback_date(rollout)
    bulletin = steps.update_release_bulletin(rollout)
    broadcast = steps.broadcast_to_vos_and_rocs(rollout)
    invitations = steps.invite_originators(rollout)

    feedback = WaitUntil(task_id="wait_for_feedback", wait="feedback_is_over", arguments={"rollout": rollout})
    notes = WriteReleaseNotes(task_id="write_release_notes", rollout=rollout)

    certification = WaitUntil(
        task_id="wait_for_certification", wait="certification_is_over", arguments={"rollout": rollout}
    )
    outcome = steps.certification_outcome(rollout)
    rejection = steps_withdrawal.withdraw_preview(rollout)
    withdrawn = withdrawal(rollout)
    decision = steps.decide_on_release(rollout)
    release = steps.release_to_production(rollout)

    tarball >> batches >> signed >> canary >> gate >> fleet >> late >> stragglers >> budget
    budget >> due >> bulletin >> [broadcast, invitations] >> feedback >> notes
    rollout >> certification >> outcome >> [rejection, decision]
    rejection >> withdrawn
    notes >> decision >> release


bc_client_update()
