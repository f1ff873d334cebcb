"""The certification goes on alongside the preview; its verdict is awaited, not made, here (SD 4.1.1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pps.activities.desk import Desk
from pps.activities.ports.tracker import Tracker
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.packages.patch import PatchState
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout


class CertificationOutcome(StrEnum):
    """How the certification ended, as far as this rollout is concerned."""

    CERTIFIED = "certified"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """nobody decided within policies.yaml, `certification.wait_at_most`"""
    OVERRULED = "overruled"
    """EMT and PPS coordination have decided not to wait for it (SD 4.1.3)"""


_OUTCOMES = {
    PatchState.CERTIFIED: CertificationOutcome.CERTIFIED,
    PatchState.READY_FOR_PRODUCTION: CertificationOutcome.CERTIFIED,
    PatchState.READY_FOR_ROLLOUT: CertificationOutcome.CERTIFIED,
    PatchState.ROLLING_OUT: CertificationOutcome.CERTIFIED,
    PatchState.IN_PRODUCTION: CertificationOutcome.CERTIFIED,
    PatchState.REJECTED: CertificationOutcome.REJECTED,
    PatchState.OBSOLETE: CertificationOutcome.REJECTED,
}


def certification_is_over(
    desk: Desk, tracker: Tracker, *, wait_at_most: timedelta, overruled: bool = False, held: bool = False
) -> bool:
    """Ask the tracker; record the end once. Also true when the rollout was stopped or withdrawn meanwhile.

    A patch that goes back to the provider (`With provider`) or is reopened ends nothing: its
    certification goes on.

    Args:
        held: the rollout is paused: nothing leads to production meanwhile, but a rejection still ends it.
    """
    record = desk.rollout
    if record.is_over:
        return True
    if ended := record.the(FactKind.CERTIFICATION_ENDED):
        return not held or ended.payload["outcome"] == CertificationOutcome.REJECTED
    state = tracker.patch(int(record.opened["patch"])).state
    outcome = outcome_by_now(record, state, desk.now, wait_at_most=wait_at_most, overruled=overruled)
    if outcome is None or (held and outcome is not CertificationOutcome.REJECTED):
        return False
    desk.record(desk.fact(FactKind.CERTIFICATION_ENDED, "", "", {"outcome": outcome.value, "state": state.value}))
    return True


def outcome_by_now(
    record: Rollout, state: PatchState, now: datetime, *, wait_at_most: timedelta, overruled: bool = False
) -> CertificationOutcome | None:
    """How the certification has ended by now, as far as this rollout is concerned; None while it goes on.

    Args:
        state: of the patch, in the tracker.
    """
    outcome = _OUTCOMES.get(state, CertificationOutcome.OVERRULED if overruled else None)
    if outcome is None and now >= waits_until(record, wait_at_most):
        return CertificationOutcome.EXPIRED
    return outcome


def waits_until(record: Rollout, wait_at_most: timedelta) -> datetime:
    """Until when a rollout waits for the certification of its patch."""
    return record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").at + wait_at_most


def certification_outcome(record: Rollout) -> CertificationOutcome:
    """How it ended; `NotYetAllowedError` while it has not, also when the rollout was stopped or withdrawn first."""
    if not record.has(FactKind.CERTIFICATION_ENDED):
        record.must_not_be_withdrawn()
    fact = record.need(FactKind.CERTIFICATION_ENDED, "Wait for the certification, or start a new rollout.")
    outcome = CertificationOutcome(fact.payload["outcome"])
    if outcome is CertificationOutcome.EXPIRED:
        raise NotYetAllowedError(
            record.name,
            f"the certification has taken longer than policies.yaml grants; the patch is {fact.payload['state']!r}.",
            "Ask the certification team; then start a new rollout, or withdraw this one.",
        )
    return outcome
