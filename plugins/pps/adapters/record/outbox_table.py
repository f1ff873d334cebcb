"""The outbox, in the transactions of the facts: mails wait here, whatever wrote them, until a server has taken them.

A text may hold the key to something (an invitation), so it is deleted when its mail is marked as sent, or as given up;
its sha256 stays. A sender that is killed before that mark finds text and all when it comes again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pps.activities.ports.people import Mail
from pps.activities.ports.record import Waiting
from pps.adapters.record import tables
from pps.adapters.record.database import Database
from pps.adapters.record.tables import insert_once, storable
from pps.domain.base.texts import clean_text

#: A sender that died gives its mails back after this time. Longer than a batch may take (adapters/services/mail.py).
CLAIM = timedelta(minutes=5)
#: Pauses between tries double from one minute up to this.
LONGEST_PAUSE = timedelta(hours=4)
#: "The give-up time generally needs to be at least 4-5 days" (RFC 5321, 4.5.4.1).
GIVE_UP_AFTER = timedelta(days=5)


def pause_after(attempts: int) -> timedelta:
    """How long to wait after this many failed attempts: 1, 2, 4, ... minutes, at most four hours."""
    return min(timedelta(minutes=2 ** min(attempts - 1, 20)), LONGEST_PAUSE)


def queue(connection: sa.Connection, mails: Iterable[Mail]) -> None:
    """Put mails into the outbox; one whose key is there already is not queued again."""
    now = datetime.now(UTC)  # no rule asks for it: it tells people how long a message waits
    # In one order for all, so that two retries that queue the same mails cannot wait for each other.
    for mail in sorted((one for given in mails for one in _each(given)), key=lambda m: m.key):
        row = {
            "key": mail.key,
            "rollout": mail.key.partition("/")[0],
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
            "attachments": storable([list(a) for a in mail.attachments]),
            "unsubscribe": mail.unsubscribe,
            "channel": mail.channel,
            "text_sha256": hashlib.sha256(storable(mail.text).encode()).hexdigest(),
            "queued_at": now,
        }
        insert_once(connection, tables.outbox, row)


class Outbox(Database):
    """The outbox's part of the port `Facts`."""

    def unsent(self, limit: int, now: datetime, channel: str = "") -> Sequence[Mail]:
        """Claim messages of a channel that are due; another sender skips them until the claim ends."""
        query = (
            sa.select(tables.outbox)
            .where(_due(now), tables.outbox.c.channel == channel)
            .order_by(tables.outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).all()
            claimed = tables.outbox.c.id.in_([row.id for row in rows])
            connection.execute(sa.update(tables.outbox).where(claimed).values(claimed_until=now + CLAIM))
        return tuple(_mail(row) for row in rows)

    def waiting_channels(self, now: datetime) -> Sequence[str]:
        """Channels other than mail that have messages which are due."""
        channel = tables.outbox.c.channel
        query = sa.select(channel).where(_due(now), channel != "").distinct().order_by(channel)
        with self._reading() as connection:
            return tuple(connection.execute(query).scalars())

    def waiting(self, now: datetime) -> Mapping[str, Waiting]:
        """What waits, by channel; reads nothing of what has left, or was given up."""
        row = tables.outbox.c
        since = sa.func.coalesce(row.due_at, row.queued_at)
        due = sa.case((_due(now), since), else_=None)
        query = sa.select(row.channel, sa.func.count(), sa.func.min(row.queued_at), sa.func.min(due))
        with self._reading() as connection:
            found = connection.execute(query.where(_waiting()).group_by(row.channel)).all()
        return {channel: Waiting(number, oldest, due) for channel, number, oldest, due in found}

    def mark_sent(self, keys: Iterable[str], now: datetime) -> None:
        """These were accepted by the server. Their text goes at the same moment: it may hold a key to something."""
        these = sa.and_(tables.outbox.c.key.in_(list(keys)), tables.outbox.c.sent_at.is_(None))
        with self._transaction() as connection:
            connection.execute(
                sa.update(tables.outbox)
                .where(these)
                .values(
                    sent_at=now,
                    claimed_until=None,
                    given_up_at=None,
                    last_error="",
                    attempts=tables.outbox.c.attempts + 1,
                    **_NO_TEXT,
                )
            )

    def hold(self, keys: Collection[str], until: datetime, why: str) -> None:
        """They are due then; what was claimed of them is given back."""
        these = sa.and_(tables.outbox.c.key.in_(list(keys)), _waiting())
        values = {"due_at": until, "claimed_until": None, "last_error": clean_text(why)[:500]}
        with self._transaction() as connection:
            connection.execute(sa.update(tables.outbox).where(these).values(**values))

    def mark_refused(self, errors: Mapping[str, str], now: datetime) -> None:
        """These were not; tried again after growing pauses, and given up after five days."""
        query = (
            sa.select(tables.outbox.c.id, tables.outbox.c.key, tables.outbox.c.attempts, tables.outbox.c.first_tried_at)
            .where(tables.outbox.c.key.in_(list(errors)), _waiting())
            .order_by(tables.outbox.c.id)
            .with_for_update()
        )
        with self._transaction() as connection:
            for row in connection.execute(query).all():
                first = row.first_tried_at or now
                due = now + pause_after(row.attempts + 1)
                given_up = due > first + GIVE_UP_AFTER
                connection.execute(
                    sa.update(tables.outbox)
                    .where(tables.outbox.c.id == row.id)
                    .values(
                        attempts=row.attempts + 1,
                        first_tried_at=first,
                        due_at=due,
                        claimed_until=None,
                        given_up_at=now if given_up else None,
                        last_error=clean_text(errors[row.key])[:500],
                        **(_NO_TEXT if given_up else {}),
                    )
                )

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        """Every mail of a rollout, in the order of queueing: (mail, when sent, last error)."""
        query = sa.select(tables.outbox).where(tables.outbox.c.rollout == rollout).order_by(tables.outbox.c.id)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return tuple((_mail(row), row.sent_at, row.last_error) for row in rows)


_NO_TEXT: Mapping[str, Any] = {"text": "", "html": "", "attachments": [], "unsubscribe": ""}


def _each(mail: Mail) -> tuple[Mail, ...]:
    return (mail,) if mail.channel else mail.one_each()


def _due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        _waiting(),
        sa.or_(tables.outbox.c.due_at.is_(None), tables.outbox.c.due_at <= now),
        sa.or_(tables.outbox.c.claimed_until.is_(None), tables.outbox.c.claimed_until <= now),
    )


def _waiting() -> sa.ColumnElement[bool]:
    return sa.and_(tables.outbox.c.sent_at.is_(None), tables.outbox.c.given_up_at.is_(None))


def _mail(row: sa.Row[Any]) -> Mail:
    attachments = tuple((n, t, x) for n, t, x in row.attachments)
    return Mail(
        row.key, row.to, row.subject, row.text, row.html, attachments, row.text_sha256, row.unsubscribe, row.channel
    )
