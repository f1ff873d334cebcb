"""The patches, read through our API by somebody who has signed in: the tracker's token stays with the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Never

from pps.config.patch_documents import parse_patch
from pps.domain.base.errors import ConfigurationError
from pps.domain.packages.patch import Patch, PatchState

#: Asks a door below `tracker/`: place, query -> the answer.
Get = Callable[[str, dict[str, str]], dict[str, Any]]


class FarTracker:
    """`ports.tracker.Tracker`, as far as patches are read."""

    def __init__(self, get: Get) -> None:
        self._get = get

    def patch(self, number: int) -> Patch:
        """Read a patch; `PatchNotFoundError`, or `ServiceError` when the tracker does not answer."""
        return parse_patch(self._get(f"patches/{number}", {})["patch"])

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, newest number first, or those in one state."""
        query = {"state": state.value} if state else {}
        return tuple(parse_patch(one) for one in self._get("patches", query)["patches"])

    def page(self, number: int) -> str:
        """Address at which people read the patch in the tracker."""
        return str(self._get(f"patches/{number}", {})["page"])

    def __getattr__(self, name: str) -> Never:
        """What writes, or shows what the tracker holds behind a patch, is not to be had from here."""
        raise ConfigurationError(
            "pps",
            f"this command needs the tracker itself ({name}), whose token only the service's own account has.",
            "Run it there, as docs/production.md says.",
        )
