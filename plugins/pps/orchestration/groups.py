"""Groups of steps that more than one path shares."""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import TriggerRule, task_group

from pps.activities.clients.signing import PREVIEW, WITHDRAWAL
from pps.domain.people.roles import Role
from pps.domain.record.rollouts import RolloutPath
from pps.orchestration.people import HumanStep
from pps.orchestration.sensors import WaitUntil
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import non_bc as steps_non_bc
from pps.orchestration.steps import signing as steps_signing
from pps.orchestration.steps import withdrawal as steps_withdrawal
from pps.orchestration.steps.distribution import DistributeClient
from pps.workflow.paths import dag_of


def _asked_to_sign(rollout: str, form: str) -> list[HumanStep]:
    """Two people of two roles, side by side."""
    return [
        HumanStep(task_id="sign_as_release_manager", form=form, rollout=rollout, about=Role.RELEASE_MANAGER.value),
        HumanStep(task_id="sign_as_coordinator", form=form, rollout=rollout, about=Role.PPS_COORDINATOR.value),
    ]


@task_group
def signatures(rollout: str) -> None:
    """Release Manager and PPS Coordinator sign what sites with a kit may install; skipped where there is none."""
    steps_signing.offer_statements(rollout) >> _asked_to_sign(rollout, PREVIEW)


@task_group
def preview(rollout: str, batch: str) -> None:
    """Distribution, local testing and tag at one batch of sites (SD 4.1.1, steps 2 to 4).

    A bad site leaves the batch, never stops it.
    """
    _at_one_batch(rollout, batch, TriggerRule.ALL_SUCCESS)


@task_group
def first_preview(rollout: str, batch: str) -> None:
    """The same after `signatures`, which are skipped where nothing has to be signed."""
    _at_one_batch(rollout, batch, TriggerRule.NONE_FAILED)


def _at_one_batch(rollout: str, batch: str, after: TriggerRule) -> None:
    distributed = DistributeClient(task_id="distribute_client", rollout=rollout, batch=batch, trigger_rule=after)
    tested = steps.run_probe_tests(rollout=rollout, batch=batch)
    published = steps.publish_tag(rollout=rollout, batch=batch)
    seen = WaitUntil(task_id="wait_for_tag", wait="tags_are_seen", arguments={"rollout": rollout, "batch": batch})
    distributed >> tested >> published >> seen


@task_group
def withdrawal(rollout: str) -> None:
    """What follows when it is on record that a preview is to be withdrawn: tags, waiting, files, telling.

    Sites with a kit remove files when that is signed; nobody else waits for them.
    """
    tags = steps_withdrawal.withdraw_tags(rollout)
    gone = WaitUntil(task_id="wait_for_tags_to_go", wait="tags_are_gone", arguments={"rollout": rollout})
    removed = steps_withdrawal.remove_previews(rollout)
    told = steps_withdrawal.tell_of_withdrawal(rollout)
    tags >> gone >> removed >> told
    offered = steps_signing.offer_withdrawal(rollout)
    removed_where_signed = steps_withdrawal.remove_where_signed(rollout)
    offered >> _asked_to_sign(rollout, WITHDRAWAL) >> removed_where_signed
    told >> removed_where_signed


@task_group
def site_at_its_own_pace(rollout: str, site: str, batch: str) -> None:
    """Local configuration, testing, tag and bulletin at one Silver partner (SD 4.1.2, steps 3 to 6).

    Its own people configure it; no other site waits for them. `batch` is that of this site alone.
    """
    configured = HumanStep(task_id="configure", form="local-configuration", rollout=rollout, about=site)
    tested = steps.run_probe_tests(rollout=rollout, batch=batch)
    published = steps.publish_tag(rollout=rollout, batch=batch)
    seen = WaitUntil(task_id="wait_for_tag", wait="tags_are_seen", arguments={"rollout": rollout, "batch": batch})
    bulletin = steps_non_bc.update_release_bulletin(rollout=rollout, site=site)
    configured >> tested >> published >> seen >> bulletin


def start_deployment_test(
    opened_by: str, *, task_id: str = "start_deployment_test", run: str = "deployment"
) -> TriggerDagRunOperator:
    """Another DAG, "in parallel and separately" (SD 4.1.3); started twice it runs once.

    Args:
        opened_by: the task that opens the rollout which needs the test.
        run: what the run is called, after that rollout's name.
    """
    return TriggerDagRunOperator(
        task_id=task_id,
        trigger_dag_id=dag_of(RolloutPath.PRE_DEPLOYMENT),
        trigger_run_id=f"{{{{ ti.xcom_pull(task_ids='{opened_by}') }}}}.{run}",
        conf={"patch": "{{ params.patch }}"},
        skip_when_already_exists=True,
    )
