"""What is known for a decision that a pilot waits for, in sentences (SD 4.1.3).

The question itself shows more of it, where it is answered; this is what those read who wait for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pps.activities.pilots import kick_off, roll_back, set_up, wrap_up
from pps.activities.pilots.screening import interested
from pps.domain.base.conditions import listed, moment
from pps.domain.base.texts import one_line
from pps.domain.people.feedback import Opinion
from pps.domain.people.questions import Question
from pps.domain.pilots import looks
from pps.domain.pilots.lanes import LaneState, newest
from pps.domain.pilots.pilot import ACCEPTANCE, REPORT, SELECTION, Pilot
from pps.domain.pilots.success import Assessment, silent_vos, words_of_vos
from pps.domain.record.facts import FactKind

_LONGEST = 300
"""characters of what somebody has written"""


@dataclass(frozen=True, slots=True)
class _Case:
    pilot: Pilot
    asked: Question
    assessment: Assessment | None
    now: datetime


def evidence(pilot: Pilot, asked: Question, assessment: Assessment | None, now: datetime) -> tuple[str, ...]:
    """What speaks for and against each answer to this question, as it is on record now.

    Args:
        assessment: None: the run has not ended, or the VOs still have time.
    """
    found = _OF.get(asked.step)
    return tuple(found(_Case(pilot, asked, assessment, now))) if found else ()


def _of_request(case: _Case) -> list[str]:
    record, found = case.pilot.record, []
    if asked := record.the(FactKind.PILOT_REQUESTED):
        for_whom = str(asked.payload["vo"] or asked.payload["role"])
        found.append(f"{for_whom} asks for it: {one_line(str(asked.payload['scope']), _LONGEST)}")
    if judged := record.the(FactKind.PILOT_JUDGED):
        found.append(f"By the rules it is a {judged.payload['kind']} update, {judged.payload['compatibility']}.")
        found += [str(reason) for reason in judged.payload["reasons"]]
    return found + _of_software(case)


def _of_software(case: _Case) -> list[str]:
    opened = case.pilot.record.opened
    if opened.get("certified", True):
        return []
    if exception := case.pilot.exception:
        return [f"Software that is not certified is allowed: {one_line(str(exception.payload['reason']), _LONGEST)}"]
    why = one_line(str(opened.get("justification", "")), _LONGEST)
    return [f"The software was not certified when it was asked for. {f'The request says why: {why}' if why else ''}"]


def _of_selection(case: _Case) -> list[str]:
    record, found = case.pilot.record, []
    if ranked := record.the(FactKind.CANDIDATES_RANKED):
        candidates = [str(c["site"]) for c in ranked.payload["candidates"]]
        found.append(
            f"Candidates, the best first: {', '.join(candidates)}." if candidates else "There is no candidate."
        )
        if excluded := ranked.payload["excluded"]:
            found.append(f"Not candidates: {', '.join(excluded)}.")
    return found + _of_interest(case) + _of_documents(case)


def _of_interest(case: _Case) -> list[str]:
    if not case.pilot.is_major:
        return ["It is a minor pilot, in which VOs have no part."]
    wants = interested(case.pilot.record)
    return [f"{vo} wants to take part: {one_line(text, _LONGEST)}" for vo, text in wants.items()] or [
        "No VO has said that it wants to take part."
    ]


def _of_documents(case: _Case) -> list[str]:
    checked = case.pilot.record.the(FactKind.DOCUMENTATION_CHECKED)
    missing = [str(what) for what in checked.payload["missing"]] if checked else []
    return [f"There is no documentation for {listed(missing)}."] if missing else []


def _of_kick_off(case: _Case) -> list[str]:
    awaited = listed(case.pilot.awaited)
    sites = f"{listed(case.pilot.sites) or 'No site'} would run it"
    return [
        f"{sites}; the service is to be set up at {awaited}." if awaited else f"{sites}; it is set up everywhere.",
        *_of_interest(case),
        *_of_software(case),
    ]


def _of_set_up(case: _Case) -> list[str]:
    agreed = case.pilot.agreement
    until = [f"It was agreed to have it set up by {moment(agreed.set_up_until)}."] if agreed else []
    return [*until, *set_up.newest_reasons(case.pilot.record, case.asked.subject)]


def _of_roll_back(case: _Case) -> list[str]:
    asked = case.pilot.roll_back_asked(case.asked.subject)
    why = [f"{asked.payload['by']} asks for it: {one_line(str(asked.payload['reason']), _LONGEST)}"] if asked else []
    return [*why, *_of_site(case, case.asked.subject)]


def _of_report(case: _Case) -> list[str]:
    return _of_site(case, case.asked.subject)


def _of_wrap_up(case: _Case) -> list[str]:
    pilot, judged, found = case.pilot, case.assessment, []
    if ended := pilot.run_ended:
        found.append(f"The run has ended: {ended.payload['outcome']}.")
    if judged is None:
        found.append("The VOs still have time to answer, so it is not judged yet.")
    else:
        found += [f"Against a release: {reason}" for reason in judged.reasons_against]
        found += [f"Not known: {reason}" for reason in judged.inconclusive]
        if not judged.has_doubts:
            found.append(f"Nothing stands against a release, judged by {judged.by}.")
        found += judged.remarks
    for word in words_of_vos(pilot):
        if not word.replaced and (judged is None or word.opinion is not Opinion.PROBLEM):  # else it is said above
            found.append(f"{word.vo} says {word.opinion}: {one_line(word.text, _LONGEST)}")
    if judged is None and (silent := silent_vos(pilot)):
        found.append(f"No answer from {listed(silent)} so far.")
    for site in pilot.selected:
        found += _of_site(case, site)
        if pilot.roll_back_asked(site):
            found.append(f"A roll-back was asked for at {site}, and is not done.")
    if missing := pilot.missing_reports:
        found.append(f"No report from {listed(missing)}.")
    return found


def _of_site(case: _Case, site: str) -> list[str]:
    pilot = case.pilot
    if (last := newest(pilot, site, case.now)) is None:
        return [f"{site} has not set it up."]
    seen = looks.availability(pilot, site, case.now)
    well = f"well in {seen.text} % of what was seen of the run" if seen and seen.text else "nothing was seen of the run"
    told = looks.incidents(pilot.record, site)
    number = f", {len(told)} incident{'' if len(told) == 1 else 's'}" if told else ""
    found = [f"{site}: {well}{number}."]
    if done := pilot.rolled_back(site):
        found.append(f"{site} has rolled back: {one_line(str(done.payload.get('reason', '')), _LONGEST)}")
    elif last.state is LaneState.CRITICAL:
        is_incident = "An incident is open" if told and told[-1].ended is None else "The service does not answer well"
        found.append(f"{is_incident} at {site} since {moment(last.begin)}: {one_line(last.text, _LONGEST)}")
    return found


#: Step of the question -> what is known for its answer.
_OF: Mapping[str, Callable[[_Case], list[str]]] = {
    ACCEPTANCE: _of_request,
    SELECTION: _of_selection,
    kick_off.STEP: _of_kick_off,
    set_up.STEP: _of_set_up,
    roll_back.STEP: _of_roll_back,
    REPORT: _of_report,
    wrap_up.STEP: _of_wrap_up,
}
