"""What stands between a client's preview and its release, as conditions (SD 4.1.1, 4.1.2).

Each asks the function that the step itself asks, and has no effect.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pps.activities.clients import gates, local_configuration
from pps.activities.clients.certification import CertificationOutcome, outcome_by_now, waits_until
from pps.domain.base.conditions import NOT_TOLD, Condition, ConditionState, in_order, moment, without_words_of
from pps.domain.clients.batches import BatchLimits, GateVerdict, failures_allowed, keeps_waiting
from pps.domain.clients.control import MAY_CONTROL, pause_of, said_of_pause
from pps.domain.clients.updates import reasons_against_state
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people import feedback, questions
from pps.domain.people.feedback import Outcome, Terms
from pps.domain.people.overruling import Overruling, waiver
from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout, RolloutPath
from pps.domain.record.site_states import FAILURES, OFFERED, SiteState

MET, WAITING, NOT_YET = ConditionState.MET, ConditionState.WAITING, ConditionState.NOT_YET
FAILED, WAIVED, UNKNOWN = ConditionState.FAILED, ConditionState.WAIVED, ConditionState.UNKNOWN
#: Who certifies.
SA3 = "SA3 (certification)"
_PROVIDER = "provider"
_ON_THEIR_WAY = (SiteState.PLANNED, SiteState.INSTALLED, SiteState.CONFIGURED, SiteState.TESTED)


def of_preview(
    record: Rollout, now: datetime, *, limits: BatchLimits, enough: int, terms: Terms, joint: Overruling | None
) -> tuple[Condition, ...]:
    """The conditions of a preview, in their order.

    Args:
        enough: sites that offer a non-backward-compatible client before VOs are told (policies.yaml).
        terms: when VOs are asked no longer (policies.yaml).
        joint: the decision that the policies do not hold for this patch.
    """
    section = "SD 4.1.2" if record.path is RolloutPath.NON_BC_CLIENT else "SD 4.1.1"
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.")
    chain = [Condition("admission", section, MET, f"It was admitted as a preview on {moment(opened.at)}.")]
    if record.path is RolloutPath.BC_CLIENT:
        chain.append(_first_sites(record, limits))
    chain.append(_sites(record, limits, enough, section))
    chain.append(_vos(record, now, terms, joint))
    chain.append(release_notes(record, section))
    chain = [*in_order(chain, over=record.is_over)]
    if pause := pause_of(record):
        chain.append(Condition("pause", section, WAITING, said_of_pause(pause), MAY_CONTROL))
    if asked := record.the(FactKind.WITHDRAWAL_ASKED):
        why = f"Its preview was withdrawn on {moment(asked.at)}. {asked.payload['reason']}"
        chain.append(Condition("withdrawal", section, FAILED, why, (Role.RELEASE_MANAGER,)))
    return tuple(chain)


def _first_sites(record: Rollout, limits: BatchLimits) -> Condition:
    name, section = "first sites", "SD 4.1.1, gate"
    if passed := record.the(FactKind.GATE_PASSED):
        why = passed.payload.get("why") or ("They are healthy.",)
        return Condition(name, section, MET, str(why[0]))
    if not record.has(FactKind.PLAN_AGREED):
        return Condition(name, section, WAITING, "Its tarball is built and its sites are planned; this goes by itself.")
    verdict, why = gates.judged(record, limits)
    if _was_stopped(record) and not _was_the_budget(record, limits):
        return Condition(name, section, FAILED, _stopped(record), (Role.RELEASE_MANAGER,))
    if verdict is GateVerdict.HEALTHY:
        return Condition(name, section, WAITING, f"{why[0]} The gate opens by itself.")
    return Condition(name, section, WAITING, f"So far {why[0][:1].lower()}{why[0][1:]}")


def _sites(record: Rollout, limits: BatchLimits, enough: int, section: str) -> Condition:
    """All sites that were planned, within the failure budget."""
    name = "sites"
    if not record.has(FactKind.PLAN_AGREED):
        return Condition(name, section, WAITING, "Its tarball is built and its sites are planned; this goes by itself.")
    progress = record.all_progress(record.planned_sites)
    failed, late = sum(p.state in FAILURES for p in progress), sum(map(keeps_waiting, progress))
    not_yet = f" and {late} keep us waiting" if late else ""
    budget = f"{failed} of {len(progress)} failed{not_yet}, {failures_allowed(len(progress), limits)} may."
    if _was_stopped(record) and (_was_the_budget(record, limits) or record.path is not RolloutPath.BC_CLIENT):
        return Condition(name, section, FAILED, _stopped(record), (Role.RELEASE_MANAGER,))
    if record.has(FactKind.FEEDBACK_DATE_AGREED):
        waiting = sum(p.is_put_off for p in progress)
        but = f" but for {waiting} whose own windows it waits for," if waiting else ","
        return Condition(name, section, MET, f"They have been served{but} within the failure budget; by now {budget}")
    if reasons := gates.budget_reasons(record, limits):
        return Condition(name, section, FAILED, reasons[0], (Role.RELEASE_MANAGER,))
    if record.path is RolloutPath.NON_BC_CLIENT:
        return _at_their_own_pace(record, enough, budget)
    on_their_way = sum(p.state in _ON_THEIR_WAY for p in progress)
    sentence = f"{len(progress) - on_their_way} of {len(progress)} have been served; {budget} It goes on by itself."
    return Condition(name, section, WAITING, sentence)


def _at_their_own_pace(record: Rollout, enough: int, budget: str) -> Condition:
    """SD 4.1.2, 3: each site's people configure it when they can."""
    ready = sum(p.state in OFFERED for p in record.all_progress(record.planned_sites))
    asked = [q for q in questions.questions(record) if q.step == local_configuration.STEP]
    awaited = [q for q in asked if questions.is_open(record, q)]
    if local_configuration.is_offered(record, enough):
        return Condition(
            "sites", "SD 4.1.2", WAITING, f"{ready} of them offer it; {budget} The VOs are told next, by itself."
        )
    until = max((q.due for q in awaited), default=None)
    end = f", by {moment(until)} at the latest" if until else ""
    sentence = f"{ready} of them offer it; VOs are told when {enough} do, or no further one can come{end}. {budget}"
    return Condition("sites", "SD 4.1.2", WAITING, sentence, tuple(q.subject for q in awaited), until)


def _vos(record: Rollout, now: datetime, terms: Terms, joint: Overruling | None) -> Condition:
    """Feedback of the VOs; silence until the agreed date is an outcome."""
    name, section = "VOs", "SD 4.1.1"
    said, asking = feedback.summary(record), feedback.Asking.of(record, terms)
    number = f"{asking.heard} of {asking.invited} VOs have answered" if asking.invited else "No VO has been invited"
    ended = record.the(FactKind.FEEDBACK_ENDED)
    end = ended.at if ended else now
    if joint is not None and (ended or not record.is_over) and not _has_ended_by_itself(record, end, terms):
        return Condition(name, section, WAIVED, waiver(joint, "Nobody waits for their feedback"))
    if ended or _has_ended_by_itself(record, end, terms):
        silence = " That nobody answered is in the release notes." if said.outcome is Outcome.NONE else ""
        return Condition(name, section, MET, f"{number}.{silence}")
    if said.due is None:
        sentence = "They are asked when the sites have it."
        return Condition(name, section, WAITING, sentence)
    return Condition(name, section, WAITING, asking.sentence, said.silent, asking.until)


def _has_ended_by_itself(record: Rollout, at: datetime, terms: Terms) -> bool:
    """Tell whether the date had passed by then, or enough had answered."""
    if feedback.time_is_up(record, at):
        return True
    asking = feedback.Asking.of(record, terms)
    return asking.is_enough and (asking.not_before is None or at >= asking.not_before)


def release_notes(record: Rollout, section: str) -> Condition:
    """They carry the feedback, so nothing is released without them."""
    if written := record.the(FactKind.RELEASE_NOTES_WRITTEN):
        return Condition("release notes", section, MET, f"They were written on {moment(written.at)}.")
    return Condition("release notes", section, WAITING, "They are written next, by itself.")


# --- certification ----------------------------------------------------------------------------------------------


def certification(
    patch: Patch | None, record: Rollout | None, now: datetime, *, wait_at_most: timedelta, joint: Overruling | None
) -> Condition:
    """The certification of a patch, for its newest rollout.

    Args:
        patch: as the tracker has it now; None: it does not answer.
        record: of a preview, which waits for it no longer than policies.yaml grants; None: of another path.
    """
    name, section = "certification", "SD 4.1.1, last paragraph"
    waits = record is not None and record.path in PREVIEWS
    ended = record.the(FactKind.CERTIFICATION_ENDED) if record and waits else None
    outcome = CertificationOutcome(ended.payload["outcome"]) if ended else None
    if patch is None:
        return _certification_on_record(name, section, outcome, str(ended.payload["state"]) if ended else "")
    if patch.state in (PatchState.REJECTED, PatchState.OBSOLETE):
        return Condition(name, section, FAILED, f'The patch is "{patch.state}".', (_PROVIDER,))
    if not reasons_against_state(patch):
        return Condition(name, section, MET, f'The patch is "{patch.state}".')
    if joint is not None:
        return Condition(name, section, WAIVED, waiver(joint, f'The patch is "{patch.state}"'))
    if record and waits and outcome is None and not record.is_over:
        outcome = outcome_by_now(record, patch.state, now, wait_at_most=wait_at_most)
    if outcome is CertificationOutcome.EXPIRED:
        why = f'It has taken longer than the rollout waits for it; the patch is "{patch.state}".'
        return Condition(name, section, FAILED, why, (SA3, Role.RELEASE_MANAGER))
    until = waits_until(record, wait_at_most) if record and waits and not record.is_over and ended is None else None
    more = f" The rollout waits for it until {moment(until)}." if until else ""
    who = _PROVIDER if patch.state is PatchState.WITH_PROVIDER else SA3
    return Condition(name, section, WAITING, f'The patch is "{patch.state}".{more}', (who,), until)


def _certification_on_record(name: str, section: str, outcome: CertificationOutcome | None, state: str) -> Condition:
    match outcome:
        case CertificationOutcome.CERTIFIED:
            return Condition(name, section, MET, f'It had ended well: the patch was "{state}".')
        case CertificationOutcome.REJECTED:
            return Condition(name, section, FAILED, f'The patch was "{state}".', (_PROVIDER,))
    return Condition(name, section, UNKNOWN, f"{NOT_TOLD} how it stands.")


# --- what stopped it --------------------------------------------------------------------------------------------


def _was_stopped(record: Rollout) -> bool:
    """Tell whether gate or budget stopped it; the end of a withdrawal is on record as a stop, too."""
    return record.is_stopped and not record.is_withdrawn


def _was_the_budget(record: Rollout, limits: BatchLimits) -> bool:
    return bool(gates.budget_reasons(record, limits)) or record.has(FactKind.GATE_PASSED)


def _stopped(record: Rollout) -> str:
    """Our reasons for the stop, without those of single sites."""
    stopped = record.need(FactKind.ROLLOUT_STOPPED, "")
    named = {*record.planned_sites, *(f.subject for f in record.facts if f.subject)}
    reasons = without_words_of([str(r) for r in stopped.payload.get("reasons", ())], named)
    return " ".join([f"It was stopped on {moment(stopped.at)}.", *reasons])
