"""Does the installation do its work: what is looked at, what was found, and what to do.

Nothing is well because nobody has said otherwise: what could not be looked at has failed, and what was never seen is a
warning. Why a service fails is for the log and `pps doctor`: what is told here, anybody with a role reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pps.activities.operations.watch import BACKUP, MAIL, TRACKER, Watch
from pps.activities.ports.operations import Limits
from pps.activities.ports.record import LastSeen
from pps.activities.sites.diagnosis import Finding, Health
from pps.domain.base.durations import about
from pps.domain.base.errors import RolloutError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rooms:
    """What is looked at for people alone."""

    schema_is_current: Callable[[], bool]
    read_pages: Callable[[], bool]
    """tell whether the publication folder has the bulletin"""


def worst(findings: Iterable[Finding]) -> Health:
    """How it is as a whole."""
    order = (Health.OK, Health.WARN, Health.FAIL)
    return max((f.health for f in findings), key=order.index, default=Health.FAIL)


def health(watch: Watch, rooms: Rooms, limits: Limits, now: datetime) -> tuple[Finding, ...]:
    """Look at everything; each part by itself."""
    looks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("database", lambda: _database(rooms)),
        ("outbox", lambda: _outbox(watch, limits, now)),
        ("last night", lambda: _night(watch, limits, now)),
        ("publication folder", lambda: _pages(rooms)),
        ("signatures", lambda: _signatures(watch, limits, now)),
        ("tracker", lambda: _tracker(watch, limits, now)),
        ("backup", lambda: _backup(watch, limits, now)),
    )
    found: list[Finding] = []
    for subject, look in looks:
        try:
            found += look()
        except RolloutError as error:
            log.warning("%s: %s", subject, error)
            found.append(Finding(subject, Health.FAIL, "could not be looked at.", "Run: pps doctor"))
    return tuple(found)


def _database(rooms: Rooms) -> Iterator[Finding]:
    if rooms.schema_is_current():
        yield Finding("database", Health.OK, "answers, and its schema is current.")
    else:
        why = "its schema is not that of this version."
        yield Finding("database", Health.FAIL, why, "Run: pps db upgrade")


def _outbox(watch: Watch, limits: Limits, now: datetime) -> Iterator[Finding]:
    waiting = watch.world.facts().waiting(now)
    if not waiting:
        yield Finding("outbox", Health.OK, "is empty.")
    for channel, found in sorted(waiting.items()):
        subject = f"outbox, {channel or MAIL}"
        what = f"{found.number} message{'s wait' if found.number > 1 else ' waits'}"
        if found.due_since is not None and now - found.due_since > limits.sent_within:
            why = f"{what}; one has been due for {about(now - found.due_since)}, and nobody tries to send it."
            yield Finding(subject, Health.FAIL, why, "Do the DAG reminders and its task send_mails run?")
        elif found.oldest is None or now - found.oldest > limits.waits_within:
            long = f"for {about(now - found.oldest)}" if found.oldest else "since before that was noted"
            why = f"{what}; the oldest {long}: it is refused again and again."
            yield Finding(subject, Health.WARN, why, "Run: pps mails outbox ROLLOUT")
        else:
            yield Finding(
                subject, Health.OK, f"{what}, and is tried." if found.number == 1 else f"{what}; all are tried."
            )


def _night(watch: Watch, limits: Limits, now: datetime) -> Iterator[Finding]:
    night, subject = watch.world.last_night(), "last night"
    step = "Look at the DAG nightly_distribution in Airflow: is it paused, does it hang?"
    if night is None:
        yield Finding(subject, Health.WARN, "none has ended yet.", step)
        return
    ended = f"ended {about(now - night.ended_at)} ago"
    if night.failed:
        step = "Its task say_what_failed names what failed: DAG nightly_distribution in Airflow."
        yield Finding(subject, Health.FAIL, f"{ended}, and has failed.", step)
    elif now - night.ended_at > limits.night_within:
        yield Finding(subject, Health.FAIL, f"{ended}; there should be one each night.", step)
    else:
        yield Finding(subject, Health.OK, f"{ended}, and has done all.")


def _pages(rooms: Rooms) -> Iterator[Finding]:
    if rooms.read_pages():
        yield Finding("publication folder", Health.OK, "is read, and has the bulletin.")
    else:
        why = "is read, and has no bulletin yet."
        yield Finding("publication folder", Health.WARN, why, "Run: pps bulletin write")


def _signatures(watch: Watch, limits: Limits, now: datetime) -> Iterator[Finding]:
    signed = watch.signed_until(now)
    if not signed:
        yield Finding("signatures", Health.OK, "nothing that expires is published yet.")
    for kind, ends in sorted(signed.items()):
        subject, left = f"signatures, {kind}", ends - now
        step = "Run: pps keys sign. Why did the nights not do it? Task renew_signatures."
        if left <= timedelta(0):
            yield Finding(subject, Health.FAIL, f"expired {about(-left)} ago: clients refuse them.", step)
        elif left < limits.signatures_left:
            yield Finding(subject, Health.WARN, f"are good for {about(left)} only.", step)
        else:
            yield Finding(subject, Health.OK, f"are good for {about(left)}.")


def _tracker(watch: Watch, limits: Limits, now: datetime) -> Iterator[Finding]:
    seen, subject = watch.last_seen(now).get(TRACKER, LastSeen(None, None)), "tracker"
    last = f"it last answered {about(now - seen.at)} ago" if seen.at else "it was never seen to answer"
    if seen.missed_since is not None:
        long = now - seen.missed_since
        bad = Health.FAIL if long > limits.tracker_missed_for else Health.WARN
        yield Finding(subject, bad, f"has not answered for {about(long)}; {last}.", "Run: pps tracker check")
    elif seen.at is None:
        yield Finding(subject, Health.WARN, "has not been asked yet.", "Look again in a minute.")
    elif now - seen.at > limits.tracker_missed_for:
        yield Finding(subject, Health.WARN, f"{last}, and was not asked since.", "Look again in a minute.")
    else:
        yield Finding(subject, Health.OK, f"answered {about(now - seen.at)} ago.")


def _backup(watch: Watch, limits: Limits, now: datetime) -> Iterator[Finding]:
    seen = watch.last_seen(now).get(BACKUP, LastSeen(None, None))
    if seen.at is None:
        yield Finding("backup", Health.WARN, "none is on record.", "Run: pps backup --help")
    elif now - seen.at > limits.backup_within:
        why = f"the last one was made {about(now - seen.at)} ago."
        yield Finding("backup", Health.FAIL, why, "Does its timer run? systemctl status pps-backup")
    else:
        yield Finding("backup", Health.OK, f"was made {about(now - seen.at)} ago.")
