"""LDAP servers for the sandbox: the real slapd with the GLUE schemas where installed, else ldaptor.

Both serve `o=grid` on loopback without root, from a private folder, and let one account write.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ldap3 import NONE, Connection, Server
from ldap3.core.exceptions import LDAPException

import pps
from pps.domain.base.errors import ServiceError

BASE = "o=grid"
WRITER = "o=grid"
_START_S = 20.0
_SCHEMAS = ("core", "cosine", "nis")
_GLUE = ("Glue-CORE", "Glue-MDS", "Glue-CE", "Glue-CESEBind", "Glue-SE")
_SCHEMA_FOLDERS = (Path("/etc/ldap/schema"), Path("/etc/openldap/schema"))
_MODULE_FOLDERS = (Path("/usr/lib/ldap"), Path("/usr/lib64/openldap"), Path("/usr/lib/openldap"))


class LdapServer:
    """A running LDAP server process."""

    def __init__(self, process: subprocess.Popen[bytes], kind: str, port: int, password: str, log: Path) -> None:
        self._process = process
        self.kind = kind
        """`slapd` or `ldaptor`"""
        self.port = port
        self.url = f"ldap://127.0.0.1:{port}"
        self._password = password
        self._log = log

    def connect(self, patience_s: int = 10) -> Connection:
        """A connection that may write; raises ldap3's errors."""
        server = Server("127.0.0.1", self.port, get_info=NONE, connect_timeout=5)
        return Connection(
            server,
            WRITER,
            self._password,
            auto_bind=True,
            check_names=False,
            receive_timeout=patience_s,
            raise_exceptions=True,
        )

    def wait(self) -> None:
        """Return as soon as it can be written to; `ServiceError` with its last words if it never can."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            # LookupError: nobody listens yet, and the system connected us to ourselves, so we read what we sent
            with suppress(LDAPException, LookupError):
                self.connect(patience_s=1).unbind()
                return
            time.sleep(0.02)
        self.stop()
        words = self._log.read_text(errors="replace")[-300:] if self._log.exists() else ""
        raise ServiceError(self.kind, f"does not start. {words}".strip(), f"See {self._log}.")

    def stop(self) -> None:
        """End it; it is gone when this returns."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def glue_slapd_is_installed() -> bool:
    """Tell whether slapd and the GLUE 1.3 schemas are on this machine."""
    return _slapd() is not None and _schemas() is not None


def start_slapd(folder: Path, port: int = 0) -> LdapServer:
    """Start an empty slapd with the GLUE 1.3 schemas in a private folder; port 0 takes a free one.

    Raises:
        ServiceError: it is not installed, or does not start (e.g. AppArmor keeps it in its own folders).
    """
    program, schemas = _slapd(), _schemas()
    if program is None or schemas is None:
        raise ServiceError("slapd", "or the GLUE schemas are not installed.", "apt-get install slapd glue-schema")
    port = port or free_port()
    folder = folder.resolve()
    shutil.rmtree(folder / "db", ignore_errors=True)
    (folder / "db").mkdir(parents=True)
    folder.chmod(0o700)
    password = secrets.token_hex(16)
    modules = next((m for m in _MODULE_FOLDERS if (m / "back_mdb.so").exists()), None)
    lines = [
        *(f'include "{schemas / name}.schema"' for name in (*_SCHEMAS, *_GLUE)),
        f'pidfile "{folder}/slapd.pid"',
        "loglevel 0",
        "sizelimit 10000",
        *([f'modulepath "{modules}"', "moduleload back_mdb"] if modules else []),
        "database mdb",
        "maxsize 67108864",
        "dbnosync",
        f'suffix "{BASE}"',
        f'rootdn "{WRITER}"',
        f"rootpw {password}",
        f'directory "{folder}/db"',
        "index objectClass eq",
        "index GlueSubClusterUniqueID eq",
    ]
    _write_private(folder / "slapd.conf", "\n".join([*lines, ""]))
    command = [program, "-f", str(folder / "slapd.conf"), "-h", f"ldap://127.0.0.1:{port}/", "-d", "0"]
    return _start(command, "slapd", folder, port, password)


def start_ldaptor(folder: Path, port: int = 0) -> LdapServer:
    """Start an empty ldaptor, which knows no schema, as a process of its own; port 0 takes a free one."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    password = secrets.token_hex(16)
    _write_private(folder / "password", password)
    source = Path(pps.__file__).parents[1]
    start = f"import sys; sys.path.insert(0, {str(source)!r}); from pps.sandbox.grid.ldaptor_server import main; main()"
    command = [sys.executable, "-c", start, str(port), str(folder / "password")]
    return _start(command, "ldaptor", folder, port, password)


def start_ldap(folder: Path, port: int = 0) -> LdapServer:
    """The best server that works here."""
    if glue_slapd_is_installed():
        with suppress(ServiceError):
            return start_slapd(folder / "slapd", port)
    return start_ldaptor(folder / "ldaptor", port)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _start(command: Sequence[str], kind: str, folder: Path, port: int, password: str) -> LdapServer:
    log = folder / f"{kind}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    server = LdapServer(process, kind, port, password, log)
    server.wait()
    return server


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _slapd() -> str | None:
    return shutil.which("slapd") or shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/libexec")


def _schemas() -> Path | None:
    return next(
        (f for f in _SCHEMA_FOLDERS if all((f / f"{name}.schema").exists() for name in (*_SCHEMAS, *_GLUE))), None
    )
