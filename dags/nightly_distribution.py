"""Nightly distribution: every open preview reaches every site that should have it.

For each open preview: look what each site really holds, compare with what it should hold, act on
the difference, record. Sites that are new, were unreachable or lost the preview get it (steps 2
to 4 of the service description, 4.1.1); at a site that lost it, the tag goes first. Looking again
in the same night finds nothing to do.

1. Look and compare: `look_at_sites`
2. Distribution: `preview.distribute_client`
3. Local testing: `preview.run_probe_tests`
4. Publication of the tag: `preview.publish_tag`
5. Update of the release bulletin: `update_release_bulletin_of_tonight`
6. Mails that could not be sent earlier: `send_mails`
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from pps.orchestration import retries, steps
from pps.orchestration.groups import preview


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
    bulletin = steps.update_release_bulletin_of_tonight()
    mails = steps.send_mails()

    tonight >> brought >> bulletin >> mails


nightly_distribution()
