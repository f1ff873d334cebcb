"""The VOs' feedback on a preview: asked for until an agreed date, kept whenever it comes (SD 4.1.1)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pps.activities.desk import Desk
from pps.activities.people.tokens import check_token, keys_in, own_answer
from pps.activities.ports.record import Facts
from pps.domain.base.conditions import moment
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.names import checked_name
from pps.domain.base.texts import clean_text, for_the_public, one_line
from pps.domain.people import feedback as rules
from pps.domain.people.feedback import FeedbackLimits, Limit, Opinion, Terms, VoAnswer
from pps.domain.people.verdicts import Asked, Verdicts, judged
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

LONGEST_TEXT = 20_000
"""characters of one answer"""
LONGEST_AUTHOR = 200


def _has_expired(record: Rollout, token: str, late_for: timedelta, now: datetime) -> bool:
    """Whether a token that is right has expired."""
    date, dot, _ = token.partition(".")
    # the date may have been moved since the invitation left
    known = [datetime.fromtimestamp(int(date), UTC)] if dot else []
    known += [due] if (due := rules.feedback_due(record)) else []
    return bool(known) and now > max(known) + late_for


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of a preview, as it comes in."""

    vo: str
    opinion: Opinion | str
    text: str
    author: str
    token: str | None = None
    """of the VO's invitation; or, to change what was said without one, that answer's own"""
    key: str | None = None
    """the caller's name for this answer; without one, the content is the name"""
    bugs: Mapping[str, str] = field(default_factory=dict)
    """number -> what is said of it: `domain.people.verdicts`"""
    test_cases: Mapping[str, str] = field(default_factory=dict)
    replaces: str = ""
    """identity of the answer that is changed, as whoever changes it has seen it; "" for a further answer"""


def give_feedback(
    facts: Facts,
    rollout: str,
    said: Said,
    now: datetime,
    secret: bytes,
    *,
    limits: FeedbackLimits = FeedbackLimits(),  # noqa: B008 (frozen)
    network: str = "",
    asked: Asked = Asked(),  # noqa: B008 (frozen)
) -> VoAnswer:
    """Keep one answer and return it; the same answer twice (click, retry, mail loop) is one record.

    With a VO's token the answer is that VO's; without one it is kept and shown apart. Late
    answers are kept and marked; an answer at the very instant of the agreed date is in time. Another answer of the same
    VO replaces the one before, which is kept and shown. What the text shows of persons is hidden before it is stored.

    Args:
        network: the one from which it came; "" where nobody knows, or where it is our own people who enter it.
        asked: what the patch names, and can be judged one by one.

    Raises:
        InvalidNameError: the VO is not a name.
        RefusedError: with one sentence for each thing that is wrong with the answer, or the channel holds all it can.
        NotYetAllowedError: there is no such rollout, or it has ended.
    """
    vo, token = checked_name(said.vo, "VO"), said.token or ""
    record = facts.rollout(checked_name(rollout, "rollout"))
    text = clean_text(said.text).strip()
    author = one_line(said.author, LONGEST_AUTHOR)
    right = right_of(record, secret, vo, token)
    expired = right.invited and _has_expired(record, token, limits.late_for, now)
    verdicts, unknown = judged(said.bugs, said.test_cases, asked)
    reasons = (
        *_reasons_against(said.opinion, text, verdicts),
        *unknown,
        *_reasons_against_token(token, right, expired),
    )
    if reasons:
        raise RefusedError(f"feedback on {rollout}", reasons, "Nothing was stored; correct it and send it again.")
    opinion, text, invited = Opinion(said.opinion), for_the_public(text), right.invited
    source = "" if invited or not network else _digest_of_network(secret, rollout, network)
    parts = [repr(verdicts.payload)] if verdicts else []
    content = [vo, opinion.value, text, author, str(invited), *parts]
    identity = _identity(["key", vo, author, str(invited), said.key] if said.key else ["content", *content])
    given = rules.answers(record)
    while (known := _answer(given, vo, identity)) is not None:
        if said.key or known.withdrawn_at is None:
            return known
        identity = _identity([identity, known.withdrawn_at.isoformat()])  # said again, after it was withdrawn
    # without an invitation, two who both only say "works" are two
    if invited and (known := _same_words(given, vo, opinion, text, author, verdicts)):
        return known
    if record.is_closed:
        raise NotYetAllowedError(
            rollout, "has ended; it takes no more feedback.", "Write to the operations team instead."
        )
    if said.replaces and (reasons := reasons_against_change(record, right, said.replaces, now)):
        further = f"You can send a further answer{', which is shown as late' if rules.time_is_up(record, now) else ''}."
        raise RefusedError(f"feedback on {rollout}", reasons, f"Nothing was stored. {further}")
    if over := _over_limit(given, vo, invited, source, limits):
        limit, reason = over
        facts.count_turned_away(rollout, limit, now)
        raise RefusedError(f"feedback on {rollout}", (reason,), "Write to the operations team.")
    payload = {"v": 2, "opinion": opinion.value, "text": text, "author": author, "invited": invited, "network": source}
    changed = {"replaces": said.replaces} if said.replaces else {}
    whole = {**payload, **verdicts.payload, **changed}
    facts.record(Fact(rollout, FactKind.FEEDBACK_GIVEN, vo, identity, now, f"VO {vo}", whole))
    answer = _answer(rules.answers(facts.rollout(rollout)), vo, identity)
    assert answer is not None  # noqa: S101 (just recorded)
    return answer


@dataclass(frozen=True, slots=True)
class Right:
    """What a token allows, and the answer that it may change."""

    invited: bool = False
    """to speak for the VO"""
    owns: bool = False
    """it is the own token of an answer that came without an invitation"""
    answer: VoAnswer | None = None
    """the one that stands now; it may be withdrawn. None where nothing was said yet"""


def right_of(record: Rollout, secret: bytes, vo: str, token: str) -> Right:
    """What a token allows in this rollout; nothing, if it is none of this VO's."""
    if not token:
        return Right()
    given = rules.answers(record)
    if check_token(secret, record.name, vo, token):
        in_time = [a for a in given if a.vo == vo and a.invited and not a.late]
        return Right(invited=True, answer=in_time[-1] if in_time else None)
    if identity := own_answer(secret, record.name, vo, token):
        mine = _answer(given, vo, identity)
        while mine is not None and (later := next((a for a in given if a.vo == vo and a.replaces == identity), None)):
            mine, identity = later, later.identity
        return Right(owns=True, answer=mine)
    return Right()


def reasons_against_change(record: Rollout, right: Right, identity: str, now: datetime) -> tuple[str, ...]:
    """Say why an answer may not be changed or withdrawn with this right; no reasons means that it may.

    Args:
        identity: of the answer as whoever changes it has seen it; "": whichever stands.
    """
    if not (right.invited or right.owns):
        return ("Only whoever gave an answer can change it: by the VO's invitation, or the link that came with it.",)
    if right.answer is None:
        return ("There is no answer yet that could be changed.",)
    if right.answer.withdrawn_at is not None:
        return (f"This answer was withdrawn already, on {moment(right.answer.withdrawn_at)}.",)
    if ended := rules.change_ends(record, now):
        return (f"{ended} The answer stands as it is.",)
    if identity and identity != right.answer.identity:
        again = "Your VO has answered again" if right.invited else "This answer was changed"
        return (f"{again} meanwhile, on {moment(right.answer.at)}. Look at that answer first.",)
    return ()


def withdraw_feedback(
    facts: Facts, rollout: str, vo: str, token: str, now: datetime, secret: bytes, *, answer: str = ""
) -> VoAnswer:
    """Take back what was said: the VO is silent again, and the record keeps both. Returns the answer.

    Args:
        token: of the VO's invitation, or the answer's own.
        answer: identity of the answer as whoever withdraws it has seen it; "": whichever stands.

    Raises:
        InvalidNameError: the VO is not a name.
        RefusedError: with the reason: nobody's token, withdrawn before, changed meanwhile, or the asking has ended.
        NotYetAllowedError: there is no such rollout.
    """
    vo = checked_name(vo, "VO")
    record = facts.rollout(checked_name(rollout, "rollout"))
    right = right_of(record, secret, vo, token)
    if reasons := reasons_against_change(record, right, answer, now):
        raise RefusedError(f"feedback on {rollout}", reasons, "Nothing was withdrawn.")
    assert right.answer is not None  # noqa: S101 (there would be a reason)
    identity = right.answer.identity
    facts.record(Fact(rollout, FactKind.FEEDBACK_WITHDRAWN, vo, identity, now, f"VO {vo}", {}))
    gone = _answer(rules.answers(facts.rollout(rollout)), vo, identity)
    assert gone is not None  # noqa: S101 (it was there)
    return gone


def _identity(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _digest_of_network(secret: bytes, rollout: str, network: str) -> str:
    return hmac.digest(keys_in(secret)[0], f"pps-network\n{rollout}\n{network}".encode(), "sha256").hex()[:16]


def _same_words(
    given: Sequence[VoAnswer], vo: str, opinion: Opinion, text: str, author: str, verdicts: Verdicts
) -> VoAnswer | None:
    """The answer with the same VO's invitation that says the same; one that was replaced, or withdrawn, may be given
    again."""
    said = (vo, opinion, text, author, verdicts, True, False, None)
    return next(
        (
            a
            for a in given
            if (a.vo, a.opinion, a.text, a.author, a.verdicts, a.invited, a.replaced, a.withdrawn_at) == said
        ),
        None,
    )


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


def _reasons_against(opinion: Opinion | str, text: str, verdicts: Verdicts) -> tuple[str, ...]:
    reasons = []
    if opinion not in set(Opinion):
        reasons.append(f"The opinion must be one of {', '.join(Opinion)}.")
    if len(text) > LONGEST_TEXT:
        reasons.append(f"The text has {len(text)} characters; at most {LONGEST_TEXT} are kept.")
    if not text and opinion != Opinion.WORKS and not verdicts:
        reasons.append("Only the opinion 'works' may come without a text.")
    return tuple(reasons)


def _reasons_against_token(token: str, right: Right, expired: bool) -> tuple[str, ...]:
    if token and not (right.invited or right.owns):
        return ("The token is not this VO's invitation to this rollout; leave it out to answer without one.",)
    return ("The invitation has expired; leave the token out to answer without one.",) if expired else ()


def _answer(given: Sequence[VoAnswer], vo: str, identity: str) -> VoAnswer | None:
    return next((a for a in given if a.vo == vo and a.identity == identity), None)


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
