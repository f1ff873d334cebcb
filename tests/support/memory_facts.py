"""The record of facts, in memory: the same fact twice counts once."""

from __future__ import annotations

from collections.abc import Sequence

from pps.activities.ports import Mail
from pps.domain.facts import Fact
from pps.domain.rollouts import Rollout


class MemoryFacts:
    """As much of `ports.Facts` as the activities at sites use."""

    def __init__(self, *facts: Fact) -> None:
        self.facts = list(facts)

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        assert not mails
        new = tuple(f for f in facts if not any(self._key(f) == self._key(g) for g in self.facts))
        self.facts += new
        return new

    def rollout(self, name: str) -> Rollout:
        return Rollout(name, tuple(f for f in self.facts if f.rollout == name))

    @staticmethod
    def _key(fact: Fact) -> tuple[str, str, str, str]:
        return fact.rollout, fact.kind, fact.subject, fact.occasion
