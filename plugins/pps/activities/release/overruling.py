"""A joint decision of EMT and PPS coordination to overrule the policies for one patch (SD 4.1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pps.activities.desk import Desk, Office
from pps.activities.packages.advice import note_advice
from pps.activities.packages.production import Production
from pps.activities.ports.record import Facts
from pps.activities.release.release import earlier_answer, reasons_against_release, release_kept_packages
from pps.domain.base.errors import RefusedError
from pps.domain.base.texts import clean_text
from pps.domain.packages.patch import Patch, PatchKind, PatchState
from pps.domain.people import questions
from pps.domain.people.overruling import (
    AGREE,
    REFUSE,
    ROLES,
    Overruling,
    Urgency,
    overruling,
    reasons_against_overruling,
)
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, RolloutPath, dossier_name

OPTIONS = (AGREE, REFUSE)
SHORTEST_REASON = 20
"""characters: "urgent" alone justifies nothing"""
_TOO_LATE = (PatchState.REJECTED, PatchState.OBSOLETE, PatchState.IN_PRODUCTION)


def open_overruling(office: Office, patch: Patch, urgency: Urgency | str, reason: str, *, run: str) -> str:
    """Put a request to overrule the policies on record; returns the name of its record. A retry returns the same.

    Raises:
        RefusedError: there is nothing to overrule, or no reason worth the name.
        AlreadyOpenError: a request for this patch waits for its answers.
    """
    name = office.facts.next_name(RolloutPath.OVERRULE, patch.number, run)
    already_ours = any(r.name == name and r.closed_at is None for r in office.facts.rollouts(open_only=True))
    justified = clean_text(reason).strip()
    reasons = []
    if patch.state in _TOO_LATE:
        reasons.append(f'The patch is "{patch.state}"; there is nothing to overrule.')
    if not patch.packages:
        reasons.append("It names no packages.")
    if len(justified) < SHORTEST_REASON:
        reasons.append(f"The reason has fewer than {SHORTEST_REASON} characters; it must justify the exception.")
    if reasons and not already_ours:
        raise RefusedError(patch.subject, tuple(reasons), "Correct it, then start again.")
    payload = {
        "path": RolloutPath.OVERRULE,
        "patch": patch.number,
        "title": patch.title,
        "metapackage": patch.metapackage,
        "version": patch.version,
        "platforms": [str(p) for p in patch.platforms],
        "state": patch.state.value,
        "urgency": Urgency(urgency).value,
        "reason": justified,
        "run": run,
    }
    note_advice(office, patch)
    office.facts.open(
        RolloutPath.OVERRULE,
        patch.number,
        Fact(name, FactKind.ROLLOUT_OPENED, "", "", office.now, office.actor, payload),
        run,
    )
    return name


def question_view(record: Rollout, patch: Patch, role: str) -> Mapping[str, Any]:
    """The view of the template `ask_overruling.md`."""
    return {"rollout": record.name, "patch": patch, "opened": record.opened, "role": role}


def check_answer(subject: str, choice: str, form: Mapping[str, Any]) -> None:
    """Raise `RefusedError` unless a refusal says why."""
    if choice == REFUSE and not str(form.get("remarks") or "").strip():
        raise RefusedError(subject, ("A refusal needs a reason in the remarks.",))


def conclude(desk: Desk) -> tuple[str, ...]:
    """Count the two answers. If both agree, the decision goes into the patch's dossier; else returns the reasons.

    Reads the facts, not Airflow's task states: whoever marks a question answered by hand has decided nothing.
    """
    record = desk.rollout
    given = {step: questions.decisive(record, step, role) for step, role in ROLES.items()}
    reasons = reasons_against_overruling(given)
    opened = record.opened
    if reasons:
        desk.record(
            desk.fact(FactKind.DECIDED, "", "overrule", {"decision": "not overruled", "reasons": list(reasons)})
        )
        desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": "not overruled"}))
        return reasons
    by = {role: answer.user for step, role in ROLES.items() if (answer := given[step]) is not None}
    decision = {"urgency": opened["urgency"], "reason": opened["reason"], "by": by, "state": opened["state"]}
    number = record.patch_number
    desk.record(desk.fact(FactKind.DECIDED, "", "overrule", {"decision": "overruled", "by": by}))
    name = dossier_name(number)
    desk.facts.record_in_dossier(
        number, Fact(name, FactKind.POLICIES_OVERRULED, "", record.name, desk.now, desk.actor, decision)
    )
    return ()


def standing(facts: Facts, patch_number: int) -> Overruling | None:
    """The joint decision that stands for a patch, or None."""
    return overruling(facts.dossier(patch_number))


def goes_straight(desk: Desk) -> bool:
    """Whether the two have agreed, and the update goes to production without a preview before it (SD 4.1.3)."""
    record = desk.rollout
    decided = record.the(FactKind.DECIDED)
    if decided is None or decided.payload["decision"] != "overruled":
        return False
    return desk.patch.kind is PatchKind.SERVER or record.opened["urgency"] == Urgency.HIGH_PRIORITY


def refused_since(desk: Desk) -> tuple[str, ...]:
    """Say why a joint decision cannot be carried out any more, and end the request with that; no reasons: it can.

    A patch that certification has rejected after the two have agreed does not go out, and nobody waits for it.
    """
    answered = earlier_answer(desk.rollout)
    reasons = reasons_against_release(desk.facts, desk.patch) if answered is None else answered
    if reasons:
        desk.record(desk.fact(FactKind.RELEASE_REFUSED, "", "", {"reasons": list(reasons)}))
        close_overruled(desk, "not released")
    return reasons


def release_server(desk: Desk, production: Production) -> None:
    """Release the packages of a server update that were kept, and end the request.

    A server update has no preview to go with; a pilot that is open goes on, and ends as synchronised.

    Raises:
        NotYetAllowedError: the packages are not kept, or the release notes are not written.
    """
    desk.rollout.need(FactKind.RELEASE_NOTES_WRITTEN, "Write the release notes first: they name the decision.")
    if not desk.rollout.has(FactKind.RELEASED_TO_PRODUCTION):
        release_kept_packages(desk, production, (), template="released_overruled", more={})
    close_overruled(desk, "released")


def close_overruled(desk: Desk, outcome: str) -> None:
    """End the record of the request, with what came of it."""
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": outcome}))


def view(found: Overruling | None) -> dict[str, Any] | None:
    """What release notes and bulletin show of it; no mail address of anybody's."""
    if found is None:
        return None
    return {
        "urgency": found.urgency.value,
        "reason": found.reason,
        "by": [{"role": role, "user": user} for role, user in found.by],
        "at": found.at,
        "state": found.state,
    }
