"""Empties the outbox: mails leave here, whatever wrote them and however often that was retried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pps.activities.ports.people import Mailer
from pps.activities.ports.record import Facts
from pps.domain.base.errors import ServiceError

#: Mails claimed at a time: few enough to be sent within the claim, enough for one connection to pay off.
BATCH = 25


@dataclass(frozen=True, slots=True)
class Emptied:
    """What became of the mails that were due."""

    sent: int
    refused: int
    """these are tried again later, with growing pauses"""
    trouble: str = ""
    """why the mail server could not be reached at all; the rest stays in the outbox"""


def empty_outbox(facts: Facts, mailer: Mailer, clock: Callable[[], datetime], batch: int = BATCH) -> Emptied:
    """Send every mail that is due, each marked as soon as the server has taken it.

    A sender that is killed in between has sent at most one mail that is not marked; it goes out
    again with the same Message-ID. No failure of mail is an error here: a rollout does not fail
    because of it. `clock` is asked again for each mark, since a long outbox takes its time.

    Raises:
        ServiceError: the store (not the mail server) does not answer.
    """
    sent = refused = 0
    mark = _Marker(facts, clock)
    while mails := facts.unsent(batch, clock()):
        try:
            errors = mailer.send(mails, mark)
        except ServiceError as error:
            if mark.failed:
                raise
            facts.mark_refused({mail.key: str(error) for mail in mails}, clock())
            return Emptied(sent, refused + len(mails), str(error))
        if errors:
            facts.mark_refused(errors, clock())
        sent += len(mails) - len(errors)
        refused += len(errors)
    return Emptied(sent, refused)


class _Marker:
    """Marks one mail as sent, and remembers if the store failed at it."""

    def __init__(self, facts: Facts, clock: Callable[[], datetime]) -> None:
        self._facts, self._clock = facts, clock
        self.failed = False

    def __call__(self, key: str) -> None:
        try:
            self._facts.mark_sent([key], self._clock())
        except ServiceError:
            self.failed = True
            raise
