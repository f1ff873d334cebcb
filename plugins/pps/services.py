"""What the front ends (CLI, web, DAGs) work with: the adapters, put together from config/ when first asked for."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from pps.activities.clients.bulletin_pages import write_bulletin
from pps.activities.packages.production import Production
from pps.activities.packages.repository_use import PublishedKeys
from pps.activities.packages.submission_look import Bench
from pps.activities.packages.uploads import upload_repository
from pps.activities.people.notification import Audience, Party
from pps.activities.people.outbox import with_copies
from pps.activities.ports.clean_roots import CleanRoots
from pps.activities.ports.mirrors import Mirrors
from pps.activities.ports.packages import Artefacts, Linters, PackageReader, PackageRepositories, ProductionRepositories
from pps.activities.ports.people import Channel, Mail, Mailer, Templates
from pps.activities.ports.services import InformationSystem, Matchmaker, ServiceProbes
from pps.activities.ports.sites import SiteShell, SshTarget
from pps.activities.ports.tracker import Tracker
from pps.activities.release.signing import Comparison, OwnIndex, not_as_published, own_indexes, renew_all
from pps.config.channel_models import By
from pps.config.loader import Configuration
from pps.domain.base.errors import ConfigurationError
from pps.domain.packages.patch import Repository, RepositoryKind
from pps.domain.packages.repository_seals import KEYRING
from pps.domain.packages.repository_trust import Trust
from pps.domain.people.channels import connection_of
from pps.domain.people.roles import Role
from pps.domain.sites.site import Site

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from upath import UPath

    from pps.adapters.packages.confined import Confined
    from pps.adapters.packages.folders import PublishedFolder
    from pps.adapters.packages.repositories import ProviderRepositories
    from pps.adapters.packages.repository_seal import RepositorySeal
    from pps.adapters.record.store import FactStore

#: Returns the URI of an Airflow-style connection id, or None where there is no such connection.
Credentials = Callable[[str], str | None]

#: The key that signs, and the one that will follow it.
SIGNING_CONNECTIONS = ("pps_signing", "pps_signing_next")
_SECRET_BYTES = 32
_CHECKOUT = Path(__file__).resolve().parents[2]


def credentials_from_environment(connection: str) -> str | None:
    """Read `AIRFLOW_CONN_<ID>` in its URI form, as Airflow itself would."""
    return os.environ.get(f"AIRFLOW_CONN_{connection.upper()}")


def _folder(address: str) -> UPath:
    """A folder of service.yaml, wherever it is (file://, s3://, ...)."""
    from upath import UPath

    return UPath(address)


def cache_folder() -> Path:
    """See `Services.cache`."""
    base = os.environ.get("PPS_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pps"
    return Path(base)


def private_folder(cache: Path, name: str, *, make: bool = True) -> Path:
    """A folder in the cache that is ours alone: what is found there is read again, and sent to sites.

    Raises:
        ConfigurationError: it, or the cache, is another account's or a link, so others could put things there.
    """
    folder = cache / name
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (cache, folder):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            why = "is not a folder of the account that runs this, so others could change what is sent to sites."
            raise ConfigurationError(str(path), why, "Remove it, or set PPS_CACHE to a folder of this account.")
        if status.st_mode & 0o022:
            path.chmod(stat.S_IMODE(status.st_mode) & ~0o022)
    return folder


def clean_root_cache() -> Path:
    """Where clean roots and their bases are kept."""
    return cache_folder() / "clean-roots"


@dataclass(frozen=True)
class Services:
    """The adapters behind their ports. Each is made when first asked for, so that a page or a
    command needs only those parts of the configuration that it really uses.
    """

    config: Configuration
    credentials: Credentials = credentials_from_environment
    shared_facts: FactStore | None = field(default=None, kw_only=True)
    """a record of facts that outlives these services; whoever shares it closes it"""

    def _secret_of(self, connection: str) -> SplitResult | None:
        uri = self.credentials(connection)
        return urlsplit(uri) if uri else None

    @cached_property
    def store_url(self) -> str:
        """URI of our own database; holds a password, so never show it."""
        uri = self.credentials("pps_store")
        if not uri:
            raise ConfigurationError(
                "connection pps_store",
                "is not set; the database of facts is unknown.",
                "Set AIRFLOW_CONN_PPS_STORE=postgresql://user:password@host/database.",
            )
        return uri

    @cached_property
    def facts(self) -> FactStore:
        """The record of facts, with the outbox."""
        if self.shared_facts is not None:
            return self.shared_facts
        from pps.adapters.record.store import FactStore

        return FactStore(self.store_url)

    def store_is_current(self) -> bool:
        """Tell whether the database has this version's schema; `ServiceError` if it does not answer."""
        from pps.adapters.record.store import FactStore

        return FactStore(self.store_url).is_current()

    def upgrade_store(self) -> None:
        """Bring the database to this version's schema, as its owner, and give the application its rights.

        Repeating it changes nothing. Without the connection `pps_store_owner` the application does it, and then owns
        the tables.
        """
        from pps.adapters.record.store import upgrade

        upgrade(self.credentials("pps_store_owner") or self.store_url, application=self.store_url)

    @cached_property
    def tracker(self) -> Tracker:
        """The patch tracker of tracker.yaml; who we are there is the connection `pps_tracker`."""
        from pps.adapters.trackers.http import Secret
        from pps.adapters.trackers.open import open_tracker

        secret = Secret.of(self.credentials("pps_tracker"))
        return open_tracker(self.config.tracker, secret, private_folder(self.cache, "trackers"))

    @cached_property
    def information_system(self) -> InformationSystem:
        """The top BDII."""
        from pps.adapters.services.bdii import Bdii

        return Bdii(self.config.service.bdii_url, self.config.service.bdii_base)

    @cached_property
    def service_probes(self) -> ServiceProbes:
        """Knocks at services of sites."""
        from pps.adapters.services.service_probe import NetworkProbes

        return NetworkProbes()

    @cached_property
    def mailer(self) -> Mailer:
        """SMTP; login and password, where the server wants them, are in the connection `pps_smtp`."""
        from pps.adapters.services.mail import SmtpMailer

        service, secret = self.config.service, self._secret_of("pps_smtp")
        return SmtpMailer(
            service.smtp_host,
            service.smtp_port,
            security=service.smtp_security,
            sender=service.mail_from,
            reply_to=service.reply_to,
            user=unquote(secret.username or "") if secret else "",
            password=unquote(secret.password or "") if secret else "",
        )

    @cached_property
    def channels(self) -> Mapping[str, Channel]:
        """The other ways to people that people.yaml names; the secret of each is the password of its Connection."""
        if not self.config.people.channels:
            return {}
        from pps.adapters.services.channels import AppriseChannel, Webhook

        def secret_of(name: str) -> Callable[[], str | None]:
            return lambda: unquote(found.password or "") if (found := self._secret_of(connection_of(name))) else None

        return {
            name: Webhook(name, c.url, secret_of(name)) if c.by is By.WEBHOOK else AppriseChannel(name, secret_of(name))
            for name, c in self.config.people.channels.items()
        }

    def by_all_channels(self, mails: Iterable[Mail]) -> Sequence[Mail]:
        """Mails with their copies for other channels, as people.yaml says."""
        groups = self.config.people.groups if (queued := tuple(mails)) else ()
        return with_copies(queued, groups, self.config.service.public_url) if groups else queued

    @cached_property
    def templates(self) -> Templates:
        """include/templates."""
        from pps.adapters.services.templates import JinjaTemplates

        return JinjaTemplates(_CHECKOUT / "include" / "templates")

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

    @cached_property
    def clean_roots(self) -> CleanRoots:
        """Clean roots for deployment tests, where this machine allows it."""
        from pps.adapters.roots.clean_root import DebianRoots

        return DebianRoots(clean_root_cache())

    @cached_property
    def artefacts(self) -> Artefacts:
        """The store of tarballs."""
        from pps.adapters.packages.artefacts import ArtefactStore

        return ArtefactStore(
            _folder(self.config.service.artefact_store), private_folder(self.cache, "artefacts", make=False)
        )

    @property
    def cache(self) -> Path:
        """Local folder for copies that may be lost at any time; `PPS_CACHE`, else the user's cache folder."""
        return cache_folder()

    @property
    def payload_cache(self) -> Path:
        """Where payloads for sites are kept between batches."""
        return private_folder(self.cache, "payloads")

    @cached_property
    def package_reader(self) -> PackageReader:
        """Reads .deb and .rpm."""
        from pps.adapters.packages.package_files import PackageFiles

        return PackageFiles(self._confined())

    def _confined(self) -> Confined:
        """A child process that reads strangers' packages, within the limits of policies.yaml."""
        from pps.adapters.packages.confined import Confined, Limits

        return Confined(Limits(**self.config.policies.strangers_files.model_dump()))

    @cached_property
    def production_repository(self) -> UPath:
        """The folder in which production packages and tarballs are published."""
        return _folder(self.config.service.production_repository)

    @cached_property
    def production_packages(self) -> ProductionRepositories:
        """What is in production now."""
        from pps.adapters.packages.production_packages import ProductionFolder

        return ProductionFolder(self.production_repository, seal=self.seal)

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

    def publish_packages(
        self, folder: UPath | Path, repository: Repository, packages: Iterable[Path], now: datetime
    ) -> None:
        """Add packages to a repository of ours, index last, and sign it."""
        from upath import UPath

        from pps.adapters.packages.repository_writer import publish_packages

        publish_packages(UPath(folder), repository, packages, now, seal=self.seal, confined=self._confined())

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

    @property
    def production(self) -> Production:
        """What a release works with; all VOs and ROCs hear of it."""
        audience = self.audience()
        return Production(
            self.artefacts,
            self.tracker,
            self.production_folder,
            self.publish_in_production,
            self.templates,
            [party.address for party in (*audience.vos, *audience.rocs)],
            url=self.production_url,
            keys=self.published_keys,
        )

    @cached_property
    def mirror_folder(self) -> UPath:
        """The folder in which mirrors of providers' repositories are kept (SD 4.1.3, 6)."""
        if not self.config.service.mirror_folder:
            raise ConfigurationError(
                "service.yaml",
                "names no mirror_folder, so there is no place for mirrors.",
                "Set mirror_folder and mirror_url; docs/production.md says how it is served.",
            )
        return _folder(self.config.service.mirror_folder)

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
        return _folder(self.config.service.upload_folder)

    def publish_upload(self, provider: str, kind: RepositoryKind, package: Path, now: datetime) -> Repository:
        """Add a package to the repository of a provider's uploads, and sign that; where it is served."""
        folder = self.upload_folder / provider / kind.value
        repository = upload_repository(
            kind, f"{str(self.config.service.upload_url).rstrip('/')}/{provider}/{kind.value}"
        )
        self.publish_packages(folder, repository, [package], now)
        return repository

    def problems_of_seal(self, place: str, repository: Repository) -> tuple[str, ...]:
        """What is wrong with the signature of the mirror in this place of the mirror folder."""
        return self.seal.problems(self.mirror_folder / place, repository)

    @property
    def mirror_url(self) -> str:
        """Where sites reach the mirror folder: `mirror_url`, else the folder's own address."""
        return self.config.service.mirror_url or str(self.config.service.mirror_folder or "")

    @cached_property
    def matchmaker(self) -> Matchmaker | None:
        """HTCondor's ClassAd library, or None where it is not installed."""
        from pps.adapters.services.classads import matchmaker_if_installed

        return matchmaker_if_installed()

    @cached_property
    def shell(self) -> SiteShell:
        """The way to the sites: the system's OpenSSH client, else asyncssh."""
        from pps.adapters.sites.site_shell import site_shell

        return site_shell()

    @property
    def ssh_client(self) -> str | None:
        """Path of the system's OpenSSH client, or None."""
        return shutil.which("ssh")

    @cached_property
    def publication_folder(self) -> PublishedFolder:
        """Where bulletin and release notes are published."""
        from pps.adapters.packages.folders import PublishedFolder

        return PublishedFolder(_folder(self.config.service.publication_folder))

    def known_sites(self, names: Iterable[str]) -> list[Site]:
        """Those of them that the registry has; a site that has left it is no longer ours to touch."""
        return [self.config.sites[name] for name in names if name in self.config.sites]

    def audience(self, vos: Sequence[str] | None = None) -> Audience:
        """Whom to tell: the VOs of people.yaml (or those named) and all ROCs.

        `ConfigurationError` for a VO that people.yaml does not have.
        """
        people, url = self.config.people, self.config.service.public_url
        known = {vo.name: vo for vo in people.vos}
        if unknown := sorted(set(vos or ()) - known.keys()):
            raise ConfigurationError(
                f"VO {', '.join(unknown)}", "is not in people.yaml.", "Add it, or correct the name."
            )
        wanted = known if vos is None else {name: known[name] for name in vos}
        return Audience(
            tuple(Party(vo.name, vo.contact) for vo in wanted.values()),
            tuple(Party(roc.name, roc.contact) for roc in people.rocs),
            url,
            self.feedback_secret,
        )

    @property
    def coordination(self) -> Party:
        """The coordination, with the address at which its people read their mail."""
        address = self.config.people.role_contacts.get(Role.PPS_COORDINATOR, self.config.service.reply_to)
        return Party(Role.PPS_COORDINATOR.value, address)

    def in_charge_of(self, site: Site) -> list[str]:
        """Addresses of those who answer for a site beside its own people: its region, and the coordination (SD 3)."""
        regions = [roc.contact for roc in self.config.people.rocs if roc.name == site.roc]
        return list(dict.fromkeys([*regions, self.coordination.address]))

    def write_bulletin(self, now: datetime) -> None:
        """Write the release bulletin anew from the facts (SD 4.1.1, step 5)."""
        write_bulletin(
            self.facts, self.config.sites, self.templates, self.publication_folder, now, self.config.service.public_url
        )

    def close(self) -> None:
        """Let go of database connections of our own."""
        if self.shared_facts is None and "facts" in self.__dict__:
            self.facts.dispose()

    @cached_property
    def feedback_secret(self) -> bytes:
        """Keys of the invitations to give feedback, the first of which signs; `PPS_FEEDBACK_SECRET`."""
        from pps.activities.people.tokens import keys_in

        secret = os.environ.get("PPS_FEEDBACK_SECRET", "").encode()
        keys_in(secret, _SECRET_BYTES)
        return secret

    def contact_of(self, product: str) -> str:
        """Mail address of a product's provider: what fails goes back there; "" where people.yaml names none."""
        providers = self.config.people.providers
        return next((p.contact for p in providers if p.to_domain().has(product)), "")

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
            lambda number: self.tracker.patch(number),  # noqa: PLW0108 (only a release that depends on others asks it)
            Solvers(confined),
            self.linters,
            {name: tuple(index.to_domain() for index in found) for name, found in indexes.items()},
        )

    def targets(self, sites: Iterable[Site]) -> tuple[SshTarget, ...]:
        """How to log in at these sites, with the registry's key file."""
        key = self.config.sites_file.ssh_key_file
        if key is not None:  # relative to the file that names it
            key = self.config.folder.resolve() / key.expanduser()
        return tuple(SshTarget(s.name, s.ssh.host, s.ssh.port, s.ssh.user, s.ssh.host_key, key_file=key) for s in sites)
