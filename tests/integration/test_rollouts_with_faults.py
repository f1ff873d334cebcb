"""Previews in any order of steps, with any faults, on the real store: what must never happen, and that all can end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.support.desks import at_desk, at_office
from tests.support.examples import templates
from tests.support.previews import SMALL
from tests.support.simulated_sites import FAULTS, KilledError, SimulatedSites
from tests.support.thoroughness import examples
from tests.support.withdrawals import World

from pps.activities.clients import distribution, gates, publication, withdrawal
from pps.activities.clients.nightly import Night, plan_the_night
from pps.activities.clients.probing import probe
from pps.activities.desk import Desk
from pps.activities.people import notification
from pps.activities.sites.batch import Door
from pps.adapters.record.store import FactStore
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.record.facts import FactKind

pytestmark = pytest.mark.needs("postgres")
T = TypeVar("T")
SITES = "ABC"
REASON = "It corrupts files larger than 2 GB."
#: of each connection that a step makes to a site, whether it goes wrong
TROUBLE = st.dictionaries(st.sampled_from(SITES), st.sampled_from(FAULTS), max_size=3)
RUNS = st.sampled_from(["run-1", "run-2"])


class Simulated(World):
    """Sites A, B and C, simulated, and a PostgreSQL."""

    def __init__(self, folder: Path, facts: FactStore) -> None:
        super().__init__(folder)
        self.facts.dispose()
        self.facts = facts  # type: ignore[assignment]
        self.words = templates()
        self.numbers = count(1)
        self.begins()

    def begins(self) -> None:
        self.grid = SimulatedSites(self.sites)
        self.shell = self.grid  # type: ignore[assignment]

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """The information system: it shows what stands in the lists."""
        shown = {self.sites[n].subcluster: frozenset(site.tags) for n, site in self.grid.sites.items()}
        return {name: shown[name] for name in subclusters}

    def desk(self, name: str) -> Desk:
        return at_desk(self.record(name), self.facts, clock=lambda: self.clock, templates=self.words)

    def door_of(self, run: str) -> Door:
        return replace(self.door, occasion=run)


class Rollouts(RuleBasedStateMachine):
    """Two patches, whose steps come in any order, are killed, repeated and overtaken by others."""

    world: Simulated
    which = st.sampled_from([0, 1])

    @initialize()
    def begin(self) -> None:
        self.world.begins()
        self.patches = [next(self.world.numbers), next(self.world.numbers)]
        self.names: dict[int, str] = {}
        self.all: list[str] = []
        self.open(0)

    # --- what is done

    def run(self, work: Awaitable[T], trouble: Mapping[str, str]) -> T | None:
        """A task: it may be refused by the rules, and it may be killed."""
        for name, fault in trouble.items():
            self.world.grid.sites[name].fault = fault
        try:
            return asyncio.run(_awaited(work))
        except (KilledError, NotYetAllowedError, RefusedError):
            return None
        finally:
            for site in self.world.grid.sites.values():
                site.fault = ""

    def name(self, which: int) -> str:
        return self.names.get(which, self.names[0])

    @rule(which=which)
    def open(self, which: int) -> None:
        if which in self.names and not self.world.record(self.names[which]).is_closed:
            return
        number, version = self.patches[which], f"{self.patches[which]}.{len(self.all)}"
        name = self.world.opens({**SMALL, "share/version": version.encode()}, version, number)
        self.names[which] = name
        self.all.append(name)
        self.world.grid.tag_of[str(self.world.record(name).tag)] = self.world.tarball(name)
        audience = self.world.fact(name, FactKind.VO_INVITED, "atlas", to="atlas@example.org")
        # from now on nights keep it at its sites, as behind its own distribution
        due = (self.world.clock + timedelta(weeks=8)).isoformat()
        self.world.facts.record(audience, self.world.fact(name, FactKind.FEEDBACK_DATE_AGREED, due=due))

    @rule(which=which, run=RUNS, trouble=TROUBLE)
    def distribute(self, which: int, run: str, trouble: Mapping[str, str]) -> None:
        w, name = self.world, self.name(which)
        tarball = w.artefacts.tarballs[w.tarball(name)]
        work = distribution.distribute(
            w.desk(name), tarball, w.these(SITES), w.door_of(run), artefacts=w.artefacts, cache=w.cache
        )
        self.run(work, trouble)

    @rule(which=which, run=RUNS, trouble=TROUBLE)
    def probe(self, which: int, run: str, trouble: Mapping[str, str]) -> None:
        w, name = self.world, self.name(which)
        self.run(probe(w.desk(name), w.artefacts.tarballs[w.tarball(name)], w.these(SITES), w.door_of(run)), trouble)

    @rule(which=which, run=RUNS, trouble=TROUBLE)
    def publish(self, which: int, run: str, trouble: Mapping[str, str]) -> None:
        w, name = self.world, self.name(which)
        desk = w.desk(name)
        self.run(publication.publish_tags(desk, desk.rollout.tag, w.these(SITES), w.door_of(run)), trouble)

    @rule(which=which, run=RUNS)
    def roll_out(self, which: int, run: str) -> None:
        """All steps in their order, without trouble: chance alone seldom comes as far as a tag."""
        for step in (self.distribute, self.probe, self.publish):
            step(which, run, {})
        self.look_for_the_tag(which, run)

    @rule(which=which, run=RUNS)
    def look_for_the_tag(self, which: int, run: str) -> None:
        w, name = self.world, self.name(which)
        desk = w.desk(name)
        publication.tags_seen(desk, w, w.these(SITES), desk.rollout.tag, occasion=run)

    @rule(trouble=TROUBLE)
    def night(self, trouble: Mapping[str, str]) -> None:
        w = self.world
        w.clock += timedelta(days=1)
        office = at_office(w.facts, templates=w.words, clock=lambda: w.clock, now=w.clock)
        night = Night(office, w.sites, w.targets, w.grid, w.artefacts, w, w.door.limits, 4)
        for planned in self.run(plan_the_night(night), trouble) or ():
            which = next(n for n, name in self.names.items() if name == planned["rollout"])
            self.roll_out(which, planned["batch"])

    @rule(site=st.sampled_from(SITES), what=st.sampled_from(["damaged", "wiped", "sick", "well"]))
    def something_happens_at_a_site(self, site: str, what: str) -> None:
        there = self.world.grid.sites[site]
        if what == "damaged":
            there.damaged = set(there.held)
        elif what == "wiped":
            there.held.clear()
            there.damaged.clear()
        else:
            there.is_sick = what == "sick"

    @rule(which=which)
    def stop(self, which: int) -> None:
        desk = self.world.desk(self.name(which))
        if not desk.rollout.is_closed and not desk.rollout.is_withdrawn:
            gates.stop(desk, ["Somebody has said so."], ["coordination@example.org"])

    @rule(which=which)
    def ask_for_withdrawal(self, which: int) -> None:
        try:
            withdrawal.ask_for_withdrawal(self.world.desk(self.name(which)), REASON)
        except RefusedError:
            assert self.world.record(self.name(which)).is_closed

    @rule(which=which, trouble=TROUBLE, later=TROUBLE)
    def withdraw(self, which: int, trouble: Mapping[str, str], later: Mapping[str, str]) -> None:
        self.ask_for_withdrawal(which)
        self.withdrawn(self.name(which), trouble, later)

    def withdrawn(self, name: str, trouble: Mapping[str, str], later: Mapping[str, str]) -> None:
        """The steps of the withdrawal, as far as they come."""
        w = self.world
        if not w.record(name).is_withdrawn:
            return
        sites, door = w.these(SITES), w.door_of("withdrawal")
        self.run(withdrawal.withdraw_tags(w.desk(name), sites, door, reason=REASON), trouble)
        w.clock += timedelta(minutes=1)
        if not withdrawal.tags_are_gone(w.desk(name), w, sites, gone_within=timedelta(days=2)):
            return
        self.run(withdrawal.remove_previews(w.desk(name), sites, door, reason=REASON, pause=_at_once), later)
        for _ in range(2):  # killed in between, and tried again
            notification.tell_of_withdrawal(w.desk(name), w.sites, "pps@example.org", "https://pps.example.org")
        withdrawal.close_withdrawn(w.desk(name))

    # --- what must be so

    @invariant()
    def nothing_has_happened_that_must_never_happen(self) -> None:
        assert self.world.grid.wrong == []

    @invariant()
    def nobody_has_two_mails_or_credits_for_one_thing(self) -> None:
        for name in getattr(self, "all", ()):
            mails = Counter((m.to, m.subject) for m, _, _ in self.world.facts.outbox(name))
            assert max(mails.values(), default=1) == 1, mails
            facts = self.world.record(name).facts
            credits = Counter((f.subject, f.occasion) for f in facts if f.kind is FactKind.CREDITED)
            assert max(credits.values(), default=1) == 1

    def teardown(self) -> None:
        """Whatever has happened: once everything answers again, each rollout ends, and leaves nothing behind."""
        w = self.world
        if not hasattr(self, "all"):
            return
        for site in w.grid.sites.values():
            site.is_sick = False
        self.night({})
        for name in self.all:
            record = w.record(name)
            for letter, site in w.grid.sites.items():
                if str(record.tag) in site.tags and not record.is_closed and not record.is_withdrawn:
                    assert w.tarball(name) in site.verified - site.damaged & set(site.held), letter
        for name in self.all:
            try:
                withdrawal.ask_for_withdrawal(w.desk(name), REASON)
            except RefusedError:
                continue  # it has ended, and as far as anybody knows no site holds it
            for _ in range(2):
                self.withdrawn(name, {}, {})
            record = w.record(name)
            assert record.is_closed and record.withdrawal_is_finished
            for site in w.grid.sites.values():
                assert str(record.tag) not in site.tags
                assert w.tarball(name) not in site.held
        assert not {row.name for row in w.facts.rollouts(open_only=True)} & set(self.all)
        self.nothing_has_happened_that_must_never_happen()
        self.nobody_has_two_mails_or_credits_for_one_thing()


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _at_once(seconds: float) -> Any:
    return None


def test_whatever_fails_no_tag_is_without_a_verified_preview_nothing_comes_twice_and_every_rollout_can_end(
    tmp_path: Path, fact_store: FactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "_PAUSE_S", 0.0)
    world = Simulated(tmp_path, fact_store)

    class Machine(Rollouts):
        pass

    Machine.world = world
    run_state_machine_as_test(Machine, settings=settings(max_examples=examples(25), stateful_step_count=20))
