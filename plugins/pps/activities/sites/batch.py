"""Serve a batch of sites: many at once, each outcome a fact of its own, a bad site never a neighbour's problem."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from pps.activities.desk import Desk
from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.domain.base.errors import SiteError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Door:
    """The way to the sites of a batch, its limits, and on whose behalf it is taken."""

    targets: Mapping[str, SshTarget]
    shell: SiteShell
    limits: SiteLimits
    at_once: int
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


async def in_turns(act: Callable[[S], Awaitable[T]], sites: Sequence[S], at_once: int) -> tuple[T, ...]:
    """Do something for each site, `at_once` of them at a time; what came of it, in their order.

    What one site does wrong is for `act` to catch. Any other error is ours (the store of facts, a tarball), and no site
    is to suffer from it: those that are being served are served to their end, no further one is begun, and the error is
    raised. When this task is cancelled, all of it is.
    """
    places, ours = asyncio.Semaphore(at_once), list[Exception]()

    async def in_turn(site: S) -> T | None:
        async with places:
            if ours:
                return None
            try:
                return await act(site)
            except Exception as error:  # raised below
                ours.append(error)
                return None

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(site)) for site in sites]
    except BaseExceptionGroup as errors:  # the task's time is up
        raise errors.exceptions[0] from errors
    if ours:
        raise ours[0]
    return tuple(cast(T, task.result()) for task in tasks)


async def serve_sites(
    sites: Iterable[Site],
    one: Callable[[Site], Awaitable[Fact | None]],
    scribe: Scribe,
    desk: Desk,
    *,
    step: str,
    at_once: int,
    failed: Callable[[Site, SiteError], Fact | None] | None = None,
) -> tuple[Fact, ...]:
    """Run `one` for every site, `at_once` of them at a time; record its fact as soon as it is known.

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

    return tuple(fact for fact in await in_turns(served, tuple(sites), at_once) if fact is not None)
