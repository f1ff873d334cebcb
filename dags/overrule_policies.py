"""Joint decision of EMT and PPS coordination to overrule the policies (service description, 4.1.3).

"In case of updates to the services needed to fix critical bugs in production or security vulnerabilities the
aforesaid policies may be overruled by joint decision of the EMT and PPS coordination."

1. The request, with its justification: `open_request`
2. The EMT and the coordination answer, two people of two roles: `ask_the_emt`, `ask_the_coordination`
3. The joint decision, or the reasons against it: `conclude`
4. What follows. Urgent: to preview and production together (`start_preview`). High priority: straight to
   production (`build_tarball`, `write_release_notes`, `release_to_production`), the preview is synchronised
   afterwards (`start_preview`). A server update has no preview: it goes straight to production (`keep_packages`,
   `write_release_notes`, `release_to_production`), and a pilot that is open goes on and ends as synchronised.

From the decision on, no run for this patch waits for feedback, certification or deployment test any longer. Release
notes and bulletin show what was overruled, by whom, and why.
"""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import TriggerRule, dag

from pps.orchestration import params, retries
from pps.orchestration.people import HumanStep
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import overruling as steps_overruling


@dag(
    schedule=None,
    params=params.of("overrule_policies"),
    default_args=retries.ROLLOUT,
    render_template_as_native_obj=True,  # a patch number stays a number on its way to the other DAG
    doc_md=__doc__,
    max_active_runs=5,
    tags=["decision"],
)
def overrule_policies() -> None:
    record = steps_overruling.open_request()
    emt = HumanStep(task_id="ask_the_emt", form="overrule-emt", rollout=record, about="EMT")
    coordination = HumanStep(
        task_id="ask_the_coordination", form="overrule-coordination", rollout=record, about="PPS Coordinator"
    )
    decision = steps_overruling.conclude(record)
    tarball = steps.build_tarball(record)
    packages = steps_overruling.keep_packages(record)
    notes = steps_overruling.write_release_notes(record)
    release = steps_overruling.release_to_production(record)
    preview = steps_overruling.choose_preview.override(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)(record)
    start = TriggerDagRunOperator(
        task_id="start_preview",
        trigger_dag_id="{{ ti.xcom_pull(task_ids='choose_preview')['dag'] }}",
        trigger_run_id="{{ ti.xcom_pull(task_ids='choose_preview')['run'] }}",
        conf={"patch": "{{ params.patch }}"},
        skip_when_already_exists=True,
    )

    [emt, coordination] >> decision >> [tarball, packages, preview]
    [tarball, packages] >> notes >> release >> preview >> start


overrule_policies()
