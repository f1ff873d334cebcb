"""Serve a batch of sites: many at once, each outcome a fact of its own, a bad site never a neighbour's problem."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pps.activities.ports.record import Facts
from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.domain.base.errors import SiteError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site


@dataclass(frozen=True, slots=True)
class Door:
    """The way to the sites of a batch, its limits, and for whom it is taken."""

    targets: Mapping[str, SshTarget]
    shell: SiteShell
    limits: SiteLimits
    at_once: int
    occasion: str
    """the run, or the night: facts of a repeated task count once, of a later run again"""
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


async def serve_sites(
    sites: Iterable[Site],
    one: Callable[[Site], Awaitable[Fact | None]],
    scribe: Scribe,
    facts: Facts,
    *,
    step: str,
    at_once: int,
    failed: Callable[[Site, SiteError], Fact | None] | None = None,
) -> tuple[Fact, ...]:
    """Run `one` for every site, `at_once` of them at a time; record its fact as soon as it is known.

    A `SiteError` becomes SITE_FAILED with this `step`, or what `failed` makes of it. Any other error is
    ours: it is raised after all sites were served, so that neighbours lose nothing by it.

    Returns:
        The facts in the order of `sites`, without those that had none.
    """
    gate = asyncio.Semaphore(at_once)

    async def served(site: Site) -> Fact | None:
        async with gate:
            try:
                fact = await one(site)
            except SiteError as error:
                fact = failed(site, error) if failed else scribe.failure(site, step, error)
        if fact is not None:
            facts.record(fact)
        return fact

    outcomes = await asyncio.gather(*(served(site) for site in sites), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return tuple(o for o in outcomes if isinstance(o, Fact))
