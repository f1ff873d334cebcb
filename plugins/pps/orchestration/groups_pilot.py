"""Groups of steps that minor and major server pilots share (SD 4.1.3, 4.1.4)."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import task_group

from pps.activities.pilots import kick_off, roll_back, wrap_up
from pps.activities.pilots import report as pilot_report
from pps.activities.pilots import set_up as pilot_setup
from pps.domain.people.roles import Role
from pps.domain.pilots.pilot import ACCEPTANCE, SELECTION
from pps.orchestration.people import HumanStep
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import pilots as steps

#: The pilot's name as text. Its edge from `open_pilot` would let a task run whose other predecessors were skipped.
SAME_ROLLOUT = "{{ ti.xcom_pull(task_ids='open_pilot') }}"

#: Task -> the question that it puts to the Coordinator.
COORDINATOR_FORMS = {
    "accept_request": ACCEPTANCE,
    "select_sites": SELECTION,
    "agree_at_kick_off": kick_off.STEP,
    "decide_at_wrap_up": wrap_up.STEP,
}


def ask_coordinator(task_id: str, rollout: str) -> HumanStep:
    """One of the Coordinator's questions; silence ends the pilot, with the reason."""
    return HumanStep(
        task_id=task_id, form=COORDINATOR_FORMS[task_id], rollout=rollout, about=Role.PPS_COORDINATOR.value
    )


@task_group
def pilot_site(rollout: str, site: str) -> None:
    """Steps 7 to 9 at one site, by its own people: set-up, run, roll-back if it comes to that, report.

    No site waits for another. Nobody is asked for a roll-back unless somebody wants one (`pps pilot roll-back`).
    """
    set_up = HumanStep(task_id="set_up", form=pilot_setup.STEP, rollout=rollout, about=site)
    seen = WaitUntil(task_id="wait_for_service", wait="pilot_is_set_up", arguments={"rollout": rollout, "site": site})
    ends = WaitUntil(
        task_id="wait_for_end_or_roll_back", wait="pilot_ends_at_site", arguments={"rollout": rollout, "site": site}
    )
    back = HumanStep(task_id="roll_back", form=roll_back.STEP, rollout=rollout, about=site)
    gone = WaitUntil(
        task_id="wait_for_roll_back", wait="pilot_is_rolled_back", arguments={"rollout": rollout, "site": site}
    )
    told = steps.tell_of_roll_back(rollout=rollout, site=site)
    report = HumanStep(task_id="report", form=pilot_report.STEP, rollout=rollout, about=site)
    set_up >> seen >> ends >> back >> gone >> told >> report


def start_next_round(dag_id: str) -> TriggerDagRunOperator:
    """Another run of the same DAG: a DAG has no loops. Its request, sites and services are those of this round."""
    conf: dict[str, Any] = {
        "patch": "{{ params.patch }}",
        "scope": "Another round, as the wrap-up has decided.",
        "continues": "{{ ti.xcom_pull(task_ids='open_pilot') }}",
    }
    return TriggerDagRunOperator(
        task_id="start_next_round",
        trigger_dag_id=dag_id,
        trigger_run_id="{{ ti.xcom_pull(task_ids='prolong_pilot') }}",
        conf=conf,
        skip_when_already_exists=True,
    )
