"""The quality of releases, read from the record: each is measured once for each fact about it (docs/quality.md)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pps.activities.ports.record import Facts, OpenRollout
from pps.domain.base.errors import RefusedError
from pps.domain.quality.measures_of_release import Release, beside_before, patch_before, release_of, submitted
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import NO_ROLLOUTS, RolloutPath, dossier_name
from pps.domain.record.submissions import RECORD as SUBMISSIONS

#: Releases beside each other, as a trend and in a review.
LAST = 10
#: Releases whose numbers are kept; who asks for more at once makes us read them again.
_KEPT = 1000
_DOSSIER = RolloutPath.DOSSIER.value
_OF_PATCHES = (*(path.value for path in RolloutPath if path.value not in NO_ROLLOUTS), _DOSSIER)


@dataclass(frozen=True, slots=True)
class Period:
    """Days in UTC, both included; a release is of the period in which it began."""

    since: date | None = None
    until: date | None = None

    @classmethod
    def read(cls, since: str, until: str) -> Period:
        """As typed; `RefusedError` for what is no day, or ends before it begins."""
        days: dict[str, date | None] = {}
        reasons = []
        for name, typed in (("since", since.strip()), ("until", until.strip())):
            try:
                days[name] = date.fromisoformat(typed) if typed else None
            except ValueError:
                reasons.append(f"{name}: {typed[:40]!r} is no day; write one like 2026-03-01.")
        if not reasons and days["since"] and days["until"] and days["since"] > days["until"]:
            reasons.append("The period ends before it begins.")
        if reasons:
            raise RefusedError("period", tuple(reasons))
        return cls(days["since"], days["until"])

    def has(self, at: datetime) -> bool:
        """Tell whether a moment lies in it."""
        day = at.astimezone(UTC).date()
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


EVER = Period()


class Ledger:
    """Keeps the numbers of releases: of what has ended, nothing is read again until something is recorded about it."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts
        self._known: OrderedDict[int, tuple[object, Release]] = OrderedDict()
        self._submitted: tuple[object, frozenset[int]] = (None, frozenset())

    def of_product(self, product: str, period: Period = EVER, last: int | None = LAST) -> tuple[Release, ...]:
        """The releases of a metapackage, or of a type of service, oldest first.

        Args:
            last: the newest so many of the period; None: all of it.
        """
        known = self._facts()
        openings = [
            fact
            for key in ("metapackage", "service_type")
            for fact in known.with_payload(FactKind.ROLLOUT_OPENED, key, [product])
        ]
        register, mine = _register(known), {int(fact.payload["patch"]) for fact in openings}
        patches = _in_order(register, period, mine)
        found = self._measured(register, patches[-last:] if last else patches)
        return tuple(r for r in found if product in r.products)

    def in_period(self, period: Period) -> tuple[Release, ...]:
        """Every release that began in a period, oldest first."""
        register = _register(self._facts())
        return tuple(self._measured(register, _in_order(register, period, register)))

    def whole(self, patch: int) -> Release | None:
        """One release with the facts that its numbers count; None if no rollout of it is on record."""
        register = _register(self._facts(), patch)
        if not _in_order(register, EVER, [patch]):
            return None
        release = self._read(patch, register[patch])
        return self._beside(_register(self._facts()), [release])[0]

    def _measured(self, register: Mapping[int, Sequence[OpenRollout]], patches: Sequence[int]) -> list[Release]:
        return [release.in_short() for release in self._beside(register, self._alone(register, patches))]

    def _beside(self, register: Mapping[int, Sequence[OpenRollout]], found: Sequence[Release]) -> list[Release]:
        previewed = {r.metapackage for r in found if r.previewed_at is not None}
        openings: Sequence[Fact] = ()
        if previewed:
            openings = self._facts().with_payload(FactKind.ROLLOUT_OPENED, "metapackage", sorted(previewed))
        before = {r.patch: patch_before(r, openings) for r in found}
        others = self._alone(register, sorted({patch for patch in before.values() if patch is not None}))
        by_patch, known = {r.patch: r for r in others}, self._patches_submitted()
        whole = (beside_before(r, by_patch.get(before[r.patch] or 0)) for r in found)
        return [submitted(r) if r.patch in known else r for r in whole]

    def _patches_submitted(self) -> frozenset[int]:
        """Patches that providers have submitted at their desk; read only when something new is on record there."""
        facts = self._facts()
        newest = facts.newest([SUBMISSIONS]).get(SUBMISSIONS)
        if newest is not None and self._submitted[0] != newest:
            entered = facts.facts_of_kind([FactKind.RELEASE_ENTERED])
            self._submitted = (newest, frozenset(int(f.payload["patch"]) for f in entered))
        return self._submitted[1] if newest is not None else frozenset()

    def _alone(self, register: Mapping[int, Sequence[OpenRollout]], patches: Sequence[int]) -> list[Release]:
        """These releases, each by itself: read only where there is something new."""
        names = {patch: [*(row.name for row in register[patch]), dossier_name(patch)] for patch in patches}
        numbers = self._facts().newest([name for mine in names.values() for name in mine])
        found = []
        for patch in patches:
            key = tuple((name, numbers.get(name)) for name in names[patch])
            known = self._known.get(patch)
            if known is None or known[0] != key:
                known = (key, self._read(patch, register[patch]).in_short())
                self._known[patch] = known
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            found.append(known[1])
        return found

    def _read(self, patch: int, rows: Sequence[OpenRollout]) -> Release:
        facts = self._facts()
        return release_of(patch, [facts.rollout(r.name) for r in rows if r.path != _DOSSIER], facts.dossier(patch))


def _register(facts: Facts, patch: int | None = None) -> dict[int, list[OpenRollout]]:
    """Patch -> its rollouts and its dossier, oldest first."""
    found: dict[int, list[OpenRollout]] = {}
    for row in reversed(facts.rollouts(paths=_OF_PATCHES, patch=patch)):
        found.setdefault(row.patch, []).append(row)
    return found


def _in_order(register: Mapping[int, Sequence[OpenRollout]], period: Period, patches: Iterable[int]) -> list[int]:
    """Those of these patches that have rollouts and began in the period, in the order in which they began."""
    begun = {
        patch: min(row.opened_at for row in register[patch])
        for patch in patches
        if any(row.path != _DOSSIER for row in register.get(patch, ()))
    }
    return sorted((p for p in begun if period.has(begun[p])), key=lambda patch: (begun[patch], patch))
