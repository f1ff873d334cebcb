"""The way to production: where the tried bytes are, where they go, and who is told (SD 4.1.1, last paragraph)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pps.activities.ports import Artefacts, Templates, Tracker
from pps.domain.patches import Patch, Repository

SUITE = "production"

#: Adds package files to the repository below a folder; twice is once. Arguments: folder, repository, files, now.
Publisher = Callable[[Any, Repository, Sequence[pathlib.Path], datetime], None]


@dataclass(frozen=True)
class Production:
    """What every release needs, whichever path leads to it."""

    artefacts: Artefacts
    tracker: Tracker
    repository: Any
    """its folder: a pathlib-like path, also of an object store"""
    publish_packages: Publisher
    templates: Templates
    recipients: Sequence[str]
    """addresses that hear of a release"""

    def add_packages(self, patch: Patch, digests: Sequence[str], now: datetime) -> None:
        """Add kept packages to the repository, by their SHA-256; those that are in it already change nothing."""
        files = [self.artefacts.local_package(sha256) for sha256 in digests]
        # the provider's suite (a preview, say) is not ours
        ours = replace(patch.repository, suite=SUITE)
        self.publish_packages(self.repository / patch.repository.kind.value, ours, files, now)
