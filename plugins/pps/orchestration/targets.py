"""From Airflow Connections to what the adapters need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from pps.activities.ports.sites import SshTarget
from pps.domain.base.errors import HostKeyError, SiteError, SiteUnreachableError
from pps.domain.sites.site import Site

_HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]{40,}={0,3}")


def ssh_targets(
    sites: Iterable[Site], on_error: Callable[[Site, SiteError], None] | None = None
) -> dict[str, SshTarget]:
    """The SSH target of every site, by the site's name, from its Airflow Connection.

    Args:
        on_error: called for a site without a usable Connection, which is then left out, so that it
            does not fail its neighbours; without it, the first such `SiteError` is raised.
    """
    targets = {}
    for site in sites:
        try:
            targets[site.name] = ssh_target(site)
        except SiteError as error:
            if on_error is None:
                raise
            on_error(site, error)
    return targets


def ssh_target(site: Site) -> SshTarget:
    """One site's SSH target.

    `HostKeyError` if its Connection pins no host key, `SiteUnreachableError` if it has none or one without
    a host. What the Connection leaves open (port, user) is taken from the registry.
    """
    if site.fetches:
        raise SiteError(site.name, "it fetches by itself: nobody of us connects to it.")
    connection = _connection(site.connection)
    next_step = f"Correct the Airflow Connection {site.connection!r}."
    if connection is None or connection.conn_type != "ssh" or not connection.host:
        why = f"the Airflow Connection {site.connection!r} does not exist or names no SSH host."
        raise SiteUnreachableError(site.name, why, next_step)
    extra = connection.extra_dejson
    host_key = " ".join(str(extra.get("host_key") or "").split()[:2])
    if not _HOST_KEY.fullmatch(host_key):
        why = f"the Airflow Connection {site.connection!r} pins no host key (extra `host_key`: `<type> <base64>`)."
        raise HostKeyError(site.name, why, next_step)
    return SshTarget(
        site=site.name,
        host=connection.host,
        port=connection.port or site.login.port,
        user=connection.login or site.login.user,
        host_key=host_key,
        key_file=Path(extra["key_file"]).expanduser() if extra.get("key_file") else None,
        private_key=extra.get("private_key") or None,
    )


def credentials(connection: str) -> str | None:
    """The URI of an Airflow Connection, or None if there is none: `Services(..., credentials)`."""
    found = _connection(connection)
    if found is None:
        return None
    # Airflow writes `postgres`, which SQLAlchemy no longer reads
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", str(found.get_uri()))


def _connection(name: str) -> Any:
    try:
        return Connection.get(name)
    except AirflowNotFoundException:
        return None
