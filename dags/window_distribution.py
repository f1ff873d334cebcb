"""Distribution in the sites' own windows: a site that may be written at by day only has its night by day.

Sites say on which days and in which hours we may write there. One whose window is closed when a preview comes by is put
off: it stays planned, and is neither failed nor waited for. Once an hour this looks at the sites whose windows are
open: those that were put off, and those whose window has opened since the look before. They get what every night would
bring them (steps 2 to 4 of the service description, 4.1.1). Where no window has opened, no site is asked.

1. Look and compare: `look_where_windows_are_open`
2. Distribution: `preview.distribute_client`
3. Local testing: `preview.run_probe_tests`
4. Publication of the tag: `preview.publish_tag`
5. Update of the release bulletin: `update_release_bulletin_of_tonight`
6. What sites with a kit fetch by themselves: `lay_out_for_sites_that_fetch`

Step 6 runs beside the others; it is skipped where no site fetches (docs/kit.md).

Looking again in the same hour finds nothing to do.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import TriggerRule, dag

from pps.orchestration import retries
from pps.orchestration.groups import preview
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import signing as steps_signing


@dag(
    schedule="@hourly",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=retries.ROLLOUT,
    doc_md=__doc__,
    tags=["preview", "client", "nightly"],
)
def window_distribution() -> None:
    planned = steps.look_where_windows_are_open()
    brought = preview.expand_kwargs(planned)
    written = steps.update_release_bulletin_of_tonight.override(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    bulletin = written()
    laid_out = steps_signing.lay_out_for_sites_that_fetch()
    planned >> brought >> bulletin
    [brought, bulletin, laid_out] >> steps.say_what_failed()


window_distribution()
