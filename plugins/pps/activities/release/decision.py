"""The Release Manager decides on an update that sites have tried: released, or held (SD 4.2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pps.activities.desk import Desk
from pps.activities.packages.fetching import reasons_if_changed
from pps.activities.packages.production import Production
from pps.activities.ports.tracker import Tracker
from pps.activities.release.release import earlier_answer, reasons_against_release, release_kept_packages
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.packages.patch import Patch
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.quality import release_tests as rules
from pps.domain.quality.release_tests import DECISION, HOLD, RELEASE, STEP
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


def decision_view(record: Rollout, patch: Patch, due: datetime) -> Mapping[str, Any]:
    """The view of the template `ask_release_decision.md`: all answers, the late ones and the silent sites.

    Raises:
        NotYetAllowedError: nothing was delivered, so there is nothing to decide on.
    """
    record.need(FactKind.PATCH_DELIVERED, "Deliver the update to the sites first.")
    return {
        "rollout": record.name,
        "patch": patch,
        "standings": rules.standings(record),
        "left_out": [(f.subject, f.payload["reason"]) for f in record.facts if f.kind is FactKind.SITE_LEFT_OUT],
        "doubts": rules.doubts(record),
        "due": due,
    }


def facts_of_decision(desk: Desk, given: Given) -> tuple[Fact, ...]:
    """What follows from the Release Manager's decision; questions that are still open end with it.

    Raises:
        RefusedError: the decision needs a reason.
    """
    if reasons := rules.reasons_against_decision(desk.rollout, given.choice, given.form):
        raise RefusedError(f"decision on {desk.name}", reasons, "Give a reason, then decide again.")
    return _decided(desk.by(given.who, given.at), given.choice, rules.field(given.form, "reason"), given.user)


def facts_of_no_decision(desk: Desk, due: datetime) -> tuple[Fact, ...]:
    """What follows when nobody decides in time: the update is held."""
    reason = f"The Release Manager did not decide by {due:%Y-%m-%d %H:%M} UTC."
    return _decided(desk, HOLD, reason, "")


def _decided(desk: Desk, choice: str, reason: str, user: str) -> tuple[Fact, ...]:
    record = desk.rollout
    found = rules.standings(record)
    payload = {
        "decision": choice,
        "reason": reason,
        "user": user,
        "answers": {s.site: s.word for s in found},
        "doubts": list(rules.doubts(record)),
    }
    ended = {"reason": "The update has been decided on meanwhile."}
    still_open = [s.site for s in found if s.question is not None and questions.is_open(record, s.question)]
    return (
        desk.fact(FactKind.DECIDED, "", DECISION, payload),
        *(desk.fact(FactKind.QUESTION_EXPIRED, site, STEP, ended) for site in still_open),
    )


def needed_decision(record: Rollout) -> rules.Decision:
    """The decision on record; `NotYetAllowedError` without one, whatever Airflow's tasks say."""
    found = rules.decision(record)
    if found is None:
        raise NotYetAllowedError(record.name, "nobody has decided on it.", "Clear the task of the decision.")
    return found


def release_update(desk: Desk, production: Production) -> tuple[str, ...]:
    """Release what was tried; returns the reasons if the rules for production (SD 4.1.1, 4.1.2) do not allow it.

    Every step looks first, so a retry continues where it broke off.

    Raises:
        NotYetAllowedError: the Release Manager has not decided to release it.
    """
    record = desk.rollout
    patch = desk.patch
    if needed_decision(record).choice != RELEASE:
        raise NotYetAllowedError(record.name, "the Release Manager holds it.", "Start a new release test.")
    if (answered := earlier_answer(record)) is not None:
        return answered
    applied = [s for s in rules.standings(record) if s.answer and rules.has_applied(s.answer.choice)]
    return release_kept_packages(
        desk,
        production,
        (*reasons_against_release(desk.facts, patch), *reasons_if_changed(record, patch)),
        template="released_update",
        more={"tried_at": len(applied)},
    )


def hold_update(record: Rollout, patch: Patch, tracker: Tracker) -> str:
    """Tell the tracker that the update is held, and why; the patch stays in its state. Returns the reason."""
    decided = needed_decision(record)
    if decided.choice != HOLD:
        raise NotYetAllowedError(record.name, "the Release Manager releases it.", "Clear the task of the release.")
    tracker.comment(patch.number, f"Held by release test {record.name}. {decided.reason}"[:4000])
    return decided.reason


def close_release_test(desk: Desk) -> str:
    """End the test; returns its outcome: `released`, `not released` (the rules said no) or `held`."""
    record = desk.rollout
    decided = needed_decision(record)
    payload: dict[str, Any] = {"outcome": "held", "reason": decided.reason}
    if record.has(FactKind.RELEASED_TO_PRODUCTION):
        payload = {"outcome": "released"}
    elif refused := record.the(FactKind.RELEASE_REFUSED):
        payload = {"outcome": "not released", "reasons": list(refused.payload["reasons"])}
    elif decided.choice == RELEASE:
        raise NotYetAllowedError(record.name, "is to be released, but is not yet.", "Clear the task of the release.")
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", payload))
    return str(payload["outcome"])
