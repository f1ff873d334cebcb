"""The services of somebody who has signed in: what they read comes through the API, with the rights of their role."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Never, cast

from pps.adapters.far.record import FarFacts
from pps.adapters.far.tracker import FarTracker
from pps.config.far import FarConfiguration
from pps.domain.base.errors import ConfigurationError
from pps.services import Services

if TYPE_CHECKING:
    from pps.activities.ports.tracker import Tracker
    from pps.adapters.record.store import FactStore


@dataclass(frozen=True)
class Doors:
    """How our API is asked, as somebody; errors are `RolloutError`s."""

    get: Callable[[str, Mapping[str, str]], dict[str, Any]]
    """place below pps/api/v1, and query -> answer"""
    post: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    """place, and body -> answer"""


def _no_credentials(connection: str) -> None:
    return None


@dataclass(frozen=True)
class FarServices(Services):
    """Record, configuration and patches through the API. What needs keys, folders or databases of the service says so.

    Nothing is read from this machine: its ./config may be another installation's, or the sample.
    """

    doors: Doors = field(kw_only=True)

    @classmethod
    def through(cls, doors: Doors) -> FarServices:
        """Services behind these doors."""
        kept: dict[str, Any] = {}

        def document(file: str) -> Any:
            if file not in kept:
                kept[file] = doors.get(f"configuration/{file}", {})["content"]
            return kept[file]

        return cls(FarConfiguration(documents=document), _no_credentials, doors=doors)

    @cached_property
    def facts(self) -> FactStore:
        """The record, as far as it is read."""
        return cast("FactStore", FarFacts(lambda wanted: self.doors.post("record", wanted)))

    @cached_property
    def tracker(self) -> Tracker:
        """The patches, as far as they are read."""
        return cast("Tracker", FarTracker(lambda place, query: self.doors.get(f"tracker/{place}", query)))

    @property
    def store_url(self) -> str:
        """The database is the service's alone."""
        _of_the_service("the database of facts")

    @property
    def mailer(self) -> Never:
        """So are its mail server,"""
        _of_the_service("the service's mail server")

    @property
    def channels(self) -> Never:
        """its channels,"""
        _of_the_service("the secrets of its channels")

    @property
    def shell(self) -> Never:
        """its key at the sites,"""
        _of_the_service("the service's key at the sites")

    @property
    def package_reader(self) -> Never:
        """and what it does with strangers' packages."""
        _of_the_service("packages of providers, checked against the service's keyrings")

    repositories = production_packages = package_reader

    @property
    def publication_folder(self) -> Never:
        """Folders are the service's: one of the same name on this machine is another one."""
        _of_the_service("folders of the service")

    artefacts = mirrors = mirror_folder = pull_folder = publication_folder
    production_repository = production_folder = publication_folder
    seal = property(lambda self: _of_the_service("the keys that sign our repositories"))
    feedback_secret = property(lambda self: _of_the_service("the key of the invitations"))

    @property
    def ssh_client(self) -> str | None:
        """As everywhere."""
        return shutil.which("ssh")


def _of_the_service(what: str) -> Never:
    raise ConfigurationError(
        "pps",
        f"this command needs {what}, and you have signed in from a machine of your own.",
        "Run it as the service's own account, as docs/production.md says; or ask those who run the service.",
    )
