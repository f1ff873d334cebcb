"""Which task of a DAG may follow which, as the files in dags/ say it, and what each one does.

`itinerary(world, run)` gives task -> (those before it, what it does); it grows with what is on record, as Airflow's
mapped tasks do. A task that starts another run returns its DAG, and what that run is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.support.walked_paths import Run, Walked

from pps.domain.people.roles import Role
from pps.domain.quality.release_tests import MANAGER
from pps.domain.record.rollouts import RolloutPath
from pps.orchestration.groups_pilot import COORDINATOR_FORMS
from pps.orchestration.steps import clients, non_bc, overruling, pilots, quality, release_tests, withdrawal
from pps.orchestration.steps.distribution import DistributeClient
from pps.orchestration.steps.release_notes import WriteReleaseNotes

Task = tuple[tuple[str, ...], Callable[[], Any]]
Tasks = dict[str, Task]
COORDINATOR = Role.PPS_COORDINATOR.value


class Table:
    """The tasks of one run."""

    def __init__(self, world: Walked, run: Run) -> None:
        self.world, self.run, self.tasks = world, run, Tasks()

    def add(self, task: str, after: Iterable[str], do: Callable[[], Any]) -> None:
        self.tasks[task] = (tuple(after), do)

    def step(self, module: Any, task: str, *after: str, name: str = "") -> None:
        """A step that gets the rollout's name alone."""
        self.add(name or task, after, lambda: getattr(module, task).function(self.run.name))

    def wait(self, task: str, wait: str, *after: str, **more: str) -> None:
        self.add(task, after, lambda: self.world.waits(wait, rollout=self.run.name, **more))

    def asks(self, task: str, form: str, about: str, *after: str) -> None:
        self.add(task, after, lambda: self.world.human(self.run, task, form, about))

    def opens(self, task: str, do: Callable[[], str]) -> bool:
        """The first task; True if it has been done, so that there are others."""

        def named() -> str:
            self.run.name = do()
            return self.run.name

        self.add(task, (), named)
        return task in self.run.done

    def each(self, task: str) -> list[Any]:
        """What a task has returned to be mapped over."""
        return list(self.run.done.get(task) or ())


def itinerary(world: Walked, run: Run) -> Tasks:
    """See above."""
    table = Table(world, run)
    ITINERARIES[run.dag](table)
    return {task: made for task, made in table.tasks.items() if task not in run.skipped}


def follows(run: Run, task: str, tasks: Tasks) -> None:
    """Skip what a branch or a short circuit leaves out."""
    chosen, behind = run.done[task], {name for name, (after, _) in tasks.items() if task in after}
    if task in _BRANCHES:
        kept = {chosen} if isinstance(chosen, str) else set(chosen)
    elif task in _SHORT and chosen is False:
        kept = set()
    else:
        return
    goes_on = kept.union(*(below(name, tasks) for name in kept))
    run.skipped |= behind.union(*(below(name, tasks) for name in behind)) - goes_on


_BRANCHES = {"certification_outcome", "conclude", "follow_decision", "renew_deployment_test"}
_SHORT = {
    "decide_on_release",
    "deployment_test_is_missing",
    "request_is_accepted",
    "sites_are_selected",
    "dates_are_agreed",
}


def below(task: str, tasks: Tasks) -> set[str]:
    """Whatever comes after it."""
    behind = {name for name, (after, _) in tasks.items() if task in after}
    return behind.union(*(below(name, tasks) for name in behind))


# --- clients -----------------------------------------------------------------------------------------------------


def _withdrawal(t: Table, after: str) -> None:
    t.step(withdrawal, "withdraw_tags", after)
    t.wait("wait_for_tags_to_go", "tags_are_gone", "withdraw_tags")
    t.step(withdrawal, "remove_previews", "wait_for_tags_to_go")
    t.step(withdrawal, "tell_of_withdrawal", "remove_previews")


def _to_vos(t: Table, *after: str) -> None:
    t.step(clients, "agree_feedback_date", *after)
    t.step(clients, "update_release_bulletin", "agree_feedback_date")
    for task in ("broadcast_to_vos_and_rocs", "invite_originators"):
        t.step(clients, task, "update_release_bulletin")
    told = ("broadcast_to_vos_and_rocs", "invite_originators")
    t.wait("wait_for_feedback", "feedback_is_over", *told)
    t.add("write_release_notes", ["wait_for_feedback"], lambda: _write_notes(t.run))
    t.wait("wait_for_certification", "certification_is_over", "open_rollout")
    t.step(clients, "certification_outcome", "wait_for_certification")
    t.step(withdrawal, "withdraw_preview", "certification_outcome")
    _withdrawal(t, "withdraw_preview")


def _write_notes(run: Run) -> str:
    return WriteReleaseNotes(task_id="notes", rollout=run.name).execute({})  # type: ignore[typeddict-item]


def _at(t: Table, site: str, batch: str, after: str) -> str:
    """Probes, tag, and a look for the tag, of one batch; the last task."""
    r = t.run.name
    t.add(f"run_probe_tests:{site}", [after], lambda: clients.run_probe_tests.function(r, batch))
    t.add(f"publish_tag:{site}", [f"run_probe_tests:{site}"], lambda: clients.publish_tag.function(r, batch))
    t.wait(f"wait_for_tag:{site}", "tags_are_seen", f"publish_tag:{site}", batch=batch)
    return f"wait_for_tag:{site}"


def _distribute(t: Table, batch: str, *after: str) -> str:
    operator = lambda: DistributeClient(task_id="distribute", rollout=t.run.name, batch=batch)  # noqa: E731
    t.add(f"distribute_client:{batch}", after, lambda: operator().execute({}))  # type: ignore[typeddict-item]
    return f"distribute_client:{batch}"


def _bc(t: Table) -> None:
    if not t.opens("open_rollout", lambda: clients.open_rollout.function(RolloutPath.BC_CLIENT.value)):
        return
    t.step(clients, "build_tarball", "open_rollout")
    t.step(clients, "plan_batches", "build_tarball")
    canary = _at(t, "canary", "canary", _distribute(t, "canary", "plan_batches"))
    t.step(clients, "canaries_are_healthy", canary)
    fleet = [_at(t, b, b, _distribute(t, b, "canaries_are_healthy")) for b in t.each("plan_batches")]
    t.step(clients, "plan_stragglers", "canaries_are_healthy", *fleet)
    last = [_at(t, b, b, _distribute(t, b, "plan_stragglers")) for b in t.each("plan_stragglers")]
    t.step(clients, "failure_budget_holds", "plan_stragglers", *last)
    _to_vos(t, "failure_budget_holds")
    t.step(clients, "decide_on_release", "write_release_notes", "certification_outcome")
    t.step(clients, "release_to_production", "decide_on_release")


def _non_bc(t: Table) -> None:
    if not t.opens("open_rollout", lambda: clients.open_rollout.function(RolloutPath.NON_BC_CLIENT.value)):
        return
    t.step(clients, "build_tarball", "open_rollout")
    t.step(clients, "plan_batches", "build_tarball")
    batches = [_distribute(t, batch, "plan_batches") for batch in t.each("plan_batches")]
    t.step(non_bc, "sites_to_configure", "plan_batches", *batches)
    for one in t.each("sites_to_configure"):
        t.asks(f"configure:{one['site']}", "local-configuration", one["site"], "sites_to_configure")
        _at(t, one["site"], one["batch"], f"configure:{one['site']}")
    t.wait("wait_for_first_sites", "preview_is_offered", "sites_to_configure")
    _to_vos(t, "wait_for_first_sites")
    t.step(quality, "deployment_test_is_missing", "open_rollout")
    t.add("start_deployment_test", ["deployment_test_is_missing"], lambda: ("pre_deployment_test", ".deployment"))
    t.wait("wait_for_deployment_test", "deployment_test_is_over", "open_rollout")
    before = ("write_release_notes", "certification_outcome", "wait_for_deployment_test")
    t.step(clients, "decide_on_release", *before)
    t.step(clients, "release_to_production", "decide_on_release")


def _withdraw(t: Table) -> None:
    if t.opens("ask_for_withdrawal", withdrawal.ask_for_withdrawal.function):
        _withdrawal(t, "ask_for_withdrawal")


# --- tests and decisions -----------------------------------------------------------------------------------------


def _deployment(t: Table) -> None:
    if not t.opens("open_deployment_test", quality.open_deployment_test.function):
        return
    r = t.run.name
    t.step(quality, "plan_scenarios", "open_deployment_test")
    t.step(quality, "scenarios_of_member_sites", "plan_scenarios")
    ends = ["plan_scenarios", "scenarios_of_member_sites"]
    for s in t.each("plan_scenarios"):
        t.add(f"run_scenario:{s}", ["plan_scenarios"], lambda s=s: quality.run_scenario.function(r, s))
        ends.append(f"run_scenario:{s}")
    for s in t.each("scenarios_of_member_sites"):
        t.asks(f"ask_member_site:{s}", "deployment-scenario", s, "scenarios_of_member_sites")
        ends.append(f"ask_member_site:{s}")
    t.step(quality, "tell_provider", *ends)
    t.step(quality, "publish_results", "tell_provider")


def _release_test(t: Table) -> None:
    if not t.opens("open_release_test", release_tests.open_release_test.function):
        return
    t.step(release_tests, "plan_sites", "open_release_test")
    t.step(release_tests, "deliver_update", "plan_sites")
    asked = []
    for s in t.each("deliver_update"):
        t.asks(f"ask_site:{s}", "release-test", s, "deliver_update")
        asked.append(f"ask_site:{s}")
    t.asks("ask_release_manager", "release-decision", MANAGER, "deliver_update", *asked)
    t.step(release_tests, "follow_decision", "ask_release_manager")
    for task in ("release_update", "hold_update"):
        t.step(release_tests, task, "follow_decision")
    t.step(release_tests, "close_release_test", "release_update", "hold_update")


def _overrule(t: Table) -> None:
    if not t.opens("open_request", overruling.open_request.function):
        return
    t.asks("ask_the_emt", "overrule-emt", Role.EMT.value, "open_request")
    t.asks("ask_the_coordination", "overrule-coordination", COORDINATOR, "open_request")
    t.step(overruling, "conclude", "ask_the_emt", "ask_the_coordination")
    t.step(clients, "build_tarball", "conclude")
    t.step(overruling, "keep_packages", "conclude")
    t.step(overruling, "write_release_notes", "build_tarball", "keep_packages")
    t.step(overruling, "release_to_production", "write_release_notes")
    t.step(overruling, "choose_preview", "conclude", "release_to_production")
    t.add("start_preview", ["choose_preview"], lambda: (t.run.done["choose_preview"]["dag"], ""))


# --- pilots ------------------------------------------------------------------------------------------------------


def _pilot(path: RolloutPath) -> Callable[[Table], None]:
    def of(t: Table) -> None:
        if not t.opens("open_pilot", lambda: pilots.open_pilot.function(path.value)):
            return
        major = path is RolloutPath.MAJOR_PILOT
        _before(t, major)
        at_sites = []
        for s in t.each("sites_of_pilot"):
            at_sites.append(_pilot_site(t, s))
        t.wait("wait_for_end_of_run", "pilot_run_is_over", "mirror_repository")
        heard = ["wait_for_end_of_run"]
        if major:
            t.wait("wait_for_services", "vos_may_begin", "mirror_repository")
            t.step(pilots, "invite_vos", "wait_for_services")
            t.wait("wait_for_feedback", "vos_are_heard", "invite_vos", "wait_for_end_of_run")
            heard = ["wait_for_feedback"]
        t.step(quality, "deployment_test_is_missing", "dates_are_agreed")
        t.add("start_deployment_test", ["deployment_test_is_missing"], lambda: ("pre_deployment_test", ".deployment"))
        t.step(pilots, "invite_to_wrap_up", "sites_of_pilot", *at_sites, *heard)
        t.asks("decide_at_wrap_up", COORDINATOR_FORMS["decide_at_wrap_up"], COORDINATOR, "invite_to_wrap_up")
        t.step(pilots, "follow_decision", "decide_at_wrap_up")
        t.wait("wait_for_deployment_test", "deployment_test_is_over", "follow_decision")
        t.step(pilots, "renew_deployment_test", "wait_for_deployment_test")
        another = "start_another_deployment_test"
        t.add(another, ["renew_deployment_test"], lambda: ("pre_deployment_test", ".deployment-2"))
        renewed = "wait_for_another_deployment_test"
        t.wait(renewed, "deployment_test_is_renewed", "renew_deployment_test", another)
        t.step(pilots, "release_update", renewed)
        t.step(pilots, "prolong_pilot", "follow_decision")
        t.add("start_next_round", ["prolong_pilot"], lambda: (t.run.dag, t.run.done["prolong_pilot"]))
        t.step(pilots, "end_pilot", "follow_decision", "release_update")

    return of


def _before(t: Table, major: bool) -> None:
    def asks(task: str, after: str) -> None:
        t.asks(task, COORDINATOR_FORMS[task], COORDINATOR, after)

    asks("accept_request", "open_pilot")
    t.step(pilots, "request_is_accepted", "accept_request")
    t.step(pilots, "rank_candidates", "request_is_accepted")
    if major:
        t.step(pilots, "ask_vos_for_interest", "rank_candidates")
    asks("select_sites", "ask_vos_for_interest" if major else "rank_candidates")
    t.step(pilots, "sites_are_selected", "select_sites")
    t.step(pilots, "instruct_sites", "sites_are_selected")
    t.step(pilots, "invite_to_kick_off", "instruct_sites")
    asks("agree_at_kick_off", "invite_to_kick_off")
    t.step(pilots, "dates_are_agreed", "agree_at_kick_off")
    t.step(pilots, "mirror_repository", "dates_are_agreed")
    t.step(pilots, "sites_of_pilot", "mirror_repository")


def _pilot_site(t: Table, s: str) -> str:
    t.asks(f"set_up:{s}", "pilot-set-up", s, "sites_of_pilot")
    t.wait(f"wait_for_service:{s}", "pilot_is_set_up", f"set_up:{s}", site=s)
    t.wait(f"wait_for_end_or_roll_back:{s}", "pilot_ends_at_site", f"wait_for_service:{s}", site=s)
    t.asks(f"roll_back:{s}", "pilot-roll-back", s, f"wait_for_end_or_roll_back:{s}")
    t.wait(f"wait_for_roll_back:{s}", "pilot_is_rolled_back", f"roll_back:{s}", site=s)
    told = f"tell_of_roll_back:{s}"
    t.add(told, [f"wait_for_roll_back:{s}"], lambda: pilots.tell_of_roll_back.function(t.run.name, s))
    t.asks(f"report:{s}", "post-mortem", s, told)
    return f"report:{s}"


ITINERARIES: dict[str, Callable[[Table], None]] = {
    "bc_client_update": _bc,
    "non_bc_client_update": _non_bc,
    "withdraw_rollout": _withdraw,
    "pre_deployment_test": _deployment,
    "release_testing": _release_test,
    "overrule_policies": _overrule,
    "minor_server_pilot": _pilot(RolloutPath.MINOR_PILOT),
    "major_server_pilot": _pilot(RolloutPath.MAJOR_PILOT),
}
