"""The information system over LDAP: `ports.InformationSystem` on ldap3, GLUE 1.3."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from ldap3 import NONE, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

from pps.domain.base.errors import ServiceError
from pps.domain.base.names import glue_key
from pps.domain.base.texts import one_line
from pps.domain.sites.endpoints import PublishedService, host_of

_SUBCLUSTER = "GlueSubClusterUniqueID"
_TAGS = "GlueHostApplicationSoftwareRunTimeEnvironment"
# What a SubCluster shows beyond this is no tag that we could have published.
_TAG = re.compile(rb"[!-~]{1,256}")
_SERVICE = "GlueServiceUniqueID"
_SERVICE_VALUES = (_SERVICE, "GlueServiceType", "GlueServiceVersion", "GlueServiceEndpoint", "GlueServiceStatus")
_LONGEST_VALUE = 300
_MOST_SERVICES = 200
"""of one host: more tells nobody anything"""
_IN_ONE_FILTER = 100
_RESULTS = {3: "its time limit came first", 4: "its size limit came first", 32: "it publishes nothing under the base"}


class Bdii:
    """One BDII, as its users see it: anonymous, read-only.

    A site BDII, a top BDII and their DN variants (`mds-vo-name=<site>,o=grid`,
    `mds-vo-name=<site>,mds-vo-name=local,o=grid`) are all found below the base. Equality of the names
    is the schema's caseIgnoreIA5Match.
    """

    def __init__(self, url: str, base: str = "o=grid", *, connect_s: float = 5.0, total_s: float = 30.0) -> None:
        """`url` is `ldap://host:port` or `ldaps://host:port` (certificate checked against the system's CAs)."""
        self._url = url
        self._base = base
        self._connect_s = connect_s
        self._total_s = total_s

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """Tags of each SubCluster that is published, under the caller's spelling of its name.

        One connection; a hundred SubClusters in one search.

        Raises:
            ServiceError: no answer in time, or one that is not whole.
        """
        wanted = sorted(set(subclusters))
        if not wanted:
            return {}
        spelling: dict[str, list[str]] = {}
        for name in wanted:
            spelling.setdefault(glue_key(name), []).append(name)
        found: dict[str, set[str]] = {}
        for entry in self._search(
            "GlueSubCluster", (f"({_SUBCLUSTER}={_safe(n)})" for n in wanted), (_SUBCLUSTER, _TAGS)
        ):
            attributes = {key.lower(): values for key, values in entry.items()}
            # some providers leave blanks at the end
            values = [value.strip() for value in attributes.get(_TAGS.lower(), [])]
            tags = {value.decode("ascii") for value in values if _TAG.fullmatch(value)}
            for value in attributes.get(_SUBCLUSTER.lower(), []):
                for name in spelling.get(glue_key(value.decode("utf-8", "replace")), []):
                    found.setdefault(name, set()).update(tags)
        return {name: frozenset(tags) for name, tags in found.items()}

    def services_of(self, hosts: Iterable[str]) -> Mapping[str, tuple[PublishedService, ...]]:
        """The services whose endpoint is at each of these hosts, under the caller's spelling of its name.

        Raises:
            ServiceError: no answer in time, or one that is not whole.
        """
        wanted = sorted({host for host in hosts if host})
        if not wanted:
            return {}
        found: dict[str, dict[PublishedService, None]] = {}
        # part of the endpoint in the filter, the very host here: h1.org is in h1.org.evil.net, too
        parts = (f"(GlueServiceEndpoint=*{_safe(host)}*)" for host in wanted)
        for entry in self._search("GlueService", parts, _SERVICE_VALUES):
            attributes = {key.lower(): values for key, values in entry.items()}
            values = (_text(attributes.get(name.lower(), [])) for name in _SERVICE_VALUES)
            service = PublishedService(*values)
            found.setdefault(host_of(service.endpoint), {})[service] = None
        return {host: tuple(found.get(host.lower(), ()))[:_MOST_SERVICES] for host in wanted}

    def _search(
        self, kind: str, conditions: Iterable[str], attributes: Sequence[str]
    ) -> list[Mapping[str, list[bytes]]]:
        """Entries of an object class for which one of the conditions (LDAP filters) holds, each asked once."""
        names = list(conditions)
        connection = self._connection()
        # ldap3 limits each receive, not the whole: a server that drips would never end.
        alarm = threading.Timer(self._total_s, lambda: _cut(connection))
        alarm.daemon = True
        entries: list[Mapping[str, list[bytes]]] = []
        try:
            alarm.start()
            if not connection.bind():
                raise self._error(f"refuses us ({_description(connection)}).")
            for start in range(0, len(names), _IN_ONE_FILTER):
                any_of = "".join(names[start : start + _IN_ONE_FILTER])
                connection.search(
                    self._base,
                    f"(&(objectClass={kind})(|{any_of}))",
                    SUBTREE,
                    attributes=list(attributes),
                    time_limit=max(1, int(self._total_s)),
                )
                code = connection.result["result"] if connection.result else -1
                if code != 0:
                    raise self._error(f"gave no whole answer: {_RESULTS.get(code, _description(connection))}.")
                entries += [r["raw_attributes"] for r in connection.response or [] if r.get("type") == "searchResEntry"]
        except ServiceError:
            raise
        except Exception as error:
            # ldap3's BER decoder lets through whatever a server's nonsense makes of it (KeyError, struct.error, ...)
            raise self._error(f"does not answer as it should ({type(error).__name__}).") from error
        finally:
            alarm.cancel()
            with suppress(LDAPException, OSError, AttributeError):
                connection.unbind()
        return entries

    def _connection(self) -> Connection:
        try:
            parts = urlsplit(self._url)
            if parts.scheme not in ("ldap", "ldaps") or not parts.hostname:
                raise ValueError(self._url)
            secure = parts.scheme == "ldaps"
            tls = Tls(validate=ssl.CERT_REQUIRED) if secure else None
            server = Server(
                parts.hostname, parts.port, use_ssl=secure, tls=tls, get_info=NONE, connect_timeout=self._connect_s
            )
            # ldap3 wants whole seconds here
            patience = max(1, int(self._total_s))
            return Connection(server, read_only=True, auto_referrals=False, check_names=False, receive_timeout=patience)
        except (LDAPException, ValueError) as error:
            raise self._error("cannot be asked: its address is no ldap:// or ldaps:// address.") from error

    def _error(self, why: str) -> ServiceError:
        return ServiceError(
            f"information system {self._url}", why, "Check the BDII, and bdii_url in service.yaml; this is tried again."
        )


def _safe(value: str) -> str:
    return str(escape_filter_chars(value))


def _text(values: Sequence[bytes]) -> str:
    """One value as a line: what a site publishes may be anything."""
    return one_line(values[0].decode("utf-8", "replace"), _LONGEST_VALUE) if values else ""


def _cut(connection: Connection) -> None:
    with suppress(OSError, AttributeError):
        connection.socket.shutdown(socket.SHUT_RDWR)


def _description(connection: Connection) -> str:
    result = connection.result or {}
    return "".join(c for c in str(result.get("description", "no result")) if c.isprintable())[:100]
