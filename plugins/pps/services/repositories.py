"""Repositories: those of providers, and how ours are signed and written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pps.activities.packages.repository_use import PublishedKeys
from pps.activities.packages.uploads import upload_address, upload_repository
from pps.activities.ports.mirrors import Mirrors
from pps.activities.ports.packages import PackageRepositories
from pps.domain.base.errors import ConfigurationError
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.packages.repository_seals import KEYRING
from pps.domain.packages.repository_trust import Trust
from pps.services.base import Shared

if TYPE_CHECKING:
    from upath import UPath

    from pps.adapters.packages.repositories import ProviderRepositories
    from pps.adapters.packages.repository_seal import RepositorySeal


#: The key that signs, and the one that will follow it.
SIGNING_CONNECTIONS = ("pps_signing", "pps_signing_next")


class Repositories(Shared):
    """Repositories of providers, mirrors, uploads, and our seal on what we publish."""

    @cached_property
    def repositories(self) -> PackageRepositories:
        """The providers' package repositories."""
        return self._provider_repositories

    @cached_property
    def _provider_repositories(self) -> ProviderRepositories:
        from pps.adapters.packages.repositories import ProviderRepositories

        keys, folder = self.config.service.package_keys, self.config.folder.resolve()
        uploads = self.config.service.upload_url  # what lies there is signed by us
        return ProviderRepositories(
            {place: folder / k.keyring.expanduser() for place, k in keys.items() if k.keyring}
            | ({uploads: self._own_keyring()} if uploads else {}),
            {place: k.reason for place, k in keys.items() if k.reason},
        )

    def trust_in(self, url: str) -> Trust:
        """Who must have signed the provider's repository at `url`; `ConfigurationError` where nobody has decided."""
        return self._provider_repositories.trust_in(url)

    @property
    def signing_keyring(self) -> Path:
        """The public keys that sign our own repositories, armoured; `pps keys make` writes it."""
        return self.config.folder / KEYRING

    @cached_property
    def seal(self) -> RepositorySeal:
        """Our signature on the indexes of our own repositories."""
        from pps.adapters.packages.repository_seal import RepositorySeal

        valid_for = self.config.policies.signing.valid_for
        return RepositorySeal(self.signing_keyring, self.signing_secrets, valid_for, turns=self._turn)

    def _turn(self, at: str) -> AbstractContextManager[None]:
        return self.facts.turn(at)

    def signing_secrets(self) -> tuple[bytes, ...]:
        """The secret keys that sign: of the connection `pps_signing`, and, while keys change, of `pps_signing_next`."""
        from pps.adapters.packages.openpgp import from_connection

        found = [secret for name in SIGNING_CONNECTIONS if (secret := self._secret_of(name)) is not None]
        if not found:
            raise ConfigurationError(
                f"connection {SIGNING_CONNECTIONS[0]}",
                "is not set, and nothing is published unsigned.",
                "Make a key: pps keys make --help",
            )
        return tuple(from_connection(unquote(secret.password or "")) for secret in found)

    @property
    def published_keys(self) -> PublishedKeys:
        """Our public keys as sites are told of them."""
        from pps.adapters.packages.openpgp import keys_in

        return PublishedKeys(self.config.service.public_url, keys_in(self.seal.public))

    def publish_packages(
        self, folder: UPath | Path, repository: Repository, packages: Iterable[Path], now: datetime
    ) -> None:
        """Add packages to a repository of ours, index last, and sign it."""
        from upath import UPath

        from pps.adapters.packages.repository_writer import publish_packages

        publish_packages(UPath(folder), repository, packages, now, seal=self.seal, confined=self._confined())

    @cached_property
    def mirror_folder(self) -> UPath:
        """The folder in which mirrors of providers' repositories are kept (SD 4.1.3, 6)."""
        if not self.config.service.mirror_folder:
            raise ConfigurationError(
                "service.yaml",
                "names no mirror_folder, so there is no place for mirrors.",
                "Set mirror_folder and mirror_url; docs/production.md says how it is served.",
            )
        return self.folder_at(self.config.service.mirror_folder)

    @cached_property
    def mirrors(self) -> Mirrors:
        """The mirrors in that folder."""
        from pps.adapters.packages.mirror_folder import MirrorFolder

        return MirrorFolder(self.mirror_folder, self.cache / "mirrors")

    @cached_property
    def own_repositories(self) -> PackageRepositories:
        """Repositories that we publish, signed by our own key, wherever an address of `package_keys` may point."""
        from pps.adapters.packages.repositories import OwnRepositories

        return OwnRepositories(Trust(keyring=self._own_keyring()))

    def _own_keyring(self) -> Path:
        """A file with our public keys, as gpgv reads it."""
        from pps.adapters.packages.folders import publish
        from pps.adapters.packages.openpgp import dearmoured

        ring = dearmoured(self.seal.public)
        path = self.cache / f"own-keys-{hashlib.sha256(ring).hexdigest()[:16]}.gpg"
        if not (path.exists() and path.read_bytes() == ring):
            publish(self.cache, path.name, ring)
        return path

    @cached_property
    def upload_folder(self) -> UPath:
        """The folder with packages that providers have uploaded."""
        if not (self.config.service.upload_folder and self.config.service.upload_url):
            raise ConfigurationError(
                "service.yaml",
                "names no upload_folder and upload_url, so packages cannot be uploaded.",
                "Publish them in a repository of your own.",
            )
        return self.folder_at(self.config.service.upload_folder)

    def publish_upload(self, provider: str, kind: RepositoryKind, package: Path, now: datetime) -> Repository:
        """Add a package to the repository of a provider's uploads, and sign that; where it is served."""
        folder = self.upload_folder / provider / kind.value
        repository = upload_repository(kind, upload_address(str(self.config.service.upload_url), provider, kind))
        self.publish_packages(folder, repository, [package], now)
        return repository

    def problems_of_seal(self, place: str, repository: Repository) -> tuple[str, ...]:
        """What is wrong with the signature of the mirror in this place of the mirror folder."""
        return self.seal.problems(self.mirror_folder / place, repository)

    @property
    def mirror_url(self) -> str:
        """Where sites reach the mirror folder: `mirror_url`, else the folder's own address."""
        return self.config.service.mirror_url or str(self.config.service.mirror_folder or "")
