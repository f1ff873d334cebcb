"""What the front ends (CLI, web, DAGs) work with: the adapters, put together from config/ when first asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from pps.activities.ports import (
    Artefacts,
    Facts,
    InformationSystem,
    Mailer,
    PackageRepositories,
    SiteShell,
    SshTarget,
    Templates,
    Tracker,
)
from pps.config.loader import Configuration
from pps.domain.errors import ConfigurationError
from pps.domain.sites import Site

if TYPE_CHECKING:
    from upath import UPath

#: Returns the URI of an Airflow-style connection id, or None where there is no such connection.
Credentials = Callable[[str], str | None]

_SECRET_BYTES = 32
_CHECKOUT = Path(__file__).resolve().parents[2]


def credentials_from_environment(connection: str) -> str | None:
    """Read `AIRFLOW_CONN_<ID>` in its URI form, as Airflow itself would."""
    return os.environ.get(f"AIRFLOW_CONN_{connection.upper()}")


@dataclass(frozen=True)
class Services:
    """The adapters behind their ports. Each is made when first asked for, so that a page or a
    command needs only those parts of the configuration that it really uses.
    """

    config: Configuration
    credentials: Credentials = credentials_from_environment

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
    def facts(self) -> Facts:
        """The record of facts, with the outbox."""
        from pps.adapters.store import FactStore

        return FactStore(self.store_url)

    def store_is_current(self) -> bool:
        """Tell whether the database has this version's schema; `ServiceError` if it does not answer."""
        from pps.adapters.store import FactStore

        return FactStore(self.store_url).is_current()

    def upgrade_store(self) -> None:
        """Bring the database to this version's schema; twice is once."""
        from pps.adapters.store import upgrade

        upgrade(self.store_url)

    @cached_property
    def tracker(self) -> Tracker:
        """The patch tracker; its token is the password of the connection `pps_tracker`."""
        from pps.adapters.tracker import RestTracker

        secret = self._secret_of("pps_tracker")
        return RestTracker(self.config.service.tracker_url, unquote(secret.password or "") if secret else "")

    @cached_property
    def information_system(self) -> InformationSystem:
        """The top BDII."""
        from pps.adapters.bdii import Bdii

        return Bdii(self.config.service.bdii_url, self.config.service.bdii_base)

    @cached_property
    def mailer(self) -> Mailer:
        """SMTP; login and password, where the server wants them, are in the connection `pps_smtp`."""
        from pps.adapters.mail import SmtpMailer

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
    def templates(self) -> Templates:
        """include/templates."""
        from pps.adapters.templates import JinjaTemplates

        return JinjaTemplates(_CHECKOUT / "include" / "templates")

    @cached_property
    def repositories(self) -> PackageRepositories:
        """The providers' package repositories."""
        from pps.adapters.repositories import ProviderRepositories

        keys = {prefix: keys.keyring for prefix, keys in self.config.service.package_keys.items()}
        return ProviderRepositories(keys)

    @cached_property
    def artefacts(self) -> Artefacts:
        """The store of tarballs."""
        from pps.adapters.artefacts import ArtefactStore

        return ArtefactStore(self.config.service.artefact_store)

    @cached_property
    def shell(self) -> SiteShell:
        """The way to the sites: the system's OpenSSH client, else asyncssh."""
        from pps.adapters.site_shell import site_shell

        return site_shell()

    @property
    def ssh_client(self) -> str | None:
        """Path of the system's OpenSSH client, or None."""
        return shutil.which("ssh")

    @cached_property
    def publication_folder(self) -> UPath:
        """Where bulletin and release notes are published."""
        from upath import UPath

        return UPath(self.config.service.publication_folder)

    @cached_property
    def feedback_secret(self) -> bytes:
        """Key that signs the invitations to give feedback; `PPS_FEEDBACK_SECRET`."""
        secret = os.environ.get("PPS_FEEDBACK_SECRET", "").encode()
        if len(secret) < _SECRET_BYTES:
            raise ConfigurationError(
                "PPS_FEEDBACK_SECRET",
                f"is not set, or shorter than {_SECRET_BYTES} bytes, so invitations could be forged.",
                "Set it to the output of: openssl rand -hex 32",
            )
        return secret

    def targets(self, sites: Iterable[Site]) -> tuple[SshTarget, ...]:
        """How to log in at these sites, with the registry's key file."""
        key = self.config.sites_file.ssh_key_file
        return tuple(SshTarget(s.name, s.ssh.host, s.ssh.port, s.ssh.user, s.ssh.host_key, key_file=key) for s in sites)
