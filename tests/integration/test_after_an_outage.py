"""Two days of an outage, in which dates pass: every open rollout can still end, and nobody counts as silent unasked.

Pilots have a clock that the test turns. All other paths have the real one: what was on record is dumped, every date in
it is moved to before the outage, and restored.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

import pytest
from tests.support.examples import sqlite_store
from tests.support.frail import FrailStore
from tests.support.machines import PathMachine
from tests.support.pilot_walks import COORDINATOR, DAY, WEEK, Walk, walking
from tests.support.walked_paths import VARIABLE, Run, Walked

from pps.adapters.services.templates import when
from pps.domain.packages.patch import PatchState
from pps.domain.people.feedback import feedback_due
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.orchestration.steps import pilots as steps

OUTAGE = timedelta(days=2)
#: Where a pilot stands when everything goes down -> how it comes there.
STAGES: dict[str, Callable[[Walk], object]] = {
    "pilot-acceptance": lambda w: w.opens(),
    "pilot-selection": lambda w: (w.opens().answers("pilot-acceptance", "Accept"), w.step("rank_candidates")),
    "pilot-kick-off": lambda w: w.opens().selected("PIC").step("invite_to_kick_off"),
    "pilot-set-up": lambda w: w.opens().selected("PIC").kicked_off().step("mirror_repository"),
    "running": lambda w: w.opens().selected("PIC").kicked_off().set_up(),
    "post-mortem": lambda w: w.opens().selected("PIC").kicked_off().set_up().runs(2 * WEEK),
    "pilot-wrap-up": lambda w: (
        w.opens().selected("PIC").kicked_off().set_up().runs(2 * WEEK).reported(),
        w.step("invite_to_wrap_up"),
    ),
}


@pytest.fixture(params=[RolloutPath.MINOR_PILOT, RolloutPath.MAJOR_PILOT])
def walk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    with walking(tmp_path, monkeypatch, request.param) as made:
        yield made


def comes_back(walk: Walk) -> None:
    """Everything has been down until two days after the last date that anybody has agreed on."""
    agreed = walk.pilot.agreement
    dates = [datetime.fromisoformat(f.payload["due"]) for f in walk.of(FactKind.QUESTION_ASKED)]
    dates += [agreed.set_up_until, agreed.feedback_until] if agreed else []
    dates += [until] if (until := walk.pilot.runs_until) else []
    walk.clock = max([walk.clock, *dates]) + OUTAGE


def unanswered(walk: Walk, form: str, about: str) -> None:
    """The task of a question begins anew, and finds the time up; or puts it, and nobody answers."""
    human = walk._human(form, about)
    if not human._standing(walk.record) and walk.asks(form, about):
        asked = next(f for f in walk.of(FactKind.QUESTION_ASKED) if (f.occasion, f.subject) == (form, about))
        walk.clock = max(walk.clock, datetime.fromisoformat(asked.payload["due"]) + timedelta(seconds=1))
        human._silent(walk.desk)


@pytest.mark.parametrize("stage", STAGES)
def test_a_pilot_ends_wherever_it_stood(walk: Walk, stage: str) -> None:
    STAGES[stage](walk)
    if stage in ("pilot-acceptance", "pilot-selection", "pilot-kick-off", "pilot-wrap-up"):
        walk.asks(stage, COORDINATOR)
    elif stage != "running":
        walk.asks(stage, "PIC")
    comes_back(walk)
    if not walk.record.has(FactKind.KICK_OFF_AGREED):
        unanswered(walk, stage, COORDINATOR)
        assert walk.record.is_closed
        return
    unanswered(walk, "pilot-set-up", "PIC")
    assert walk.holds("pilot_is_set_up", site="PIC")
    assert walk.holds("pilot_run_is_over") and walk.holds("pilot_ends_at_site", site="PIC")
    assert walk.holds("vos_may_begin")
    walk.step("invite_vos")
    assert walk.holds("vos_are_heard")
    unanswered(walk, "post-mortem", "PIC")
    walk.step("invite_to_wrap_up")
    unanswered(walk, "pilot-wrap-up", COORDINATOR)
    assert steps.follow_decision.function(walk.name) == "end_pilot"
    assert walk.step("end_pilot")
    assert walk.record.is_closed


def test_vos_have_their_time_although_its_date_had_passed_before_they_were_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with walking(tmp_path, monkeypatch, RolloutPath.MAJOR_PILOT) as walk:
        walk.opens().selected("PIC").kicked_off(vos="atlas", feedback_within="1d").set_up()
        walk.wait(9 * DAY)  # it was set up, and then all was down
        assert walk.step("invite_vos") == 1
        until = walk.pilot.agreement.feedback_until  # type: ignore[union-attr]
        assert until > walk.clock + DAY
        said = next(m.text for m in walk.mails if "please use it" in m.subject)
        assert when(until) in " ".join(said.split())
        assert not walk.holds("vos_are_heard")
        walk.wait(until - walk.clock + timedelta(seconds=1))
        assert walk.holds("vos_are_heard")


# --- all other paths, by the real clock

_DATE = re.compile(r"(?<!\d)20\d\d-[01]\d-[0-3]\d(?=[ T]\d\d:\d\d)")
WHY = "Everybody's proxies can be stolen through it."
#: DAG -> the patch that it is for, and what else is given.
STARTS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "bc_client_update": ({}, {}),
    "non_bc_client_update": ({"new_variables": (VARIABLE,)}, {}),
    "release_testing": ({"state": PatchState.CERTIFIED}, {}),
    "pre_deployment_test": ({"state": PatchState.CERTIFIED}, {}),
    "overrule_policies": ({}, {"urgency": "high priority", "reason": WHY}),
}


#: Where a run stands when everything goes down; a question has been put by then, and a wait has begun.
STOOD = [
    *(("bc_client_update", t) for t in ("agree_feedback_date", "broadcast_to_vos_and_rocs", "wait_for_feedback")),
    *(("non_bc_client_update", t) for t in ("configure", "publish_tag", "wait_for_feedback")),
    ("non_bc_client_update", "wait_for_deployment_test"),
    *(("release_testing", t) for t in ("ask_site", "ask_release_manager", "release_update")),
    *(("pre_deployment_test", t) for t in ("ask_member_site", "publish_results")),
    *(("overrule_policies", t) for t in ("ask_the_emt", "conclude", "release_to_production")),
]


class Grid(PathMachine):
    """One run, driven by hand, and what follows from it."""

    def starts_run(self, dag: str, **params: object) -> Run:
        about, more = STARTS[dag]
        patch = self.world.patch("client", basic_certification_passed=True, **about)
        self.runs.append(self.world.run(dag, patch.number, **more, **params))
        return self.runs[0]

    def comes_to(self, run: Run, task: str) -> None:
        """Until it stands before this task, and nothing else is to do; whoever is asked before that answers."""
        others = [run, *(r for r in self.runs if r is not run)]
        while any(self.moves(r, but=task) for r in others):
            pass
        here = [t for t in self.ready(run) if t.partition(":")[0] == task]
        assert here, (task, self.ready(run))
        if task.startswith(("ask", "configure", "wait")):
            assert not sum(self.perform(run, t) for t in here), "nobody has answered"

    def moves(self, run: Run, but: str = "") -> bool:
        went, parked = False, set(run.parked)
        for task in [t for t in self.ready(run) if t.partition(":")[0] != but]:
            if task in run.parked:
                self.says(run, task, 0, f"somebody-{len(task)}")
            went |= self.perform(run, task)
        return went or run.parked != parked

    def dates(self) -> Iterator[datetime]:
        yield from super().dates()
        yield from (
            datetime.fromisoformat(r.params["feedback_until"]) for r in self.runs if "feedback_until" in r.params
        )

    def ends(self, folder: Path, *, answers: bool) -> None:
        """Everything goes on; nobody who is asked from now on answers, or everybody does."""
        for _ in range(5):
            while sum(self.moves(r) if answers else self.goes_as_far_as_it_can(r) for r in list(self.runs)):
                pass
            if not self.still_open():
                return
            outage(self, folder)  # what is waited for now passes as well


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    sqlite_store(tmp_path).dispose()
    world = Walked(tmp_path, FrailStore(f"sqlite:///{tmp_path}/facts.db"), monkeypatch)
    world.turned = None
    yield Grid.of(world)
    world.store.dispose()


def outage(grid: Grid, folder: Path) -> None:
    """Everything has been down until two days after the last agreed date: a dump comes back so much older."""
    last = max([grid.world.clock, *grid.dates()])
    older = timedelta(days=ceil((last + OUTAGE - grid.world.clock) / DAY))
    grid.world.store.dispose()
    with sqlite3.connect(folder / "facts.db") as now:
        dump = "\n".join(now.iterdump())
    (folder / "facts.db").unlink()
    with sqlite3.connect(folder / "facts.db") as before:
        before.executescript(_DATE.sub(lambda d: f"{datetime.fromisoformat(d[0]) - older:%Y-%m-%d}", dump))
    for run in grid.runs:  # what was typed is in Airflow's own dump
        if "feedback_until" in run.params:
            typed = datetime.fromisoformat(run.params["feedback_until"])
            run.params["feedback_until"] = (typed - older).isoformat()
    grid.seen.clear()
    assert max(grid.dates(), default=last - older) < grid.world.clock - DAY


@pytest.mark.parametrize(("dag", "task"), STOOD)
def test_a_run_ends_wherever_it_stood_though_nobody_answers(grid: Grid, tmp_path: Path, dag: str, task: str) -> None:
    comes_back_and_ends(grid, tmp_path, dag, task, answers=False)


@pytest.mark.parametrize(("dag", "task"), [at for at in STOOD if at[1].startswith(("ask", "configure"))])
def test_a_run_ends_by_answers_that_come_after_the_outage(grid: Grid, tmp_path: Path, dag: str, task: str) -> None:
    comes_back_and_ends(grid, tmp_path, dag, task, answers=True)


def comes_back_and_ends(grid: Grid, tmp_path: Path, dag: str, task: str, *, answers: bool) -> None:
    run = grid.starts_run(dag)
    grid.comes_to(run, task)
    outage(grid, tmp_path)
    if "client" in dag:
        grid.world.changes(run.params["patch"], state=PatchState.CERTIFIED)
    grid.ends(tmp_path, answers=answers)
    grid.all_is_as_it_must_be()
    assert not grid.still_open(), [(run.dag, grid.ready(run)) for run in grid.runs]


@pytest.mark.parametrize("task", ["configure", "wait_for_feedback"])
def test_a_preview_that_nobody_certifies_ends_when_somebody_withdraws_it(grid: Grid, tmp_path: Path, task: str) -> None:
    run = grid.starts_run("non_bc_client_update")
    grid.comes_to(run, task)
    outage(grid, tmp_path)
    grid.world.changes(run.params["patch"], state=PatchState.IN_CERTIFICATION)
    grid.runs = [Run("withdraw_rollout", {"rollout": run.name, "reason": "Nobody certifies it."}, "withdrawal")]
    grid.ends(tmp_path, answers=False)
    assert grid.world.record(run.name).withdrawal_is_finished
    assert not any(site.tags or site.held for site in grid.world.grid.sites.values())


@pytest.mark.parametrize("task", ["agree_feedback_date", "broadcast_to_vos_and_rocs"])
@pytest.mark.parametrize("dag", ["bc_client_update", "non_bc_client_update"])
def test_vos_have_their_time_although_the_date_that_was_typed_has_passed(
    grid: Grid, tmp_path: Path, dag: str, task: str
) -> None:
    run = grid.starts_run(dag, feedback_until=(datetime.now(UTC) + DAY).isoformat())
    grid.comes_to(run, task)
    outage(grid, tmp_path)
    while grid.moves(run):
        pass
    due = feedback_due(grid.world.record(run.name))
    assert due and due > datetime.now(UTC) + 13 * DAY
    assert grid.world.facts(run.name, FactKind.VO_INVITED) and "wait_for_feedback" in grid.ready(run)
