"""Pilots of server updates with any faults, round by round, by the DAGs' own steps, on the real store."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from tests.support.desks import front
from tests.support.frail import CALM, Trouble
from tests.support.machines import PathMachine, walk
from tests.support.walked_paths import Run, Walked, endpoint_of, walked  # noqa: F401

from pps.activities.pilots import roll_back
from pps.domain.packages.patch import PatchState
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.rollouts import PILOTS
from pps.domain.sites.probes import ProbeState

pytestmark = pytest.mark.needs("postgres")
SCOPE = {"scope": "Run it for a week, and watch its memory.", "vo": None, "justification": None}


class Pilots(PathMachine):
    """A pilot at sites whose services answer, fall silent, and are rolled back."""

    @initialize(dag=st.sampled_from(["minor_server_pilot", "major_server_pilot"]), far=st.integers(0, 30))
    def begin(self, dag: str, far: int) -> None:
        patch = self.world.patch(dag.partition("_")[0])
        self.version = patch.version
        self.runs = [self.world.run(dag, patch.number, **SCOPE)]
        self.chance = Random(far)
        for _ in range(far):
            self.moves_on(self.runs[0])

    def moves_on(self, run: Run) -> None:
        """As far as chance alone seldom comes: everybody answers, time goes by, and each task has its own trouble."""
        went = sum(self.perform(run, task, self.some_trouble()) for task in self.ready(run))
        for task in sorted(run.parked):
            self.answered(run, task)
            went += self.perform(run, task, self.some_trouble())
        if not went:
            self.time_passes(run, 1, CALM)

    def answered(self, run: Run, task: str) -> None:
        form, about = run.asked[task]
        if form == "pilot-set-up":
            self.world.serves(about, self.version)
        if form == "pilot-roll-back":
            self.world.serves(about, "3.1.22")
        self.says(run, task, 0, "ada")

    def somebody_answers(self, run: Run, number: int, trouble: Trouble) -> None:
        task = sorted(run.parked)[number % len(run.parked)] if run.parked and number % 2 else ""
        if not task:
            return super().somebody_answers(run, number // 2, trouble)
        self.answered(run, task)
        self.perform(run, task, trouble)
        return None

    def filled(self, value: str, about: str) -> str:
        return super().filled(value, about).replace("VERSION", self.version)

    def elsewhere(self, run: Run, number: int, trouble: Trouble) -> None:
        site = "ABC"[number // 8 % 3]
        match number % 8:
            case 0 | 1:
                self.world.serves(site, self.version, ProbeState.CRITICAL)
            case 2 | 3:
                self.world.serves(site, self.version)
            case 4:
                self.world.serves(site, "3.1.22")
            case 5 if run.name and self.world.record(run.name).path in PILOTS:
                self.under(trouble, lambda: self.asks_for_roll_back(run, site))
            case 6:
                to = PatchState.REJECTED if number % 5 == 0 else PatchState.CERTIFIED
                self.world.changes(run.params["patch"], state=to)
            case _:
                self.moves_on(run)

    def asks_for_roll_back(self, run: Run, site: str) -> None:
        mine, desk = {f"user:admin-{site.lower()}"}, front(self.world.services, run.name)
        roll_back.ask_roll_back(desk, self.world.sites[site], "Jobs are lost.", "ada", mine, "support@example.org")

    def perform(self, run: Run, task: str, trouble: Trouble = CALM) -> bool:
        """No service counts as set up that does not answer at this moment, in the new version."""
        if task.startswith("set_up") and super().perform(run, task, trouble):
            if self.chance.random() < 0.4:  # and then it breaks
                self.world.serves(task.partition(":")[2], self.version, ProbeState.CRITICAL)
            return True
        if task.startswith("set_up"):
            return False
        if not task.startswith("wait_for_service"):
            return super().perform(run, task, trouble)
        site = task.partition(":")[2]
        before = Pilot(self.world.record(run.name)).served
        done = super().perform(run, task, trouble)
        if site not in before and site in Pilot(self.world.record(run.name)).served:
            answers = self.world.services_at.state[endpoint_of(site)]
            assert answers == (ProbeState.OK, self.version), f"{site} counts as set up, and answers {answers}"
        return done

    def well_again(self) -> None:
        for site in "ABC":
            if endpoint_of(site) in self.world.services_at.state:
                self.world.serves(site, self.version)


def test_whatever_fails_no_service_counts_as_set_up_unseen_nothing_comes_twice_and_every_pilot_can_end(
    walked: Walked,
) -> None:
    walk(Pilots, walked, 5)
