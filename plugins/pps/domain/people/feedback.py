"""Feedback of VOs on a preview; silence is a value, not an absence (SD 4.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout


class Opinion(StrEnum):
    """What a VO says of a preview."""

    WORKS = "works"
    PROBLEM = "problem"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class FeedbackLimits:
    """How much of the public channel one voice may take (policies.yaml, `feedback`)."""

    late_for: timedelta = timedelta(days=30)
    """how long after the agreed date an invitation is still accepted, for answers that come late"""
    answers_per_invitation: int = 20
    uninvited_at_most: int = 500
    """of a rollout; the record is for ever"""
    uninvited_per_vo: int = 100
    """that name the same VO, so that a flood in one name leaves room for the others"""
    uninvited_per_network: int = 20


class Limit(StrEnum):
    """Which limit has turned an answer away."""

    INVITATION = "invitation"
    NETWORK = "network"
    VO = "VO"
    ROLLOUT = "rollout"


def turned_away_text(numbers: Mapping[Limit, int]) -> str:
    """How many answers were turned away, and by which limits, for those who set them; "" if none was."""
    some = [f"{number} by the limit for {_OF[limit]}" for limit in Limit if (number := numbers.get(limit, 0))]
    total = sum(numbers.values())
    were = "1 answer was" if total == 1 else f"{total} answers were"
    return f"{were} turned away by limits: {', '.join(some)}." if some else ""


_OF = {
    Limit.INVITATION: "an invitation",
    Limit.NETWORK: "a network",
    Limit.VO: "the VO that is named",
    Limit.ROLLOUT: "the rollout",
}


@dataclass(frozen=True, slots=True)
class VoAnswer:
    """One answer, as recorded."""

    identity: str
    """id of the record; the same answer sent twice has the same"""
    vo: str
    opinion: Opinion
    text: str
    author: str
    at: datetime
    late: bool
    """came after the agreed date: kept and shown apart, does not count"""
    invited: bool
    """came with the invitation of that VO; anybody else's word is shown apart and counts for no VO"""
    network: str = ""
    """keyed digest of the network it came from, where nobody was invited; names nobody, only counts"""
    replaced: bool = False
    """the same VO has answered again in time: kept and shown, but the later one counts"""


class Outcome(StrEnum):
    """How the asking ended."""

    NONE = "none"
    """nobody who was invited answered in time: the release notes must say so"""
    SOME = "some"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class FeedbackSummary:
    """What was said, sorted: what counts, and what is shown apart."""

    outcome: Outcome
    due: datetime | None
    invited: tuple[str, ...]
    """VOs that were asked"""
    counting: tuple[VoAnswer, ...]
    """of invited VOs, in time; one of each"""
    replaced: tuple[VoAnswer, ...]
    """of invited VOs, in time, that have answered again since"""
    silent: tuple[str, ...]
    """invited VOs that did not answer in time"""
    late: tuple[VoAnswer, ...]
    """of invited VOs, after the agreed date"""
    others: tuple[VoAnswer, ...]
    """of anybody else, whenever"""


def feedback_due(rollout: Rollout) -> datetime | None:
    """The agreed date, or None before it was agreed on."""
    agreed = rollout.the(FactKind.FEEDBACK_DATE_AGREED)
    return datetime.fromisoformat(agreed.payload["due"]) if agreed else None


def answers(rollout: Rollout) -> tuple[VoAnswer, ...]:
    """Every answer on record, oldest first. An answer at the very instant of the agreed date is in time.

    A VO has one voice: of its answers in time the newest counts (ADR 23).
    """
    due = feedback_due(rollout)
    given = tuple(
        VoAnswer(
            identity=f.occasion,
            vo=f.subject,
            opinion=Opinion(f.payload["opinion"]),
            text=f.payload["text"],
            author=f.payload.get("author", ""),
            at=f.at,
            late=due is not None and f.at > due,
            invited=bool(f.payload.get("invited")),
            network=str(f.payload.get("network", "")),
        )
        for f in rollout.facts
        if f.kind is FactKind.FEEDBACK_GIVEN
    )
    newest = {a.vo: a for a in counting(given)}
    return tuple(replace(a, replaced=True) if a.invited and not a.late and a is not newest[a.vo] else a for a in given)


def counting(given: Iterable[VoAnswer]) -> tuple[VoAnswer, ...]:
    """Those answers that decide something: of invited VOs, in time, not replaced by a later one."""
    return tuple(a for a in given if a.invited and not a.late and not a.replaced)


def invited_vos(rollout: Rollout) -> frozenset[str]:
    """The VOs that were asked."""
    return frozenset(f.subject for f in rollout.facts if f.kind is FactKind.VO_INVITED)


def outcome(rollout: Rollout) -> Outcome:
    """How the asking stands: none, some or all of the invited VOs have answered in time."""
    heard = {a.vo for a in counting(answers(rollout))}
    if not heard:
        return Outcome.NONE
    return Outcome.ALL if heard >= invited_vos(rollout) else Outcome.SOME


def feedback_is_over(rollout: Rollout, now: datetime) -> bool:
    """Tell whether nothing is left to wait for: all have answered, the date has passed, or the rollout is over."""
    if rollout.is_over:
        return True
    rollout.need(FactKind.FEEDBACK_DATE_AGREED, "Agree on a date for feedback first.")
    return time_is_up(rollout, now) or (bool(invited_vos(rollout)) and outcome(rollout) is Outcome.ALL)


def time_is_up(rollout: Rollout, now: datetime) -> bool:
    """Tell whether the agreed date has passed; its very instant is still in time. Never before it was agreed on."""
    due = feedback_due(rollout)
    return due is not None and now > due


def summary(rollout: Rollout) -> FeedbackSummary:
    """Sort what was said."""
    given = answers(rollout)
    heard = {a.vo for a in counting(given)}
    invited = tuple(sorted(invited_vos(rollout)))
    return FeedbackSummary(
        outcome=outcome(rollout),
        due=feedback_due(rollout),
        invited=invited,
        counting=counting(given),
        replaced=tuple(a for a in given if a.replaced),
        silent=tuple(vo for vo in invited if vo not in heard),
        late=tuple(a for a in given if a.invited and a.late),
        others=tuple(a for a in given if not a.invited),
    )
