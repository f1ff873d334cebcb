"""Services that a sandbox site declares, and what the information system makes of them (GLUE 1.3, GlueService).

A small JSON file for each site, which may change at any time:

```json
{"services": [{"id": "x.example.org_pilot", "type": "org.glite.wms", "version": "3.1.24",
               "endpoint": "http://127.0.0.1:4711/", "status": "OK"}]}
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pps.domain.base.names import is_name

SERVICE_CLASSES = ["GlueTop", "GlueService", "GlueKey", "GlueSchemaVersion"]
_MOST_BYTES = 256 * 1024
_TEXT = re.compile(r"[!-~]{1,200}")


class DeclaredService(NamedTuple):
    """One service, as its site publishes it."""

    id: str
    type: str
    version: str
    endpoint: str
    status: str = "OK"


def declared_services(file: Path) -> dict[str, DeclaredService]:
    """What a site declares, by id; what is not a service is left out, as a real provider does."""
    try:
        with file.open("rb") as opened:
            listed = json.loads(opened.read(_MOST_BYTES))["services"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    found = {}
    for entry in listed if isinstance(listed, list) else ():
        values = [str(entry.get(name, "")) for name in DeclaredService._fields] if isinstance(entry, dict) else [""]
        # the id becomes part of a DN
        if is_name(values[0]) and all(_TEXT.fullmatch(value) for value in values):
            found[values[0]] = DeclaredService(*values)
    return found


def declare_services(file: Path, services: Iterable[DeclaredService]) -> None:
    """Declare these, and no others; readers see the old file or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(json.dumps({"services": [service._asdict() for service in services]}, indent=1) + "\n")
    part.replace(file)


def signature_of(file: Path) -> object:
    """Changes whenever the file does."""
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file), status.st_ino, status.st_mtime_ns, status.st_size


def service_dn(service: DeclaredService, site_dn: str) -> str:
    """Where it is in the tree."""
    return f"GlueServiceUniqueID={service.id.replace('+', chr(92) + '+')},{site_dn}"


def service_attributes(service: DeclaredService, site: str) -> dict[str, str]:
    """The attributes of its entry."""
    return {
        "GlueServiceUniqueID": service.id,
        "GlueServiceName": f"{site}-{service.type}",
        "GlueServiceType": service.type,
        "GlueServiceVersion": service.version,
        "GlueServiceEndpoint": service.endpoint,
        "GlueServiceStatus": service.status,
        "GlueForeignKey": f"GlueSiteUniqueID={site}",
        "GlueSchemaVersionMajor": "1",
        "GlueSchemaVersionMinor": "3",
    }
