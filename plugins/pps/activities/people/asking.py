"""Asks people, keeps what they answer, reminds them, and notices silence.

The activities record; what an answer means for the rollout is for the activity that asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pps.activities.desk import Desk, Office
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text, one_line
from pps.domain.people import questions as rules
from pps.domain.people.questions import Answer, Given, Question
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

LONGEST_TEXT = 20_000
"""characters of one field of a form"""
_ASKED_AFTER_A_WITHDRAWAL = timedelta(days=30)
MOST_ANSWERS = 50
"""to one question; the record is for ever"""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is put to whom."""

    title: str
    """one line: the mail's subject, and the headline in Airflow"""
    body: str
    """what they need to know, in Markdown; people's text only through the template filter `fenced`"""
    due: datetime
    assigned_to: tuple[str, ...]
    """`user:<name>` or `role:<Name>`"""
    to: str = ""
    """mail address; "" sends none"""
    outlives: bool = False
    """it waits although the rollout is over"""


def ask(desk: Desk, wanted: Asking, *, step: str, subject: str, link: str) -> Question:
    """Put a question once, and tell the people that it waits for them; a retry gets the question on record.

    Args:
        link: where it is answered.
    """
    if (known := rules.question(desk.rollout, step, subject)) is not None:
        return known
    payload = {
        "step": step,
        "title": wanted.title,
        "due": wanted.due.astimezone(UTC).isoformat(),
        "to": wanted.to,
        "assigned_to": list(wanted.assigned_to),
        "link": link,
    } | ({"outlives": True} if wanted.outlives else {})
    asked = desk.fact(FactKind.QUESTION_ASKED, subject, step, payload)
    view = {
        "rollout": desk.name,
        "opened": desk.rollout.opened,
        "subject": subject,
        "title": wanted.title,
        "body": wanted.body,
        "due": wanted.due,
        "link": link,
    }
    mails = [desk.letter("question", view, key=asked, to=wanted.to, subject=wanted.title)] if wanted.to else []
    desk.record(asked, mails=mails)
    # of two at once, one was first
    known = rules.question(desk.rollout, step, subject)
    assert known is not None  # noqa: S101 (just recorded)
    return known


def keep_answer(desk: Desk, given: Given, *, step: str, subject: str, more: Iterable[Fact] = ()) -> Answer:
    """Keep an answer, in time or late; the same one twice (click, retry) is one record.

    Texts of the form are cleaned.

    Args:
        more: facts that follow from it, recorded in the same transaction.

    Raises:
        NotYetAllowedError: nobody has asked.
        RefusedError: the form is larger than a record may be.
    """
    payload, identity = _answer(desk.rollout, step, subject, given)
    desk.record(
        desk.by(given.who, given.at).fact(FactKind.ANSWER_GIVEN, subject, f"{step}/{identity}", payload),
        *more,
    )
    kept = rules.answers(desk.look_again(), step, subject)
    return next(a for a in kept if (a.choice, dict(a.form), a.user) == (given.choice, payload["form"], given.user))


def set_aside(desk: Desk, given: Given, *, step: str, subject: str, reason: str) -> None:
    """Keep an answer that cannot be taken at this moment, so that nobody has to give it twice.

    Args:
        reason: which service is down.

    Raises:
        NotYetAllowedError, RefusedError: as `keep_answer`.
    """
    payload, identity = _answer(desk.rollout, step, subject, given)
    payload["reason"] = one_line(reason, 500)
    desk.record(desk.by(given.who, given.at).fact(FactKind.ANSWER_SET_ASIDE, subject, f"{step}/{identity}", payload))


def refuse(desk: Desk, given: Given, error: RefusedError, *, step: str, subject: str) -> None:
    """Put on record that an answer was not taken although it was stored, and tell those who were asked; once.

    They hear it by mail: when the rules say no, whoever has answered may have left the page. What was typed is kept,
    so that the question comes back with it.

    Args:
        error: says why.

    Raises:
        NotYetAllowedError: nobody has asked.
    """
    asked = _must_be_asked(desk.rollout, step, subject)
    if len(rules.refusals(desk.rollout, step, subject)) >= MOST_ANSWERS:
        return
    form = {key: value for key, value in _clean(given.form).items() if not _is_too_long(value)}
    payload = {
        "step": step,
        "choice": given.choice,
        "form": form,
        "user": given.user,
        "reasons": [one_line(reason, 500) for reason in error.reasons],
        "next_step": error.next_step,
        "link": asked.link,
    }
    # the same answer again, at another time, is another one: they are waiting for what becomes of it
    identity = _digest(given.choice, form, given.user, given.at.astimezone(UTC).isoformat())
    refused = desk.by(given.who, given.at).fact(FactKind.ANSWER_REFUSED, subject, f"{step}/{identity}", payload)
    view = {"rollout": desk.name, "opened": desk.rollout.opened, "asked": asked, "refusal": rules.refusal_of(refused)}
    subject_line = f"Not taken: your answer to “{asked.title}”"
    mails = [desk.letter("answer_refused", view, key=refused, to=asked.to, subject=subject_line)] if asked.to else []
    desk.record(refused, mails=mails)


def must_fit(record: Rollout, given: Given, *, step: str, subject: str) -> None:
    """Raise `RefusedError` for an answer that `keep_answer` would refuse, whatever it says."""
    _answer(record, step, subject, given)


def _must_be_asked(record: Rollout, step: str, subject: str) -> Question:
    if (asked := rules.question(record, step, subject)) is None:
        raise NotYetAllowedError(f"{record.name}, {subject}", f"nobody has asked for {step!r}.", "Wait for the mail.")
    return asked


def _clean(form: Mapping[str, Any]) -> dict[str, Any]:
    return {key: clean_text(value).strip() if isinstance(value, str) else value for key, value in form.items()}


def _is_too_long(value: object) -> bool:
    return len(json.dumps(value)) > LONGEST_TEXT


def _digest(*content: object) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _answer(record: Rollout, step: str, subject: str, given: Given) -> tuple[dict[str, Any], str]:
    """The payload of an answer, and what tells it from others."""
    _must_be_asked(record, step, subject)
    clean = _clean(given.form)
    if too_long := sorted(key for key, value in clean.items() if _is_too_long(value)):
        raise RefusedError(f"answer of {subject}", (f"{', '.join(too_long)}: longer than {LONGEST_TEXT} characters.",))
    identity = _digest(given.choice, clean, given.user)
    if len(rules.answers(record, step, subject)) >= MOST_ANSWERS:
        raise RefusedError(f"answer of {subject}", ("The question holds all the answers that it can.",))
    return {"step": step, "choice": given.choice, "form": clean, "user": given.user}, identity


def note_silence(desk: Desk, *, step: str, subject: str, more: Iterable[Fact] = ()) -> bool:
    """Put on record that nobody answered in time; False if somebody did, or if it is not over yet."""
    asked = rules.question(desk.rollout, step, subject)
    if asked is None or rules.decisive(desk.rollout, step, subject) is not None or desk.now <= asked.due:
        return False
    payload = {"reason": f"Nobody answered by {asked.due.isoformat(timespec='seconds')}."}
    desk.record(desk.fact(FactKind.QUESTION_EXPIRED, subject, step, payload), *more)
    return True


def withdrawn_lately(facts: Facts, now: datetime) -> tuple[str, ...]:
    """Rollouts of whose withdrawal something may still be asked."""
    asked = facts.facts_of_kind((FactKind.WITHDRAWAL_ASKED,), since=now - _ASKED_AFTER_A_WITHDRAWAL)
    return tuple(fact.rollout for fact in asked)


def open_questions(facts: Facts, now: datetime) -> tuple[tuple[Rollout, Question], ...]:
    """Every question that waits for an answer, of all rollouts that are open or were withdrawn lately.

    What sites with a kit want signed for a withdrawal is asked beside it, and it ends without that.
    """
    names = [*(row.name for row in facts.rollouts(open_only=True)), *withdrawn_lately(facts, now)]
    records = facts.standing(list(dict.fromkeys(names))).values()
    return tuple((record, q) for record in records for q in rules.questions(record) if rules.is_open(record, q))


def remind(office: Office, remind_at: Sequence[float]) -> int:
    """Remind everybody who is due for it (SD 4.1.3, 8); returns how many mails are new, none when repeated."""
    new = 0
    for record, asked in open_questions(office.facts, office.now):
        which = rules.reminder_due(asked, office.now, remind_at)
        if not which or not asked.to:
            continue
        desk = office.desk(record)
        reminded = desk.fact(FactKind.REMINDED, asked.subject, f"{asked.step}/{which}")
        view = {
            "rollout": record.name,
            "opened": record.opened,
            "subject": asked.subject,
            "title": asked.title,
            "due": asked.due,
            "link": asked.link,
        }
        mail = desk.letter("reminder", view, key=reminded, to=asked.to, subject=f"Reminder: {asked.title}")
        new += len(desk.record(reminded, mails=[mail]))
    return new
