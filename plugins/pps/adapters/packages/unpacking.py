"""What is left when the members of an archive are unpacked one after another, worked out without unpacking them.

Only plain directories, files and links pass, with names that are plain relative paths inside the tree. No path is ever
looked up on a disk: contents go one after the other into one file, and where they would have been put stands in a
table in memory.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from pps.activities.ports.packages import PackageMember, UnpackBudget
from pps.adapters.packages.archive import NEXT, RawMember
from pps.domain.base.errors import HostileArchiveError, PackageError
from pps.domain.packages.manifest import checked_tree_path

_CHUNK = 1 << 18
_DEEPEST = 40
_HOPS = 40


@dataclass(slots=True, eq=False)
class _Node:
    """What stands at a path; several names of one file (hard links) share one."""

    kind: Literal["d", "f", "l"]
    stated: bool = True
    """the archive has a member for it; other directories are there because something lies below them"""
    at: int = 0
    size: int = 0
    executable: bool = False
    target: str = ""
    """of a link: as the archive has it"""
    followed: bool = False
    """of a link: something was unpacked through it"""


@dataclass
class Unpacked:
    """A tree in memory, and its contents in one file.

    Set-user-id, set-group-id and sticky bits, and all modes but "executable", are dropped: the tree belongs to an
    account without rights, and equal packages must give equal trees.
    """

    subject: str
    budget: UnpackBudget
    contents: BinaryIO
    overwrites: bool = False
    """as tar: what comes later takes the place of what came before, and links are followed; else both are refused"""
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _below: Counter[str] = field(default_factory=Counter)
    _spelling: dict[str, str] = field(default_factory=dict)

    def add_all(self, members: Iterable[RawMember]) -> None:
        """Unpack; `HostileArchiveError` at the first member that may not be."""
        for raw in members:
            self.budget.members_left -= 1
            if self.budget.members_left < 0:
                raise HostileArchiveError(self.subject, "holds more members than a client tarball may have.", NEXT)
            if raw.kind == "refused":
                raise self._hostile(raw.name, f"is {raw.what}")
            path = inside(self.subject, raw.name)
            if (raw.kind != "d" and _is_of_a_folder(raw.name)) or (raw.kind == "h" and _is_of_a_folder(raw.target)):
                raise self._hostile(raw.name, "is no directory, but is named like one")
            if path:
                self._add(raw, path)
            elif raw.kind != "d":
                raise self._hostile(raw.name, "stands where the root is")

    def members(self) -> list[tuple[PackageMember, int]]:
        """What is there in the end, with the place of each content; of several names of a file the first carries it."""
        first: dict[_Node, str] = {}
        found: list[tuple[PackageMember, int]] = []
        for path, node in self._nodes.items():
            if node.kind == "l":
                target = link_target(self.subject, path, node.target)
                found.append((PackageMember(path, "l", target=target), 0))
            elif node.kind == "d":
                if node.stated:
                    found.append((PackageMember(path, "d"), 0))
            elif (other := first.setdefault(node, path)) != path:
                found.append((PackageMember(path, "h", target=other), 0))
            else:
                found.append((PackageMember(path, "f", node.size, node.executable), node.at))
        return found

    def _add(self, raw: RawMember, path: str) -> None:
        path = self._resolved(raw.name, path, make=True)
        there = self._nodes.get(path)
        if raw.kind == "d":
            if there is not None and there.kind == "d":
                there.stated = True
                return
            node = _Node("d")
        elif raw.kind == "f":
            node = self._file(raw)
        elif raw.kind == "l":
            link_target(self.subject, path, raw.target)
            node = _Node("l", target=raw.target)
        else:
            node = self._linked(raw, there)
        if there is node:  # another name of itself
            return
        if there is not None:
            if not self.overwrites:
                raise self._hostile(raw.name, "stands twice in the archive")
            if there.kind == "l" and (node.kind, node.target) != ("l", there.target):
                # what tar makes of these depends on the numbers that the file system gives its files
                if not _is_followed(there.target):
                    raise self._hostile(raw.name, "takes the place of a link that is made last of all")
                if there.followed:
                    raise self._hostile(raw.name, "takes the place of a link that others were unpacked through")
            if self._below[path]:
                raise self._hostile(raw.name, "takes the place of a directory that is not empty")
            self._below[posixpath.dirname(path)] -= 1
            del self._nodes[path]
        self._put(raw.name, path, node)

    def _put(self, name: str, path: str, node: _Node) -> _Node:
        if self._spelling.setdefault(unicodedata.normalize("NFC", path), path) != path:
            raise self._hostile(name, "differs from another one only in the spelling of its letters")
        self._below[posixpath.dirname(path)] += 1
        self._nodes[path] = node
        return node

    def _file(self, raw: RawMember) -> _Node:
        at = self.contents.tell()
        while data := raw.content.read(_CHUNK):
            self.contents.write(data)
        return _Node("f", at=at, size=self.contents.tell() - at, executable=bool(raw.mode & 0o111))

    def _linked(self, raw: RawMember, there: _Node | None) -> _Node:
        target = inside(self.subject, raw.target)
        node = self._nodes.get(self._resolved(raw.name, target, make=False)) if target else None
        if node is None or (node.kind == "d" and node is not there):
            raise self._hostile(
                raw.name, f"is a hard link to {raw.target[:80]!r}, which is no earlier file of the package"
            )
        return node

    def _resolved(self, name: str, path: str, *, make: bool) -> str:
        """The path with the links of its folders followed; folders that are missing are made, if asked for."""
        *folders, last = path.split("/")
        # with each folder whether it may be made: one that a link names must be there already
        todo = [(folder, make) for folder in folders]
        done, hops = "", _HOPS
        while todo:
            part, may_make = todo.pop(0)
            here = posixpath.join(done, part)
            node = self._nodes.get(here)
            if node is None and may_make:
                node = self._put(name, here, _Node("d", stated=False))
            if node is not None and node.kind == "l" and self.overwrites and _is_followed(node.target):
                node.followed = True
                hops -= 1
                todo = [*((p, False) for p in node.target.split("/") if p not in ("", ".")), *todo]
                if hops < 0 or len(todo) > 20 * _DEEPEST:
                    raise self._hostile(name, "stands below a link that leads in a circle")
                continue
            if node is None or node.kind != "d":
                raise self._hostile(name, f"stands below {here[:80]!r}, which is no directory")
            done = here
        return posixpath.join(done, last)

    def _hostile(self, name: str, why: str) -> HostileArchiveError:
        return HostileArchiveError(self.subject, f"member {name[:80]!r} {why}.", NEXT)


def _is_of_a_folder(name: str) -> bool:
    return name.rstrip("/").endswith("/.")


def _is_followed(target: str) -> bool:
    """tar makes links that could lead out of the tree last of all, so nothing is unpacked through them."""
    return not target.startswith("/") and ".." not in target.split("/")


def inside(subject: str, name: str) -> str:
    """The plain relative path that a member's name stands for; empty for the root."""
    # some tools (nfpm) write absolute names, or usr//x; every unpacker takes them for relative and plain ones
    path = "/".join(part for part in name.split("/") if part not in ("", "."))
    try:
        if path:
            checked_tree_path(path)
    except PackageError as error:
        raise HostileArchiveError(
            subject, f"member {name[:80]!r} is not a plain path inside the tree.", NEXT
        ) from error
    parts = path.split("/")
    if len(parts) > _DEEPEST or any(part.startswith("-") for part in parts):
        raise HostileArchiveError(subject, f"member {name[:80]!r} lies too deep, or begins like an option.", NEXT)
    return path


def link_target(subject: str, path: str, target: str) -> str:
    """Where a symbolic link leads; an absolute target means the root that the package is unpacked to."""
    if not target:
        raise HostileArchiveError(subject, f"link {path[:80]!r} leads nowhere.", NEXT)
    steps = [] if target.startswith("/") else path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not steps:
                raise HostileArchiveError(subject, f"link {path[:80]!r} leads out of the tree ({target[:80]!r}).", NEXT)
            steps.pop()
        elif part not in ("", "."):
            steps.append(part)
    return inside(subject, "/".join(steps))
