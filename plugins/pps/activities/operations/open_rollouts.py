"""What is open, in numbers: each rollout is read again only when something new is on record about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pps.activities.clients.bulletin import stage
from pps.activities.operations import numbers
from pps.activities.operations.numbers import Sample
from pps.activities.ports.record import Facts
from pps.domain.clients.failures import failure_class
from pps.domain.people import questions
from pps.domain.people.feedback import answers, counting, feedback_due, invited_vos
from pps.domain.pilots.pilot import Pilot
from pps.domain.pilots.success import silent_vos
from pps.domain.record.rollouts import NO_ROLLOUTS, PILOTS, PREVIEWS, Rollout, RolloutPath
from pps.domain.record.site_states import SiteState

PATHS = tuple(path.value for path in RolloutPath if path.value not in NO_ROLLOUTS)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a rollout adds to the numbers, until something is recorded about it."""

    path: str
    stage: str
    product: tuple[str, str]
    states: Counter[str]
    failures: Counter[str]
    asked_until: tuple[datetime, ...]
    """of the questions that are open"""
    heard_until: datetime | None
    silent: int


class OpenRollouts:
    """Keeps what was seen of those that are open; what has ended costs nothing."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, _Seen]] = {}

    def samples(self, facts: Facts, now: datetime) -> list[Sample]:
        """Look at the register, and read what is new."""
        marks = {row.name: own for row, own, _ in facts.marks(PATHS, now) if row.closed_at is None}
        new = [name for name, own in marks.items() if self._known.get(name, (None,))[0] != own]
        records = facts.standing(new) if new else {}
        seen = {name: (marks[name], _seen(records[name])) for name in new if records[name].facts}
        # one look at a time takes the place of the one before: two at once read the same
        self._known = {name: self._known[name] for name in marks if name in self._known and name not in seen} | seen
        return list(_counted([one for _, one in self._known.values()], now))


def _seen(record: Rollout) -> _Seen:
    path, opened = record.path, record.opened
    progress = record.all_progress() if path in PREVIEWS else ()
    due, silent = _silence(record)
    return _Seen(
        path.value,
        Pilot(record).stage.value if path in PILOTS and not record.is_over else stage(record),
        (str(opened.get("metapackage", "")), str(opened.get("version", ""))),
        Counter(p.state.value for p in progress),
        Counter(found.value for p in progress if (found := failure_class(p)) is not None),
        tuple(q.due for q in questions.questions(record) if questions.is_open(record, q)),
        due,
        silent,
    )


def _silence(record: Rollout) -> tuple[datetime | None, int]:
    """Until when VOs are to be heard, and how many of them have said nothing; of what is over nobody waits."""
    if record.is_over:
        return None, 0
    if record.path in PILOTS:
        pilot = Pilot(record)
        return (pilot.agreement.feedback_until if pilot.agreement else None), len(silent_vos(pilot))
    return feedback_due(record), len(invited_vos(record) - {a.vo for a in counting(answers(record))})


def _counted(seen: Iterable[_Seen], now: datetime) -> Iterable[Sample]:
    opened: Counter[tuple[str, str]] = Counter()
    states: Counter[tuple[str, str, str]] = Counter()
    failed: Counter[tuple[str, str, str]] = Counter()
    asked, overdue, silent = (Counter(dict.fromkeys(PATHS, 0)) for _ in range(3))
    for one in seen:
        opened[one.path, one.stage] += 1
        if one.path in PREVIEWS:  # a state that no site is in is 0, and no gap in somebody's graph
            states.update({(*one.product, state.value): one.states[state.value] for state in SiteState})
        failed.update({(*one.product, reason): number for reason, number in one.failures.items()})
        asked[one.path] += len(one.asked_until)
        overdue[one.path] += sum(due < now for due in one.asked_until)
        silent[one.path] += one.silent if one.heard_until and one.heard_until < now else 0
    for gauge, counted in (
        *((numbers.ROLLOUTS, opened), (numbers.SITES, states), (numbers.FAILED, failed)),
        *((numbers.QUESTIONS, asked), (numbers.OVERDUE, overdue), (numbers.SILENT, silent)),
    ):
        for labels, number in counted.items():
            yield gauge.at(number, *([labels] if isinstance(labels, str) else labels))
