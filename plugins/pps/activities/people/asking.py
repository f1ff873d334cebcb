"""Asks people, keeps what they answer, reminds them, and notices silence.

The activities record; what an answer means for the rollout is for the activity that asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pps.activities.people.letters import letter
from pps.activities.ports.people import Mail, Templates
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text, one_line
from pps.domain.people import questions as rules
from pps.domain.people.questions import Answer, Question
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

LONGEST_TEXT = 20_000
"""characters of one field of a form"""
MOST_ANSWERS = 50
"""to one question; the record is for ever"""


def ask(
    record: Rollout,
    facts: Facts,
    templates: Templates,
    *,
    step: str,
    subject: str,
    title: str,
    body: str,
    due: datetime,
    to: str,
    assigned_to: Sequence[str],
    link: str,
    now: datetime,
    actor: str,
) -> Question:
    """Put a question once, and tell the people that it waits for them; a retry gets the question on record.

    Args:
        body: what they need to know, in Markdown.
        due: until when an answer decides; agreed with this call.
        to: their mail address; "" sends no mail.
        link: where it is answered.
    """
    if (known := rules.question(record, step, subject)) is not None:
        return known
    payload = {
        "step": step,
        "title": title,
        "due": due.astimezone(UTC).isoformat(),
        "to": to,
        "assigned_to": list(assigned_to),
        "link": link,
    }
    asked = Fact(record.name, FactKind.QUESTION_ASKED, subject, step, now, actor, payload)
    view = {
        "rollout": record.name,
        "opened": record.opened,
        "subject": subject,
        "title": title,
        "body": body,
        "due": due,
        "link": link,
    }
    facts.record(asked, mails=_mails(asked, to, title, "question", templates, view))
    # read again: of two at once one was first
    known = rules.question(facts.rollout(record.name), step, subject)
    assert known is not None  # noqa: S101 (just recorded)
    return known


def keep_answer(
    record: Rollout,
    facts: Facts,
    *,
    step: str,
    subject: str,
    choice: str,
    form: Mapping[str, Any],
    user: str,
    at: datetime,
    more: Iterable[Fact] = (),
) -> Answer:
    """Keep an answer, in time or late; the same one twice (click, retry) is one record.

    Args:
        form: field -> value as JSON; texts are cleaned.
        more: facts that follow from it, recorded in the same transaction.

    Raises:
        NotYetAllowedError: nobody has asked.
        RefusedError: the form is larger than a record may be.
    """
    payload, identity = _answer(record, step, subject, choice, form, user)
    facts.record(
        Fact(record.name, FactKind.ANSWER_GIVEN, subject, f"{step}/{identity}", at, f"user {user}", payload), *more
    )
    kept = rules.answers(facts.rollout(record.name), step, subject)
    return next(a for a in kept if (a.choice, dict(a.form), a.user) == (choice, payload["form"], user))


def set_aside(
    record: Rollout,
    facts: Facts,
    *,
    step: str,
    subject: str,
    choice: str,
    form: Mapping[str, Any],
    user: str,
    at: datetime,
    reason: str,
) -> None:
    """Keep an answer that cannot be taken at this moment, so that nobody has to give it twice.

    Args:
        reason: which service is down.

    Raises:
        NotYetAllowedError, RefusedError: as `keep_answer`.
    """
    payload, identity = _answer(record, step, subject, choice, form, user)
    payload["reason"] = one_line(reason, 500)
    facts.record(
        Fact(record.name, FactKind.ANSWER_SET_ASIDE, subject, f"{step}/{identity}", at, f"user {user}", payload)
    )


def _answer(
    record: Rollout, step: str, subject: str, choice: str, form: Mapping[str, Any], user: str
) -> tuple[dict[str, Any], str]:
    """The payload of an answer, and what tells it from others."""
    if rules.question(record, step, subject) is None:
        raise NotYetAllowedError(f"{record.name}, {subject}", f"nobody has asked for {step!r}.", "Wait for the mail.")
    clean = {key: clean_text(value).strip() if isinstance(value, str) else value for key, value in form.items()}
    if too_long := sorted(key for key, value in clean.items() if len(json.dumps(value)) > LONGEST_TEXT):
        raise RefusedError(f"answer of {subject}", (f"{', '.join(too_long)}: longer than {LONGEST_TEXT} characters.",))
    content = json.dumps([choice, clean, user], sort_keys=True, default=str)
    identity = hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]
    if len(rules.answers(record, step, subject)) >= MOST_ANSWERS:
        raise RefusedError(f"answer of {subject}", ("It holds all the answers that it can.",))
    return {"step": step, "choice": choice, "form": clean, "user": user}, identity


def note_silence(
    record: Rollout, facts: Facts, *, step: str, subject: str, now: datetime, actor: str, more: Iterable[Fact] = ()
) -> bool:
    """Put on record that nobody answered in time; False if somebody did, or if it is not over yet."""
    asked = rules.question(record, step, subject)
    if asked is None or rules.decisive(record, step, subject) is not None or now <= asked.due:
        return False
    payload = {"reason": f"Nobody answered until {asked.due.isoformat(timespec='seconds')}."}
    facts.record(Fact(record.name, FactKind.QUESTION_EXPIRED, subject, step, now, actor, payload), *more)
    return True


def open_questions(facts: Facts) -> tuple[tuple[Rollout, Question], ...]:
    """Every question that waits for an answer, of all rollouts that are open."""
    records = (facts.rollout(row.name) for row in facts.rollouts(open_only=True))
    return tuple((record, q) for record in records for q in rules.questions(record) if rules.is_open(record, q))


def remind(facts: Facts, templates: Templates, remind_at: Sequence[float], now: datetime, actor: str) -> int:
    """Remind everybody who is due for it (SD 4.1.3, 8); returns how many mails are new. Twice is once."""
    new = 0
    for record, asked in open_questions(facts):
        which = rules.reminder_due(asked, now, remind_at)
        if not which or not asked.to:
            continue
        reminded = Fact(record.name, FactKind.REMINDED, asked.subject, f"{asked.step}/{which}", now, actor)
        put = next(
            f
            for f in record.facts
            if f.kind is FactKind.QUESTION_ASKED and (f.subject, f.occasion) == (asked.subject, asked.step)
        )
        view = {
            "rollout": record.name,
            "opened": record.opened,
            "subject": asked.subject,
            "title": asked.title,
            "due": asked.due,
            "link": put.payload.get("link", ""),
        }
        title = f"Reminder: {asked.title}"
        new += len(facts.record(reminded, mails=_mails(reminded, asked.to, title, "reminder", templates, view)))
    return new


def _mails(
    fact: Fact, to: str, title: str, template: str, templates: Templates, view: Mapping[str, Any]
) -> tuple[Mail, ...]:
    if not to:
        return ()
    key = f"{fact.rollout}/{fact.kind.value}/{fact.subject}/{fact.occasion}"
    return (letter(templates, template, view, key=key, to=to, subject=title),)
