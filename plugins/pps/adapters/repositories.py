"""Implements `ports.PackageRepositories`: opens the provider's APT and YUM repositories over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pps.activities.ports import PackageRepository
from pps.adapters.apt import AptRepository
from pps.adapters.download import Downloader
from pps.adapters.yum import YumRepository
from pps.domain.patches import Repository, RepositoryKind


@dataclass(frozen=True)
class ProviderRepositories:
    """All repositories that a patch may name.

    `keyrings` is `package_keys` of service.yaml: URL prefix -> keyring file. A repository under such
    a prefix must be signed by a key of that file; the longest prefix counts.
    """

    keyrings: Mapping[str, Path] = field(default_factory=dict)

    def open(self, repository: Repository) -> PackageRepository:
        """Fetch and verify the index."""
        download = Downloader(repository.url.rstrip("/"))  # first, since it refuses odd spellings
        keyring = self.keyring_for(repository.url)
        if repository.kind is RepositoryKind.APT:
            return AptRepository.open(repository, download, keyring)
        return YumRepository.open(repository, download, keyring)

    def keyring_for(self, url: str) -> Path | None:
        """The keyring that must have signed a repository, or None if none is configured for it."""

        prefixes = [p for p in self.keyrings if _place(url).startswith(_place(p))]
        return self.keyrings[max(prefixes, key=lambda p: len(_place(p)))] if prefixes else None


def _place(url: str) -> str:
    """Host and path for comparison: another scheme or spelling must not lead around a signature.

    `Downloader` refuses what could spell the same path in other ways (`..`, `%`).
    """
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port not in (None, 80, 443) else ""
    return f"{(parts.hostname or '').rstrip('.')}{port}{parts.path.rstrip('/')}/"
