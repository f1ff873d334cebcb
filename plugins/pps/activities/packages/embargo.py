"""The record as somebody may read it who must not know of what is under embargo.

One door for all public views: whatever they read through it has nothing of such a patch, in no record. It hands on only
what it knows; a new way to read the record is closed here until somebody has thought about it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pps.activities.ports.people import Mail
from pps.activities.ports.record import Facts, OpenRollout
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.packages.advice import Advice
from pps.domain.people.embargo import advice_by_patch, is_told_of, patch_in
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, dossier_name, rollout_id

#: May this reader know of this patch? Asked only of what is under embargo.
MayKnow = Callable[[int, Advice], bool]

#: What says nothing of a patch, or writes for somebody who has come through another door before.
_HANDED_ON = frozenset(
    {
        "close",
        "count_turned_away",
        "is_current",
        "keep_report",
        "last_seen",
        "mark_cleared",
        "missed",
        "open",
        "record",
        "record_in_dossier",
        "saw",
        "turn",
        "waiting",
    }
)


def secrets_in(facts: Facts, now: datetime) -> Mapping[int, Advice]:
    """All patches that are under embargo now; of those that never were, and of embargoes that have ended, nothing is
    read: every look at a public page asks this."""
    embargoed = facts.with_payload(FactKind.ADVICE_SEEN, "embargoed", ["yes"])
    names = {f.rollout for f in embargoed if Advice.of(f.payload).is_secret(now)}
    records = facts.standing(list(names)) if names else {}
    said = advice_by_patch(fact for record in records.values() for fact in record.facts)
    return {number: advice for number, advice in said.items() if advice.is_secret(now)}


def nobody(number: int, advice: Advice) -> bool:
    """Strangers know of none."""
    return False


def public_record(facts: Facts, now: Callable[[], datetime]) -> Facts:
    """The record as strangers read it."""
    return PublicRecord(facts, now, nobody).as_facts


def whole(facts: Facts) -> Facts:
    """All that is on record, for what is done and not shown: sending what waits, noting what the tracker says."""
    return facts.whole if isinstance(facts, PublicRecord) else facts


def hidden_in(facts: Facts) -> Mapping[int, Advice]:
    """What whoever reads this record must not know."""
    return facts.hidden if isinstance(facts, PublicRecord) else {}


@dataclass(frozen=True)
class PublicRecord:
    """Port `Facts`, for reading, without what the reader must not know. An embargo counts as it is now, also where the
    past is asked for."""

    whole: Facts
    now: Callable[[], datetime]
    may_know: MayKnow

    @property
    def as_facts(self) -> Facts:
        """The same, as the port."""
        return cast(Facts, self)

    @property
    def hidden(self) -> Mapping[int, Advice]:
        """What this reader must not know."""
        found = secrets_in(self.whole, self.now())
        return {number: advice for number, advice in found.items() if not self.may_know(number, advice)}

    def __getattr__(self, name: str) -> Any:
        """What is handed on as it is; `AttributeError` for all else."""
        if name not in _HANDED_ON:
            raise AttributeError(f"nobody may ask the public record for {name!r}")
        return getattr(self.whole, name)

    def rollouts(self, **which: Any) -> tuple[OpenRollout, ...]:
        """See the port."""
        hidden = self.hidden
        return tuple(row for row in self.whole.rollouts(**which) if row.patch not in hidden)

    def marks(self, paths: Collection[str], closed_after: datetime) -> Sequence[tuple[OpenRollout, int, int]]:
        """See the port."""
        hidden = self.hidden
        return [mark for mark in self.whole.marks(paths, closed_after) if mark[0].patch not in hidden]

    def rollout(self, name: str) -> Rollout:
        """See the port; what is hidden is not on record."""
        hidden = self.hidden
        if patch_in(name) in hidden:
            next_step = "Names are listed by: pps rollout list."
            raise NotYetAllowedError(f"rollout {name[:80]!r}", "is not on record.", next_step)
        return self._seen(self.whole.rollout(name), hidden)

    def hides(self, name: str) -> bool:
        """Tell whether a rollout or dossier is one that this reader must not know."""
        return patch_in(name) in self.hidden

    def next_name(self, path: str, patch: int, run: str = "") -> str:
        """See the port; of what is hidden there has been none."""
        return rollout_id(path, patch, 1) if patch in self.hidden else self.whole.next_name(path, patch, run)

    def dossier(self, patch: int) -> Rollout:
        """See the port."""
        return Rollout(dossier_name(patch)) if patch in self.hidden else self.whole.dossier(patch)

    def standing(self, names: Collection[str], as_of: datetime | None = None) -> Mapping[str, Rollout]:
        """See the port."""
        return self._all_seen(self.whole.standing(names, as_of))

    def about(self, names: Collection[str], subject: str) -> Mapping[str, Rollout]:
        """See the port."""
        return self._all_seen(self.whole.about(names, subject))

    def newest(self, names: Collection[str]) -> Mapping[str, int]:
        """See the port."""
        hidden = self.hidden
        return {n: number for n, number in self.whole.newest(names).items() if patch_in(n) not in hidden}

    def has(self, rollout: str, kind: FactKind) -> bool:
        """See the port."""
        return patch_in(rollout) not in self.hidden and self.whole.has(rollout, kind)

    def subjects(self, rollout: str, kind: FactKind) -> tuple[str, ...]:
        """See the port."""
        return () if patch_in(rollout) in self.hidden else self.whole.subjects(rollout, kind)

    def turned_away(self, rollout: str) -> Mapping[Any, int]:
        """See the port."""
        return {} if patch_in(rollout) in self.hidden else self.whole.turned_away(rollout)

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        """See the port."""
        return self._without(self.whole.with_payload(kind, key, values), self.hidden)

    def facts_of_kind(
        self, kinds: Collection[FactKind], since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Fact, ...]:
        """See the port."""
        return self._without(self.whole.facts_of_kind(kinds, since, until), self.hidden)

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        """See the port."""
        return () if patch_in(rollout) in self.hidden else self.whole.outbox(rollout)

    def _all_seen(self, found: Mapping[str, Rollout]) -> Mapping[str, Rollout]:
        hidden = self.hidden
        return {name: self._seen(record, hidden) for name, record in found.items()}

    def _seen(self, record: Rollout, hidden: Mapping[int, Advice]) -> Rollout:
        return Rollout(record.name, self._without(record.facts, hidden)) if hidden else record

    @staticmethod
    def _without(facts: Iterable[Fact], hidden: Mapping[int, Advice]) -> tuple[Fact, ...]:
        return tuple(fact for fact in facts if not is_told_of(hidden, fact))
