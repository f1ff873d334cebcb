"""Pilot of a minor server update (service description, 4.1.3; 4.1.4 with Platinum partners).

A partner site runs the update in production for a week, as it would run any other version, with monitoring and
nothing more. The pilot is kept internal to the service infrastructure: no VO is asked.

1. The EMT forwards the request; the Coordinator accepts or declines it: `open_pilot`, `accept_request`
2. Pre-screening: candidates with reasons, documentation, selection: `rank_candidates`, `select_sites`
3. The sites get instructions, pointers and the timeline: `instruct_sites`
4. The kick-off meeting is organised: `invite_to_kick_off`
5. Its outcome: dates, agreed once: `agree_at_kick_off`
6. Mirror repository, if the service will be published; else the reason why not: `mirror_repository`
7. Set-up at each site, by its own people, verified by us: `site.set_up`, `site.wait_for_service`
8. The run, a week from the completed installation by default: `wait_for_end_of_run`, `site.wait_for_end_or_roll_back`
9. Post-mortem report of each site: `site.report`
10. Wrap-up meeting and decision: `invite_to_wrap_up`, `decide_at_wrap_up`, `follow_decision`

A site may roll back at any time (`site.roll_back`, `site.wait_for_roll_back`, `site.tell_of_roll_back`); that ends its
part in this round, and the wrap-up is still held. Deployment tests run in parallel and separately
(`start_deployment_test`, if
`deployment_test_is_missing`), and a release waits for them (`wait_for_deployment_test`, `release_update`). If the
patch has changed since it was tested, another test is started and awaited (`renew_deployment_test`,
`start_another_deployment_test`, `wait_for_another_deployment_test`); what the pilot did not try is not released. To
prolong the pilot is to start another round (`prolong_pilot`, `start_next_round`). `end_pilot` tells everybody, the EMT
as well. The Coordinator's silence ends the pilot with that reason (`request_is_accepted`, `sites_are_selected`,
`dates_are_agreed`).
"""

from __future__ import annotations

from airflow.sdk import dag

from pps.domain.record.rollouts import RolloutPath
from pps.orchestration import params, retries
from pps.orchestration.groups import start_deployment_test
from pps.orchestration.groups_pilot import SAME_ROLLOUT, ask_coordinator, pilot_site, start_next_round
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import pilots as steps
from pps.orchestration.steps import quality as steps_quality


@dag(
    schedule=None,
    params=params.of("minor_server_pilot"),
    default_args=retries.ROLLOUT,
    render_template_as_native_obj=True,  # a patch number stays a number on its way to the other DAG
    doc_md=__doc__,
    max_active_runs=100,
    tags=["pilot", "server"],
)
def minor_server_pilot() -> None:
    rollout = steps.open_pilot(RolloutPath.MINOR_PILOT.value)
    accept = ask_coordinator("accept_request", rollout)
    accepted = steps.request_is_accepted(rollout)
    rank = steps.rank_candidates(rollout)
    select = ask_coordinator("select_sites", rollout)
    selected = steps.sites_are_selected(rollout)
    instruct = steps.instruct_sites(rollout)
    kick_off = steps.invite_to_kick_off(rollout)
    agree = ask_coordinator("agree_at_kick_off", rollout)
    agreed = steps.dates_are_agreed(rollout)

    mirror = steps.mirror_repository(rollout)
    sites = steps.sites_of_pilot(rollout)
    at_sites = pilot_site.override(group_id="site").partial(rollout=rollout).expand(site=sites)
    run = WaitUntil(task_id="wait_for_end_of_run", wait="pilot_run_is_over", arguments={"rollout": rollout})
    missing = steps_quality.deployment_test_is_missing(rollout)
    start_test = start_deployment_test("open_pilot")

    wrap_up = steps.invite_to_wrap_up(rollout)
    decide = ask_coordinator("decide_at_wrap_up", rollout)
    decision = steps.follow_decision(rollout)
    tested = WaitUntil(
        task_id="wait_for_deployment_test", wait="deployment_test_is_over", arguments={"rollout": rollout}
    )
    renew = steps.renew_deployment_test(rollout)
    another = start_deployment_test("open_pilot", task_id="start_another_deployment_test", run="deployment-2")
    renewed = WaitUntil(
        task_id="wait_for_another_deployment_test",
        wait="deployment_test_is_renewed",
        arguments={"rollout": SAME_ROLLOUT},
        trigger_rule="none_failed_min_one_success",
    )
    release = steps.release_update(SAME_ROLLOUT)
    prolong = steps.prolong_pilot(rollout)
    next_round = start_next_round("minor_server_pilot")
    end = steps.end_pilot(rollout)

    rollout >> accept >> accepted >> rank >> select >> selected >> instruct >> kick_off >> agree >> agreed
    agreed >> mirror >> sites >> at_sites >> wrap_up
    mirror >> run >> wrap_up >> decide >> decision >> [tested, prolong, end]
    agreed >> missing >> start_test
    tested >> renew >> [another, renewed, release]
    another >> renewed >> release >> end
    prolong >> next_round


minor_server_pilot()
