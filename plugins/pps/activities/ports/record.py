"""The record of all that happened, and its register."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pps.activities.ports.people import Mail
from pps.domain.people.feedback import Limit
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


@dataclass(frozen=True, slots=True)
class OpenRollout:
    """One row of the register of rollouts."""

    name: str
    path: str
    patch: int
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the outbox for one channel."""

    number: int
    oldest: datetime | None
    """since when the oldest waits; None: it was queued before that was noted"""
    due_since: datetime | None
    """since when one could have left that nobody has tried to send; None: each is tried again later"""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """When a service was last seen."""

    at: datetime | None
    """None: never"""
    missed_since: datetime | None
    """since when it does not answer; None: it has, when it was last asked"""


@dataclass(frozen=True, slots=True)
class LastReport:
    """What a site that fetches by itself has reported last."""

    at: datetime
    text: str
    """as it came (`activities.clients.reports`)"""


class Facts(Protocol):
    """The append-only record, and the outbox that lives in the same transactions."""

    def open(self, path: str, patch: int, opening: Fact, run: str) -> bool:
        """Register a rollout and record its opening fact in one transaction.

        True if it is new; False if this very `run` (the Airflow run, or another caller's key)
        opened it before. `AlreadyOpenError` if another run has a rollout of this patch open in the
        same line (`domain.record.rollouts.line_of`).
        """

    def close(self, closing: Fact) -> None:
        """Record the closing fact and free the patch for another rollout."""

    def next_name(self, path: str, patch: int, run: str = "") -> str:
        """Name of the rollout that `run` opened (also when it has ended since: a cleared task finds
        its own), else of the one that is open for this patch, else of the one that would be next.
        """

    def rollouts(
        self,
        *,
        open_only: bool = False,
        paths: Collection[str] = (),
        patch: int | None = None,
        not_cleared: bool = False,
        closed_after: datetime | None = None,
        as_of: datetime | None = None,
    ) -> tuple[OpenRollout, ...]:
        """The register, newest first: of these paths, else all rollouts (no dossiers); of one patch, or of all.

        Args:
            not_cleared: without those for which `mark_cleared` was called.
            closed_after: without those that had ended by then; what is open is always among them.
            as_of: the register as it stood then: without what was opened later, and what was closed later is open.
        """

    def mark_cleared(self, record: Rollout) -> bool:
        """Note that a rollout has ended and nothing of it is at any site: nights need not read it again.

        Undone by the next fact of that rollout. Refused (False) if there are other facts than those in `record`.
        """

    def count_turned_away(self, rollout: str, limit: Limit, now: datetime) -> None:
        """Count an answer that a limit has turned away: a number for each limit, and nothing about who it was."""

    def turn(self, at: str) -> AbstractContextManager[None]:
        """Wait until nobody else holds the turn at `at`, whichever process it is in, and hold it meanwhile."""

    def turned_away(self, rollout: str) -> Mapping[Limit, int]:
        """How many answers each limit has turned away."""

    def rollout(self, name: str) -> Rollout:
        """All facts of a rollout, in the order of recording; no facts: `NotYetAllowedError`."""

    def marks(self, paths: Collection[str], closed_after: datetime) -> Sequence[tuple[OpenRollout, int, int]]:
        """As `rollouts(paths=..., closed_after=...)`, and with each the numbers of the newest facts of its record and
        of its patch's dossier (0: none), as `newest` gives them: whether anything has changed, in one look.
        """

    def standing(self, names: Collection[str], as_of: datetime | None = None) -> Mapping[str, Rollout]:
        """Rollouts and dossiers as they stand (or stood then), in one read: without what programs once recorded of a
        site and newer facts have overtaken (`OVERTAKEN_KINDS`). Every actor and the latest moment are
        in it. A name without facts has none.
        """

    def about(self, names: Collection[str], subject: str) -> Mapping[str, Rollout]:
        """Of these records what is about the whole, and about one subject (a site), in one read: what it costs does not
        grow with the number of others.
        """

    def newest(self, names: Collection[str]) -> Mapping[str, int]:
        """A number for each of these records that has facts, which grows with each fact; one look-up for each."""

    def has(self, rollout: str, kind: FactKind) -> bool:
        """Tell whether a fact of this kind is on record, at the cost of one look-up: for those who must ask often."""

    def dossier(self, patch: int) -> Rollout:
        """What is on record about a patch besides its rollouts; without facts while there is nothing."""

    def record_in_dossier(self, patch: int, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """As `record`, for facts of `domain.record.rollouts.dossier_name(patch)`."""

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        """Record facts, and queue mails, in one transaction; return the facts that were new.

        A mail whose key is in the outbox already is not queued again.
        """

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        """Facts of this kind, of all records, whose payload has one of these texts under `key`; reads no others."""

    def facts_of_kind(
        self, kinds: Collection[FactKind], since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Fact, ...]:
        """Facts of these kinds of all rollouts and dossiers, `since <= at < until`, in the order of recording."""

    def subjects(self, rollout: str, kind: FactKind) -> tuple[str, ...]:
        """The subjects of a record's facts of this kind, each once, in order; one look-up for each, however many facts
        there are.
        """

    def unsent(self, limit: int, now: datetime, channel: str = "") -> Sequence[Mail]:
        """Messages of a channel that are due for a (new) try; claimed for a while so that two senders share them out.

        Args:
            channel: "": mails.
        """

    def waiting_channels(self, now: datetime) -> Sequence[str]:
        """Channels other than mail that have messages which are due."""

    def waiting(self, now: datetime) -> Mapping[str, Waiting]:
        """Channel ("": mail) -> what waits in the outbox; channels for which nothing waits are not in it."""

    def saw(self, what: str, now: datetime) -> None:
        """Note that a service has answered, or that something was done that is done again and again (`backup`)."""

    def missed(self, what: str, now: datetime) -> None:
        """Note that a service has not answered."""

    def last_seen(self) -> Mapping[str, LastSeen]:
        """What was noted so."""

    def keep_report(self, site: str, text: str, now: datetime) -> None:
        """Keep what a site has reported, in the place of what it has reported before."""

    def reports(self) -> Mapping[str, LastReport]:
        """What each site has reported last; sites that never have are not in it."""

    def mark_sent(self, keys: Iterable[str], now: datetime) -> None:
        """These were accepted by the server."""

    def hold(self, keys: Collection[str], until: datetime, why: str) -> None:
        """These may not leave before; that is no attempt."""

    def mark_refused(self, errors: Mapping[str, str], now: datetime) -> None:
        """These were not; they are tried again later, with growing pauses, and given up after days."""

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        """Every mail of a rollout: (mail, when sent, last error). Mail keys start with `<rollout>/`.

        A mail that was sent, or given up, has lost its text, HTML and attachments.
        """
