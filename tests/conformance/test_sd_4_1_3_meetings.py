"""SD 4.1.3, steps 3 to 5 and 10: instruction, kick-off, wrap-up, and how the DAGs order them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from tests.support.desks import at_desk
from tests.support.pilots import MAJOR, WEEK, APilot

from pps.activities.pilots import kick_off as pilot_kick_off
from pps.activities.pilots import wrap_up as pilot_wrap_up
from pps.config.loader import Configuration
from pps.domain.base.durations import duration_text
from pps.domain.people.questions import Given
from pps.workflow.pilots.meetings import FORMS

DAGS = Path(__file__).parents[2] / "dags"
PILOTS = ("minor_server_pilot", "major_server_pilot")
#: Of the steps that SD has in black, the task with which each begins.
STEPS = (
    "open_pilot",
    "rank_candidates",
    "instruct_sites",
    "invite_to_kick_off",
    "agree_at_kick_off",
    "mirror_repository",
    "site.set_up",
    "wait_for_end_of_run",
    "site.report",
    "invite_to_wrap_up",
)
#: SD: "Steps [...] in red are relevant only for major updates": what concerns VOs.
OF_VOS = {"ask_vos_for_interest", "wait_for_services", "invite_vos", "wait_for_feedback"}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags")


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("name", PILOTS)
def test_each_of_sd_s_ten_steps_is_found_by_its_number(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    lines = re.findall(r"^(\d+)\. (.*)$", dag.doc_md, re.M)
    assert [int(number) for number, _ in lines] == list(range(1, 11))
    for (_, line), task in zip(lines, STEPS, strict=True):
        assert f"`{task}`" in line


@pytest.mark.sd("4.1.3")
def test_only_the_major_pilot_has_steps_for_vos(bag: DagBag) -> None:
    minor, major = (set(bag.dags[name].task_ids) for name in PILOTS)
    assert major - minor == OF_VOS
    assert minor <= major


@pytest.mark.sd("4.1.3", step=7)
@pytest.mark.parametrize("name", PILOTS)
def test_no_site_waits_for_another_and_a_site_may_roll_back_at_any_time(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    order = [
        "set_up",
        "wait_for_service",
        "wait_for_end_or_roll_back",
        "roll_back",
        "wait_for_roll_back",
        "tell_of_roll_back",
        "report",
    ]
    for before, after in pairwise(order):
        assert dag.get_task(f"site.{before}").downstream_task_ids == {f"site.{after}"}
    run = dag.get_task("wait_for_end_of_run").get_flat_relative_ids(upstream=True)
    assert not any(task.startswith("site.") for task in run), (
        "it probes who is ready, and waits for the others by facts"
    )


@pytest.mark.sd("4.1.3", step=10)
@pytest.mark.parametrize("name", PILOTS)
def test_the_wrap_up_is_held_whatever_became_of_single_sites(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    wrap_up = dag.get_task("invite_to_wrap_up")
    assert wrap_up.trigger_rule == "all_done_min_one_success"
    assert "site.report" in wrap_up.upstream_task_ids
    assert "wait_for_end_of_run" in wrap_up.get_flat_relative_ids(upstream=True)
    assert dag.get_task("follow_decision").downstream_task_ids == {
        "wait_for_deployment_test",
        "prolong_pilot",
        "end_pilot",
    }


@pytest.mark.sd("4.1.3")
@pytest.mark.parametrize("name", PILOTS)
def test_the_deployment_test_runs_beside_the_pilot_and_before_the_release(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    start = dag.get_task("start_deployment_test")
    assert start.trigger_dag_id == "pre_deployment_test"
    assert start.downstream_task_ids == set()
    renew, another = dag.get_task("renew_deployment_test"), dag.get_task("start_another_deployment_test")
    wait, release = dag.get_task("wait_for_another_deployment_test"), dag.get_task("release_update")
    assert "wait_for_deployment_test" in renew.upstream_task_ids
    assert renew.downstream_task_ids == {another.task_id, wait.task_id, release.task_id}
    assert (another.trigger_dag_id, another.downstream_task_ids) == ("pre_deployment_test", {wait.task_id})
    assert another.trigger_run_id != start.trigger_run_id
    # without another test they are skipped, not the release; of a pilot that is prolonged all of them are
    assert release.upstream_task_ids == {renew.task_id, wait.task_id}
    assert wait.upstream_task_ids == {renew.task_id, another.task_id}
    assert release.trigger_rule == wait.trigger_rule == "none_failed_min_one_success"
    assert renew.trigger_rule == another.trigger_rule == "all_success"
    next_round = dag.get_task("start_next_round")
    assert (next_round.trigger_dag_id, next_round.upstream_task_ids) == (name, {"prolong_pilot"})


@pytest.mark.sd("4.1.3", step=5)
def test_the_usual_timeline_is_sd_s() -> None:
    """SD: "(e.g. 1 week)", "(e.g. 2 weeks)", "1 week for minor updates and 2 weeks for major updates"."""
    policy = Configuration(Path(__file__).parents[2] / "config").policies.pilots
    times = (policy.set_up_within, policy.feedback_within, policy.minor_runs_for, policy.major_runs_for)
    assert [duration_text(time) for time in times] == ["1w", "2w", "1w", "2w"]


@pytest.mark.sd("4.1.3", step=5)
def test_the_agreement_drives_every_later_wait() -> None:
    pilot = APilot(MAJOR).accepted().ranked().selected()
    usual = pilot_kick_off.Timeline(WEEK, 2 * WEEK, 2 * WEEK)
    form = {"vos": "atlas", "run_for": "10d"}
    pilot.store.record(
        *pilot_kick_off.facts_of_kick_off(
            at_desk(pilot.record, now=pilot.at, actor="user carla"),
            MAJOR,
            Given("Agreed", form, "carla", pilot.at),
            usual=usual,
            vos=["atlas"],
        )
    )
    pilot.wait(WEEK / 7).set_up()
    found = pilot.pilot
    assert found.runs_until == pilot.at + 10 * WEEK / 7
    assert found.agreement is not None
    assert found.agreement.vos == ("atlas",)


@pytest.mark.sd("4.1.3", step=10)
def test_the_meetings_are_entered_by_the_coordinator_with_these_options() -> None:
    kick_off, wrap_up = FORMS
    assert kick_off.options == ("Agreed", "No agreement")
    assert wrap_up.options == pilot_wrap_up.OPTIONS == ("Release", "Prolong", "Reject")
