"""The VOs' feedback on a preview: asked for until an agreed date, kept whenever it comes (SD 4.1.1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from itsdangerous import Signer

from pps.activities.desk import Desk
from pps.activities.ports.record import Facts
from pps.domain.base.errors import ConfigurationError, NotYetAllowedError, RefusedError
from pps.domain.base.names import checked_name
from pps.domain.base.texts import clean_text, for_the_public, one_line
from pps.domain.people import feedback as rules
from pps.domain.people.feedback import FeedbackLimits, Limit, Opinion, Terms, VoAnswer
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

LONGEST_TEXT = 20_000
"""characters of one answer"""
LONGEST_AUTHOR = 200
_KEY_BYTES = 32


def agree_feedback_date(desk: Desk, due: datetime) -> datetime:
    """Agree once on the date until which feedback counts; a retry returns the date that is on record.

    Raises:
        RefusedError: `due` is not after `now`.
        ValueError: `due` has no time zone.
    """
    agreed = rules.feedback_due(desk.rollout)
    if agreed is not None:
        return agreed
    if due.tzinfo is None:
        raise ValueError("the date for feedback has no time zone")
    if due <= desk.now:
        raise RefusedError(
            desk.name, (f"The date for feedback, {due.isoformat()}, has passed already.",), "Give a later one."
        )
    payload = {"due": due.astimezone(UTC).isoformat()}
    desk.record(desk.fact(FactKind.FEEDBACK_DATE_AGREED, "", "", payload))
    # read again: of two at once, one was first
    agreed = rules.feedback_due(desk.look_again())
    assert agreed is not None  # noqa: S101 (just recorded)
    return agreed


def invitation_token(secret: bytes, rollout: str, vo: str, until: datetime | None = None) -> str:
    """The token that shows that an answer comes from whom we invited; good for this VO, this rollout and this time.

    Args:
        secret: one key, or several between blanks or commas: the first signs, each of them is taken.
        until: agreed date for feedback. None makes the token that earlier versions have sent, which has no date of
            its own; those are taken for the same time (docs/adr/0023).
    """
    if until is None:
        return _token_without_date(keys_in(secret)[0], rollout, vo)
    return _signer(secret, rollout, vo).sign(str(int(until.timestamp()))).decode()


def keys_in(secret: bytes, at_least: int = 16) -> list[bytes]:
    """The keys of a secret, the first of which signs: between blanks or commas, each of 32 bytes or more.

    One that does not begin with such a key is one key as a whole: that of an earlier version may hold blanks and
    commas. `ConfigurationError` if it is shorter than `at_least` bytes, or a further key than 32.
    """
    keys = secret.replace(b",", b" ").split() or [b""]
    if len(keys[0]) < _KEY_BYTES:
        keys = [secret]
    else:
        at_least = _KEY_BYTES
    if any(len(key) < at_least for key in keys):
        raise ConfigurationError(
            "the feedback secret",
            f"is not set, or a key in it is shorter than {at_least} bytes, so invitations could be forged.",
            "Set PPS_FEEDBACK_SECRET to the output of: openssl rand -hex 32",
        )
    return keys


def _signer(secret: bytes, rollout: str, vo: str) -> Signer:
    salt = f"pps-invitation\n{rollout}\n{vo}".encode()
    # the library wants the newest key last
    return Signer(keys_in(secret)[::-1], salt, key_derivation="hmac", digest_method=hashlib.sha256)


def _token_without_date(key: bytes, rollout: str, vo: str) -> str:
    digest = hmac.digest(key, f"pps-invitation\n{rollout}\n{vo}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def check_token(secret: bytes, rollout: str, vo: str, token: str) -> bool:
    """Tell whether the token is this VO's invitation to this rollout, expired or not; every wrong one takes as long."""
    given = token.encode("utf-8", "replace")
    if b"." in given:
        return _signer(secret, rollout, vo).validate(given)
    # an earlier version took the secret as it stands
    keys = dict.fromkeys((*keys_in(secret), secret))
    return any(hmac.compare_digest(_token_without_date(key, rollout, vo).encode(), given) for key in keys)


def _has_expired(record: Rollout, token: str, late_for: timedelta, now: datetime) -> bool:
    """Whether a token that is right has expired."""
    date, dot, _ = token.partition(".")
    until = datetime.fromtimestamp(int(date), UTC) if dot else rules.feedback_due(record)
    return until is not None and now > until + late_for


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of a preview, as it comes in."""

    vo: str
    opinion: Opinion | str
    text: str
    author: str
    token: str | None = None
    """of the VO's invitation"""
    key: str | None = None
    """the caller's name for this answer; without one, the content is the name"""


def give_feedback(
    facts: Facts,
    rollout: str,
    said: Said,
    now: datetime,
    secret: bytes,
    *,
    limits: FeedbackLimits = FeedbackLimits(),  # noqa: B008 (frozen)
    network: str = "",
) -> VoAnswer:
    """Keep one answer and return it; the same answer twice (click, retry, mail loop) is one record.

    With a VO's token the answer is that VO's; without one it is kept and shown apart. Late
    answers are kept and marked; an answer at the very instant of the agreed date is in time. Another answer of the same
    VO replaces the one before, which is kept and shown. What the text shows of persons is hidden before it is stored.

    Args:
        network: the one from which it came; "" where nobody knows, or where it is our own people who enter it.

    Raises:
        InvalidNameError: the VO is not a name.
        RefusedError: with one sentence for each thing that is wrong with the answer, or the channel holds all it can.
        NotYetAllowedError: there is no such rollout, or it has ended.
    """
    vo, token = checked_name(said.vo, "VO"), said.token
    record = facts.rollout(checked_name(rollout, "rollout"))
    text = clean_text(said.text).strip()
    author = one_line(said.author, LONGEST_AUTHOR)
    invited = bool(token) and check_token(secret, rollout, vo, token or "")
    expired = invited and _has_expired(record, token or "", limits.late_for, now)
    if reasons := _reasons_against(said.opinion, text, token, invited, expired):
        raise RefusedError(f"feedback on {rollout}", reasons, "Nothing was stored; correct it and send it again.")
    opinion, text = Opinion(said.opinion), for_the_public(text)
    source = "" if invited or not network else _digest_of_network(secret, rollout, network)
    content = [vo, opinion.value, text, author, str(invited)]
    named = ["key", vo, author, str(invited), said.key] if said.key else ["content", *content]
    identity = hashlib.sha256("\0".join(named).encode("utf-8", "replace")).hexdigest()[:32]
    given = rules.answers(record)
    if (known := _answer(record, vo, identity)) is not None:
        return known
    # without an invitation, two who both only say "works" are two
    if invited and (known := _same_words(given, vo, opinion, text, author)):
        return known
    if record.is_closed:
        raise NotYetAllowedError(
            rollout, "has ended; it takes no more feedback.", "Write to the operations team instead."
        )
    if over := _over_limit(given, vo, invited, source, limits):
        limit, reason = over
        facts.count_turned_away(rollout, limit, now)
        raise RefusedError(f"feedback on {rollout}", (reason,), "Write to the operations team.")
    payload = {"v": 2, "opinion": opinion.value, "text": text, "author": author, "invited": invited, "network": source}
    facts.record(Fact(rollout, FactKind.FEEDBACK_GIVEN, vo, identity, now, f"VO {vo}", payload))
    answer = _answer(facts.rollout(rollout), vo, identity)
    assert answer is not None  # noqa: S101 (just recorded)
    return answer


def _digest_of_network(secret: bytes, rollout: str, network: str) -> str:
    return hmac.digest(keys_in(secret)[0], f"pps-network\n{rollout}\n{network}".encode(), "sha256").hex()[:16]


def _same_words(given: Sequence[VoAnswer], vo: str, opinion: Opinion, text: str, author: str) -> VoAnswer | None:
    """The answer with the same VO's invitation that says the same; one that was replaced may be given again."""
    said = (vo, opinion, text, author, True, False)
    return next((a for a in given if (a.vo, a.opinion, a.text, a.author, a.invited, a.replaced) == said), None)


def _over_limit(
    given: Sequence[VoAnswer], vo: str, invited: bool, source: str, limits: FeedbackLimits
) -> tuple[Limit, str] | None:
    """Why no further answer is kept. With an invitation only its own number counts: nobody shuts out who was asked."""
    if invited:
        count = sum(a.invited and a.vo == vo for a in given)
        if count >= limits.answers_per_invitation:
            return Limit.INVITATION, f"{count} answers came with this invitation; no more are kept."
        return None
    others = [a for a in given if not a.invited]
    if source and sum(a.network == source for a in others) >= limits.uninvited_per_network:
        many = limits.uninvited_per_network
        return Limit.NETWORK, f"{many} answers without an invitation came from your network already."
    full = "The channel holds all the uninvited answers that it can."
    if len(others) >= limits.uninvited_at_most:
        return Limit.ROLLOUT, full
    if sum(a.vo == vo for a in others) >= limits.uninvited_per_vo:
        return Limit.VO, full
    return None


def _reasons_against(
    opinion: Opinion | str, text: str, token: str | None, invited: bool, expired: bool
) -> tuple[str, ...]:
    reasons = []
    if opinion not in set(Opinion):
        reasons.append(f"The opinion must be one of {', '.join(Opinion)}.")
    if len(text) > LONGEST_TEXT:
        reasons.append(f"The text has {len(text)} characters; at most {LONGEST_TEXT} are kept.")
    if not text and opinion != Opinion.WORKS:
        reasons.append("Only the opinion 'works' may come without a text.")
    if token and not invited:
        reasons.append("The token is not this VO's invitation to this rollout; leave it out to answer without one.")
    if expired:
        reasons.append("The invitation has expired; leave the token out to answer without one.")
    return tuple(reasons)


def _answer(record: Rollout, vo: str, identity: str) -> VoAnswer | None:
    return next((a for a in rules.answers(record) if a.vo == vo and a.identity == identity), None)


def end_of_feedback(desk: Desk, terms: Terms = rules.AS_AGREED) -> Fact:
    """The fact that the asking has ended, with its outcome; `NotYetAllowedError` while there is still time."""
    record = desk.rollout
    if not rules.feedback_is_over(record, desk.now, terms):
        until = rules.Asking.of(record, terms).until
        raise NotYetAllowedError(
            record.name,
            f"feedback is open until {until.isoformat() if until else 'a date to be agreed'}.",
            "Wait for it.",
        )
    return desk.fact(FactKind.FEEDBACK_ENDED, "", "", {"outcome": rules.outcome(record).value})
