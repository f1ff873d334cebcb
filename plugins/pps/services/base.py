"""What all parts of the services share: configuration, credentials, our database, and folders on this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from pps.activities.clients.bulletin_pages import write_bulletin
from pps.activities.packages.embargo import public_record
from pps.activities.ports.people import Templates
from pps.activities.ports.tracker import Tracker
from pps.config.loader import Configuration
from pps.domain.base.errors import ConfigurationError

if TYPE_CHECKING:
    from upath import UPath

    from pps.adapters.packages.confined import Confined
    from pps.adapters.packages.folders import PublishedFolder
    from pps.adapters.record.store import FactStore
    from pps.domain.packages.patch import Patch, PatchState

#: Returns the URI of an Airflow-style connection id, or None where there is no such connection.
Credentials = Callable[[str], str | None]
_CHECKOUT = Path(__file__).resolve().parents[3]


def credentials_from_environment(connection: str) -> str | None:
    """Read `AIRFLOW_CONN_<ID>` in its URI form, as Airflow itself would."""
    return os.environ.get(f"AIRFLOW_CONN_{connection.upper()}")


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
class Shared:
    """Configuration and credentials, and what needs nothing else."""

    config: Configuration
    credentials: Credentials = credentials_from_environment
    shared_facts: FactStore | None = field(default=None, kw_only=True)
    """a record of facts that outlives these services; whoever shares it closes it"""

    def _secret_of(self, connection: str) -> SplitResult | None:
        uri = self.credentials(connection)
        return urlsplit(uri) if uri else None

    def folder_at(self, address: str) -> UPath:
        """A folder of service.yaml, wherever it is (file://, s3://, ...); who we are there says `pps_object_store`."""
        from upath import UPath

        from pps.adapters.packages.object_store import CONNECTION, StoreLogin, is_object_store

        login = StoreLogin.of(self.credentials(CONNECTION)) if is_object_store(address) else None
        folder: UPath = UPath(address, **(login.options() if login else {}))
        return folder

    @cached_property
    def store_url(self) -> str:
        """URI of our own database; holds a password, so never show it."""
        uri = self.credentials("pps_store")
        if not uri:
            raise ConfigurationError(
                "connection pps_store",
                "is not set; the database of facts is unknown.",
                "Sign in: pps login https://... The service's own account sets "
                "AIRFLOW_CONN_PPS_STORE=postgresql://user:password@host/database.",
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

    def patch(self, number: int) -> Patch:
        """A patch of the tracker, in production also where the tracker has not been told yet that it is."""
        from pps.activities.packages.tracker_states import as_on_record

        return as_on_record(self.facts, self.tracker.patch(number))[0]

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        """All patches, or those in one state, likewise."""
        from pps.activities.packages.tracker_states import as_on_record

        return tuple(p for p in as_on_record(self.facts, *self.tracker.patches()) if state in (None, p.state))

    @cached_property
    def templates(self) -> Templates:
        """include/templates."""
        from pps.adapters.services.templates import JinjaTemplates

        return JinjaTemplates(_CHECKOUT / "include" / "templates")

    @property
    def cache(self) -> Path:
        """Local folder for copies that may be lost at any time; `PPS_CACHE`, else the user's cache folder."""
        return cache_folder()

    def _confined(self) -> Confined:
        """A child process that reads strangers' packages, within the limits of policies.yaml."""
        from pps.adapters.packages.confined import Confined, Limits

        return Confined(Limits(**self.config.policies.strangers_files.model_dump()))

    @cached_property
    def publication_folder(self) -> PublishedFolder:
        """Where bulletin and release notes are published."""
        from pps.adapters.packages.folders import PublishedFolder

        return PublishedFolder(self.folder_at(self.config.service.publication_folder))

    def write_bulletin(self, now: datetime) -> None:
        """Write the release bulletin anew from the facts (SD 4.1.1, step 5)."""
        write_bulletin(
            public_record(self.facts, lambda: now),
            self.config.sites,
            self.templates,
            self.publication_folder,
            now,
            self.config.service.public_url,
        )

    def close(self) -> None:
        """Let go of database connections of our own."""
        if self.shared_facts is None and "facts" in self.__dict__:
            self.facts.dispose()
