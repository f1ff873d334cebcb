"""Where mirrors of providers' repositories are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pps.domain.packages.mirrors import MirrorFile, MirrorList


@dataclass(frozen=True, slots=True)
class MirrorLimits:
    """How large a repository may be that is mirrored (config/policies.yaml, `mirror`)."""

    bytes_at_most: int
    packages_at_most: int


class Mirrors(Protocol):
    """Write-once folders `<rollout>/<digest>/`, served over HTTP (file://, s3://, ...)."""

    def aside(self, rollout: str, now: datetime) -> AbstractContextManager[Path]:
        """An empty local folder to make a mirror in; what is left of it goes with the context."""

    def contents(self, folder: Path) -> tuple[MirrorFile, ...]:
        """Every file below a folder of `aside` with its digest, safe on the disk from then on."""

    def keep(self, folder: Path, rollout: str, listed: MirrorList) -> str:
        """Put a folder of `aside` in its place once, whole or not at all, and return that place.

        `TamperedError` if something else is there: a mirror is never written over.
        """

    def listing(self, place: str) -> str | None:
        """The text of MIRROR in this place; None if there is no such mirror."""

    def found(self, place: str) -> Iterator[MirrorFile]:
        """Every file that is there now except MIRROR, read to its end, in order of path."""
