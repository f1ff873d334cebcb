"""How a pilot did: by whom it is judged, and what stands against a release (SD 4.1.3).

SD cites "the success criteria in use for the minor updates" and lists none; ours are in docs/adr/0014.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pps.domain.base.conditions import moment
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.texts import one_line
from pps.domain.people.feedback import FollowUp, Opinion, VoAnswer, answers
from pps.domain.pilots.looks import availability, percent, samples
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import FactKind
from pps.domain.sites.probes import ProbeState


class JudgedBy(StrEnum):
    """Whose word counts."""

    OPERATIONS = "operations"
    """the operations team alone, by the criteria of minor updates"""
    USERS = "users"
    """the VOs that have committed themselves, with their feedback"""


@dataclass(frozen=True, slots=True)
class Criteria:
    """Of minor updates (docs/adr/0014; policies.yaml, `pilots`)."""

    available_at_least: float
    """share of that part of the run that could be judged"""
    unknown_at_most: float
    """share of the run in which nobody knows how the service was; above it nothing can be concluded"""


@dataclass(frozen=True, slots=True)
class VoWord:
    """One answer of a VO that has committed itself, in time."""

    vo: str
    opinion: Opinion
    text: str
    replaced: bool = False
    """the VO has answered again in time: shown, but the later one counts"""
    said: str = ""
    """the opinion, and beside it what it says of single bugs and test cases"""
    follow_ups: tuple[FollowUp, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the wrap-up meeting is shown."""

    by: JudgedBy
    reasons_against: tuple[str, ...]
    """why not to release it; none means that the pilot was a success"""
    inconclusive: tuple[str, ...]
    """why nothing can be concluded from what was seen; then it is neither success nor failure, and a person decides"""
    remarks: tuple[str, ...]
    """what else was seen"""
    no_feedback: bool
    """the release notes must say that no feedback from users was received"""

    @property
    def has_doubts(self) -> bool:
        """Tell whether a release needs a reason: something stands against it, or nobody knows."""
        return bool(self.reasons_against or self.inconclusive)


def words_of_vos(pilot: Pilot) -> tuple[VoWord, ...]:
    """What the committed VOs said in time; an answer at the very instant of the agreed date is in time.

    An answer counts for its VO only if it came with that VO's own invitation; of several the newest does (ADR 23).
    One that was withdrawn is nobody's word any more.
    """
    given = _answers_in_time(pilot)
    newest = {a.vo: a for a in given}
    return tuple(
        VoWord(a.vo, a.opinion, a.text, a is not newest[a.vo], a.words, a.follow_ups)
        for a in given
        if a.withdrawn_at is None
    )


def _answers_in_time(pilot: Pilot) -> list[VoAnswer]:
    agreed = pilot.agreement
    if agreed is None:
        return []
    return [a for a in answers(pilot.record) if a.vo in agreed.vos and a.invited and a.at <= agreed.feedback_until]


def silent_vos(pilot: Pilot) -> tuple[str, ...]:
    """The committed VOs that have not answered (in time): whom to remind."""
    agreed = pilot.agreement
    heard = {word.vo for word in words_of_vos(pilot) if not word.replaced}
    return tuple(vo for vo in agreed.vos if vo not in heard) if agreed else ()


def _withdrawn(pilot: Pilot) -> tuple[str, ...]:
    """That VOs which are silent now have answered, and taken it back."""
    taken_back = {a.vo: a.withdrawn_at for a in _answers_in_time(pilot) if a.withdrawn_at is not None}
    return tuple(
        f"{vo} withdrew its answer on {moment(taken_back[vo])}." for vo in silent_vos(pilot) if vo in taken_back
    )


def reasons_against_minor_success(pilot: Pilot, criteria: Criteria, now: datetime) -> tuple[str, ...]:
    """Say why a pilot has not met the criteria of minor updates; no reasons means that nothing stands against it.

    Ours (docs/adr/0014): no roll-back, no open incident, and the service was well for most of the run.
    """
    reasons = []
    for site in pilot.selected:
        if rolled_back := pilot.rolled_back(site):
            why = one_line(str(rolled_back.payload.get("reason", ""))).rstrip(".") or "no reason given"
            reasons.append(f"It was rolled back at {site}: {why}.")
            continue
        known = samples(pilot.record, site)
        if known and known[-1].state is ProbeState.CRITICAL:
            reasons.append(f"An incident is open at {site}: {one_line(known[-1].text).rstrip('.')}.")
        seen = availability(pilot, site, now)
        if seen is not None and seen.share is not None and seen.share < criteria.available_at_least:
            reasons.append(
                f"The service at {site} was well in {seen.text} % of what was seen of the run; "
                f"it should be at least {criteria.available_at_least * 100:g} %."
            )
    if pilot.running_since is None:
        reasons.append("The service was never set up at every one of its sites.")
    return tuple(reasons)


def unknown_parts(pilot: Pilot, criteria: Criteria, now: datetime) -> tuple[str, ...]:
    """Say at which sites too little was seen of the run to conclude anything; none means that enough was.

    A service that nobody looked at is neither well nor ill: what nobody saw counts for neither (docs/adr/0014).
    """
    found = []
    for site in pilot.selected:
        seen = availability(pilot, site, now)
        if seen is not None and pilot.rolled_back(site) is None and seen.unknown_share > criteria.unknown_at_most:
            found.append(
                f"For {percent(seen.unknown_share)} % of the run nobody knows how the service at {site} was; nothing "
                f"can be concluded if that is more than {criteria.unknown_at_most * 100:g} %."
            )
    return tuple(found)


def assess(pilot: Pilot, criteria: Criteria, now: datetime, *, overruled: bool = False) -> Assessment:
    """Judge a pilot whose run has ended.

    Source: SD 4.1.3: "In case no VOs commit to be active on the pilot service, or no feedback is received within the
    agreed timeline, the pilot service is evaluated with the same success criteria in use for the minor updates, and
    the decision to go to production is made internally by the operations team. In that case the release notes
    mention explicitly that no feedback from users was received during the pilot service."

    Args:
        overruled: EMT and coordination overruled the policies together, so nobody waits for the VOs (SD 4.1.3).

    Raises:
        NotYetAllowedError: the run has not ended, or the VOs still have time to answer.
    """
    pilot.record.need(FactKind.RUN_ENDED, "Wait for the end of the run.")
    technical, unknown = reasons_against_minor_success(pilot, criteria, now), unknown_parts(pilot, criteria, now)
    if not pilot.is_major:
        return Assessment(JudgedBy.OPERATIONS, technical, unknown, (), no_feedback=False)
    words = [w for w in words_of_vos(pilot) if not w.replaced]
    silent, agreed, withdrawn = silent_vos(pilot), pilot.agreement, _withdrawn(pilot)
    may_come = agreed is not None and bool(agreed.vos) and now <= agreed.feedback_until and pilot.serving
    if not words and agreed is not None and may_come and not overruled:
        raise NotYetAllowedError(
            pilot.name,
            f"the VOs may answer until {agreed.feedback_until.isoformat(timespec='minutes')}.",
            "Wait for it.",
        )
    if not words:
        why = f"No feedback from {', '.join(silent)} in time." if silent else "No VO has committed itself to it."
        if may_come and silent:
            why = f"The policies were overruled, so nobody waited for {', '.join(silent)}."
        return Assessment(JudgedBy.OPERATIONS, technical, unknown, (why, *withdrawn), no_feedback=True)
    problems = tuple(
        f"{w.vo} reports a problem: {one_line(w.text).rstrip('.')}." for w in words if w.opinion is Opinion.PROBLEM
    )
    in_part = tuple(f"{w.vo} says: {w.said}." for w in words if w.said != w.opinion)
    others = (*in_part, *((f"No feedback from {', '.join(silent)} in time.",) if silent else ()), *withdrawn)
    # a service that had to be rolled back is no success, whatever its users say
    rolled_back = tuple(r for r in technical if r.startswith("It was rolled back"))
    seen = tuple(r for r in technical if r not in rolled_back)
    # the users' word concludes it, so what our probes did not see is a remark
    return Assessment(JudgedBy.USERS, (*problems, *rolled_back), (), (*others, *seen, *unknown), no_feedback=False)
