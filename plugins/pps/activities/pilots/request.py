"""A pilot is asked for, accepted or declined, and gets another round (SD 4.1.3, 1 and 10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pps.activities.desk import Desk, Office
from pps.activities.packages.advice import note_advice
from pps.activities.packages.verdicts import found_variables
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import LONGEST_REASON, clean_text, reasons_against_reason
from pps.domain.packages.patch import Patch
from pps.domain.people.overruling import overruling
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import ACCEPTANCE, ACCEPTED, DECLINED, Pilot
from pps.domain.pilots.server_updates import CERTIFIED, MinorLimits, UpdateVerdict, judge, reasons_against_pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath

ACCEPT, DECLINE = "Accept", "Decline"
OPTIONS = (ACCEPT, DECLINE)

#: What another round takes over from the one before: what was decided, and what is set up.
_TAKEN_OVER = (
    FactKind.PILOT_REQUESTED,
    FactKind.PILOT_JUDGED,
    FactKind.DECIDED,
    FactKind.CANDIDATES_RANKED,
    FactKind.DOCUMENTATION_CHECKED,
    FactKind.SITES_SELECTED,
    FactKind.MIRROR_MADE,
    FactKind.PACKAGES_KEPT,
)


@dataclass(frozen=True, slots=True)
class PilotRequest:
    """Who asks for a pilot, and what for."""

    by: str
    """user"""
    scope: str
    """use cases, scope and goals; agreed on in advance (SD 4.1)"""
    vo: str = ""
    """the VO that asks; "": the EMT does, for ITR or the developers"""
    justification: str = ""
    """why software that is not certified is used"""
    is_representative: bool = True
    """of that VO; otherwise it is the coordination that speaks for it"""

    @property
    def role(self) -> Role:
        """In which role it is asked for."""
        if not self.vo:
            return Role.EMT
        return Role.VO_REPRESENTATIVE if self.is_representative else Role.PPS_COORDINATOR


def verdict_on(patch: Patch, dossier: Rollout, limits: MinorLimits) -> UpdateVerdict:
    """Minor or major, BC or not; parameters that the packages themselves add count as well, if they were compared."""
    return judge(patch, limits, found_variables(dossier, patch))


def reasons_against_request(
    patch: Patch, dossier: Rollout, asked: PilotRequest, vos: Collection[str]
) -> tuple[str, ...]:
    """Say why a pilot cannot be asked for in this way; no reasons means that it can.

    Whoever asks, the rules say whether it is minor or major: SD has the EMT ask for minor ones and VOs for major ones
    only "normally" (docs/adr/0014).

    Args:
        vos: those of people.yaml.
    """
    reasons = list(reasons_against_pilot(patch, asked.justification, overruled=overruling(dossier) is not None))
    if asked.vo and asked.vo not in vos:
        reasons.append(f"The VO {asked.vo[:60]!r} is not in people.yaml.")
    reasons += (why.replace("The reason", "The scope") for why in reasons_against_reason(asked.scope))
    return tuple(reasons)


def request_pilot(
    office: Office,
    patch: Patch,
    asked: PilotRequest,
    limits: MinorLimits,
    vos: Collection[str],
    *,
    run: str,
    path: RolloutPath | None = None,
) -> str:
    """Put the request and the rules' verdict on record; returns the pilot's name. A retry returns the same.

    Args:
        path: the one that was started, minor or major; None: the one that the rules name.

    Raises:
        RefusedError: the rules say no; nothing was recorded.
        AlreadyOpenError: a pilot of this patch is open.
    """
    dossier = office.facts.dossier(patch.number)
    verdict = verdict_on(patch, dossier, limits)
    name = office.facts.next_name(verdict.path, patch.number, run)
    already_ours = any(r.name == name and r.closed_at is None for r in office.facts.rollouts(open_only=True))
    reasons = reasons_against_request(patch, dossier, asked, vos)
    if path not in (None, verdict.path):
        wanted = f"It is a {verdict.size} update: its pilot is the {verdict.size} one."
        reasons = (wanted, *verdict.reasons_for_major, *reasons)
    if reasons and not already_ours:
        raise RefusedError(patch.subject, reasons, f"See: pps pilot judge {patch.number}")
    joint = overruling(dossier)
    justification = clean_text(asked.justification).strip()
    payload = {
        "path": verdict.path,
        "patch": patch.number,
        "title": patch.title,
        "metapackage": patch.metapackage,
        "version": patch.version,
        "platforms": [str(p) for p in patch.platforms],
        "service_type": patch.service_type,
        "compatibility": verdict.compatibility.value,
        "state": patch.state.value,
        "certified": patch.state in CERTIFIED,
        "justification": justification or (joint.reason if joint else ""),
        "pilot": name,
        "round": 1,
        "run": run,
    }
    opening = Fact(name, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, payload)
    note_advice(office, patch)
    office.facts.open(verdict.path, patch.number, opening, run)
    judged = {
        "kind": verdict.size.value,
        "compatibility": verdict.compatibility.value,
        "level": verdict.level.value,
        "reasons": list(verdict.reasons),
    }
    requested = {
        "by": asked.by,
        "role": asked.role.value,
        "vo": asked.vo,
        "scope": clean_text(asked.scope).strip()[:LONGEST_REASON],
    }
    if not office.facts.has(name, FactKind.PILOT_JUDGED):  # a retry judges nothing anew: the record has its path
        office.facts.record(
            Fact(name, FactKind.PILOT_REQUESTED, "", "", office.now, f"user {asked.by}", requested),
            Fact(name, FactKind.PILOT_JUDGED, "", "", office.now, office.actor, judged),
        )
    return name


def acceptance_view(record: Rollout, patch: Patch) -> Mapping[str, Any]:
    """The view of the template `ask_pilot_acceptance.md`."""
    return {
        "rollout": record.name,
        "patch": patch,
        "opened": record.opened,
        "asked": record.need(FactKind.PILOT_REQUESTED, "Ask for the pilot first.").payload,
        "judged": record.need(FactKind.PILOT_JUDGED, "Ask for the pilot first.").payload,
    }


def facts_of_acceptance(desk: Desk, given: Given) -> tuple[Fact, ...]:
    """What follows from the Coordinator's answer; nothing where a decision is on record.

    Raises:
        RefusedError: it is no answer, or the request is declined without a reason.
    """
    reason = clean_text(str(given.form.get("reason") or "")).strip()
    reasons = []
    if given.choice not in OPTIONS:
        reasons.append(f"{given.choice[:40]!r} is no answer; the answers are {', '.join(OPTIONS)}.")
    if given.choice == DECLINE:
        reasons += reasons_against_reason(reason)
    if reasons:
        raise RefusedError(desk.name, tuple(reasons), "Whoever asked for the pilot will read it.")
    return _decided(desk, ACCEPTED if given.choice == ACCEPT else DECLINED, reason, given.user)


def facts_of_silence(desk: Desk, due: datetime) -> tuple[Fact, ...]:
    """What follows when the Coordinator has not answered: the request lapses, and may be made again."""
    reason = f"The PPS Coordinator did not answer by {due:%Y-%m-%d %H:%M} UTC."
    return _decided(desk, DECLINED, reason, "")


def _decided(desk: Desk, decision: str, reason: str, user: str) -> tuple[Fact, ...]:
    if Pilot(desk.rollout).acceptance is not None:
        return ()
    payload = {"decision": decision, "reason": reason, "user": user}
    return (desk.fact(FactKind.DECIDED, "", ACCEPTANCE, payload),)


def tell_acceptance(desk: Desk, to: str) -> bool:
    """Tell whoever asked how it was decided, and close a declined request; True if the mail is new.

    Args:
        to: address of the VO or the EMT; "" sends no mail.
    """
    record = desk.rollout
    decided = Pilot(record).acceptance
    if decided is None:
        return False
    declined = decided.payload["decision"] == DECLINED
    new: tuple[Fact, ...] = ()
    if to:
        view = {
            **{"rollout": record.name, "opened": record.opened, "declined": declined},
            "reason": decided.payload["reason"],
            "judged": record.need(FactKind.PILOT_JUDGED, "Ask for the pilot first.").payload,
        }
        told = desk.fact(FactKind.TOLD, to.lower(), ACCEPTANCE, {"to": to})
        word = "Declined" if declined else "Accepted"
        mail = desk.letter(
            "pilot_answered",
            view,
            key=told,
            to=to,
            subject=f"{word}: pilot of {record.opened['metapackage']} {record.opened['version']}",
        )
        new = desk.record(told, mails=[mail])
    if declined and not record.is_closed:
        payload = {"outcome": DECLINED, "reasons": [decided.payload["reason"]]}
        desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", payload))
    return bool(new)


def open_next_round(desk: Desk, *, run: str) -> str:
    """Open another round of a pilot that the wrap-up has prolonged; returns its name. A retry returns the same.

    It goes on with a new kick-off: request, verdict, sites, mirror and what is set up are taken over, each dated as it
    was. Sites that were left out have no part in it; one that has rolled back is asked to set the service up again.

    Raises:
        NotYetAllowedError: the wrap-up has not decided that, or this round is still open.
    """
    record = desk.rollout
    before = Pilot(record)
    name = desk.facts.next_name(record.path, record.patch_number, run)
    if (
        name != record.name
        and desk.facts.has(name, FactKind.SITES_SELECTED)
        and desk.facts.rollout(name).opened["run"] == run
    ):
        return name
    rules.may_be_prolonged(before)
    if name == record.name:
        raise NotYetAllowedError(record.name, "this run has opened it already.", "Start a new run for another round.")
    payload = {**record.opened, "pilot": before.first_round, "round": before.round + 1, "run": run}
    desk.facts.open(
        record.path,
        record.patch_number,
        Fact(name, FactKind.ROLLOUT_OPENED, "", "", desk.now, desk.actor, payload),
        run,
    )
    desk.record(*(_taken_over(record, fact, name, before.sites) for fact in record.facts if _goes_on(fact, before)))
    return name


def _goes_on(fact: Fact, before: Pilot) -> bool:
    if fact.kind is FactKind.SERVICE_SET_UP:
        return fact.subject in before.serving
    return fact.kind in _TAKEN_OVER and (fact.kind is not FactKind.DECIDED or fact.occasion == ACCEPTANCE)


def _taken_over(record: Rollout, fact: Fact, name: str, sites: Collection[str]) -> Fact:
    payload = {**fact.payload, "taken_over": record.name}
    if fact.kind is FactKind.SITES_SELECTED:
        payload["sites"] = list(sites)
    return Fact(name, fact.kind, fact.subject, fact.occasion, fact.at, fact.actor, payload)
