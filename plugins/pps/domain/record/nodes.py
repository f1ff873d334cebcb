"""Do all nodes work with the same configuration and version? (docs/adr/0039)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

#: What has not been at work for so long is taken for gone: machines are replaced, and pods are by the hour.
GONE_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine on which some of this installation runs, as it was when it was last at work."""

    name: str
    version: str
    files: Mapping[str, str]
    """of the configuration: name -> sha256"""
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class OtherNode:
    """How another node differs from this one."""

    node: Node
    differs: tuple[str, ...]
    """nothing: it is the same"""
    is_known: bool
    """false: it has not told what it has since this node's configuration changed, so it may have got the change"""


def compared(mine: Node, changed_at: datetime, nodes: Iterable[Node], now: datetime) -> tuple[OtherNode, ...]:
    """All other nodes that are not gone, each with how it differs.

    Args:
        changed_at: when the newest file of our own configuration was written.
    """
    others = sorted((n for n in nodes if n.name != mine.name and now - n.seen_at < GONE_AFTER), key=lambda n: n.name)
    return tuple(OtherNode(node, _differences(mine, node), node.seen_at > changed_at) for node in others)


def _differences(mine: Node, other: Node) -> tuple[str, ...]:
    files = sorted(name for name in mine.files.keys() | other.files if mine.files.get(name) != other.files.get(name))
    version = [f"version {other.version} instead of {mine.version}"] if other.version != mine.version else []
    return (*version, *files)
