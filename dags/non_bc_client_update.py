"""Non-backward compatible client update (service description, 4.1.2).

Interventions on the environment or extra configuration are needed, so the client cannot simply be pushed
to all sites: Silver partners take it, and their own people configure it. All of this runs beside the
standard certification and beside the deployment test, and each site goes at its own pace.

1. Creation of the tarball: `build_tarball`
2. Distribution to the Silver partners: `distribute_client`
3. Local configuration at each site, by its own people: `site.configure`
4. Local testing at the site: `site.run_probe_tests`
5. Publication of the tag: `site.publish_tag`
6. Update of the release bulletin: `site.update_release_bulletin`, `update_release_bulletin`
7. General notification: `broadcast_to_vos_and_rocs`
8. Personal notification: `invite_originators`

Sites with a kit install nothing that a Release Manager and a PPS Coordinator have not signed, so both are
asked first (`signatures.sign_as_release_manager`, `signatures.sign_as_coordinator`), if `signatures.offer_statements`
finds such a site in the plan.

A site whose people do not answer in their time is left out, and told so; no site waits for another. The VOs
are told as soon as sites offer the preview (`wait_for_first_sites`), and have until the agreed date
(`wait_for_feedback`); the release notes say what they said (`write_release_notes`).

Meanwhile `wait_for_certification` watches the tracker; a rejected patch is withdrawn at once
(`withdraw_preview`: `withdrawal.withdraw_tags`, `withdrawal.wait_for_tags_to_go`, `withdrawal.remove_previews`,
`withdrawal.tell_of_withdrawal`). The deployment test of YAIM and release notes over several scenarios runs in parallel
(`start_deployment_test`, if `deployment_test_is_missing`), and nothing goes to production before it has passed
(`wait_for_deployment_test`, `decide_on_release`, `release_to_production`).
"""

from __future__ import annotations

from airflow.sdk import TriggerRule, dag

from pps.domain.record.rollouts import RolloutPath
from pps.orchestration import params, retries
from pps.orchestration.groups import signatures, site_at_its_own_pace, start_deployment_test, withdrawal
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import non_bc as steps_non_bc
from pps.orchestration.steps import quality as steps_quality
from pps.orchestration.steps import withdrawal as steps_withdrawal
from pps.orchestration.steps.distribution import OF_EACH, DistributeClient
from pps.orchestration.steps.release_notes import WriteReleaseNotes


@dag(
    schedule=None,
    params=params.of("non_bc_client_update"),
    default_args=retries.ROLLOUT,
    render_template_as_native_obj=True,  # a patch number stays a number on its way to the other DAG
    doc_md=__doc__,
    max_active_runs=20,
    tags=["preview", "client"],
)
def non_bc_client_update() -> None:
    rollout = steps.open_rollout(RolloutPath.NON_BC_CLIENT.value)
    tarball = steps.build_tarball(rollout)
    batches = steps.plan_batches(rollout)
    signed = signatures(rollout)
    distributed = DistributeClient.partial(
        task_id="distribute_client", rollout=rollout, trigger_rule=TriggerRule.NONE_FAILED, **OF_EACH
    ).expand(batch=batches)
    sites = steps_non_bc.sites_to_configure(rollout)
    at_sites = site_at_its_own_pace.override(group_id="site").partial(rollout=rollout).expand_kwargs(sites)

    offered = WaitUntil(task_id="wait_for_first_sites", wait="preview_is_offered", arguments={"rollout": rollout})
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
    missing = steps_quality.deployment_test_is_missing(rollout)
    start = start_deployment_test("open_rollout")
    deployment = WaitUntil(
        task_id="wait_for_deployment_test", wait="deployment_test_is_over", arguments={"rollout": rollout}
    )
    decision = steps.decide_on_release(rollout)
    release = steps.release_to_production(rollout)

    tarball >> batches >> signed >> distributed >> sites >> at_sites
    sites >> offered >> due >> bulletin >> [broadcast, invitations] >> feedback >> notes
    rollout >> certification >> outcome >> [rejection, decision]
    rejection >> withdrawn
    rollout >> missing >> start
    rollout >> deployment >> decision
    notes >> decision >> release


non_bc_client_update()
