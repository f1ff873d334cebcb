"""The VOs' feedback on a preview: asked for until an agreed date, kept whenever it comes (SD 4.1.1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

from pps.activities.ports import Facts
from pps.domain import feedback as rules
from pps.domain.errors import ConfigurationError, NotYetAllowedError, RefusedError
from pps.domain.facts import Fact, FactKind
from pps.domain.feedback import Answer, Opinion, Summary
from pps.domain.names import checked_name
from pps.domain.rollouts import Rollout
from pps.domain.texts import clean_text, one_line

LONGEST_TEXT = 20_000
"""characters of one answer"""
LONGEST_AUTHOR = 200
MOST_UNINVITED = 200
"""answers without an invitation that one rollout keeps: the channel is public, the record is for ever"""


def agree_feedback_date(record: Rollout, facts: Facts, due: datetime, now: datetime, actor: str) -> datetime:
    """Agree once on the date until which feedback counts; a retry returns the date that is on record.

    Raises:
        RefusedError: `due` is not after `now`.
        ValueError: `due` has no time zone.
    """
    agreed = rules.feedback_due(record)
    if agreed is not None:
        return agreed
    if due.tzinfo is None:
        raise ValueError("the date for feedback has no time zone")
    if due <= now:
        raise RefusedError(
            record.name, (f"The date for feedback, {due.isoformat()}, has passed already.",), "Give a later one."
        )
    payload = {"due": due.astimezone(UTC).isoformat()}
    facts.record(Fact(record.name, FactKind.FEEDBACK_DATE_AGREED, "", "", now, actor, payload))
    # read again: of two at once one was first
    agreed = rules.feedback_due(facts.rollout(record.name))
    assert agreed is not None  # noqa: S101 (just recorded)
    return agreed


def invitation_token(secret: bytes, rollout: str, vo: str) -> str:
    """The token that shows that an answer comes from whom we invited: HMAC-SHA256 over rollout and VO, base64url."""
    if len(secret) < 16:
        raise ConfigurationError(
            "the feedback secret", "is shorter than 16 bytes.", "Set it to the output of: openssl rand -hex 32"
        )
    digest = hmac.digest(secret, f"pps-invitation\n{rollout}\n{vo}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def check_token(secret: bytes, rollout: str, vo: str, token: str) -> bool:
    """Tell whether the token is this VO's invitation to this rollout; takes the same time for every wrong one."""
    return hmac.compare_digest(invitation_token(secret, rollout, vo).encode(), token.encode("utf-8", "replace"))


def give_feedback(
    facts: Facts,
    rollout: str,
    vo: str,
    opinion: Opinion | str,
    text: str,
    author: str,
    token: str | None,
    idempotency_key: str | None,
    now: datetime,
    secret: bytes,
) -> Answer:
    """Keep one answer and return it; the same answer twice (click, retry, mail loop) is one record.

    With a VO's token the answer is that VO's; without one it is kept and shown apart. Late
    answers are kept and marked; an answer at the very instant of the agreed date is in time.

    Args:
        idempotency_key: the caller's name for this answer; without one, the content is the name.

    Raises:
        InvalidNameError: the VO is not a name.
        RefusedError: with one sentence for each thing that is wrong with the answer.
        NotYetAllowedError: there is no such rollout, or it has ended.
    """
    checked_name(vo, "VO")
    record = facts.rollout(checked_name(rollout, "rollout"))
    text = clean_text(text).strip()
    author = one_line(author, LONGEST_AUTHOR)
    invited = bool(token) and check_token(secret, rollout, vo, token or "")
    if reasons := _reasons_against(opinion, text, token, invited):
        raise RefusedError(f"feedback on {rollout}", reasons, "Nothing was stored; correct it and send it again.")
    content = [vo, Opinion(opinion).value, text, author, str(invited)]
    named = ["key", vo, author, str(invited), idempotency_key] if idempotency_key else ["content", *content]
    identity = hashlib.sha256("\0".join(named).encode("utf-8", "replace")).hexdigest()[:32]
    if (known := _answer(record, vo, identity)) is not None:
        return known
    if record.is_closed:
        raise NotYetAllowedError(
            rollout, "has ended; it takes no more feedback.", "Write to the operations team instead."
        )
    if not invited and sum(not a.invited for a in rules.answers(record)) >= MOST_UNINVITED:
        raise RefusedError(
            f"feedback on {rollout}",
            ("It holds all the uninvited answers that it can.",),
            "Write to the operations team.",
        )
    payload = {"v": 1, "opinion": Opinion(opinion).value, "text": text, "author": author, "invited": invited}
    facts.record(Fact(rollout, FactKind.FEEDBACK_GIVEN, vo, identity, now, f"VO {vo}", payload))
    answer = _answer(facts.rollout(rollout), vo, identity)
    assert answer is not None  # noqa: S101 (just recorded)
    return answer


def _reasons_against(opinion: Opinion | str, text: str, token: str | None, invited: bool) -> tuple[str, ...]:
    reasons = []
    if opinion not in set(Opinion):
        reasons.append(f"The opinion must be one of {', '.join(Opinion)}.")
    if len(text) > LONGEST_TEXT:
        reasons.append(f"The text has {len(text)} characters; at most {LONGEST_TEXT} are kept.")
    if not text and opinion != Opinion.WORKS:
        reasons.append("Only the opinion 'works' may come without a text.")
    if token and not invited:
        reasons.append("The token is not this VO's invitation to this rollout; leave it out to answer without one.")
    return tuple(reasons)


def _answer(record: Rollout, vo: str, identity: str) -> Answer | None:
    return next((a for a in rules.answers(record) if a.vo == vo and a.identity == identity), None)


def end_of_feedback(record: Rollout, now: datetime, actor: str) -> Fact:
    """The fact that the asking has ended, with its outcome; `NotYetAllowedError` while there is still time."""
    if not rules.feedback_is_over(record, now):
        due = rules.feedback_due(record)
        raise NotYetAllowedError(
            record.name, f"feedback is open until {due.isoformat() if due else 'a date to be agreed'}.", "Wait for it."
        )
    return Fact(record.name, FactKind.FEEDBACK_ENDED, "", "", now, actor, {"outcome": rules.outcome(record).value})


def summary(record: Rollout) -> Summary:
    """What the VOs said, sorted for release notes and pages."""
    return rules.summary(record)
