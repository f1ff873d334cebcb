"""Serve a batch of sites: many at once, each outcome a fact of its own, a bad site never a neighbour's problem."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, cast

from pps.activities.desk import Desk
from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.visits import VISIT, Visit
from pps.domain.base.errors import SiteError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.places import LOOK_EVERY_S, MAY_BE_LEFT, Places, Usual, keeps_us_waiting, may_end, room
from pps.domain.sites.site import Site

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Door:
    """The way to the sites of a batch, its limits, and on whose behalf it is taken."""

    targets: Mapping[str, SshTarget]
    shell: SiteShell
    limits: SiteLimits
    places: Places
    occasion: str
    """the run, or the night: facts of a repeated task count once, those of a later run again"""
    actor: str

    def target(self, site: Site) -> SshTarget:
        """How to log in; `SiteError` where there is no Connection, so that a site without one fails alone."""
        target = self.targets.get(site.name)
        if target is None:
            raise SiteError(
                site.name, f"there is no Connection {site.connection!r}.", "Add it, or correct the site registry."
            )
        return target


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes the facts of one rollout on one occasion."""

    record: Rollout
    occasion: str
    now: datetime
    actor: str

    def fact(self, kind: FactKind, site: Site, payload: dict[str, Any], step: str = "") -> Fact:
        """A fact about a site; its occasion is counted from the site's history (docs/adr/0004)."""
        base = f"{self.occasion}/{step}" if step else self.occasion
        which = self.record.occasion(kind, site.name, base)
        return Fact(self.record.name, kind, site.name, which, self.now, self.actor, payload)

    def failure(self, site: Site, step: str, error: SiteError) -> Fact:
        """SITE_FAILED: at which step, why, and what to do next."""
        payload = {"reason": str(error), "step": step, "error": type(error).__name__}
        return self.fact(FactKind.SITE_FAILED, site, payload, step)


async def in_turns(
    act: Callable[[S], Awaitable[T]], sites: Sequence[S], places: Places, left: Callable[[S], T] | None = None
) -> tuple[T, ...]:
    """Do something for each site, so many at a time as there are places; what came of it, in their order.

    A site that keeps us waiting (`keeps_us_waiting`) goes on, but holds no place: dead and hanging ones do not delay
    the others.

    What one site does wrong is for `act` to catch. Any other error is ours (the store of facts, a tarball), and no site
    is to suffer from it: those that are being served are served to their end, no further one is begun, and the error is
    raised. When this task is cancelled, all of it is.

    Args:
        left: what came of a site that was left because it keeps the others waiting (`Places.patience`): its visit is
            cut, and its time comes later. Without this all are served to their end.
    """
    now = asyncio.get_running_loop().time
    leaves = left is not None and places.patience is not None
    crew, ours, done = _Crew(places, now(), leaves), list[Exception](), asyncio.Event()

    async def visited(visit: Visit, site: S) -> T | None:
        VISIT.set(visit)
        try:
            try:
                return await act(site)
            except asyncio.CancelledError:
                if left is None or not visit.left:
                    raise
                return left(site)
        except Exception as error:  # raised below
            ours.append(error)
            return None
        finally:
            crew.ended(visit, now())
            done.set()

    try:
        async with asyncio.TaskGroup() as group:
            tasks, looked = dict[Visit, asyncio.Task[T | None]](), now()
            while not ours and (len(tasks) < len(sites) or (leaves and crew.open)):
                for site in sites[len(tasks) :][: crew.room()]:
                    visit = crew.begin(now())
                    tasks[visit] = group.create_task(visited(visit, site))
                done.clear()
                with suppress(TimeoutError):
                    next_look = looked + LOOK_EVERY_S if places.waiting or leaves else None
                    async with asyncio.timeout_at(min(filter(None, (next_look, crew.ends_at)), default=None)):
                        await done.wait()
                if (places.waiting or leaves) and now() >= looked + LOOK_EVERY_S:
                    looked = now()
                    crew.look(looked)
                if leaves and len(tasks) == len(sites) and crew.may_end(now()):
                    for visit in crew.open:
                        visit.left = True
                        tasks[visit].cancel()
                    break
    except BaseExceptionGroup as errors:  # the task's time is up
        raise errors.exceptions[0] from errors
    if ours:
        raise ours[0]
    return tuple(cast(T, task.result()) for task in tasks.values())


class _Crew:
    """The visits that are under way, and what those before them needed."""

    def __init__(self, places: Places, now: float, leaves: bool) -> None:
        self._places = places
        self._began = now
        self._leaves = leaves
        self.open: set[Visit] = set()
        self.ends_at: float | None = None
        """when it ends without those that are open, if nothing happens meanwhile"""
        self._answers_s: list[float] = []
        self._took_s: list[float] = []

    def begin(self, now: float) -> Visit:
        self.open.add(visit := Visit(now, may_be_left=self._leaves))
        return visit

    def ended(self, visit: Visit, now: float) -> None:
        self.open.remove(visit)
        if visit.answered is not None:  # a dead one does not tell how long others need
            self._answers_s.append(visit.answered - visit.begun)
            self._took_s.append(now - visit.begun)

    def room(self) -> int:
        waiting = sum(visit.waiting for visit in self.open)
        return room(self._places, len(self.open) - waiting, waiting)

    def may_end(self, now: float) -> bool:
        """Tell whether the others have waited long enough for those that are open."""
        if not (may_end(len(self._took_s), len(self.open)) and all(visit.late for visit in self.open)):
            self.ends_at = None
            return False
        if self.ends_at is None:
            self.ends_at = now + (now - self._began) * (self._places.patience or 0)
        return now >= self.ends_at

    def look(self, now: float) -> None:
        """Who keeps us waiting now? One that was begun since the last look is not asked yet."""
        answers_s = [v.answered - v.begun for v in self.open if v.answered is not None]
        usual = Usual((*self._answers_s, *answers_s), tuple(self._took_s))
        for visit in self.open:
            is_late = partial(
                keeps_us_waiting,
                self._places,
                usual,
                age_s=now - visit.begun,
                its_turn=visit.answered is None or visit.sending,
                moved=visit.moved,
            )
            visit.waiting = visit.looked_at and is_late()
            visit.late = visit.looked_at and is_late(at_work=MAY_BE_LEFT)
            visit.looked_at, visit.moved = True, 0


async def serve_sites(
    sites: Iterable[Site],
    one: Callable[[Site], Awaitable[Fact | None]],
    scribe: Scribe,
    desk: Desk,
    *,
    step: str,
    places: Places,
    failed: Callable[[Site, SiteError], Fact | None] | None = None,
) -> tuple[Fact, ...]:
    """Run `one` for every site that we go to, many at a time; record its fact as soon as it is known.

    Nobody goes to a site that fetches by itself: what happens there is known from its reports (docs/kit.md).
    A `SiteError` becomes SITE_FAILED with this `step`, or what `failed` makes of it. Any other error is ours: see
    `in_turns`.

    Returns:
        The facts in the order of `sites`, without those that had none.
    """

    async def served(site: Site) -> Fact | None:
        try:
            fact = await one(site)
        except SiteError as error:
            fact = failed(site, error) if failed else scribe.failure(site, step, error)
        if fact is not None:
            desk.record(fact)
        return fact

    there = tuple(site for site in sites if not site.fetches)
    return tuple(fact for fact in await in_turns(served, there, places) if fact is not None)
