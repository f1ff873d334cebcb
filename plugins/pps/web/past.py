"""What a page needs to show how something was at a moment (`?at=`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

#: More moments than these no slider can tell apart.
_STOPS = 200


def stops(moments: Iterable[datetime]) -> list[str]:
    """Of the moments at which something has changed at most `_STOPS`, for whoever goes through its past."""
    last_of_second = {at.replace(microsecond=0): at.astimezone(UTC).isoformat() for at in sorted(moments)}
    seen = sorted(last_of_second.values())
    step = max(1, -(-len(seen) // _STOPS))
    return list(dict.fromkeys([*seen[::step], *seen[-1:]]))
