"""How an installation is, seen from outside: a look at all that can be measured, and at what others need of it.

A part that cannot be read makes none of the others unread, and is never told as good: its numbers are missing, and that
they are is a number, too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pps.activities.operations import numbers
from pps.activities.operations.numbers import Sample
from pps.activities.operations.open_rollouts import OpenRollouts
from pps.activities.ports.operations import Night
from pps.activities.ports.record import Facts, LastSeen
from pps.domain.base.errors import RolloutError

log = logging.getLogger(__name__)

TRACKER, BACKUP = "tracker", "backup"
"""what is noted when it was last seen (port `Facts`, `saw`)"""
MAIL = "mail"
#: How often a process asks the tracker for nobody's sake but this one's, and reads the indexes of our repositories.
EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class World:
    """What is looked at. Each is asked afresh, and may raise a `RolloutError`."""

    facts: Callable[[], Facts]
    last_night: Callable[[], Night | None]
    """None: none has ended yet"""
    signed_until: Callable[[datetime], Mapping[str, datetime]]
    """what kind of repositories of ours -> until when the first of them is believed"""
    ask_tracker: Callable[[], object]
    """only whether it answers counts"""


def beside(work: Callable[[], None]) -> None:
    """Do it without keeping anybody waiting: a tracker may take its time."""
    threading.Thread(target=work, name="pps-watch", daemon=True).start()


@dataclass
class Watch:
    """Looks at the world for whoever collects."""

    world: World
    clock: Callable[[], datetime]
    aside: Callable[[Callable[[], None]], None] = beside
    _rollouts: OpenRollouts = field(default_factory=OpenRollouts)
    _signed: tuple[datetime, Mapping[str, datetime]] | None = None
    _asked: datetime | None = None

    def samples(self, now: datetime) -> list[Sample]:
        """Everything that can be measured now."""
        found: list[Sample] = []
        for part, look in (
            ("rollouts", self._of_rollouts),
            ("outbox", self._of_outbox),
            ("nights", self._of_nights),
            ("signatures", self._of_signatures),
            ("last seen", self._of_last_seen),
        ):
            try:
                seen = list(look(now))
            except RolloutError as error:
                log.warning("Not measured: %s. %s", part, error)
                found.append(numbers.UNREAD.at(1, part))
            else:
                found += [*seen, numbers.UNREAD.at(0, part)]
        return found

    def _of_rollouts(self, now: datetime) -> Iterable[Sample]:
        return self._rollouts.samples(self.world.facts(), now)

    def _of_outbox(self, now: datetime) -> Iterator[Sample]:
        waiting = {channel or MAIL: found for channel, found in self.world.facts().waiting(now).items()}
        for channel in sorted({MAIL, *waiting}):
            found = waiting.get(channel)
            yield numbers.WAITING.at(found.number if found else 0, channel)
            yield numbers.UNTRIED.at(seconds(now, found.due_since) if found and found.due_since else 0, channel)
            if found is None:
                yield numbers.OLDEST.at(0, channel)
            elif found.oldest is not None:
                yield numbers.OLDEST.at(seconds(now, found.oldest), channel)

    def _of_nights(self, now: datetime) -> Iterator[Sample]:
        night = self.world.last_night()
        if night is not None:
            yield numbers.NIGHT.at(seconds(now, night.ended_at))
            yield numbers.NIGHT_FAILED.at(night.failed)

    def _of_signatures(self, now: datetime) -> Iterator[Sample]:
        for kind, ends in self.signed_until(now).items():
            yield numbers.SIGNATURES.at((ends - now).total_seconds(), kind)

    def _of_last_seen(self, now: datetime) -> Iterator[Sample]:
        seen = self.last_seen(now)
        if (done := seen.get(BACKUP)) is not None and done.at is not None:
            yield numbers.BACKUP.at(seconds(now, done.at))
        if (tracker := seen.get(TRACKER)) is not None:
            if tracker.at is not None:
                yield numbers.TRACKER.at(seconds(now, tracker.at))
            yield numbers.TRACKER_MISSED.at(seconds(now, tracker.missed_since) if tracker.missed_since else 0)

    def signed_until(self, now: datetime) -> Mapping[str, datetime]:
        """Kept for a while: GnuPG looks at each index."""
        if self._signed is None or not timedelta(0) <= now - self._signed[0] < EVERY:
            self._signed = (now, self.world.signed_until(now))
        return self._signed[1]

    def last_seen(self, now: datetime) -> Mapping[str, LastSeen]:
        """What is on record; the tracker is asked now and then, and what it has said stands here the next time."""
        facts = self.world.facts()
        seen = facts.last_seen()
        tracker = seen.get(TRACKER, LastSeen(None, None))
        fresh = tracker.at is not None and tracker.missed_since is None and now - tracker.at < EVERY
        if not fresh and (self._asked is None or not timedelta(0) <= now - self._asked < EVERY):
            self._asked = now
            self.aside(self._ask_tracker)
        return seen

    def _ask_tracker(self) -> None:
        try:
            try:
                self.world.ask_tracker()
            except RolloutError as error:
                log.warning("The tracker does not answer: %s", error)
                self.world.facts().missed(TRACKER, self.clock())
            else:
                self.world.facts().saw(TRACKER, self.clock())
        except RolloutError as error:  # the store; the next look says so, too
            log.warning("%s", error)


def seconds(now: datetime, since: datetime) -> float:
    """How long ago it was; clocks of several machines may make it a moment that is still to come."""
    return max((now - since).total_seconds(), 0.0)
