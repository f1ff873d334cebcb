"""Questions to people: who was asked what, until when, and what was answered. Silence is an outcome.

A question is known by its step (`local-configuration`, `release-test`, ...) and whom it is put to (a site,
a role). The first answer in time decides. What comes later, or second, is kept and shown, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


@dataclass(frozen=True, slots=True)
class Question:
    """One question, as it was put."""

    step: str
    subject: str
    """whom it is put to: a site, or a role"""
    asked_at: datetime
    due: datetime
    """agreed once; the very instant is still in time"""
    to: str
    """mail address where its people read that something waits for them; "" where there is none"""
    title: str
    assigned_to: tuple[str, ...]
    """who may answer: `user:<name>` or `role:<Name>`"""
    link: str = ""
    """where it is answered"""
    outlives: bool = False
    """it waits although the rollout is over"""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as it comes in; who gave it is known from the door that it came through, not from the form."""

    choice: str
    form: Mapping[str, Any]
    user: str
    at: datetime

    @property
    def who(self) -> str:
        """Who has answered, as facts name people."""
        return f"user {self.user}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as it was given."""

    step: str
    subject: str
    choice: str
    form: Mapping[str, Any]
    user: str
    at: datetime
    late: bool
    """came after the agreed time, or after the asking was ended: kept, decides nothing"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that was not taken although it was stored, and why."""

    step: str
    subject: str
    given: Given
    reasons: tuple[str, ...]
    next_step: str
    link: str
    """where the same question waits again"""


def questions(record: Rollout) -> tuple[Question, ...]:
    """All that were put, in their order."""
    return tuple(
        Question(
            f.occasion,
            f.subject,
            f.at,
            datetime.fromisoformat(f.payload["due"]),
            f.payload.get("to", ""),
            f.payload.get("title", ""),
            tuple(f.payload.get("assigned_to", ())),
            f.payload.get("link", ""),
            f.payload.get("outlives", False),
        )
        for f in record.facts
        if f.kind is FactKind.QUESTION_ASKED
    )


def question(record: Rollout, step: str, subject: str) -> Question | None:
    """One of them, or None while it has not been put."""
    return next((q for q in questions(record) if (q.step, q.subject) == (step, subject)), None)


def answers(record: Rollout, step: str, subject: str | None = None) -> tuple[Answer, ...]:
    """Every answer to a step's questions, in the order of recording; of one subject, or of all."""
    asked = {q.subject: q for q in questions(record) if q.step == step}
    found, ended = [], set()
    for fact in record.facts:
        if fact.kind is FactKind.QUESTION_EXPIRED and fact.occasion == step:
            ended.add(fact.subject)
        if fact.kind is not FactKind.ANSWER_GIVEN or fact.payload["step"] != step or fact.subject not in asked:
            continue
        if subject not in (None, fact.subject):
            continue
        late = fact.at > asked[fact.subject].due or fact.subject in ended
        given = fact.payload
        found.append(Answer(step, fact.subject, given["choice"], given["form"], given["user"], fact.at, late))
    return tuple(found)


def set_aside(record: Rollout, step: str, subject: str) -> Answer | None:
    """The newest answer that could not be taken when it came, because a service was down."""
    for fact in reversed(record.facts):
        if fact.kind is FactKind.ANSWER_SET_ASIDE and (fact.payload["step"], fact.subject) == (step, subject):
            given = fact.payload
            return Answer(step, subject, given["choice"], given["form"], given["user"], fact.at, late=False)
    return None


def refusal_of(fact: Fact) -> Refusal:
    """What a fact of the kind `ANSWER_REFUSED` says."""
    said = fact.payload
    given = Given(said["choice"], said["form"], said["user"], fact.at)
    return Refusal(said["step"], fact.subject, given, tuple(said["reasons"]), said["next_step"], said["link"])


def refusals(record: Rollout, step: str, subject: str) -> tuple[Refusal, ...]:
    """The answers that were not taken, in the order of recording."""
    found = (refusal_of(fact) for fact in record.facts if fact.kind is FactKind.ANSWER_REFUSED)
    return tuple(refusal for refusal in found if (refusal.step, refusal.subject) == (step, subject))


def decisive(record: Rollout, step: str, subject: str) -> Answer | None:
    """The answer that decides: the first in time."""
    return next((a for a in answers(record, step, subject) if not a.late), None)


def has_expired(record: Rollout, step: str, subject: str) -> bool:
    """Tell whether it is on record that nobody answered in time."""
    return any(f.kind is FactKind.QUESTION_EXPIRED and (f.occasion, f.subject) == (step, subject) for f in record.facts)


def is_open(record: Rollout, asked: Question) -> bool:
    """Tell whether an answer would still decide."""
    over = has_expired(record, asked.step, asked.subject) or (record.is_over and not asked.outlives)
    return not over and decisive(record, asked.step, asked.subject) is None


def reminder_due(asked: Question, now: datetime, remind_at: Sequence[float]) -> int:
    """Which reminder should have gone out by now: 1, 2, ...; 0 for none yet, or when the time is over.

    Source: SD 4.1.3, 8: "The PPS Coordinator is in charge of checking periodically and eventually to send
    reminders." A sweep that comes late sends the newest one only.

    Args:
        remind_at: ascending shares of the time given.
    """
    if now > asked.due:
        return 0
    given: timedelta = asked.due - asked.asked_at
    return sum(now >= asked.asked_at + share * given for share in remind_at)
