"""A real BDII (Debian's bdii 6.0.0: slapd + bdii-update) without root, in a private folder, fed from tag lists."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ldap3 import NONE, Connection, Server
from ldap3.core.exceptions import LDAPException

from pps.sandbox.grid.ldap_servers import free_port

UPDATE = Path("/usr/sbin/bdii-update")

# Debian 12's bdii-update calls `ldapadd -h HOST -p PORT` and its like, which OpenLDAP 2.5 no longer knows.
_SHIM = """#!/bin/sh
host=localhost port=389
n=$#
while [ "$n" -gt 0 ]; do
    case $1 in
    -h) host=$2; shift 2; n=$((n - 2)); continue ;;
    -p) port=$2; shift 2; n=$((n - 2)); continue ;;
    esac
    set -- "$@" "$1"; shift; n=$((n - 1))
done
exec /usr/bin/@TOOL@ -H "ldap://$host:$port" "$@"
"""

# As lcg-info-dynamic-software: turns the tag lists into a modification; base64, for a list may hold anything.
_PLUGIN = """#!{python}
import base64, pathlib
tags = []
for file in sorted(pathlib.Path({tag_dir!r}).glob("**/*.list")):
    tags += [t for t in file.read_text(errors="replace").split() if t.isascii() and t.isprintable()]
dn = "GlueSubClusterUniqueID={subcluster},GlueClusterUniqueID={subcluster},mds-vo-name=resource,o=grid"
print("dn:", dn)
print("changetype: modify")
for tag in dict.fromkeys(tags):
    print("add: GlueHostApplicationSoftwareRunTimeEnvironment")
    print("GlueHostApplicationSoftwareRunTimeEnvironment::", base64.b64encode(tag.encode()).decode())
print()
"""

_STATIC = """dn: o=grid
objectClass: organization
o: grid

dn: mds-vo-name=resource,o=grid
objectClass: MDS
mds-vo-name: resource

dn: GlueClusterUniqueID={subcluster},mds-vo-name=resource,o=grid
objectClass: GlueClusterTop
objectClass: GlueCluster
GlueClusterUniqueID: {subcluster}

dn: GlueSubClusterUniqueID={subcluster},GlueClusterUniqueID={subcluster},mds-vo-name=resource,o=grid
objectClass: GlueClusterTop
objectClass: GlueSubCluster
objectClass: GlueHostApplicationSoftware
GlueSubClusterUniqueID: {subcluster}
GlueHostApplicationSoftwareRunTimeEnvironment: GLITE-3_1_0
"""


class RealBdii:
    """A site BDII with one SubCluster, whose plugin reads a tag directory at every breath (0.3 s)."""

    def __init__(self, folder: Path, tag_dir: Path, subcluster: str) -> None:
        if not UPDATE.exists():
            raise FileNotFoundError("bdii is not installed: apt-get install bdii")
        self.folder, self.subcluster = folder, subcluster
        self.port = free_port()
        self.url = f"ldap://127.0.0.1:{self.port}"
        for name in ("ldif", "provider", "plugin", "run", "db/grid", "db/stats", "db/glue", "bin", "archive"):
            (folder / name).mkdir(parents=True)
        for tool in ("ldapadd", "ldapmodify", "ldapdelete", "ldapsearch"):
            _program(folder / "bin" / tool, _SHIM.replace("@TOOL@", tool))
        (folder / "ldif/site.ldif").write_text(_STATIC.format(subcluster=subcluster))
        _program(
            folder / "plugin/tags", _PLUGIN.format(python=sys.executable, tag_dir=str(tag_dir), subcluster=subcluster)
        )
        conf = Path("/usr/share/bdii/bdii-slapd.conf").read_text()
        conf = conf.replace("/var/lib/bdii/db", str(folder / "db")).replace("/run/bdii/db", str(folder / "run"))
        (folder / "slapd.conf").write_text(conf)
        (folder / "bdii.conf").write_text(
            f"BDII_LOG_FILE={folder}/bdii.log\nBDII_LOG_LEVEL=WARNING\nBDII_LDIF_DIR={folder}/ldif\n"
            f"BDII_PROVIDER_DIR={folder}/provider\nBDII_PLUGIN_DIR={folder}/plugin\nBDII_PORT={self.port}\n"
            f"BDII_HOSTNAME=127.0.0.1\nBDII_BREATHE_TIME=0.3\nBDII_READ_TIMEOUT=30\nBDII_ARCHIVE_SIZE=0\n"
            f"BDII_DELETE_DELAY=0\nBDII_VAR_DIR={folder}\nBDII_RUN_DIR={folder}/run\nSLAPD_CONF={folder}/slapd.conf\n"
        )
        self._slapd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start slapd and the update daemon; they are up when this returns."""
        log = (self.folder / "slapd.log").open("wb")
        self._slapd = subprocess.Popen(
            ["/usr/sbin/slapd", "-f", str(self.folder / "slapd.conf"), "-h", self.url + "/", "-d", "0"],
            stdout=log,
            stderr=log,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                Connection(Server("127.0.0.1", self.port, get_info=NONE, connect_timeout=2), auto_bind=True).unbind()
                break
            except LDAPException:
                if time.monotonic() > deadline or self._slapd.poll() is not None:
                    raise RuntimeError((self.folder / "slapd.log").read_text()) from None
        environment = {**os.environ, "PATH": f"{self.folder}/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
        subprocess.run(
            [str(UPDATE), "-c", str(self.folder / "bdii.conf"), "-d"], env=environment, check=True, timeout=30
        )

    def stop(self) -> None:
        """End both."""
        pid = self.folder / "run/bdii-update.pid"
        if pid.exists():
            # a daemon, so not our child; asked again until it is gone
            deadline = time.monotonic() + 10
            with suppress(ProcessLookupError):
                while time.monotonic() < deadline:
                    os.kill(int(pid.read_text()), signal.SIGTERM)
                    time.sleep(0.05)
        if self._slapd is not None:
            self._slapd.terminate()
            self._slapd.wait(10)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def bdii(tmp_path: Path) -> Iterator[RealBdii]:
    """Needs the group `bdii`. Reads the tag lists under `tmp_path / "info"`."""
    server = RealBdii(tmp_path / "bdii", tmp_path / "info", "ce.example.org")
    server.start()
    yield server
    server.stop()
