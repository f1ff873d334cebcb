"""Who may move the date until which VOs are asked, and to when."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from pps.domain.base.conditions import moment
from pps.domain.people.feedback import feedback_due
from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PILOTS, PREVIEWS, Rollout

#: Those who may start a preview, and so agree on its date.
MAY_EXTEND = (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR)


def reasons_against_extending(rollout: Rollout, mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not have VOs asked for longer, until whenever; no reasons means that they may.

    Args:
        mine: all names under which this person is known (`roles.identities`).
    """
    if not {f"role:{role}" for role in MAY_EXTEND} & set(mine):
        return (f"Only the {' and the '.join(MAY_EXTEND)} may extend a rollout.",)
    if rollout.path not in PREVIEWS:
        agreed = " Its dates are those of its kick-off; the wrap-up can prolong it." if rollout.path in PILOTS else ""
        return (f"{rollout.name} takes the path {rollout.path.value}: no date for feedback can be moved.{agreed}",)
    if rollout.is_over:
        return ("It is over: nobody is asked any more.",)
    if ended := rollout.the(FactKind.FEEDBACK_ENDED):
        return (f"The asking has ended on {moment(ended.at)}, and the release notes tell how.",)
    return ()


def reasons_against_past(until: datetime, now: datetime) -> tuple[str, ...]:
    """Say why nobody could be asked until then, whatever it is for: no one answers in the past."""
    return (f"{moment(until)} has passed.",) if until <= now else ()


def reasons_against_date(rollout: Rollout, until: datetime, now: datetime, *, at_most: timedelta) -> tuple[str, ...]:
    """Say why that is no date until which VOs could be asked for longer.

    A date moves to the future only: an answer that came in time stays so.

    Args:
        at_most: so long from now.
    """
    due = feedback_due(rollout)
    if past := reasons_against_past(until, now):
        return past
    if due is not None and until <= due:
        return (f"VOs are asked until {moment(due)} already: that is no earlier date.",)
    if until > now + at_most:
        return (f"{moment(until)} is too far away; the last date is {moment(now + at_most)}.",)
    return ()
