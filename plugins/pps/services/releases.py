"""What a release works with: packages, tarballs, and what is in production."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pps.activities.packages.production import Beside, Production
from pps.activities.packages.submission_look import Bench
from pps.activities.ports.packages import Artefacts, Linters, PackageReader, ProductionRepositories
from pps.activities.release.signing import Comparison, OwnIndex, not_as_published, own_indexes, renew_all
from pps.domain.base.errors import ConfigurationError
from pps.domain.packages.patch import Repository
from pps.domain.packages.repository_trust import shown
from pps.services.base import private_folder
from pps.services.people import People
from pps.services.repositories import Repositories

if TYPE_CHECKING:
    from upath import UPath

    from pps.adapters.packages.folders import PublishedFolder


class Releases(People, Repositories):
    """Artefacts, production, and what looks into packages."""

    @cached_property
    def artefacts(self) -> Artefacts:
        """The store of tarballs."""
        from pps.adapters.packages.artefacts import ArtefactStore

        return ArtefactStore(
            self.folder_at(self.config.service.artefact_store), private_folder(self.cache, "artefacts", make=False)
        )

    @property
    def payload_cache(self) -> Path:
        """Where payloads for sites are kept between batches."""
        return private_folder(self.cache, "payloads")

    @cached_property
    def package_reader(self) -> PackageReader:
        """Reads .deb and .rpm."""
        from pps.adapters.packages.package_files import PackageFiles

        return PackageFiles(self._confined())

    @cached_property
    def production_repository(self) -> UPath:
        """The folder in which production packages and tarballs are published."""
        return self.folder_at(self.config.service.production_repository)

    @cached_property
    def production_packages(self) -> ProductionRepositories:
        """What is in production now."""
        from pps.adapters.packages.production_packages import ProductionFolder

        return ProductionFolder(self.production_repository, seal=self.seal)

    @property
    def production_url(self) -> str:
        """Where sites reach the production repository: `production_url`, else the folder's own address."""
        return self.config.service.production_url or self.production_repository.as_uri()

    @cached_property
    def production_folder(self) -> PublishedFolder:
        """The same folder, as activities publish in it."""
        from pps.adapters.packages.folders import PublishedFolder

        return PublishedFolder(self.production_repository, "production repository")

    def publish_in_production(
        self, place: str, repository: Repository, packages: Iterable[Path], now: datetime
    ) -> None:
        """See `publish_packages`; `place` is below the production repository."""
        self.publish_packages(self.production_repository / place, repository, packages, now)

    def own_indexes(self, now: datetime) -> list[OwnIndex]:
        """The indexes of ours that are signed again in time: production's, and those of rollouts that are in use."""
        mirrors = self.mirror_folder if self.config.service.mirror_folder else None
        ended_for = self.config.policies.signing.renew_ended_for
        uploads = self.upload_folder if self.config.service.upload_folder and self.config.service.upload_url else None
        return list(own_indexes(self.facts, self.production_repository, mirrors, now, ended_for, uploads))

    def not_as_published(self, now: datetime) -> Comparison:
        """What our repositories hold that is not what was published: production, release tests and mirrors in use."""
        from pps.activities.release.published import missing_in_indexes, released_tarballs
        from pps.adapters.packages.published_files import Seen, misfits, tarball_misfits

        seen = Seen.read(private_folder(self.cache, "published") / "seen.json")
        looked = not_as_published(self.own_indexes(now), lambda own: misfits(own, self.seal, seen), self.facts)
        found = list(looked.found)
        if not looked.not_seen and all(misfit.sha256 for misfit in found):  # all indexes could be read
            found += missing_in_indexes(self.facts, seen.named, str(self.production_repository))
        tarballs = self.production_repository / "tarballs"
        found += tarball_misfits(tarballs, released_tarballs(self.facts), seen)
        seen.keep()
        return replace(looked, found=tuple(found))

    def renew_signatures(self, now: datetime) -> tuple[str, ...]:
        """Sign again every index whose signature is ours and about to expire; returns where it was done."""
        left = self.config.policies.signing.renew_when_left
        return renew_all(
            self.own_indexes(now),
            lambda own: self.seal.renew(own.root, own.repository, now, when_left=left, keep_release=own.lists_release),
        )

    def decisions_on(self, index: str) -> tuple[str, str]:
        """By which decisions in force the provider's index at this address is believed."""
        policies = _sha256(self.config.folder / "policies.yaml")
        try:
            trust = self.trust_in(index)
            who = f"unsigned, because: {trust.unsigned}"
            if trust.keyring is not None:
                who = f"keyring, sha256 {_sha256(trust.keyring)}"
        except ConfigurationError:
            who = "names nobody for it now"
        except OSError:  # it has done its work when the packages were fetched; a release does not need it
            who = "a keyring that cannot be read now"
        return f"policies.yaml, sha256 {policies}", f"package_keys of service.yaml, for {shown(index)}: {who}"

    @property
    def production(self) -> Production:
        """What a release works with; all VOs and ROCs hear of it."""
        from pps.adapters.packages.bills import as_cyclonedx

        audience = self.audience()
        return Production(
            self.artefacts,
            self.production_folder,
            self.publish_in_production,
            self.templates,
            [party.address for party in (*audience.vos, *audience.rocs)],
            url=self.production_url,
            keys=self.published_keys,
            beside=Beside(
                self.publication_folder,
                self.package_reader,
                self.config.policies.tarball.to_port(),
                as_cyclonedx,
                self.seal.clear_signed,
                self.decisions_on,
            ),
        )

    @cached_property
    def linters(self) -> Linters:
        """`lintian` and `rpmlint`, where this machine has them."""
        from pps.adapters.packages.lint import LintPrograms

        return LintPrograms(self._confined())

    @property
    def release_bench(self) -> Bench:
        """What a look at a submitted release needs."""
        from pps.adapters.packages.solver import Solvers

        confined, indexes = self._confined(), self.config.service.platform_indexes
        return Bench(
            self.repositories,
            self.production_packages,
            self.package_reader,
            self.config.policies.tarball.to_port(),
            private_folder(self.cache, "looks"),
            self.trust_in,
            self.patch,
            Solvers(confined),
            self.linters,
            {name: tuple(index.to_domain() for index in found) for name, found in indexes.items()},
        )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
