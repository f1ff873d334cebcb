"""The quality of releases, read from the record: each is measured once for each fact about it (docs/quality.md)."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from pps.activities.ports.record import Facts, OpenRollout
from pps.domain.base.errors import RefusedError
from pps.domain.quality.measures_around import beside_before, patch_before, submitted
from pps.domain.quality.measures_of_release import Release, release_of
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import NO_ROLLOUTS, RolloutPath, dossier_name
from pps.domain.record.submissions import RECORD as SUBMISSIONS

#: Releases beside each other, as a trend and in a review.
LAST = 10
#: Releases whose numbers are kept; who asks for more at once makes us read them again.
_KEPT = 1000
_OF_PATCHES = tuple(path.value for path in RolloutPath if path.value not in NO_ROLLOUTS)
_SHORT = ("path", "metapackage", "version", "service_type")


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


class Register:
    """The rollouts of all patches with what their openings say: neither ever changes, so each is read once.

    What is new is open, or was closed after what was closed last when we looked before.
    """

    #: So far the clocks of those who close rollouts may differ.
    _CLOCKS_DIFFER = timedelta(days=1)

    def __init__(self) -> None:
        self.of_patch: dict[int, list[OpenRollout]] = {}
        """oldest first"""
        self.patches_of: dict[str, set[int]] = {}
        """metapackage or type of service -> patches"""
        self.openings_of: dict[str, list[Fact]] = {}
        """metapackage -> the openings of its rollouts, oldest first; their payloads in short"""
        self._known: set[str] = set()
        self._closed: datetime | None = None
        self._lock = threading.Lock()

    def refresh(self, facts: Facts) -> None:
        """Read what is new."""
        with self._lock:
            since = self._closed - self._CLOCKS_DIFFER if self._closed else None
            rows = facts.rollouts(paths=_OF_PATCHES, closed_after=since)
            new = [row for row in reversed(rows) if row.name not in self._known]
            if new:
                self._add(facts, {row.name: row for row in new})
            closed = [row.closed_at for row in rows if row.closed_at]
            self._closed = max([*closed, *([self._closed] if self._closed else [])], default=None)

    def _add(self, facts: Facts, new: Mapping[str, OpenRollout]) -> None:
        since = min(row.opened_at for row in new.values())
        said = {f.rollout: f for f in facts.facts_of_kind([FactKind.ROLLOUT_OPENED], since) if f.rollout in new}
        for name, row in new.items():
            self.of_patch.setdefault(row.patch, []).append(row)
            if (fact := said.get(name)) is None:
                continue
            short = {key: fact.payload[key] for key in _SHORT if key in fact.payload}
            for product in filter(None, (short.get("metapackage"), short.get("service_type"))):
                self.patches_of.setdefault(product, set()).add(row.patch)
            mine = self.openings_of.setdefault(str(short.get("metapackage", "")), [])
            insort(mine, replace(fact, payload={**short, "patch": row.patch}), key=_when)
        self._known |= new.keys()

    def in_order(self, patches: Iterable[int], since: date | None = None) -> list[int]:
        """These patches in the order in which their first rollouts began; without those that began before a day."""
        begun = {
            patch: min(row.opened_at for row in self.of_patch[patch]) for patch in patches if patch in self.of_patch
        }
        first = Period(since)
        return sorted((p for p in begun if first.has(begun[p])), key=lambda patch: (begun[patch], patch))

    def patch_before(self, release: Release) -> int | None:
        """See `measures_around.patch_before`."""
        if release.previewed_at is None:
            return None
        openings = self.openings_of.get(release.metapackage, [])
        until = bisect_left(openings, (release.previewed_at, 0), key=_when)
        return patch_before(release, reversed(openings[:until]))


def _when(opening: Fact) -> tuple[datetime, int]:
    return opening.at, int(opening.payload["patch"])


class _Submissions:
    """What providers have submitted at their desk; of that, only what is new is read."""

    #: So far the clocks of those who record may differ.
    _CLOCKS_DIFFER = timedelta(days=1)

    def __init__(self) -> None:
        self._newest: object = None
        self._since: datetime | None = None
        self._first: dict[str, datetime] = {}
        self._patches: dict[int, str] = {}
        self._lock = threading.Lock()

    def of_patches(self, facts: Facts) -> Mapping[int, datetime | None]:
        """Patch -> when its release was first submitted; what was only looked at is not submitted."""
        newest = facts.newest([SUBMISSIONS]).get(SUBMISSIONS)
        with self._lock:
            if newest is not None and newest != self._newest:
                self._read(facts)
                self._newest = newest
            return {patch: self._first.get(release) for patch, release in self._patches.items()}

    def _read(self, facts: Facts) -> None:
        for fact in facts.facts_of_kind([FactKind.RELEASE_OFFERED, FactKind.RELEASE_ENTERED], self._since):
            if fact.kind is FactKind.RELEASE_ENTERED:
                self._patches[int(fact.payload["patch"])] = fact.subject
            elif fact.payload.get("submit"):
                self._first[fact.subject] = min(fact.at, self._first.get(fact.subject, fact.at))
            self._since = max(fact.at - self._CLOCKS_DIFFER, self._since or fact.at - self._CLOCKS_DIFFER)


class Ledger:
    """Keeps the numbers of releases: of what has ended, nothing is read again until something is recorded about it."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts
        self._register = Register()
        self._known: OrderedDict[int, tuple[object, Release]] = OrderedDict()
        self._submitted = _Submissions()

    def of_product(self, product: str, period: Period = EVER, last: int | None = LAST) -> tuple[Release, ...]:
        """The releases of a metapackage, or of a type of service, oldest first.

        Args:
            last: the newest so many of the period, by their first rollouts; None: all of it.
        """
        self._register.refresh(self._facts())
        patches = self._register.in_order(self._register.patches_of.get(product, ()), period.since)
        found = self._measured(patches[-last:] if last and period == EVER else patches, period)
        mine = tuple(r for r in found if product in r.products)
        return mine[-last:] if last else mine

    def in_period(self, period: Period) -> tuple[Release, ...]:
        """Every release that began in a period, oldest first."""
        self._register.refresh(self._facts())
        return tuple(self._measured(self._register.in_order(self._register.of_patch, period.since), period))

    def whole(self, patch: int) -> Release | None:
        """One release with the facts that its numbers count; None if no rollout of it is on record."""
        self._register.refresh(self._facts())
        if patch not in self._register.of_patch:
            return None
        return self._beside([self._as_submitted(self._read(patch))])[0]

    def _measured(self, patches: Sequence[int], period: Period) -> list[Release]:
        found = [r for r in self._alone(patches) if period.has(r.begun_at)]
        found.sort(key=lambda r: (r.begun_at, r.patch))
        return [release.in_short() for release in self._beside(found)]

    def _beside(self, found: Sequence[Release]) -> list[Release]:
        before = {r.patch: self._register.patch_before(r) for r in found}
        others = self._alone(sorted({patch for patch in before.values() if patch is not None}))
        by_patch = {r.patch: r for r in others}
        return [beside_before(r, by_patch.get(before[r.patch] or 0)) for r in found]

    def _as_submitted(self, release: Release) -> Release:
        """The same, with what its provider's desk tells of it; that is no fact of its own records."""
        known = self._submitted.of_patches(self._facts())
        return submitted(release, known[release.patch]) if release.patch in known else release

    def _alone(self, patches: Sequence[int]) -> list[Release]:
        """These releases, each by itself: read only where there is something new."""
        of_patch = self._register.of_patch
        names = {patch: [*(row.name for row in of_patch[patch]), dossier_name(patch)] for patch in patches}
        numbers = self._facts().newest([name for mine in names.values() for name in mine]) if names else {}
        found = []
        for patch in patches:
            key = tuple((name, numbers.get(name)) for name in names[patch])
            known = self._known.get(patch)
            if known is None or known[0] != key:
                known = (key, self._read(patch).in_short())
                self._known[patch] = known
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            found.append(self._as_submitted(known[1]))
        return found

    def _read(self, patch: int) -> Release:
        facts = self._facts()
        rollouts = [facts.rollout(row.name) for row in self._register.of_patch[patch]]
        return release_of(patch, rollouts, facts.dossier(patch))
