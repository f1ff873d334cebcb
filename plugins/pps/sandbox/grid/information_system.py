"""The sandbox's information system: one SubCluster per site, whose tags are what the tag directories say.

```text
o=grid
  mds-vo-name=local
    mds-vo-name=<site>
      GlueSiteUniqueID=<site>
      GlueClusterUniqueID=<subcluster>
        GlueSubClusterUniqueID=<subcluster>      GlueHostApplicationSoftwareRunTimeEnvironment: VO-ops-...
      GlueCEUniqueID=<subcluster>:8443/cream-pbs-<vo>
      GlueServiceUniqueID=<id>                   of each service that the site declares
```

A provider thread looks at the tag directories and the declared services and publishes what changed, within
a second. Entries are written over LDAP as values: no LDIF is ever put together from text.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from ldap3 import MODIFY_REPLACE, Connection
from ldap3.core.exceptions import LDAPException

from pps.domain.base.names import checked_name, checked_subcluster
from pps.domain.sites.site import Platform
from pps.sandbox.grid.ldap_servers import BASE, LdapServer, start_ldap
from pps.sandbox.grid.published_services import (
    SERVICE_CLASSES,
    DeclaredService,
    declared_services,
    service_attributes,
    service_dn,
    signature_of,
)

TAGS = "GlueHostApplicationSoftwareRunTimeEnvironment"
_LOOK_EVERY_S = 0.3
_LIST_BYTES = 1024 * 1024
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:/-]{0,199}")
_ARCH = {"amd64": "x86_64", "arm64": "aarch64"}
_log = logging.getLogger(__name__)


class PublishedSite(NamedTuple):
    """A site, as the information system knows it."""

    name: str
    subcluster: str
    tag_dir: Path
    platform: Platform
    publish_after_s: float = 0.0
    """how late its information provider is"""
    stale: bool = False
    """its provider has died: what was published at the start stays for ever"""
    services_file: Path | None = None
    """the services that the site declares, see `published_services`; may change at any time"""


def read_tags(site: PublishedSite, vos: Iterable[str]) -> list[str]:
    """Tags in a site's lists, in their order, each once (the schema ignores case); what is no tag is left out."""
    tags: dict[str, str] = {}
    for path in _lists(site, vos):
        with suppress(OSError), path.open("rb") as file:
            for word in file.read(_LIST_BYTES).decode("ascii", "replace").split():
                if _TAG.fullmatch(word):
                    tags.setdefault(word.lower(), word)
    return list(tags.values())


def _lists(site: PublishedSite, vos: Iterable[str]) -> Iterator[Path]:
    for vo in vos:
        new, legacy = site.tag_dir / site.subcluster / vo / f"{vo}.list", site.tag_dir / vo / f"{vo}.list"
        yield legacy if not new.exists() and legacy.exists() else new


def _signature(site: PublishedSite, vos: Iterable[str]) -> tuple[object, ...]:
    signs: list[object] = []
    for path in _lists(site, vos):
        try:
            status = path.stat()
            signs.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            signs.append(None)
    if site.services_file is not None:
        signs.append(signature_of(site.services_file))
    return tuple(signs)


class SandboxInformationSystem:
    """An LDAP server and the information provider of all sites of the sandbox."""

    def __init__(self, folder: Path, sites: Sequence[tuple[Any, ...]], vos: Sequence[str], port: int = 0) -> None:
        """`sites` are `PublishedSite`s or their values; names must be names, for they become parts of DNs."""
        self._folder = folder
        self._port = port
        self._vos = tuple(checked_name(vo, "VO") for vo in vos)
        self._sites = tuple(PublishedSite(*site) for site in sites)
        for site in self._sites:
            checked_name(site.name, "site")
            checked_subcluster(site.subcluster, "SubCluster")
        self._server: LdapServer | None = None
        self._connection: Connection | None = None
        self._published: dict[str, list[str]] = {}
        self._services: dict[str, dict[str, DeclaredService]] = {}
        self._seen: dict[str, tuple[object, ...]] = {}
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._provider: threading.Thread | None = None

    @property
    def url(self) -> str:
        """`ldap://127.0.0.1:<port>`."""
        return self._running().url

    @property
    def kind(self) -> str:
        """`slapd` or `ldaptor`."""
        return self._running().kind

    def start(self) -> None:
        """Start the server, publish every site, and start the provider; `ServiceError` if no server starts."""
        self._server = start_ldap(self._folder, self._port)
        try:
            with self._lock:
                self._publish_all()
        except BaseException:
            self.stop()
            raise
        self._provider = threading.Thread(target=self._provide, name="information provider", daemon=True)
        self._provider.start()

    def refresh(self) -> None:
        """Publish every change now, also of late sites; stale ones stay as they are."""
        with self._lock:
            self._look(time.monotonic(), late=False)

    def stop(self) -> None:
        """End provider and server."""
        self._end.set()
        if self._provider is not None:
            self._provider.join(15)
        if self._connection is not None:
            with suppress(LDAPException, OSError):
                self._connection.unbind()
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _running(self) -> LdapServer:
        if self._server is None:
            raise RuntimeError("the information system is not started")
        return self._server

    def _provide(self) -> None:
        while not self._end.wait(_LOOK_EVERY_S):
            try:
                with self._lock:
                    self._look(time.monotonic(), late=True)
            except (LDAPException, OSError) as error:
                # as a real provider: the next round tries again
                _log.warning("the information provider failed: %s", error)
                self._connection = None

    def _look(self, now: float, *, late: bool) -> None:
        for site in self._sites:
            if site.stale:
                continue
            signature = _signature(site, self._vos)
            if signature != self._seen[site.name]:
                self._seen[site.name] = signature
                self._due.setdefault(site.name, now + site.publish_after_s)
            if site.name in self._due and (not late or now >= self._due[site.name]):
                self._publish_tags(site)
                self._publish_services(site)
                del self._due[site.name]

    def _publish_tags(self, site: PublishedSite) -> None:
        tags = read_tags(site, self._vos)
        if tags != self._published[site.name]:
            self._ldap().modify(_subcluster_dn(site), {TAGS: [(MODIFY_REPLACE, tags)]})
            self._published[site.name] = tags

    def _publish_services(self, site: PublishedSite) -> None:
        """Entries for what is declared; what is no longer declared goes. A changed one is published anew."""
        declared = declared_services(site.services_file) if site.services_file else {}
        # kept entry by entry: where the server fails in between, the next round goes on from there
        published = self._services.setdefault(site.name, {})
        for service in tuple(published.values()):
            if declared.get(service.id) != service:
                self._ldap().delete(service_dn(service, _site_dn(site)))
                del published[service.id]
        for service in declared.values():
            if service.id not in published:
                dn, attributes = service_dn(service, _site_dn(site)), service_attributes(service, site.name)
                self._ldap().add(dn, SERVICE_CLASSES, attributes)
                published[service.id] = service

    def _publish_all(self) -> None:
        ldap = self._ldap()
        ldap.add(BASE, ["organization"], {"o": "grid"})
        ldap.add(f"mds-vo-name=local,{BASE}", ["MDS"], {"mds-vo-name": "local"})
        for site in self._sites:
            self._seen[site.name] = _signature(site, self._vos)
            self._published[site.name] = read_tags(site, self._vos)
            for dn, classes, attributes in _entries(site, self._vos, self._published[site.name]):
                ldap.add(dn, classes, {name: value for name, value in attributes.items() if value})
            self._publish_services(site)

    def _ldap(self) -> Connection:
        if self._connection is None:
            self._connection = self._running().connect()
        return self._connection


# Names of the alphabet of `pps.domain.base.names` hold nothing that a DN would have to escape, but for a plus.
def _rdn(value: str) -> str:
    return value.replace("+", "\\+")


def _site_dn(site: PublishedSite) -> str:
    return f"mds-vo-name={_rdn(site.name)},mds-vo-name=local,{BASE}"


def _subcluster_dn(site: PublishedSite) -> str:
    name = _rdn(site.subcluster)
    return f"GlueSubClusterUniqueID={name},GlueClusterUniqueID={name},{_site_dn(site)}"


def _entries(
    site: PublishedSite, vos: Sequence[str], tags: list[str]
) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """(DN, object classes, attributes) of a site, parents first, GLUE 1.3."""
    version = {"GlueSchemaVersionMajor": "1", "GlueSchemaVersionMinor": "3"}
    in_site = f"GlueSiteUniqueID={site.name}"
    yield _site_dn(site), ["MDS"], {"mds-vo-name": site.name}
    yield (
        f"GlueSiteUniqueID={_rdn(site.name)},{_site_dn(site)}",
        ["GlueTop", "GlueSite", "GlueKey", "GlueSchemaVersion"],
        {"GlueSiteUniqueID": site.name, "GlueSiteName": site.name, "GlueForeignKey": in_site, **version},
    )
    ces = [f"{site.subcluster}:8443/cream-pbs-{vo}" for vo in vos]
    yield (
        f"GlueClusterUniqueID={_rdn(site.subcluster)},{_site_dn(site)}",
        ["GlueClusterTop", "GlueCluster", "GlueInformationService", "GlueKey", "GlueSchemaVersion"],
        {
            "GlueClusterUniqueID": site.subcluster,
            "GlueClusterName": site.subcluster,
            "GlueClusterService": ces,
            "GlueForeignKey": [in_site, *(f"GlueCEUniqueID={ce}" for ce in ces)],
            **version,
        },
    )
    yield (
        _subcluster_dn(site),
        [
            "GlueClusterTop",
            "GlueSubCluster",
            "GlueHostApplicationSoftware",
            "GlueHostArchitecture",
            "GlueHostOperatingSystem",
            "GlueInformationService",
            "GlueKey",
            "GlueSchemaVersion",
        ],
        {
            "GlueSubClusterUniqueID": site.subcluster,
            "GlueSubClusterName": site.subcluster,
            "GlueChunkKey": f"GlueClusterUniqueID={site.subcluster}",
            "GlueHostArchitecturePlatformType": _ARCH.get(site.platform.arch, site.platform.arch),
            "GlueHostOperatingSystemName": site.platform.os.rstrip("0123456789.") or site.platform.os,
            "GlueHostOperatingSystemRelease": site.platform.os.lstrip(
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
            )
            or "0",
            "GlueHostOperatingSystemVersion": site.platform.os,
            TAGS: tags,
            **version,
        },
    )
    for vo, ce in zip(vos, ces, strict=True):
        yield (
            f"GlueCEUniqueID={_rdn(ce)},{_site_dn(site)}",
            [
                "GlueCETop",
                "GlueCE",
                "GlueCEAccessControlBase",
                "GlueCEInfo",
                "GlueCEState",
                "GlueKey",
                "GlueSchemaVersion",
            ],
            {
                "GlueCEUniqueID": ce,
                "GlueCEName": vo,
                "GlueCEHostingCluster": site.subcluster,
                "GlueCEInfoHostName": site.subcluster,
                "GlueCEInfoLRMSType": "pbs",
                "GlueCEStateStatus": "Production",
                "GlueCEAccessControlBaseRule": f"VO:{vo}",
                "GlueForeignKey": f"GlueClusterUniqueID={site.subcluster}",
                **version,
            },
        )
