"""Empties the outbox: messages leave here, whatever wrote them and however often that was retried.

Mail goes first. Each other channel has claims, attempts and a thread of its own, so one that is down, or slow, keeps
nobody else's messages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pps.activities.packages.embargo import secrets_in
from pps.activities.ports.people import Channel, Mail, Mailer
from pps.activities.ports.record import Facts
from pps.domain.base.errors import RolloutError, ServiceError
from pps.domain.packages.advice import Advice
from pps.domain.people.channels import Group, channels_of, headline, shared_link
from pps.domain.people.embargo import patch_in

#: Mails claimed at a time: few enough to be sent within the claim, enough for one connection to pay off.
BATCH = 25
#: Messages of another channel that are claimed at a time: what is claimed is tried, however slow the channel is.
_CHANNEL_BATCH = 2
#: One call goes on with a channel for so long; whoever called has other work. The rest leaves with the next call.
_CHANNEL_TIME = timedelta(seconds=20)
_AT_ONCE = 8
_LOOKED_AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Emptied:
    """What became of the messages that were due."""

    sent: int
    refused: int
    """these are tried again later, with growing pauses"""
    trouble: str = ""
    """why the mail server could not be reached at all; the rest stays in the outbox"""


def with_copies(mails: Iterable[Mail], groups: Sequence[Group], public_url: str) -> tuple[Mail, ...]:
    """The same mails, with copies for the channels of those whom they go to: a headline and a link, once for a room."""
    found: dict[str, Mail] = {}
    for mail in (one for given in mails for one in given.one_each()):
        channels, by_mail = channels_of(groups, mail.to, mail.key)
        if by_mail:
            found[mail.key] = mail
        about = mail.key.removesuffix(f"/{mail.to}")
        for name in channels:
            key = f"{about}/by/{name}"
            link = shared_link(public_url, mail.key.partition("/")[0], mail.link)
            found[key] = Mail(key, name, headline(mail.subject), link, channel=name)
    return tuple(found.values())


def empty_outbox(
    facts: Facts,
    mailer: Mailer,
    clock: Callable[[], datetime],
    batch: int = BATCH,
    *,
    channels: Mapping[str, Channel] | None = None,
    insiders: Collection[str] = (),
) -> Emptied:
    """Send every message that is due, each marked as soon as it was taken.

    A sender that is killed in between has sent at most one message of each channel that is not marked; it goes out
    again, a mail with the same Message-ID. No failure of mail or of another channel is an error here: a rollout does
    not fail because of it. `clock` is asked again for each mark, since a long outbox takes its time.

    What is about a patch under embargo waits here until it has ended, whoever wrote it.

    Args:
        insiders: addresses that are told all the same.

    Raises:
        ServiceError: the store (not the mail server) does not answer.
    """
    held = _Held(facts, clock, frozenset(insiders))
    mailed = _mailed(facts, mailer, clock, batch, held)
    waiting = facts.waiting_channels(clock())
    if not waiting:
        return mailed
    known = channels or {}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        others = list(threads.map(lambda name: _by_channel(facts, name, known.get(name), clock, held), waiting))
    return replace(
        mailed,
        sent=mailed.sent + sum(other.sent for other in others),
        refused=mailed.refused + sum(other.refused for other in others),
    )


class _Held:
    """Keeps back what nobody may be told yet; it is looked at again within the hour, as an embargo may be lifted."""

    def __init__(self, facts: Facts, clock: Callable[[], datetime], insiders: frozenset[str]) -> None:
        self._facts, self._clock, self._insiders = facts, clock, insiders

    def back(self, mails: Sequence[Mail]) -> list[Mail]:
        """Those that may go now; the others are put back."""
        secret = secrets_in(self._facts, now := self._clock()) if mails else {}
        waits = {m.key: until for m in mails if (until := self._until(m, secret)) is not None}
        for until in set(waits.values()):
            keys = [key for key, wanted in waits.items() if wanted == until]
            self._facts.hold(keys, min(until, now + _LOOKED_AGAIN), f"embargoed until {until:%Y-%m-%d %H:%M} UTC")
        return [m for m in mails if m.key not in waits]

    def _until(self, mail: Mail, secret: Mapping[int, Advice]) -> datetime | None:
        if not secret or (not mail.channel and mail.to.casefold() in self._insiders):
            return None
        about = {patch_in(part) for part in mail.key.split("/")}
        return max((a.embargo_until for n, a in secret.items() if n in about and a.embargo_until), default=None)


def _mailed(facts: Facts, mailer: Mailer, clock: Callable[[], datetime], batch: int, held: _Held) -> Emptied:
    sent = refused = 0
    mark = _Marker(facts, clock)
    while claimed := facts.unsent(batch, clock()):
        if not (mails := held.back(claimed)):
            continue
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


def _by_channel(
    facts: Facts, name: str, channel: Channel | None, clock: Callable[[], datetime], held: _Held
) -> Emptied:
    """What is due for one channel. When it is down, the rest waits for another call, and is not tried in vain."""
    sent = refused = 0
    down, ends = "", clock() + _CHANNEL_TIME
    if channel is None:
        down = "people.yaml names no such channel"
    for message in _claimed(facts, name, clock, ends, held):
        try:
            error = down or (channel.send(message) if channel else down)
        except RolloutError as away:
            error = down = str(away)
        if error:
            facts.mark_refused({message.key: error}, clock())
            refused += 1
        else:
            facts.mark_sent([message.key], clock())
            sent += 1
    return Emptied(sent, refused)


def _claimed(facts: Facts, name: str, clock: Callable[[], datetime], ends: datetime, held: _Held) -> Iterator[Mail]:
    while messages := facts.unsent(_CHANNEL_BATCH, clock(), name):
        yield from held.back(messages)
        if clock() > ends:
            return


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
