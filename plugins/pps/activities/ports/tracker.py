"""Where certification keeps its patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pps.domain.packages.patch import BugState, Patch, PatchState


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment on a patch."""

    at: str
    """as the tracker writes it"""
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What an entry of the tracker is read as; `pps tracker check` shows it."""

    number: int | None
    """None: it has none that we can use"""
    title: str
    page: str
    patch: Patch | None
    """None: it cannot be used, `problems` say why"""
    problems: tuple[str, ...] = ()


class Tracker(Protocol):
    """The patch tracker (Savannah's role)."""

    def patch(self, number: int) -> Patch:
        """Read a patch; `PatchNotFoundError`, or `ServiceError` when the tracker does not answer."""

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, newest number first, or those in one state."""

    def readings(self, number: int | None = None) -> tuple[Reading, ...]:
        """What every entry, or that of one number, is read as, also where it is unusable."""

    def page(self, number: int) -> str:
        """Address at which people read the patch in the tracker; asks nobody."""

    def set_state(self, number: int, state: PatchState, comment: str, *, only_from: PatchState | None = None) -> None:
        """Move a patch to a state with a comment; setting the state that it has changes nothing.

        Args:
            only_from: move it only if it is in this state; `ServiceError` if somebody has moved it elsewhere meanwhile.
        """

    def comment(self, number: int, text: str) -> None:
        """Add a comment to a patch's history without moving it; the same text twice is one comment."""

    def comments(self, number: int) -> tuple[Remark, ...]:
        """The comments on a patch, oldest first."""

    def enter(self, patch: Patch, *, submission: str = "") -> int:
        """Enter a new patch; returns its number.

        Args:
            patch: with the number that it shall have; the same patch once more changes nothing, another one with this
                number is refused.
            submission: what it is entered from, one line. The tracker then gives the number, `patch.number` is not
                looked at; the same submission once more is the patch that it was.

        Raises:
            RefusedError: the tracker says no, or one of its bugs is known there with other content.
        """

    def edit(self, number: int, fields: Mapping[str, Any]) -> None:
        """Change fields of a patch, as its provider does: names and values as in a patch's document.

        Neither number nor state nor SA3's flag. Somebody else's change meanwhile is a `ServiceError`, worth a retry.
        """


@dataclass(frozen=True, slots=True)
class Ticket:
    """A trouble ticket about a patch."""

    marker: str
    """one line without blanks, which stands in the ticket: it is found again by it"""
    patch: int
    title: str
    text: str


@runtime_checkable
class Tickets(Protocol):
    """A tracker that has tickets of their own for troubles; where there are none, they are comments on the patch."""

    def open_ticket(self, ticket: Ticket) -> str:
        """Open a ticket; returns its page. One with this marker is found, and no second one is made."""

    def close_ticket(self, marker: str, text: str) -> None:
        """Close a ticket with a last comment; one that is closed, or is not there, changes nothing."""


@runtime_checkable
class Bugs(Protocol):
    """A tracker that has bugs of their own, with states."""

    def bug_states(self) -> Mapping[int, BugState]:
        """Bug -> where it stands; those in a state that is none of ours are left out."""
