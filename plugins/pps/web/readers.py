"""Who reads: what is under embargo is shown to those who work on it, and to nobody else (docs/security-advice.md).

All routes get their services through this door. Without somebody who has signed in, and may know, neither record nor
tracker has anything of such a patch; public routes never ask who reads, so they never have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from fastapi import HTTPException

from pps.activities.packages.embargo import MayKnow, PublicRecord, nobody
from pps.activities.ports.record import Facts
from pps.activities.ports.tracker import Reading, Remark, Tracker
from pps.domain.base.errors import PatchNotFoundError
from pps.domain.packages.advice import Advice
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people.embargo import may_know
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Site
from pps.services import Services

#: Does whoever reads see this patch?
Sight = Callable[[Patch], bool]

#: All names under which whoever has sent this request is known; none: a stranger.
_reader: ContextVar[frozenset[str]] = ContextVar("reader", default=frozenset())


def reads(identities: frozenset[str]) -> None:
    """From here on this request is answered for somebody; set by the dependency of every closed route."""
    _reader.set(identities)


def at_the_door(services: Callable[[], Services], now: Callable[[], datetime]) -> Callable[[], Services]:
    """The services as whoever asks may see them."""
    return lambda: cast(Services, _Shown(services(), now))


def for_strangers(services: Callable[[], Services], now: Callable[[], datetime]) -> Callable[[], Services]:
    """The services as anybody may see them, whoever asks: for what is kept for the next who asks."""
    return lambda: cast(Services, _Shown(services(), now, nobody))


def must_not_be_hidden(facts: Facts, name: str) -> None:
    """404 for a file of a rollout of which whoever asks must not know."""
    if isinstance(facts, PublicRecord) and facts.hides(name):
        raise HTTPException(404, "This has not been written yet.")


def behind(services: Services) -> Services:
    """The services themselves, for work that goes on after the request, and shows nobody anything."""
    return services.services if isinstance(services, _Shown) else services


@dataclass(frozen=True)
class _Shown:
    """Services whose record and tracker have nothing that the reader must not know."""

    services: Services
    now: Callable[[], datetime]
    may_know: MayKnow | None = None
    """None: as whoever has sent this request"""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.services, name)

    @property
    def facts(self) -> Facts:
        return PublicRecord(self.services.facts, self.now, self._may_know).as_facts

    @property
    def tracker(self) -> Tracker:
        return cast(Tracker, _ShownTracker(self.services.tracker, self._sight))

    def patch(self, number: int) -> Patch:
        return _seen(self.services.patch(number), self._sight())

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        return tuple(filter(self._sight(), self.services.patches(state)))

    def _sight(self) -> Sight:
        """By what the tracker says now, and by what is on record, which is looked at once."""
        hidden, now = PublicRecord(self.services.facts, self.now, self._may_know).hidden, self.now()

        def is_seen(patch: Patch) -> bool:
            said = patch.advice
            return patch.number not in hidden and (not said.is_secret(now) or self._may_know(patch.number, said))

        return is_seen

    def _may_know(self, number: int, advice: Advice) -> bool:
        if self.may_know is not None:
            return self.may_know(number, advice)
        mine = _reader.get()
        if not mine:
            return False
        if may_know(mine):
            return True
        facts, config = self.services.facts, self.services.config
        records = facts.standing([row.name for row in facts.rollouts(patch=number)]).values()
        administrators = {name for record in records for name in _administrators(record, config.sites)}
        product = advice.product[0] if advice.product else ""
        people = config.people.providers if config.has("people.yaml") else ()
        provider = [name for p in people if p.to_domain().has(product) for name in p.representatives]
        return may_know(mine, administrators, provider)


def _administrators(record: Rollout, sites: Mapping[str, Site]) -> set[str]:
    """The people of the sites that a rollout has anything to do with."""
    named = {*record.planned_sites, *(fact.subject for fact in record.facts)}
    return {user for name in named & sites.keys() for user in sites[name].administrators}


def _seen(patch: Patch, is_seen: Sight) -> Patch:
    if not is_seen(patch):
        raise PatchNotFoundError(f"patch {patch.number}", "is not in the tracker.", "List them: pps patches list")
    return patch


@dataclass(frozen=True)
class _ShownTracker:
    tracker: Tracker
    sight: Callable[[], Sight]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tracker, name)

    def patch(self, number: int) -> Patch:
        return _seen(self.tracker.patch(number), self.sight())

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        return tuple(filter(self.sight(), self.tracker.patches(state)))

    def readings(self, number: int | None = None) -> tuple[Reading, ...]:
        found, is_seen = self.tracker.readings(number), self.sight()
        return tuple(r for r in found if r.patch is None or is_seen(r.patch))

    def comments(self, number: int) -> tuple[Remark, ...]:
        self.patch(number)
        return self.tracker.comments(number)
