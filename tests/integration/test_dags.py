"""Every DAG parses, and reads like its section of the service description."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from pps.activities.clients.at_site import NIGHT_BEGINS
from pps.activities.clients.nightly import LOOKS_APART

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags")


def _group(task: str) -> str:
    """The canaries go through all of steps 2 to 4 before the fleet does."""
    return task.rpartition(".")[0]


def test_every_dag_file_parses_and_has_a_dag(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert {Path(dag.fileloc).stem for dag in bag.dags.values()} == {path.stem for path in DAGS.glob("*.py")}


def test_the_numbered_steps_of_each_docstring_are_tasks_and_run_in_that_order(bag: DagBag) -> None:
    for dag in bag.dags.values():
        steps = [re.findall(r"`([\w.]+)`", line) for line in re.findall(r"^\d+\. .*$", dag.doc_md, re.M)]
        assert steps, dag.dag_id
        for names in steps:
            for name in names:
                assert dag.has_task(name), f"{dag.dag_id}: no task {name}"
        # later steps may run beside earlier ones, never before them
        for number, names in enumerate(steps):
            earlier = {name for group in steps[:number] for name in group}
            for name in names:
                below = {task.task_id for task in dag.get_task(name).get_flat_relatives(upstream=False)}
                wrong = {e for e in below & earlier if _group(e) in ("", _group(name)) or not _group(name)}
                assert not wrong, f"{dag.dag_id}: {name} runs before {wrong}"


def test_every_other_task_that_a_docstring_names_exists(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)?)`", dag.doc_md):
            assert dag.has_task(name), f"{dag.dag_id}: no task {name}"


def test_no_task_lies_outside_the_retry_rules(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for task in dag.tasks:
            assert task.retries >= 2, f"{dag.dag_id}.{task.task_id}"


#: Where people decide, one of many whose question broke keeps nobody waiting: the decision says what came of it.
KEEPS_NOBODY_WAITING = {"release_testing": {"ask_site"}}


def test_no_run_ends_well_in_which_a_task_has_failed(bag: DagBag) -> None:
    passes_on = ("all_success", "none_failed", "none_failed_min_one_success", "one_failed")

    def shows(task: Any, of_many: bool) -> bool:
        """Whether a failure is passed on to an end; `of_many`: one of a mapped task's, while others succeed."""
        below = task.downstream_list
        rules = passes_on if of_many else (*passes_on, "all_done_min_one_success")
        return not below or any(t.trigger_rule.value in rules and shows(t, False) for t in below)

    for dag in bag.dags.values():
        hidden = {task.task_id for task in dag.tasks if not shows(task, task.is_mapped)}
        assert hidden <= KEEPS_NOBODY_WAITING.get(dag.dag_id, set()), dag.dag_id


def test_every_task_that_does_work_has_a_time_limit_and_no_question_to_people_has_one(bag: DagBag) -> None:
    from pps.orchestration.people import HumanStep
    from pps.orchestration.retries import LIMITS

    for dag in bag.dags.values():
        for task in dag.tasks:
            operator = getattr(task, "operator_class", type(task))
            if issubclass(operator, HumanStep):  # people have until the date that was agreed with them
                made = task.unmap({"about": "x"}) if task.is_mapped else task
                assert made.execution_timeout is None, f"{dag.dag_id}.{task.task_id}"
                assert made.response_timeout is None, f"{dag.dag_id}.{task.task_id}"
            else:
                assert task.execution_timeout, f"{dag.dag_id}.{task.task_id}"
    assert bag.dags["bc_client_update"].get_task("fleet.distribute_client").execution_timeout == LIMITS.at_sites
    assert bag.dags["pre_deployment_test"].get_task("run_scenario").execution_timeout == LIMITS.scenario


@pytest.mark.sd("4.1.1")
def test_the_tag_comes_after_the_probes_and_the_fleet_after_the_gate(bag: DagBag) -> None:
    dag = bag.dags["bc_client_update"]
    for group in ("canary", "fleet", "stragglers"):
        order = ["distribute_client", "run_probe_tests", "publish_tag", "wait_for_tag"]
        for before, after in pairwise(order):
            assert dag.get_task(f"{group}.{before}").downstream_task_ids == {f"{group}.{after}"}
    assert "canaries_are_healthy" in dag.get_task("fleet.distribute_client").get_flat_relative_ids(upstream=True)
    assert "fleet.wait_for_tag" in dag.get_task("stragglers.distribute_client").get_flat_relative_ids(upstream=True)
    assert "stragglers.wait_for_tag" in dag.get_task("failure_budget_holds").get_flat_relative_ids(upstream=True)


def test_pages_name_the_night_that_airflow_keeps_and_windows_are_looked_at_as_often_as_the_look_believes(
    bag: DagBag,
) -> None:
    assert bag.dags["nightly_distribution"].schedule == f"{NIGHT_BEGINS.minute} {NIGHT_BEGINS.hour} * * *"
    assert bag.dags["window_distribution"].schedule == "@hourly"
    assert timedelta(hours=1) == LOOKS_APART


@pytest.mark.parametrize(
    ("dag", "order"),
    [
        *(
            (dag, [first, *(f"withdrawal.{t}" for t in ("withdraw_tags", "wait_for_tags_to_go", "remove_previews"))])
            for dag, first in (("withdraw_rollout", "ask_for_withdrawal"), ("bc_client_update", "withdraw_preview"))
        ),
        ("nightly_distribution", ["withdraw_retired_tags", "wait_for_retired_tags", "remove_retired_previews"]),
    ],
)
def test_no_file_of_a_preview_leaves_a_site_before_the_information_system_was_waited_for(
    bag: DagBag, dag: str, order: list[str]
) -> None:
    for before, after in pairwise(order):
        assert before in bag.dags[dag].get_task(after).get_flat_relative_ids(upstream=True)


@pytest.mark.sd("4.1.1")
def test_certification_runs_beside_the_preview_not_after_it(bag: DagBag) -> None:
    dag = bag.dags["bc_client_update"]
    assert dag.get_task("wait_for_certification").upstream_task_ids == {"open_rollout"}
    assert "write_release_notes" in dag.get_task("decide_on_release").upstream_task_ids


@pytest.mark.parametrize(("dag", "first"), [
    ("bc_client_update", "canary.distribute_client"), ("non_bc_client_update", "distribute_client"),
])  # fmt: skip
def test_two_people_are_asked_to_sign_before_the_first_site_and_where_nothing_is_to_be_signed_nobody_is(
    bag: DagBag, dag: str, first: str
) -> None:
    asked = {"signatures.sign_as_release_manager", "signatures.sign_as_coordinator"}
    assert bag.dags[dag].get_task(first).upstream_task_ids >= asked
    assert bag.dags[dag].get_task(first).trigger_rule.value == "none_failed", "skipped is not failed"
    for task in asked:
        assert bag.dags[dag].get_task(task).upstream_task_ids >= {"signatures.offer_statements"}
        assert bag.dags[dag].get_task(task).trigger_rule.value == "all_success"


def test_no_tag_and_no_site_without_a_kit_waits_for_the_signatures_of_a_withdrawal(bag: DagBag) -> None:
    for dag in ("withdraw_rollout", "bc_client_update", "non_bc_client_update"):
        for task in ("withdraw_tags", "remove_previews", "tell_of_withdrawal"):
            before = bag.dags[dag].get_task(f"withdrawal.{task}").get_flat_relative_ids(upstream=True)
            assert not {t for t in before if t.startswith("withdrawal.sign")}
        signed = bag.dags[dag].get_task("withdrawal.remove_where_signed").upstream_task_ids
        assert signed >= {"withdrawal.sign_as_release_manager", "withdrawal.sign_as_coordinator"}


def test_a_human_step_that_is_asked_of_many_can_be_made_for_each(bag: DagBag) -> None:
    step = bag.dags["pre_deployment_test"].get_task("ask_member_site")
    made = step.unmap({"about": "wn-torque"})
    assert made.about == "wn-torque"
    assert set(made.params) == {"report", "log"}, "and none of the DAG's"


@pytest.mark.sd("4.2.2")
def test_results_wait_for_every_scenario_and_the_provider_is_told_before_the_test_is_closed(bag: DagBag) -> None:
    dag = bag.dags["pre_deployment_test"]
    assert dag.get_task("tell_provider").upstream_task_ids >= {"run_scenario", "ask_member_site"}
    assert "tell_provider" in dag.get_task("publish_results").upstream_task_ids


def test_every_dag_has_a_form_that_its_starts_are_held_against(bag: DagBag) -> None:
    from pps.workflow.paths import STARTS

    assert set(STARTS) == set(bag.dags)
    for name, dag in bag.dags.items():
        assert set(dag.params) == set(STARTS[name].schema), name


@pytest.mark.sd("4.1.2", step=3)
def test_local_configuration_comes_after_the_delivery_and_before_the_local_tests(bag: DagBag) -> None:
    dag = bag.dags["non_bc_client_update"]
    order = ["configure", "run_probe_tests", "publish_tag", "wait_for_tag", "update_release_bulletin"]
    for before, after in pairwise(order):
        assert dag.get_task(f"site.{before}").downstream_task_ids == {f"site.{after}"}
    assert "distribute_client" in dag.get_task("site.configure").get_flat_relative_ids(upstream=True)


@pytest.mark.sd("4.1.2")
def test_no_vo_waits_for_a_site_and_no_release_comes_before_the_deployment_test(bag: DagBag) -> None:
    dag = bag.dags["non_bc_client_update"]
    waits_for = dag.get_task("broadcast_to_vos_and_rocs").get_flat_relative_ids(upstream=True)
    assert not any(task.startswith("site.") for task in waits_for)
    assert dag.get_task("wait_for_deployment_test").upstream_task_ids == {"open_rollout"}
    assert "wait_for_deployment_test" in dag.get_task("decide_on_release").upstream_task_ids


@pytest.mark.sd("4.2.3")
def test_no_site_of_a_release_test_waits_for_another_and_the_manager_decides_before_anything_follows(
    bag: DagBag,
) -> None:
    dag = bag.dags["release_testing"]
    ask, decide = dag.get_task("ask_site"), dag.get_task("ask_release_manager")
    assert ask.is_mapped
    assert "deliver_update" in ask.upstream_task_ids
    assert ask.downstream_task_ids == {"ask_release_manager"}
    assert decide.trigger_rule == "all_done_min_one_success"  # a refused start asks nobody
    assert decide.downstream_task_ids == {"follow_decision"}
    assert dag.get_task("follow_decision").downstream_task_ids == {"release_update", "hold_update"}
    for task in ("release_update", "hold_update"):
        assert dag.get_task(task).downstream_task_ids == {"close_release_test"}


def test_the_link_to_a_form_leads_to_that_of_the_mapped_task() -> None:
    from pps.orchestration.people import form_link

    one = SimpleNamespace(dag_id="d", run_id="r-1", task_id="site.configure", map_index=2)
    assert form_link("https://pps/", one) == "https://pps/pps/tasks/d/r-1/site.configure/2"
    one.map_index = -1
    assert form_link("https://pps", one) == "https://pps/pps/tasks/d/r-1/site.configure/-1"


def test_every_task_that_is_made_for_many_is_called_by_its_batch_site_or_scenario_before_and_after_its_work(
    bag: DagBag,
) -> None:
    names = {"site": "PIC", "batch": "at-PIC", "scenario": "wn-torque"}
    task = SimpleNamespace(op_kwargs=names, arguments=names, about="PIC", batch="at-PIC")
    seen = set()
    for dag in bag.dags.values():
        for made in dag.tasks:
            if not (made.is_mapped or list(made.iter_mapped_task_groups())):
                continue
            assert made.map_index_template, f"{dag.dag_id}.{made.task_id} has a number for a name"
            template = dag.get_template_env().from_string(made.map_index_template)
            assert template.render(task=task) in ("PIC", "wn-torque"), f"{dag.dag_id}.{made.task_id}"
            if "label" in made.map_index_template:
                seen.add(template.render(task=task, label="fleet-1: 5 reached, 2 failed"))
            assert not getattr(made, "op_args", ()), f"{dag.dag_id}.{made.task_id}: arguments are given by name"
    assert seen == {"fleet-1: 5 reached, 2 failed"}
