"""Withdrawal of a preview, at any time: while it is being rolled out, while VOs try it, and after its end.

Somebody starts it with the rollout's name and a sentence that says why. From the first step on nothing
of this rollout goes to any site: a distribution that is under way ends with that sentence.

1. The request and its reason: `ask_for_withdrawal`
2. The tags go first, so that no new job is sent to the preview: `withdrawal.withdraw_tags`
3. Waiting until the information system no longer shows them: `withdrawal.wait_for_tags_to_go`
4. The preview leaves the sites; files that another version shares stay: `withdrawal.remove_previews`
5. Users and sites are told, the bulletin is written, the rollout ends: `withdrawal.tell_of_withdrawal`

Sites with a kit remove nothing that a Release Manager and a PPS Coordinator have not signed; both are asked
beside all this (`withdrawal.offer_withdrawal`, `withdrawal.sign_as_release_manager`, `withdrawal.sign_as_coordinator`),
and then those sites follow (`withdrawal.remove_where_signed`). Nobody else waits for that.

Production is never touched. A site that cannot be reached keeps what it has until the nightly run
reaches it; started twice for one rollout, this does everything once.
"""

from __future__ import annotations

from airflow.sdk import dag

from pps.orchestration import params, retries
from pps.orchestration.groups import withdrawal
from pps.orchestration.steps import withdrawal as steps_withdrawal


@dag(
    schedule=None,
    params=params.of("withdraw_rollout"),
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    max_active_runs=4,
    tags=["preview", "client", "way out"],
)
def withdraw_rollout() -> None:
    withdrawal(steps_withdrawal.ask_for_withdrawal())


withdraw_rollout()
