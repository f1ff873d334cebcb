"""What a distribution needs around it: small previews, a folder that keeps them, and facts in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pps.activities.ports.people import Mail
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.sandbox.kit.previews import SMALL, FolderArtefacts, Tree, artefacts_in, tree_manifest

__all__ = ["SMALL", "FactsInMemory", "FolderArtefacts", "Tree", "artefacts_in", "tree_manifest"]


@dataclass
class FactsInMemory:
    """The part of the port `Facts` that activities at sites use; the same fact twice counts once."""

    name: str = "bc-client-4711-1"
    facts: list[Fact] = field(default_factory=list)

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        known = {(f.rollout, f.kind, f.subject, f.occasion) for f in self.facts}
        new = tuple(f for f in facts if (f.rollout, f.kind, f.subject, f.occasion) not in known)
        self.facts += new
        return new

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        return tuple(f for f in self.facts if f.kind is kind and f.payload.get(key) in values)

    def has(self, rollout: str, kind: FactKind) -> bool:
        return any(f.rollout == rollout and f.kind is kind for f in self.facts)

    def rollout(self, name: str = "") -> Rollout:
        return Rollout(name or self.name, tuple(self.facts))

    def standing(self, names: Collection[str]) -> Mapping[str, Rollout]:
        return {name: Rollout(name, tuple(f for f in self.facts if f.rollout == name)) for name in names}

    def of(self, kind: FactKind) -> list[Fact]:
        return [f for f in self.facts if f.kind is kind]
