"""A withdrawal that is asked for while the same version is being pushed: both orders, and a push that dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.desks import at_desk, is_over
from tests.support.local_shell import target_of
from tests.support.previews import SMALL
from tests.support.withdrawals import LIMITS, REASON, World, world  # noqa: F401

from pps.activities.clients import withdrawal
from pps.activities.sites.receiver import Receiver
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.orchestration.steps import withdrawal as steps_withdrawal


def _held() -> tuple[asyncio.Event, asyncio.Event, Callable[[str], Awaitable[None]]]:
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(site: str) -> None:
        reached.set()
        await go.wait()

    return reached, go, hold


def test_a_push_that_was_about_to_begin_at_a_site_takes_back_what_it_brings(world: World) -> None:
    name = world.opens(SMALL, "1.0")

    async def both() -> None:
        reached, go, world.shell.before_answer = _held()
        push = asyncio.create_task(world.distribute(name, "A"))
        await reached.wait()
        # the whole withdrawal, from its beginning to its end, while the push hangs
        await asyncio.to_thread(world.withdraws, name)
        assert world.record(name).withdrawal_is_finished
        go.set()
        with pytest.raises(NotYetAllowedError, match="corrupts files"):
            await push

    asyncio.run(both())

    assert world.at_sites(name) == ""
    kinds = [f.kind for f in world.record(name).facts if f.subject == "A"]
    assert kinds == [FactKind.PREVIEW_INSTALLED, FactKind.PREVIEW_REMOVED]
    assert world.states(name)[0] is SiteState.WITHDRAWN
    with pytest.raises(NotYetAllowedError, match="corrupts files"):
        asyncio.run(world.distribute(name))


def test_the_removal_waits_for_an_installer_that_holds_the_sites_lock(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    waited: list[float] = []

    async def both() -> None:
        reached, go, world.shell.before_file = _held()
        push = asyncio.create_task(world.distribute(name, "A"))
        await reached.wait()
        while not list(Path(world.sites["A"].preview_root).glob(".pps/lock.*")):
            await asyncio.sleep(0.01)
        world.asks(name)
        await asyncio.to_thread(steps_withdrawal.withdraw_tags.function, name)
        assert await asyncio.to_thread(is_over, world.services, "tags_are_gone", rollout=name)

        async def pause(seconds: float) -> None:
            waited.append(seconds)
            go.set()
            with pytest.raises(NotYetAllowedError):
                await asyncio.shield(push)

        await withdrawal.remove_previews(
            at_desk(world.record(name), world.facts, now=world.clock),
            world.these("A"),
            world.door,
            reason=REASON,
            pause=pause,
        )

    asyncio.run(both())

    assert waited == [1.0], "it was busy, not absent"
    assert world.at_sites(name) == ""


def test_further_sites_of_a_batch_are_left_alone_once_somebody_has_asked(world: World) -> None:
    name = world.opens(SMALL, "1.0")

    async def ask(site: str) -> None:
        world.asks(name)

    world.shell.before_file = ask

    async def push() -> None:
        # one at a time, so that B and C come after the request
        await world.distribute(name, "A")
        await world.distribute(name, "BC")

    with pytest.raises(NotYetAllowedError, match="corrupts files"):
        asyncio.run(push())
    assert {site for site, arguments in world.shell.runs if arguments[0] == "install"} == {"A"}
    assert world.at_sites(name) == "A", "its tags are not gone yet: the withdrawal comes by"
    assert world.of(name, FactKind.SITE_FAILED) == []
    world.withdraws(name)
    assert world.at_sites(name) == ""


def test_a_push_that_died_behind_a_finished_withdrawal_is_found_by_the_night(world: World) -> None:
    name = world.out(SMALL, "1.0")
    world.withdraws(name)
    tarball = world.artefacts.tarballs[world.tarball(name)]

    async def no_fact() -> None:
        async def choose(held: object) -> tuple[Path, None]:
            return next(world.cache.glob(f"{tarball.name}.full*")), None

        there = Receiver(world.shell, target_of("B"), world.sites["B"], LIMITS)
        await there.install(tarball, choose, thoroughly=True)

    asyncio.run(no_fact())
    assert world.at_sites(name) == "B"

    assert world.night() == [name]

    assert world.at_sites(name) == ""
    assert world.of(name, FactKind.PREVIEW_REMOVED)[-1].subject == "B"
    assert world.night(timedelta(days=40)) == [], "after a while nobody looks any more"


def test_a_tag_that_is_added_while_somebody_asks_is_removed_at_once(world: World) -> None:
    name = world.opens(SMALL, "1.0")
    asyncio.run(world.distribute(name, "A"))
    world.facts.record(world.fact(name, FactKind.PROBES_PASSED, "A"))

    async def ask(site: str, arguments: tuple[str, ...]) -> None:
        if arguments[0] == "add":
            world.asks(name)

    world.shell.before = ask
    world.publish(name, "A")

    assert world.tags_at(name) == ""
    assert world.of(name, FactKind.TAG_ADDED) == []
    with pytest.raises(NotYetAllowedError, match="corrupts files"):
        world.publish(name, "A")
