"""What stands between a pilot and its release, as conditions (SD 4.1.3, 4.1.4); each asks what the step asks.

No words of a site are in them: why one has rolled back is for those who take part.
"""

from __future__ import annotations

from datetime import datetime

from pps.activities.clients.conditions import release_notes
from pps.activities.pilots import kick_off, meetings, vos, wrap_up
from pps.activities.pilots.set_up import reasons_against_software
from pps.activities.quality.conditions import same_packages
from pps.domain.base.conditions import NOT_TOLD, Condition, ConditionState, in_order, listed, moment, why_not
from pps.domain.base.texts import one_line
from pps.domain.packages.patch import Patch
from pps.domain.people import feedback, questions
from pps.domain.people.feedback import Terms
from pps.domain.people.overruling import Overruling, waiver
from pps.domain.people.roles import Role
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import ACCEPTANCE, PROLONG, RELEASE, REPORT, SELECTION, Pilot, RunOutcome
from pps.domain.pilots.success import silent_vos
from pps.domain.record.facts import FactKind

MET, WAITING, NOT_YET = ConditionState.MET, ConditionState.WAITING, ConditionState.NOT_YET
FAILED, WAIVED, UNKNOWN = ConditionState.FAILED, ConditionState.WAIVED, ConditionState.UNKNOWN
_COORDINATOR = (Role.PPS_COORDINATOR.value,)
_SECTION = "SD 4.1.3"


def of_pilot(
    pilot: Pilot, patch: Patch | None, now: datetime, *, terms: Terms, joint: Overruling | None
) -> tuple[Condition, ...]:
    """The conditions of one round of a pilot, in their order.

    Args:
        patch: as the tracker has it now; None: it does not answer.
        terms: when VOs are asked no longer (policies.yaml).
        joint: the decision that the policies do not hold for this patch.
    """
    chain = [_request(pilot), _selection(pilot), _kick_off(pilot), _set_up(pilot), _run(pilot, now)]
    if pilot.is_major:
        chain.append(_vos(pilot, now, terms, joint))
    chain += [_reports(pilot), _decision(pilot), release_notes(pilot.record, _SECTION)]
    found = (*in_order(chain, over=pilot.record.is_over), _software(pilot, patch))
    if pilot.record.has(FactKind.PACKAGES_KEPT):
        found = (*found, same_packages(pilot.record, patch, _SECTION))
    return found


def _asked(pilot: Pilot, step: str) -> datetime | None:
    found = questions.question(pilot.record, step, Role.PPS_COORDINATOR)
    return found.due if found else None


def _by(until: datetime | None) -> str:
    return f" by {moment(until)}" if until else ""


def _request(pilot: Pilot) -> Condition:
    decided, due = pilot.acceptance, _asked(pilot, ACCEPTANCE)
    if pilot.is_accepted and decided is not None:
        return Condition("request", f"{_SECTION}, 1", MET, f"The {_COORDINATOR[0]} has accepted it.")
    if decided is not None:
        why = f"It was declined on {moment(decided.at)}. {one_line(str(decided.payload['reason']), 300)}"
        return Condition("request", f"{_SECTION}, 1", FAILED, why)
    why = f"The {_COORDINATOR[0]} accepts or declines it{_by(due)}; silence declines it."
    return Condition("request", f"{_SECTION}, 1", WAITING, why, _COORDINATOR, due)


def _selection(pilot: Pilot) -> Condition:
    name, section = "selection of sites", f"{_SECTION}, 2"
    if pilot.selected:
        return Condition(name, section, MET, f"{listed(pilot.selected)} {_runs(pilot.selected)} it.")
    if pilot.record.is_closed:
        return Condition(name, section, FAILED if pilot.is_accepted else NOT_YET, "No site was selected.", _COORDINATOR)
    checked, due = pilot.record.the(FactKind.DOCUMENTATION_CHECKED), _asked(pilot, SELECTION)
    missing = listed([str(what) for what in checked.payload["missing"]]) if checked else ""
    lacking = f" There is no documentation for {missing} yet." if missing else ""
    why = f"The {_COORDINATOR[0]} selects the sites{_by(due)}; silence ends the pilot.{lacking}"
    return Condition(name, section, WAITING, why, _COORDINATOR, due)


def _runs(sites: tuple[str, ...]) -> str:
    return "runs" if len(sites) == 1 else "run"


def _kick_off(pilot: Pilot) -> Condition:
    name, section = "kick-off", f"{_SECTION}, 5"
    if agreed := pilot.record.the(FactKind.KICK_OFF_AGREED):
        return Condition(name, section, MET, f"Its dates were agreed on {moment(agreed.at)}.")
    if pilot.record.is_closed:
        return Condition(name, section, FAILED if pilot.selected else NOT_YET, "Nothing was agreed.", _COORDINATOR)
    return Condition(name, section, WAITING, *_meeting(pilot, meetings.KICK_OFF, kick_off.STEP, "what was agreed"))


def _meeting(pilot: Pilot, what: str, step: str, then: str) -> tuple[str, tuple[str, ...], datetime | None]:
    due, called = _asked(pilot, step), meetings.meeting(pilot.record, what)
    at = f"The meeting begins on {moment(datetime.fromisoformat(called.payload['starts']))}; t" if called else "T"
    return f"{at}he {_COORDINATOR[0]} enters {then}{_by(due)}; silence ends the pilot.", _COORDINATOR, due


def _software(pilot: Pilot, patch: Patch | None) -> Condition:
    """Certified software, or the reason why other software is used, on record."""
    name, section = "certified software", f"{_SECTION}, general policies"
    if exception := pilot.exception:
        why = f"The {_COORDINATOR[0]} or the {Role.EMT} allows software that is not certified."
        return Condition(name, section, WAIVED, f"{why} {one_line(str(exception.payload['reason']), 300)}")
    if patch is None:
        return Condition(name, section, UNKNOWN, f"{NOT_TOLD} whether it is certified.")
    if reasons := reasons_against_software(pilot.record, patch):
        # the kick-off asks for the justification; from then on nothing is set up without it
        wanted = pilot.record.has(FactKind.KICK_OFF_AGREED) and not pilot.record.is_over
        return Condition(name, section, WAITING if wanted else NOT_YET, " ".join(reasons), (*_COORDINATOR, Role.EMT))
    return Condition(name, section, MET, f'The patch is "{patch.state}".')


def _set_up(pilot: Pilot) -> Condition:
    name, section, agreed = "set-up", f"{_SECTION}, 7", pilot.agreement
    if since := pilot.running_since:
        where = listed([site for site in pilot.selected if pilot.first_set_up(site)])
        return Condition(name, section, MET, f"It is set up at {where}, and seen by us, since {moment(since)}.")
    if pilot.run_ended is not None:
        return Condition(name, section, FAILED, "It was never set up at every one of its sites.", pilot.selected)
    if agreed is None or not pilot.awaited:
        return Condition(name, section, WAITING, "No site is left to set it up; the run ends by itself.")
    ready = len(pilot.sites) - len(pilot.awaited)
    why = f"{ready} of {len(pilot.sites)} sites have set it up; a site that has not by {moment(agreed.set_up_until)}"
    return Condition(name, section, WAITING, f"{why} is left out.", pilot.awaited, agreed.set_up_until)


def _run(pilot: Pilot, now: datetime) -> Condition:
    name, section = "run", f"{_SECTION}, 8"
    if ended := pilot.run_ended:
        outcome = RunOutcome(ended.payload["outcome"])
        state = MET if outcome in (RunOutcome.EXPIRED, RunOutcome.SUCCESS) else FAILED
        words = {
            RunOutcome.EXPIRED: "It ran for the agreed time, until",
            RunOutcome.SUCCESS: "It was declared a success before its time was up, on",
            RunOutcome.ROLLED_BACK: "No site runs it any more, since",
            RunOutcome.NOT_SET_UP: "No site could set it up; it ended on",
        }
        return Condition(name, section, state, f"{words[outcome]} {moment(ended.at)}.")
    until = pilot.runs_until
    # asked, as the rule may say that the run cannot have begun
    lacking = why_not(lambda: rules.may_run(pilot))
    if until is None or lacking:
        return Condition(name, section, WAITING, "It begins when the last site is ready.")
    served = len(pilot.serving)
    over = " The end is put on record next." if pilot.outcome_now(now) else ""
    return Condition(
        name,
        section,
        WAITING,
        f"It runs at {served} of {len(pilot.selected)} sites until {moment(until)}.{over}",
        until=until,
    )


def _vos(pilot: Pilot, now: datetime, terms: Terms, joint: Overruling | None) -> Condition:
    name, agreed, silent = "VOs", pilot.agreement, silent_vos(pilot)
    if agreed is None:
        return Condition(name, _SECTION, WAITING, "Those that commit themselves are asked when it is set up.")
    if not agreed.vos:
        return Condition(name, _SECTION, MET, "No VO has committed itself, so operations judge it.")
    heard = f"{len(agreed.vos) - len(silent)} of {len(agreed.vos)} committed VOs have answered"
    asking = feedback.Asking.of(pilot.record, terms)
    in_force = asking.not_before is not None and now < asking.not_before and not pilot.record.is_over
    if (not silent and not in_force) or now > agreed.feedback_until:
        none = " Operations judge it, and the release notes say so." if len(silent) == len(agreed.vos) else ""
        return Condition(name, _SECTION, MET, f"{heard}.{none}")
    if joint is not None:
        return Condition(name, _SECTION, WAIVED, waiver(joint, "Nobody waits for their feedback"))
    if pilot.run_ended is not None and vos.vos_are_heard(pilot.record, now, terms):
        enough = f"enough are {asking.wanted}" if asking.is_enough else "no site has the service any more"
        return Condition(name, _SECTION, MET, f"{heard}; {enough}, so none is waited for.")
    until, sentence = agreed.feedback_until, f"{heard}; it ends on {moment(agreed.feedback_until)} or when all have."
    if asking.invited == len(agreed.vos):
        until, sentence = asking.until or until, asking.sentence.replace("VOs", "committed VOs", 1)
    return Condition(name, _SECTION, WAITING, sentence, silent, until)


def _reports(pilot: Pilot) -> Condition:
    name, section = "reports", f"{_SECTION}, 9"
    written = len(pilot.served) - len(pilot.missing_reports)
    number = f"{written} of {len(pilot.served)} sites have written theirs"
    if pilot.run_ended is None:
        return Condition(name, section, WAITING, "Each site that had it reports after the run.")
    if pilot.record.has(FactKind.WRAPPED_UP) or not why_not(lambda: rules.may_wrap_up(pilot)):
        none = "No site had it, so there is nothing to report."
        return Condition(name, section, MET, f"{number}; none is waited for." if pilot.served else none)
    asked = [q for s in pilot.missing_reports if (q := questions.question(pilot.record, REPORT, s))]
    until = max((q.due for q in asked), default=None)
    end = f"; it ends on {moment(until)} or when all have" if until else ""
    return Condition(name, section, WAITING, f"{number}{end}.", pilot.missing_reports, until)


def _decision(pilot: Pilot) -> Condition:
    name, section, wrapped = "decision", f"{_SECTION}, 10", pilot.record.the(FactKind.WRAPPED_UP)
    if wrapped is None:
        if pilot.record.is_closed:
            return Condition(name, section, FAILED if pilot.run_ended else NOT_YET, "Nobody decided.", _COORDINATOR)
        return Condition(name, section, WAITING, *_meeting(pilot, meetings.WRAP_UP, wrap_up.STEP, "the decision"))
    said, reason = wrapped.payload, one_line(str(wrapped.payload.get("reason", "")), 300)
    if said["decision"] == PROLONG:
        why = f"It was prolonged on {moment(wrapped.at)}: another round follows. {reason}"
        return Condition(name, section, NOT_YET, why.rstrip(), _COORDINATOR)
    if said["decision"] != RELEASE:
        return Condition(name, section, FAILED, f"It was rejected on {moment(wrapped.at)}. {reason}".rstrip())
    if against := len([*said.get("reasons_against", ()), *said.get("inconclusive", ())]):
        number = "one reason" if against == 1 else f"{against} reasons"
        why = f"The {_COORDINATOR[0]} releases it against {number} in the assessment. {reason}"
        return Condition(name, section, WAIVED, why)
    return Condition(name, section, MET, f"The wrap-up decided on {moment(wrapped.at)} to release it.")
