"""Who we are among the nodes of an installation, and with which configuration."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pps import __version__
from pps.config.loader import Configuration
from pps.domain.record.nodes import Node

#: What of the folder is configuration: our files, and keyrings. An EnvironmentFile beside them is each node's own.
_KINDS = (".yaml", ".asc", ".gpg")


def this_node(configuration: Configuration, now: datetime) -> Node:
    """This machine: `PPS_NODE`, else its host name."""
    name = os.environ.get("PPS_NODE") or socket.gethostname()
    return Node(name, __version__, _digests(configuration.folder), now)


def changed_at(configuration: Configuration) -> datetime:
    """When the newest file of a configuration was written."""
    return datetime.fromtimestamp(max((f.stat().st_mtime for f in _files(configuration.folder)), default=0), UTC)


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for file in _files(folder):
        with suppress(OSError):  # it is being replaced; the next look has it
            found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.suffix in _KINDS and f.is_file() and f.name[0] != ".")
