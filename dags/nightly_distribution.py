"""Nightly distribution: every open preview reaches every site that should have it.

For each open preview: look what each site really holds, compare with what it should hold, act on
the difference, record. Sites that are new, were unreachable or lost the preview get it (steps 2
to 4 of the service description, 4.1.1); at a site that lost it, the tag goes first. Looking again
in the same night finds nothing to do.

1. Look and compare: `look_at_sites`
2. Distribution: `preview.distribute_client`
3. Local testing: `preview.run_probe_tests`
4. Publication of the tag: `preview.publish_tag`
5. Tags of previews whose time at the sites is over, or that were withdrawn: `withdraw_retired_tags`
6. Waiting until the information system no longer shows them: `wait_for_retired_tags`
7. Removal of those previews: `remove_retired_previews`
8. Update of the release bulletin: `update_release_bulletin_of_tonight`
9. Mails that could not be sent earlier: `send_mails`
10. Signatures of our own repositories, before they expire: `renew_signatures`
11. What our repositories hold, against what was published: `look_at_what_is_published`

Steps 5 to 7, 10 and 11, run beside the others. None of them waits for one that failed, so `say_what_failed` makes
such a run a failed one. A preview is retired when its rollout has ended for as long as
policies.yaml says (withdrawal, retire_after), whatever the end was: after a release users are in
production. Of a withdrawn one, steps 5 to 7 clear the sites that could not be reached before.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from pps.orchestration import retries
from pps.orchestration.groups import preview
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import withdrawal as steps_withdrawal


@dag(
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    tags=["preview", "client", "nightly"],
)
def nightly_distribution() -> None:
    tonight = steps.look_at_sites()
    brought = preview.expand_kwargs(tonight)
    retired = steps_withdrawal.withdraw_retired_tags()
    gone = WaitUntil(task_id="wait_for_retired_tags", wait="retired_tags_are_gone", arguments={"rollouts": retired})
    removed = steps_withdrawal.remove_retired_previews(retired)
    bulletin = steps.update_release_bulletin_of_tonight()
    mails = steps.send_mails()
    signed = steps.renew_signatures()
    looked = steps.look_at_what_is_published()

    tonight >> brought >> bulletin >> mails
    retired >> gone >> removed >> bulletin
    [tonight, brought, gone, removed, bulletin, mails, signed, looked] >> steps.say_what_failed()


nightly_distribution()
