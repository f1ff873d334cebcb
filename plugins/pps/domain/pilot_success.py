"""How a pilot did: by whom it is judged, and what stands against a release (SD 4.1.3).

SD cites "the success criteria in use for the minor updates" and lists none; ours are in docs/adr/0014.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pps.domain.errors import NotYetAllowedError
from pps.domain.facts import Fact, FactKind
from pps.domain.feedback import Opinion
from pps.domain.pilots import Pilot
from pps.domain.texts import one_line

#: States of a probe in which the service serves its users (Nagios plugin convention).
WELL = ("OK", "WARNING")


class JudgedBy(StrEnum):
    """Whose word counts."""

    OPERATIONS = "operations"
    """the operations team alone, by the criteria of minor updates"""
    USERS = "users"
    """the VOs that have committed themselves, with their feedback"""


@dataclass(frozen=True, slots=True)
class VoWord:
    """One answer of a VO that has committed itself, in time."""

    vo: str
    opinion: Opinion
    text: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the wrap-up meeting is shown."""

    by: JudgedBy
    reasons_against: tuple[str, ...]
    """why not to release it; none means that the pilot was a success"""
    remarks: tuple[str, ...]
    """what else was seen"""
    no_feedback: bool
    """the release notes must say that no feedback from users was received"""


def words_of_vos(pilot: Pilot) -> tuple[VoWord, ...]:
    """What the committed VOs said in time; an answer at the very instant of the agreed date is in time.

    An answer counts for its VO only if it came with that VO's own invitation.
    """
    agreed = pilot.agreement
    if agreed is None:
        return ()
    return tuple(
        VoWord(f.subject, Opinion(f.payload["opinion"]), str(f.payload["text"]))
        for f in pilot.record.facts
        if f.kind is FactKind.FEEDBACK_GIVEN
        and f.subject in agreed.vos
        and f.payload.get("invited")
        and f.at <= agreed.feedback_until
    )


def silent_vos(pilot: Pilot) -> tuple[str, ...]:
    """The committed VOs that have not answered (in time): whom to remind."""
    agreed = pilot.agreement
    heard = {word.vo for word in words_of_vos(pilot)}
    return tuple(vo for vo in agreed.vos if vo not in heard) if agreed else ()


def availability(pilot: Pilot, site: str, until: datetime) -> float | None:
    """Share of the run in which the service at a site was well; None where there is nothing to judge by.

    Probes are on record where their state changes, so time is measured, not probes counted. The service is well
    when its set-up was verified, and not well from a roll-back on. Time in which we could not look (UNKNOWN) counts
    for neither.
    """
    begun = pilot.running_since
    if begun is None or pilot.set_up(site) is None:
        return None
    until = min(until, pilot.run_ended_at or until)
    spent = {True: timedelta(), False: timedelta(), None: timedelta()}
    since, state = begun, _WELL
    for fact in pilot.record.facts:
        if fact.subject != site or fact.kind not in _TELLING:
            continue
        at = max(min(fact.at, until), since)
        spent[state] += at - since
        since, state = at, _is_well(fact)
    spent[state] += max(until - since, timedelta())
    judged = spent[True] + spent[False]
    return spent[True] / judged if judged else None


_WELL: bool | None = True
_TELLING = (FactKind.SERVICE_SET_UP, FactKind.SERVICE_ROLLED_BACK, FactKind.SERVICE_PROBED)


def _is_well(fact: Fact) -> bool | None:
    if fact.kind is not FactKind.SERVICE_PROBED:
        return fact.kind is FactKind.SERVICE_SET_UP
    state = str(fact.payload["state"]).upper()
    return None if state == "UNKNOWN" else state in WELL


def reasons_against_minor_success(pilot: Pilot, available_at_least: float, now: datetime) -> tuple[str, ...]:
    """Say why a pilot has not met the criteria of minor updates; no reasons means that it has.

    Ours (docs/adr/0014): no roll-back, no open incident, and the service was well for most of the run.
    """
    reasons = []
    for site in pilot.selected:
        rolled = [f for f in pilot.record.facts if f.kind is FactKind.SERVICE_ROLLED_BACK and f.subject == site]
        if rolled:
            why = one_line(str(rolled[-1].payload.get("reason", ""))).rstrip(".") or "no reason given"
            reasons.append(f"It was rolled back at {site}: {why}.")
            continue
        probes = [f for f in pilot.record.facts if f.kind is FactKind.SERVICE_PROBED and f.subject == site]
        if probes and _is_well(probes[-1]) is False:
            text = one_line(str(probes[-1].payload.get("text", ""))).rstrip(".")
            reasons.append(f"An incident is open at {site}: {text}.")
        share = availability(pilot, site, now)
        if share is not None and share < available_at_least:
            # never rounded up to the limit that it misses
            reasons.append(
                f"The service at {site} was well in {int(share * 1000) / 10} % of the run; "
                f"it should be {available_at_least * 100:g} %."
            )
    if pilot.running_since is None:
        reasons.append("The service was never set up at all of its sites.")
    return tuple(reasons)


def assess(pilot: Pilot, available_at_least: float, now: datetime, *, overruled: bool = False) -> Assessment:
    """Judge a pilot whose run has ended.

    Source: SD 4.1.3: "In case no VOs commit to be active on the pilot service, or no feedback is received within the
    agreed timeline, the pilot service is evaluated with the same success criteria in use for the minor updates, and
    the decision to go to production is made internally by the operations team. In that case the release notes
    mention explicitly that no feedback from users was received during the pilot service."

    Args:
        overruled: EMT and coordination overruled the policies together, so nobody waits for the VOs (SD 4.1.3).

    Raises:
        NotYetAllowedError: the run has not ended, or the VOs have still time to answer.
    """
    pilot.record.need(FactKind.RUN_ENDED, "Wait for the end of the run.")
    technical = reasons_against_minor_success(pilot, available_at_least, now)
    if not pilot.is_major:
        return Assessment(JudgedBy.OPERATIONS, technical, (), no_feedback=False)
    words, silent, agreed = words_of_vos(pilot), silent_vos(pilot), pilot.agreement
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
        return Assessment(JudgedBy.OPERATIONS, technical, (why,), no_feedback=True)
    problems = tuple(
        f"{w.vo} reports a problem: {one_line(w.text).rstrip('.')}." for w in words if w.opinion is Opinion.PROBLEM
    )
    others = (f"No feedback from {', '.join(silent)} in time.",) if silent else ()
    # a service that had to be rolled back is no success, whatever its users say
    rolled_back = tuple(r for r in technical if r.startswith("It was rolled back"))
    seen = tuple(r for r in technical if r not in rolled_back)
    return Assessment(JudgedBy.USERS, (*problems, *rolled_back), (*others, *seen), no_feedback=False)
