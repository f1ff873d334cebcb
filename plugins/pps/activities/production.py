"""The way to production: where the tried bytes are, where they go, and who is told (SD 4.1.1, last paragraph)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pps.activities.ports import Artefacts, Templates, Tracker
from pps.activities.repository_use import PublishedKeys
from pps.domain.patches import Patch, Repository, RepositoryKind

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
    url: str
    """where sites reach the folder"""
    keys: PublishedKeys

    def add_packages(self, patch: Patch, digests: Sequence[str], now: datetime) -> None:
        """Add kept packages to the repository, by their SHA-256; those that are in it already change nothing."""
        files = [self.artefacts.local_package(sha256) for sha256 in digests]
        self.publish_packages(self.repository / patch.repository.kind.value, self.source(patch), files, now)

    def source(self, patch: Patch) -> Repository:
        """Where sites find the packages of a patch that is in production."""
        # the provider's suite (a preview, say) is not ours; all packages stand in the first component
        kind, components = patch.repository.kind, patch.repository.components[:1]
        suite = SUITE if kind is RepositoryKind.APT else ""
        return Repository(kind, f"{self.url.rstrip('/')}/{kind.value}", suite, components)
