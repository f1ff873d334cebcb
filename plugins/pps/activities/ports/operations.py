"""What a look at the installation is told by others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Night:
    """The nightly distribution that ended last."""

    ended_at: datetime
    failed: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """policies.yaml, `watch`: from when on it is trouble."""

    night_within: timedelta
    sent_within: timedelta
    waits_within: timedelta
    backup_within: timedelta
    tracker_missed_for: timedelta
    signatures_left: timedelta
