"""Feedback of VOs on a preview; silence is a value, not an absence (SD 4.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pps.domain.base.conditions import moment
from pps.domain.people.verdicts import Tally, Verdicts, tallies
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


@dataclass(frozen=True, slots=True)
class Terms:
    """When the asking may end before its agreed date (policies.yaml, `feedback`); as it is: when all have answered."""

    earliest: timedelta | None = None
    """after the last invitation; not before, even if all have answered: one person's click is not yet a VO's word"""
    enough: int | None = None
    """so many of the invited VOs; None: all of them"""


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
class FollowUp:
    """What those in charge have to say to an answer: "fixed in patch 4720"."""

    text: str
    role: str
    """of whoever wrote it"""
    at: datetime
    after_notes: bool = False
    """written when the release notes with the answer were out already"""


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
    """it was given anew in time: kept and shown, but the later one counts"""
    verdicts: Verdicts = field(default_factory=Verdicts)
    """of single bugs and test cases"""
    withdrawn_at: datetime | None = None
    """taken back by whoever gave it: the record keeps it, and it counts no longer"""
    follow_ups: tuple[FollowUp, ...] = ()
    replaces: str = ""
    """identity of the answer that whoever gave this one has changed"""

    @property
    def words(self) -> str:
        """The whole, and beside it every verdict on a part: none of them is summed up in another."""
        whole = (
            f"{self.opinion} as a whole" if self.opinion is Opinion.WORKS and self.verdicts.against else self.opinion
        )
        return "; ".join((whole, *self.verdicts.words))


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
    """invited VOs that did not answer in time, or have withdrawn their answer"""
    late: tuple[VoAnswer, ...]
    """of invited VOs, after the agreed date"""
    others: tuple[VoAnswer, ...]
    """of anybody else, whenever"""
    withdrawn: tuple[VoAnswer, ...] = ()
    """by whoever gave them; that they were given is shown, what they said is not"""
    bugs: tuple[Tally, ...] = ()
    """what the counting answers say of each bug; of test cases below"""
    test_cases: tuple[Tally, ...] = ()


AS_AGREED = Terms()


def feedback_due(rollout: Rollout) -> datetime | None:
    """The agreed date, as it was last moved; None before it was agreed on."""
    if not rollout.has(FactKind.FEEDBACK_DATE_AGREED):
        return None
    newest = next(f for f in reversed(rollout.facts) if f.kind in _DATES)
    return datetime.fromisoformat(newest.payload["due"])


_DATES = (FactKind.FEEDBACK_DATE_AGREED, FactKind.FEEDBACK_DATE_MOVED)


def answers(rollout: Rollout) -> tuple[VoAnswer, ...]:
    """Every answer on record, oldest first. An answer at the very instant of the agreed date is in time.

    A VO has one voice: of its answers in time the newest counts (ADR 23); if that is withdrawn, none does. What was
    said without an invitation is replaced only by whoever said it.
    """
    due = feedback_due(rollout)
    withdrawn = {(f.subject, f.occasion): f.at for f in rollout.facts if f.kind is FactKind.FEEDBACK_WITHDRAWN}
    follow_ups = _follow_ups(rollout)
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
            verdicts=Verdicts.of(f.payload),
            withdrawn_at=withdrawn.get((f.subject, f.occasion)),
            follow_ups=tuple(follow_ups.get((f.subject, f.occasion), ())),
            replaces=str(f.payload.get("replaces", "")),
        )
        for f in rollout.facts
        if f.kind is FactKind.FEEDBACK_GIVEN
    )
    newest = {a.vo: a for a in given if a.invited and not a.late}
    anew = {(a.vo, a.replaces) for a in given if a.replaces and not a.invited}
    return tuple(
        replace(a, replaced=True)
        if (not a.late and a is not newest[a.vo] if a.invited else (a.vo, a.identity) in anew)
        else a
        for a in given
    )


def _follow_ups(rollout: Rollout) -> Mapping[tuple[str, str], list[FollowUp]]:
    found: dict[tuple[str, str], list[FollowUp]] = {}
    notes_are_out = False
    for f in rollout.facts:
        notes_are_out = notes_are_out or f.kind is FactKind.RELEASE_NOTES_WRITTEN
        if f.kind is FactKind.FEEDBACK_FOLLOWED_UP:
            said = FollowUp(f.payload["text"], f.payload["role"], f.at, notes_are_out)
            found.setdefault((f.subject, f.payload["answer"]), []).append(said)
    return found


def counting(given: Iterable[VoAnswer]) -> tuple[VoAnswer, ...]:
    """Those answers that decide something: of invited VOs, in time, neither replaced by a later one nor withdrawn."""
    return tuple(a for a in given if a.invited and not a.late and not a.replaced and a.withdrawn_at is None)


def present_answer(given: Iterable[VoAnswer], vo: str) -> VoAnswer | None:
    """What an invited VO says now; None where it is silent."""
    return next((a for a in counting(given) if a.vo == vo), None)


def invited_vos(rollout: Rollout) -> frozenset[str]:
    """The VOs that were asked."""
    return frozenset(f.subject for f in rollout.facts if f.kind is FactKind.VO_INVITED)


def outcome(rollout: Rollout) -> Outcome:
    """How the asking stands: none, some or all of the invited VOs have answered in time."""
    heard = {a.vo for a in counting(answers(rollout))}
    if not heard:
        return Outcome.NONE
    return Outcome.ALL if heard >= invited_vos(rollout) else Outcome.SOME


def feedback_is_over(rollout: Rollout, now: datetime, terms: Terms = AS_AGREED) -> bool:
    """Tell whether nothing is left to wait for: enough have answered, the date has passed, or the rollout is over.

    An end that is on record stays: who withdraws an answer afterwards, or changes the terms, opens nothing again.
    """
    if rollout.is_over or rollout.has(FactKind.FEEDBACK_ENDED):
        return True
    rollout.need(FactKind.FEEDBACK_DATE_AGREED, "Agree on a date for feedback first.")
    asking = Asking.of(rollout, terms)
    return time_is_up(rollout, now) or (asking.is_enough and (asking.not_before is None or now >= asking.not_before))


@dataclass(frozen=True, slots=True)
class Asking:
    """How far the asking is: for people who wait."""

    heard: int
    invited: int
    wanted: int
    """so many of them are enough"""
    due: datetime | None
    not_before: datetime | None
    """enough answers end it then at the earliest"""

    @classmethod
    def of(cls, rollout: Rollout, terms: Terms) -> Asking:
        """As the record has it."""
        invited, due = invited_vos(rollout), feedback_due(rollout)
        heard = {a.vo for a in counting(answers(rollout))} & invited
        last = max((f.at for f in rollout.facts if f.kind is FactKind.VO_INVITED), default=None)
        not_before = last + terms.earliest if last and terms.earliest else None
        wanted = len(invited) if terms.enough is None else min(terms.enough, len(invited))
        # the agreed date ends it in any case
        return cls(len(heard), len(invited), wanted, due, min(not_before, due) if not_before and due else not_before)

    @property
    def is_enough(self) -> bool:
        """Tell whether no further answer is waited for."""
        return self.invited > 0 and self.heard >= self.wanted

    @property
    def until(self) -> datetime | None:
        """When it ends by itself, if nobody says anything more."""
        return self.not_before if self.is_enough else self.due

    @property
    def sentence(self) -> str:
        """How many have answered, and how it ends: `2 of 4 VOs have answered; enough are 3; it ends on ...`"""
        number = f"{self.heard} of {self.invited} VOs have answered" if self.invited else "No VO has been invited"
        if self.due is None:
            return f"{number}."
        if self.is_enough:
            end = f"it ends on {moment(self.not_before)}, not earlier" if self.not_before else "it ends by itself, now"
            return f"{number}, which is enough; {end}."
        fewer = 0 < self.wanted < self.invited
        ends = f"it ends on {moment(self.due)}"
        ends += " at the latest" if fewer else " or when all have" if self.invited else ""
        earliest = f", and not before {moment(self.not_before)}" if self.not_before is not None else ""
        return f"{number}; {f'enough are {self.wanted}; ' if fewer else ''}{ends}{earliest}."


def change_ends(rollout: Rollout, now: datetime) -> str:
    """Say why no answer can be changed or withdrawn any more: others build on it; "" while it can."""
    if (ended := rollout.the(FactKind.FEEDBACK_ENDED)) is not None:
        return f"The asking has ended on {moment(ended.at)}, and the release notes tell of this answer."
    if rollout.is_over:
        return "The preview has ended."
    due = feedback_due(rollout)
    return f"The agreed date, {moment(due)}, has passed." if due is not None and time_is_up(rollout, now) else ""


def time_is_up(rollout: Rollout, now: datetime) -> bool:
    """Tell whether the agreed date has passed; its very instant is still in time. Never before it was agreed on."""
    due = feedback_due(rollout)
    return due is not None and now > due


def summary(rollout: Rollout) -> FeedbackSummary:
    """Sort what was said."""
    given = answers(rollout)
    heard = {a.vo for a in counting(given)}
    invited = tuple(sorted(invited_vos(rollout)))
    bugs, test_cases = tallies((a.vo, a.verdicts) for a in counting(given))
    return FeedbackSummary(
        outcome=outcome(rollout),
        due=feedback_due(rollout),
        invited=invited,
        counting=counting(given),
        replaced=tuple(a for a in given if a.invited and a.replaced and a.withdrawn_at is None),
        silent=tuple(vo for vo in invited if vo not in heard),
        late=tuple(a for a in given if a.invited and a.late),
        others=tuple(a for a in given if not a.invited and not a.replaced and a.withdrawn_at is None),
        withdrawn=tuple(a for a in given if a.withdrawn_at is not None),
        bugs=bugs,
        test_cases=test_cases,
    )
