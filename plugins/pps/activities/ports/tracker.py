"""Where certification keeps its patches."""

from __future__ import annotations

from typing import Protocol

from pps.domain.packages.patch import Patch, PatchState


class Tracker(Protocol):
    """The patch tracker (Savannah's role)."""

    def patch(self, number: int) -> Patch:
        """Read a patch; `PatchNotFoundError`, or `ServiceError` when the tracker does not answer."""

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, newest number first, or those in one state."""

    def set_state(self, number: int, state: PatchState, comment: str) -> None:
        """Move a patch to a state with a comment; setting the state that it has changes nothing."""

    def comment(self, number: int, text: str) -> None:
        """Add a comment to a patch's history without moving it; the same text twice is one comment."""
