"""Pausing a preview, letting it go on, and stopping it, by the people in charge."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pps.activities.clients import gates
from pps.activities.desk import Desk
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import as_sentence
from pps.domain.clients.control import Control, pause_of, reasons_against, said_of_pause
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

_KINDS = {Control.PAUSE: FactKind.ROLLOUT_PAUSED, Control.RESUME: FactKind.ROLLOUT_RESUMED}


def control(
    desk: Desk, what: Control, reason: str, user: str, mine: Collection[str], recipients: Sequence[str]
) -> Fact:
    """Do it, once, and tell the people in charge.

    A distribution that is under way at this moment ends with its batch.

    Args:
        mine: all names under which `user` is known (`roles.identities`).
        recipients: who hears of it.

    Returns:
        The fact that it was done.

    Raises:
        RefusedError: somebody else's business, no reason that others understand, or nothing that could be done.
    """
    if refused := reasons_against(desk.rollout, what, mine, reason):
        raise RefusedError(f"{what} of {desk.name}", refused, f"Look at: pps rollout show {desk.name}")
    desk, words = desk.by(f"user {user}"), as_sentence(reason)
    if what is Control.STOP:
        gates.stop(desk, (f"It was stopped by hand. {words}",), recipients)
        return desk.rollout.need(FactKind.ROLLOUT_STOPPED, "Stop it first.")
    kind = _KINDS[what]
    fact = desk.fact(kind, "", desk.next_occasion(kind), {"reason": words, "user": user})
    opened = desk.rollout.opened
    view = {"rollout": desk.name, "opened": opened, "what": what.value, "reason": words, "user": user}
    mails = desk.circular(
        "rollout_held",
        view,
        key=fact,
        to=recipients,
        subject=f"{'Paused' if what is Control.PAUSE else 'Goes on'}: {opened['metapackage']} {opened['version']} "
        f"(patch {opened['patch']})",
    )
    desk.record(fact, mails=mails)
    # of two at once the first counts, and the second has nothing left to do
    return next(f for f in desk.rollout.facts if (f.kind, f.occasion) == (kind, fact.occasion))


def must_not_be_paused(record: Rollout) -> None:
    """Raise what says why nothing goes on, while the rollout is paused."""
    if pause := pause_of(record):
        step = f"Let it go on (pps rollout resume {record.name}), then clear this task."
        raise NotYetAllowedError(record.name, said_of_pause(pause), step)
