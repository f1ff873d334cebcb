"""Another try at sites where a preview has failed, on somebody's word (service description, 4.1.1).

Somebody starts it with the rollout's name, and the sites' names if not all failed ones are meant: a site's people have
mended the cause, and do not want to wait for two o'clock. Nothing is skipped that a night would ask: a rollout that was
withdrawn, stopped or has ended is refused, and so is a site whose preview is fine.

1. Look at the sites, and plan the try: `ask_again`
2. Distribution: `preview.distribute_client`
3. Local testing: `preview.run_probe_tests`
4. Publication of the tag: `preview.publish_tag`
5. Update of the release bulletin; sites that failed anew are told: `update_release_bulletin`

Started twice, the second one finds what the first one has left to do.
"""

from __future__ import annotations

from airflow.sdk import dag

from pps.orchestration import params, retries
from pps.orchestration.groups import preview
from pps.orchestration.steps import clients as steps


@dag(
    schedule=None,
    params=params.of("retry_sites"),
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    max_active_runs=4,
    tags=["preview", "client"],
)
def retry_sites() -> None:
    asked = steps.ask_again()
    brought = preview.expand_kwargs(asked)
    bulletin = steps.update_release_bulletin("{{ params.rollout }}")

    asked >> brought >> bulletin


retry_sites()
