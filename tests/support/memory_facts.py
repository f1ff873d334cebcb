"""The record of facts, in memory: the same fact twice counts once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from pps.activities.ports.people import Mail
from pps.activities.ports.record import OpenRollout
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


class MemoryFacts:
    """As much of `ports.Facts` as the activities at sites use."""

    def __init__(self, *facts: Fact) -> None:
        self.facts = list(facts)

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        assert not mails
        new = tuple(f for f in facts if not any(self._key(f) == self._key(g) for g in self.facts))
        self.facts += new
        return new

    def rollouts(self, *, closed_after: datetime | None = None, **which: object) -> tuple[OpenRollout, ...]:
        names = reversed(dict.fromkeys(f.rollout for f in self.facts))
        opened = [f for f in self.facts if f.kind is FactKind.ROLLOUT_OPENED]
        closed = {f.rollout: f.at for f in self.facts if f.kind is FactKind.ROLLOUT_CLOSED}
        rows = {f.rollout: OpenRollout(f.rollout, "bc-client", 4711, f.at, closed.get(f.rollout)) for f in opened}
        found = (rows[name] for name in names if name in rows)
        return tuple(r for r in found if None in (closed_after, r.closed_at) or r.closed_at > closed_after)

    def turn(self, at: str) -> AbstractContextManager[None]:
        return nullcontext()

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        return tuple(f for f in self.facts if f.kind is kind and f.payload.get(key) in values)

    def mark_cleared(self, record: Rollout) -> bool:
        return True

    def has(self, rollout: str, kind: FactKind) -> bool:
        return any(f.rollout == rollout and f.kind is kind for f in self.facts)

    def rollout(self, name: str) -> Rollout:
        return Rollout(name, tuple(f for f in self.facts if f.rollout == name))

    def standing(self, names: Collection[str], as_of: datetime | None = None) -> Mapping[str, Rollout]:
        return {name: self.rollout(name) for name in names}

    @staticmethod
    def _key(fact: Fact) -> tuple[str, str, str, str]:
        return fact.rollout, fact.kind, fact.subject, fact.occasion
