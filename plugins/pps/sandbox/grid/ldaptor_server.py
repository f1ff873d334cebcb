"""A pure-Python LDAP server for `o=grid`: everybody reads, one account writes.

A process of its own, since Twisted's reactor can run only once in a process.
"""

from __future__ import annotations

import hmac
import sys
from pathlib import Path
from typing import Any

from ldaptor import interfaces
from ldaptor.inmemory import ReadOnlyInMemoryLDAPEntry
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap import ldaperrors
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from twisted.internet import protocol, reactor
from twisted.python.components import registerAdapter

from pps.sandbox.grid.ldap_servers import WRITER


class GridServer(LDAPServer):  # type: ignore[misc]
    """Binds the writer by its password, and lets nobody else write."""

    may_write = False

    def handle_LDAPBindRequest(self, request: Any, controls: Any, reply: Any) -> Any:
        """Anonymous, or the writer."""
        self.may_write = False
        if request.dn:
            known = request.dn == WRITER.encode() and hmac.compare_digest(request.auth, self.factory.password)
            if not known:
                raise ldaperrors.LDAPInvalidCredentials
            self.may_write = True
        return pureldap.LDAPBindResponse(resultCode=ldaperrors.Success.resultCode)

    def _write(self, how: str, *request: Any) -> Any:
        if not self.may_write:
            raise ldaperrors.LDAPInsufficientAccessRights
        return getattr(super(), how)(*request)

    def handle_LDAPAddRequest(self, *request: Any) -> Any:
        """The writer only."""
        return self._write("handle_LDAPAddRequest", *request)

    def handle_LDAPModifyRequest(self, *request: Any) -> Any:
        """The writer only."""
        return self._write("handle_LDAPModifyRequest", *request)

    def handle_LDAPDelRequest(self, *request: Any) -> Any:
        """The writer only."""
        return self._write("handle_LDAPDelRequest", *request)

    def handle_LDAPModifyDNRequest(self, *request: Any) -> Any:
        """The writer only."""
        return self._write("handle_LDAPModifyDNRequest", *request)


class GridFactory(protocol.ServerFactory):
    """One tree for all connections."""

    protocol = GridServer

    def __init__(self, password: bytes) -> None:
        self.password = password
        # ldaptor's root of all, under which o=grid is added like any other entry
        self.root = ReadOnlyInMemoryLDAPEntry(dn="", attributes={"objectClass": ["top"]})


def main() -> None:
    """`PORT PASSWORD-FILE`; ends on SIGTERM."""
    port, password = int(sys.argv[1]), Path(sys.argv[2]).read_bytes()
    adapt: Any = registerAdapter
    adapt(lambda factory: factory.root, GridFactory, interfaces.IConnectedLDAPEntry)
    loop: Any = reactor
    loop.listenTCP(port, GridFactory(password), interface="127.0.0.1")
    loop.run()
