"""A release does not wait for the tracker: it is told when it answers, once, and nobody's word there is overwritten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import signing
from tests.support.desks import at_office
from tests.support.examples import NOW, PATCH, opened, sqlite_store, templates
from tests.support.paper_packages import beside_on_paper
from tests.support.previews import SMALL, artefacts_in
from tests.support.roundup import real_roundup
from upath import UPath

from pps.activities.clients.run_note import note_with
from pps.activities.desk import Office
from pps.activities.packages.production import Production
from pps.activities.packages.tracker_states import StatesTold, as_on_record, tell_states
from pps.activities.release import release
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.roundup import RoundupTracker
from pps.config.loader import Configuration
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.base.errors import RefusedError, ServiceError
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.workflow.why import ask_tracker, why

CERTIFIED = replace(PATCH, state=PatchState.CERTIFIED, special_configuration="", install_tested=PATCH.platforms)
DAY = timedelta(days=1)


class World:
    """A rollout that is to be released, a real Roundup that can be away, and what we publish."""

    def __init__(self, folder: Path, url: str, secret: Secret) -> None:
        self.folder, self.url, self.secret = folder, url, secret
        self.store, self.artefacts = sqlite_store(folder), artefacts_in(folder / "kept")
        self.people = self.tracker()
        self.people.enter(CERTIFIED)
        self.name = opened(self.store, CERTIFIED, NOW, "bc_client_update/first").name
        built = self.artefacts.make(SMALL, "3.1.23")
        payload = {"name": built.name, "digest": built.digest, "files": dict(built.files), "size": built.size}
        self.store.record(
            Fact(self.name, FactKind.TARBALL_BUILT, "", "", NOW, "t", payload),
            Fact(self.name, FactKind.RELEASE_NOTES_WRITTEN, "", "d", NOW, "t", {}),
        )
        self.away = False

    def tracker(self) -> RoundupTracker:
        return RoundupTracker(TrackerFile(kind=TrackerKind.ROUNDUP, url=self.url), self.secret)

    def ours(self) -> RoundupTracker:
        """As we reach it: while it is away, nothing answers at its address."""
        url = "http://127.0.0.1:9/" if self.away else self.url
        return RoundupTracker(TrackerFile(kind=TrackerKind.ROUNDUP, url=url), self.secret)

    def office(self, now: datetime = NOW) -> Office:
        office = at_office(self.store, now=now, actor="pps")
        office.patch_of = lambda number: as_on_record(self.store, self.ours().patch(number))[0]
        return office

    def decide(self) -> tuple[str, ...]:
        return release.decide_on_release(self.office().desk(self.name))

    def release(self, now: datetime = NOW) -> None:
        production = Production(
            self.artefacts,  # type: ignore[arg-type]
            PublishedFolder(UPath((self.folder / "production").as_uri())),
            lambda *_: None,
            templates(),
            ["roc-italy@example.org"],
            url="https://packages.example.org",
            keys=signing.KEYS,
            beside=beside_on_paper(UPath(self.folder / "pages")),
        )
        release.release_to_production(self.office(now).desk(self.name), production)

    def tell(self, now: datetime = NOW) -> StatesTold:
        return tell_states(self.office(now), self.ours())

    def state(self) -> PatchState:
        return self.people.patch(PATCH.number).state

    def said(self) -> list[str]:
        return [remark.text for remark in self.people.comments(PATCH.number)]

    def why(self) -> str:
        policies = Configuration(Path("config")).policies
        return why(self.store, PATCH.number, ask_tracker(self.ours(), PATCH.number), policies, NOW).answer

    def note(self) -> str:
        """Of the run that has released it."""
        return note_with(None, self.name, self.store.rollout)

    def on_record(self, *kinds: FactKind) -> list[str]:
        return [fact.kind.value for fact in self.store.dossier(PATCH.number).facts if fact.kind in kinds]


TOLD = (FactKind.PATCH_MOVED, FactKind.PATCH_LEFT)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with real_roundup(tmp_path / "tracker") as (url, secret):
        yield World(tmp_path, url, secret)


def test_a_release_does_not_wait_for_a_tracker_that_is_away_and_tells_it_once_when_it_is_back(world: World) -> None:
    assert world.decide() == ()
    world.away = True
    world.release(NOW + timedelta(hours=1))
    record = world.store.rollout(world.name)
    assert record.has(FactKind.RELEASED_TO_PRODUCTION) and record.is_closed
    (mail,) = [mail for mail, _, _ in world.store.outbox(world.name) if "/released/" in mail.key]
    assert "debian12-amd64" in mail.text and f"/release-notes/{world.name}.html" in mail.text
    assert "does not answer" in world.tell().trouble
    assert world.state() is PatchState.CERTIFIED
    assert "The tracker does not say so yet." in world.why()
    assert world.note().endswith("released to production. The tracker does not say so yet")
    world.away = False
    assert "The tracker does not say so yet." in world.why()
    assert world.office().patch_of(PATCH.number).state is PatchState.IN_PRODUCTION, "nobody takes it for one to release"
    assert world.tell(NOW + 5 * DAY) == StatesTold(moved=(PATCH.number,), rollouts=(world.name,))
    assert world.state() is PatchState.IN_PRODUCTION
    assert len(world.said()) == 1 and world.said()[0].startswith(f"Released to production by rollout {world.name} for")
    assert "tracker" not in world.why() + world.note()
    assert world.tell(NOW + 6 * DAY) == StatesTold()
    assert world.on_record(*TOLD) == ["patch-moved"]


@pytest.mark.parametrize("theirs", [PatchState.WITH_PROVIDER, PatchState.REJECTED, PatchState.IN_CERTIFICATION])
def test_a_state_that_somebody_has_set_since_stays_and_is_said(world: World, theirs: PatchState) -> None:
    world.decide()
    world.release()
    set_by_hand(world, theirs)
    assert world.tell() == StatesTold(left=(PATCH.number,), rollouts=(world.name,))
    assert (world.state(), world.said()) == (theirs, [])
    assert f'The tracker says "{theirs}", which somebody has set there since' in world.why()
    assert world.tell() == StatesTold()
    assert world.on_record(*TOLD) == ["patch-left"]


def test_who_has_moved_it_on_by_hand_is_followed_and_afterwards_nothing_is_touched(world: World) -> None:
    world.decide()
    world.release()
    world.people.set_state(PATCH.number, PatchState.READY_FOR_PRODUCTION, "")
    assert world.tell().moved == (PATCH.number,)
    assert (world.state(), len(world.said())) == (PatchState.IN_PRODUCTION, 1)
    set_by_hand(world, PatchState.OBSOLETE)
    assert world.tell() == StatesTold()
    assert world.state() is PatchState.OBSOLETE


def test_what_was_changed_in_the_moment_between_look_and_move_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.decide()
    world.release()
    tracker = world.ours()
    change = tracker._change

    def later(*args: Any) -> bool:
        monkeypatch.setattr(tracker, "_change", change)
        set_by_hand(world, PatchState.WITH_PROVIDER)
        return change(*args)

    monkeypatch.setattr(tracker, "_change", later)
    assert "meanwhile" in tell_states(world.office(), tracker).trouble
    assert world.state() is PatchState.WITH_PROVIDER
    assert world.tell().left == (PATCH.number,)


def test_two_who_tell_it_at_once_tell_it_once(world: World) -> None:
    world.decide()
    world.release()
    together, told = threading.Barrier(2), []

    class Together(RoundupTracker):
        def set_state(self, *args: Any, **how: Any) -> None:
            if args[1] is PatchState.IN_PRODUCTION:
                told.append(args[0])
                with suppress(threading.BrokenBarrierError):
                    together.wait(2)  # for another who would tell it at this moment
            super().set_state(*args, **how)

    world.people.set_state(PATCH.number, PatchState.READY_FOR_PRODUCTION, "")
    file = TrackerFile(kind=TrackerKind.ROUNDUP, url=world.url)
    with ThreadPoolExecutor(2) as two:
        list(two.map(lambda _: tell_states(world.office(), Together(file, world.secret)), range(2)))
    world.tell()
    assert told == [PATCH.number]
    assert (world.state(), len(world.said())) == (PatchState.IN_PRODUCTION, 1)
    assert world.on_record(*TOLD) == ["patch-moved"]


def test_a_patch_that_was_rejected_after_the_decision_is_not_released(world: World) -> None:
    world.decide()
    set_by_hand(world, PatchState.REJECTED)
    with pytest.raises(RefusedError, match="Rejected"):
        world.release()
    assert not world.store.rollout(world.name).has(FactKind.RELEASED_TO_PRODUCTION)
    assert not (world.folder / "production").exists()


def test_a_release_that_was_killed_after_it_was_put_on_record_is_ended_and_says_nothing_anew(world: World) -> None:
    assert world.decide() == ()
    told = {"patch": PATCH.number, "state": PatchState.CERTIFIED.value, "comment": "Released."}
    world.store.record(Fact(world.name, FactKind.RELEASED_TO_PRODUCTION, "", "", NOW, "t", told))
    world.release()
    assert world.store.rollout(world.name).is_closed
    assert not (world.folder / "pages").exists() and not world.store.outbox(world.name)


def test_an_old_decision_is_not_carried_out_without_the_tracker_s_word(world: World) -> None:
    world.decide()
    world.away = True
    with pytest.raises(ServiceError, match="does not answer"):
        world.release(NOW + 2 * DAY)
    world.away = False
    world.release(NOW + 2 * DAY)
    assert world.tell().moved == (PATCH.number,)


def test_a_patch_that_the_tracker_refuses_to_move_keeps_no_other_from_being_told(world: World) -> None:
    world.decide()
    world.release()
    other = replace(CERTIFIED, number=4712)
    world.people.enter(other)
    payload = {"platforms": [], "patch": 4712, "state": "Certified", "comment": "Released to production."}
    name = opened(world.store, other, NOW, "bc_client_update/other").name
    world.store.record(Fact(name, FactKind.RELEASED_TO_PRODUCTION, "", "", NOW, "t", payload))

    class Refuses(RoundupTracker):
        def set_state(self, number: int, *args: Any, **how: Any) -> None:
            if number == PATCH.number:
                raise RefusedError("tracker", ("No.",))
            super().set_state(number, *args, **how)

    told = tell_states(world.office(), Refuses(TrackerFile(kind=TrackerKind.ROUNDUP, url=world.url), world.secret))
    assert (told.moved, "No." in told.trouble) == ((4712,), True)
    assert world.tell().moved == (PATCH.number,)


def test_what_was_released_before_this_was_a_matter_of_facts_is_left_alone(world: World) -> None:
    world.store.record(Fact(world.name, FactKind.RELEASED_TO_PRODUCTION, "", "", NOW, "t", {"platforms": ["x"]}))
    assert world.tell() == StatesTold()
    assert world.state() is PatchState.CERTIFIED
    assert "tracker" not in world.why()
    patch: Patch = world.office().patch_of(PATCH.number)
    assert patch.state is PatchState.CERTIFIED


def set_by_hand(world: World, state: PatchState) -> None:
    """On the way that the workflow allows, without a word."""
    back = (PatchState.WITH_PROVIDER, PatchState.READY_FOR_CERTIFICATION)
    for step in (*(back if state is PatchState.IN_CERTIFICATION else ()), state):
        world.people.set_state(PATCH.number, step, "")
