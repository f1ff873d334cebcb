"""Previews of clients with any faults, by the DAGs' own steps, on the real store and at simulated sites."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from tests.support.desks import front
from tests.support.frail import CALM, Trouble
from tests.support.machines import NOT_DONE, PathMachine, walk
from tests.support.simulated_sites import FAULTS
from tests.support.walked_paths import SITES, VARIABLE, Run, Walked, walked  # noqa: F401

from pps.activities.clients import gates
from pps.activities.clients.control import control
from pps.domain.clients.control import Control, pause_of
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.orchestration.steps import clients, withdrawal
from pps.orchestration.steps.distribution import DistributeClient

pytestmark = pytest.mark.needs("postgres")
REASON = "It corrupts files larger than 2 GB."
BOTH = ("bc_client_update", "non_bc_client_update")
MANAGER = ["role:Release Manager"]


class Clients(PathMachine):
    """A client that needs no configuration, and one that does."""

    @initialize(far=st.integers(0, 99))
    def begin(self, far: int) -> None:
        w = self.world
        self.looked: dict[str, int] = {}
        plain = w.patch("client", basic_certification_passed=True)
        other = w.patch("client", basic_certification_passed=True, new_variables=(VARIABLE,))
        self.runs = [w.run(dag, patch.number) for dag, patch in zip(BOTH, (plain, other), strict=True)]
        self.chance = Random(far)
        for run in self.runs[: far % 3]:
            self.go_far(run, 0, CALM)

    def elsewhere(self, run: Run, number: int, trouble: Trouble) -> None:
        what = ("at_sites", "at_sites", "at_a_site", "night", "night", "certified", "withdrawn", "held", "again")
        getattr(self, what[number % len(what)])(run, number // len(what), trouble)

    def at_sites(self, run: Run, number: int, trouble: Trouble) -> None:
        """The next task, or one that is done, meets sites that fail as told, each once."""
        self.sites_fail(number)
        (self.go_on if number % 3 else self.once_more)(run, number, CALM)
        self.sites_are_up()

    def perform(self, run: Run, task: str, trouble: Trouble = CALM) -> bool:
        """Where it meets a trouble of ours, some sites have one of theirs."""
        if trouble is CALM:
            return super().perform(run, task, trouble)
        self.sites_fail(self.chance.randrange(2**16))
        done = super().perform(run, task, trouble)
        self.sites_are_up()
        return done

    def sites_fail(self, number: int) -> set[str]:
        for name in SITES:
            number, which = divmod(number, len(FAULTS) + 3)
            self.world.grid.sites[name].fault = FAULTS[which] if which < len(FAULTS) else ""
        return {name for name in SITES if self.world.grid.sites[name].fault}

    def sites_are_up(self) -> None:
        for site in self.world.grid.sites.values():
            site.fault = ""

    def at_a_site(self, run: Run, number: int, trouble: Trouble) -> None:
        """Somebody there removes or edits what we have brought; its probes begin to fail, or pass again."""
        there = self.world.grid.sites[SITES[number % 3]]
        match number // 3 % 4:
            case 0:
                there.damaged = set(there.held)
            case 1:
                there.held.clear()
                there.damaged.clear()
            case other:
                there.is_sick = other == 2

    def night(self, run: Run, number: int, trouble: Trouble) -> None:
        """The DAG of the night. A look that has come to its end leaves no site with the tag of what it has not."""
        w = self.world
        w.clock += timedelta(days=1)
        failing = self.sites_fail(number) if number % 2 else set()
        planned = self.under(trouble, clients.look_at_sites.function)
        self.sites_are_up()
        if planned is NOT_DONE:
            return
        for record in self.records():
            if record.is_open_preview and not pause_of(record):
                self.no_tag_without_a_whole_preview(record, [name for name in SITES if name not in failing])
        for one in planned:
            self.brought(one["rollout"], one["batch"])
        retired = self.under(CALM, withdrawal.withdraw_retired_tags.function)
        if retired is not NOT_DONE and retired:
            self.under(CALM, lambda: w.waits("retired_tags_are_gone", rollouts=retired))
            self.under(CALM, lambda: withdrawal.remove_retired_previews.function(retired))

    def brought(self, rollout: str, batch: str) -> None:
        distribute = DistributeClient(task_id="distribute", rollout=rollout, batch=batch)
        self.under(CALM, lambda: distribute.execute({}))  # type: ignore[typeddict-item]
        self.under(CALM, lambda: clients.run_probe_tests.function(rollout, batch))
        self.under(CALM, lambda: clients.publish_tag.function(rollout, batch))
        self.under(CALM, lambda: self.world.waits("tags_are_seen", rollout=rollout, batch=batch))

    def no_tag_without_a_whole_preview(self, record: Rollout, sites: list[str]) -> None:
        built = record.the(FactKind.TARBALL_BUILT)
        for name in sites if built else ():
            there = self.world.grid.sites[name]
            if str(record.tag) in there.tags:
                whole = there.held.keys() - there.damaged
                assert built.payload["name"] in whole, f"{name} has the tag of {record.name}, and not the whole of it"

    def certified(self, run: Run, number: int, trouble: Trouble) -> None:
        to = (PatchState.CERTIFIED, PatchState.CERTIFIED, PatchState.REJECTED)[number % 3]
        self.world.changes(self.patch_of(run), state=to)

    def patch_of(self, run: Run) -> int:
        return self.world.record(run.params["rollout"]).patch_number if "rollout" in run.params else run.params["patch"]

    def withdrawn(self, run: Run, number: int, trouble: Trouble) -> None:
        if run.name and number % 3 == 0:
            self.withdraw(run.name)

    def withdraw(self, name: str) -> Run:
        made = Run("withdraw_rollout", {"rollout": name, "reason": REASON}, f"withdrawal-of-{name}")
        if all(run.id != made.id for run in self.runs):
            self.runs.append(made)
        return next(run for run in self.runs if run.id == made.id)

    def held(self, run: Run, number: int, trouble: Trouble) -> None:
        """Those in charge pause it, let it go on, or stop it."""
        if not run.name:
            return
        desk = front(self.world.services, run.name)
        if number % 5 == 0 and not desk.rollout.is_over:
            self.under(trouble, lambda: gates.stop(front(self.world.services, run.name), [REASON], ["rm@example.org"]))
        what = Control.RESUME if pause_of(desk.rollout) else Control.PAUSE
        self.under(
            trouble, lambda: control(front(self.world.services, run.name), what, REASON, "rm", MANAGER, ["rm@x.org"])
        )

    def again(self, run: Run, number: int, trouble: Trouble) -> None:
        """Somebody starts another rollout of a patch, after the end of one, or before."""
        if run.dag in BOTH and len(self.runs) < 7:
            self.runs.append(self.world.run(run.dag, **run.params))

    # --- what must be so

    def all_is_as_it_must_be(self) -> None:
        super().all_is_as_it_must_be()
        for record in self.records():
            self.what_is_newly_on_record_lies_there_whole(record)

    def what_is_newly_on_record_lies_there_whole(self, record: Rollout) -> None:
        """Newly: since the last look nobody at a site has touched it."""
        looked, self.looked[record.name] = self.looked.get(record.name, 0), len(record.facts)
        for fact in record.facts[looked:]:
            if fact.kind is FactKind.PREVIEW_INSTALLED and record.installation(fact.subject) is fact:
                there = self.world.grid.sites[fact.subject]
                whole = there.held.keys() - there.damaged
                assert fact.payload["tarball"] in whole, f"{record.name} is on record at {fact.subject}, and not whole"

    # --- the end

    def well_again(self) -> None:
        """Then chance seldom has left a preview open with its tag at sites, so all goes on before the last night."""
        self.sites_are_up()
        for site in self.world.grid.sites.values():
            site.is_sick = False
        for run in self.runs:
            if run.name and pause_of(self.world.record(run.name)):
                control(front(self.world.services, run.name), Control.RESUME, REASON, "rm", MANAGER, ["rm@x.org"])
        for run in self.runs:
            self.goes_as_far_as_it_can(run)
        self.all_is_as_it_must_be()
        for number in (0, 4):  # the night finds one damaged, and one empty
            self.at_a_site(self.runs[0], number, CALM)
        self.night(self.runs[0], 0, CALM)
        for record in self.records():
            if record.is_open_preview:
                self.no_tag_without_a_whole_preview(record, list(SITES))

    def ended_by_hand(self, name: str) -> None:
        self.goes_as_far_as_it_can(self.withdraw(name))

    def everything_ends(self) -> None:
        """And nothing is left at any site, once everything is withdrawn."""
        super().everything_ends()
        withdrawn = [self.withdraw(r.name) for r in self.records() if r.path in PREVIEWS]
        for run in withdrawn:
            self.goes_as_far_as_it_can(run)
        self.night(withdrawn[0], 0, CALM)
        for run in withdrawn:
            self.goes_as_far_as_it_can(run)
        left = {name: (site.tags, site.held) for name, site in self.world.grid.sites.items() if site.tags or site.held}
        assert not left, f"sites have something left after all was withdrawn: {left}"
        self.all_is_as_it_must_be()


def test_whatever_fails_no_tag_is_without_a_verified_preview_nothing_comes_twice_and_every_rollout_can_end(
    walked: Walked,
) -> None:
    walk(Clients, walked, 3)
