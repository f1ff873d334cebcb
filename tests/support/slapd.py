"""A real slapd with the GLUE 1.3 schemas, empty but for the root, for adapters to be tested against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pps.sandbox.grid.ldap_servers import LdapServer, start_slapd

TAGS = "GlueHostApplicationSoftwareRunTimeEnvironment"


class GlueSlapd:
    """A running slapd; entries are added as values, never as text."""

    def __init__(self, server: LdapServer) -> None:
        self.url = server.url
        self._server = server
        self._connection = server.connect()
        self._connection.add("o=grid", ["organization"], {"o": "grid"})

    def add_folder(self, *names: str) -> str:
        """`mds-vo-name` entries below each other, the outermost first; the DN of the innermost."""
        dn = "o=grid"
        for name in names:
            dn = f"mds-vo-name={name},{dn}"
            self._connection.add(dn, ["MDS"], {"mds-vo-name": name})
        return dn

    def add_subcluster(self, dn: str, name: str, tags: list[str]) -> None:
        """A GlueSubCluster under this DN."""
        attributes = {"GlueSubClusterUniqueID": name, **({TAGS: tags} if tags else {})}
        classes = ["GlueClusterTop", "GlueSubCluster", "GlueHostApplicationSoftware"]
        escaped = name.replace("+", "\\+")
        self._connection.add(f"GlueSubClusterUniqueID={escaped},{dn}", classes, attributes)

    def add_service(self, dn: str, unique_id: str, kind: str, version: str, endpoint: str) -> None:
        """A GlueService under this DN."""
        attributes = {
            "GlueServiceUniqueID": unique_id,
            "GlueServiceType": kind,
            "GlueServiceVersion": version,
            "GlueServiceEndpoint": endpoint,
            "GlueServiceStatus": "OK",
        }
        given = {name: value for name, value in attributes.items() if value}
        self._connection.add(f"GlueServiceUniqueID={unique_id},{dn}", ["GlueTop", "GlueService"], given)

    def stop(self) -> None:
        """End it."""
        self._connection.unbind()
        self._server.stop()


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[GlueSlapd]:
    """Needs the group `slapd`."""
    server = GlueSlapd(start_slapd(tmp_path / "slapd"))
    yield server
    server.stop()
