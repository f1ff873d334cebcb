"""The tree of a client tarball while it grows out of its packages."""

from __future__ import annotations

import hashlib
import io
import logging
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import BinaryIO, Literal, cast

from pps.activities.packages.layout import Alternative, checked_for_libc, is_read_elsewhere, place, read_alternatives
from pps.activities.ports.packages import OpenedPackage, UnpackBudget
from pps.domain.base.errors import PackageError
from pps.domain.base.texts import one_line
from pps.domain.packages.manifest import ManifestEntry

log = logging.getLogger(__name__)

Part = Literal["middleware", "external"]
_CHUNK = 1 << 18
#: Files that a remark names.
_NAMED = 20
#: Ours, in every tree: place -> name in scripts/.
_SCRIPTS = {
    "etc/profile.d/grid-env.sh": "grid-env.sh",
    "etc/profile.d/grid-env.csh": "grid-env.csh",
    "libexec/pps-grid-env": "pps-grid-env",
}
_SHEBANG = re.compile(rb"#![ \t]*/usr/bin/((?:python|perl)[0-9.]*)(?=[ \t\n])")


@dataclass
class Node:
    """One path of the tree."""

    kind: Literal["f", "l"]
    part: Part
    owner: str
    sha256: str = ""
    size: int = 0
    executable: bool = False
    target: str = ""
    """of a link: path in the tree"""


@dataclass
class ClientTree:
    """The client as it grows. Contents lie on disk under their digests; paths exist in memory only,
    so nothing that a package says can make us write to a place of its choice.
    """

    folder: Path
    budget: UnpackBudget
    nodes: dict[str, Node] = field(default_factory=dict)
    folders: dict[str, set[Part]] = field(default_factory=dict)
    left_undone: list[str] = field(default_factory=list)
    """what an install script would have done and we have not, one sentence each"""
    _alternatives: list[tuple[Alternative, Part, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for path, name in _SCRIPTS.items():
            text = resources.files("pps.activities.sites").joinpath("scripts", name).read_bytes()
            sha256, size = self._stage(io.BytesIO(text))
            self._put(path, Node("f", "middleware", "PPS Rollout", sha256, size))

    def lay_out(self, package: OpenedPackage, part: Part) -> None:
        """Add one package."""
        owner = package.ref.name
        originals: dict[str, Node] = {}
        for member, content in package.members():
            to = place(member.path)
            if member.kind == "f" and to is None:
                # it may have another name (a hard link) that stays
                originals[member.path] = Node("f", part, owner, *self._stage(content), member.executable)
            if to is None:
                continue
            if member.kind == "d":
                if to in self.nodes:
                    raise _conflict(to, self.nodes[to].owner, owner)
                continue  # folders come with what is in them; empty ones are a server's state
            checked_for_libc(to)
            if member.kind == "f":
                sha256, size = self._stage(content)
                node = originals[member.path] = Node("f", part, owner, sha256, size, member.executable)
            elif member.kind == "h":
                node = originals[member.path] = originals[member.target]
            else:
                target = place(member.target) if member.target else None
                if target is None:
                    log.info(
                        "%s: link %s leads to what is left out (%s); it is left out too",
                        owner,
                        member.path,
                        member.target,
                    )
                    continue
                if target == to:
                    continue  # /lib/x -> /usr/lib/x, say: in one tree both are the same place
                node = Node("l", part, owner, target=target)
            self._put(to, node)
        declared, unclear = read_alternatives(package.install_script)
        self._alternatives += [(a, part, owner) for a in declared]
        for call in unclear:
            self._undone(f"{owner}: its install script makes a link that we cannot make out ({one_line(call, 160)}).")

    def finish(self) -> None:
        """Add the alternatives' links; then drop links that lead to nothing that we have."""
        for alternative, part, owner in sorted(
            self._alternatives, key=lambda a: (-a[0].priority, a[0].link, a[0].target)
        ):
            try:
                link, target = place(alternative.link), place(alternative.target)
            except PackageError:
                link = target = ""
            if link is None or target is None or link == target or link in self.nodes:
                continue  # what belongs to the packaging system is left out; another package's link takes precedence
            if link and link not in self.folders and self._resolve(target):
                self._put(link, Node("l", part, owner, target=target))
            else:
                self._undone(
                    f"{owner}: its install script links {alternative.link} to {alternative.target}, which is not here."
                )
        # a folder may have held nothing but such links, and other links may lead to that folder
        while dangling := [p for p, node in self.nodes.items() if node.kind == "l" and not self._resolve(p)]:
            for path in dangling:
                log.info("%s: link %s leads to nothing in this client; it is left out", self.nodes[path].owner, path)
                del self.nodes[path]
            self.folders.clear()
            for path, node in self.nodes.items():
                self._add_folders(path, node.part)
        self._find_interpreters_by_path()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of this client, one sentence each; the same packages give the same."""
        files = sorted(p for p, node in self.nodes.items() if node.kind == "f" and is_read_elsewhere(p))
        if not files:
            return tuple(self.left_undone)
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        names = ", ".join(f"/{path}" for path in files[:_NAMED])
        return (
            *self.left_undone,
            f"Software looks for these in /etc only, so those of the packages are not read: {names}{more}.",
        )

    def _undone(self, sentence: str) -> None:
        log.warning("%s", sentence)
        self.left_undone.append(sentence)

    def entries(self) -> Iterator[ManifestEntry]:
        """The tree's entries for MANIFEST."""
        for path in self.folders:
            yield ManifestEntry(path, "d", 0o755)
        for path, node in self.nodes.items():
            if node.kind == "l":
                yield ManifestEntry(
                    path, "l", 0o777, 0, "", posixpath.relpath(node.target, posixpath.dirname(path) or ".")
                )
            else:
                yield ManifestEntry(path, "f", 0o755 if node.executable else 0o644, node.size, node.sha256)

    def parts_of(self, path: str) -> set[Part]:
        """The parts of the tarball that hold a path; a folder may be in both."""
        return self.folders.get(path) or {self.nodes[path].part}

    def content(self, sha256: str) -> BinaryIO:
        """A staged file."""
        return (self.folder / sha256).open("rb")

    def _stage(self, content: BinaryIO) -> tuple[str, int]:
        """Write content to the disk under its digest; returns sha256 and size."""
        digest, size = hashlib.sha256(), 0
        part = self.folder / ".part"
        with part.open("wb") as file:
            while data := content.read(_CHUNK):
                digest.update(data)
                size += len(data)
                file.write(data)
        part.replace(self.folder / digest.hexdigest())
        return digest.hexdigest(), size

    def _put(self, path: str, node: Node) -> None:
        other = self.nodes.setdefault(path, node)
        if path in self.folders or (other.kind, other.sha256, other.target, other.executable) != (
            node.kind,
            node.sha256,
            node.target,
            node.executable,
        ):
            raise _conflict(path, other.owner, node.owner)
        self._add_folders(path, node.part)

    def _add_folders(self, path: str, part: Part) -> None:
        while path := posixpath.dirname(path):
            if path in self.nodes:
                raise _conflict(path, self.nodes[path].owner, "another package")
            self.folders.setdefault(path, set()).add(part)

    def _resolve(self, path: str, hops: int = 40) -> str | None:
        """Follow links inside the tree; None if they lead nowhere or in a circle."""
        done: list[str] = []
        todo = path.split("/")
        while todo:
            done.append(todo.pop(0))
            node = self.nodes.get("/".join(done))
            if node is not None and node.kind == "l":
                hops -= 1
                if hops < 0:
                    return None
                done, todo = [], node.target.split("/") + todo
        end = "/".join(done)
        return end if end in self.nodes or end in self.folders else None

    def _find_interpreters_by_path(self) -> None:
        """Scripts of an interpreter that we bring along must use that one, wherever the prefix is.

        `#!/usr/bin/python3` becomes `#!/usr/bin/env python3` if `bin/python3` is in the tree.
        """
        for node in self.nodes.values():
            if node.kind != "f" or not node.executable:
                continue
            with self.content(node.sha256) as file:
                match = _SHEBANG.match(file.read(256))
                if match is None or not self._resolve(f"bin/{match[1].decode()}"):
                    continue
                file.seek(match.end())
                line = file.readline(4096)
                if line.strip():
                    continue  # options: env would take them for part of the name
                head = b"#!/usr/bin/env " + match[1] + line
                node.sha256, node.size = self._stage(cast(BinaryIO, _Joined(head, file)))


class _Joined(io.RawIOBase):
    """A few bytes, then the rest of a file."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1, /) -> bytes:
        """The head at once, then as much as is asked for."""
        head, self._head = self._head, b""
        return head or self._rest.read(size)


def _conflict(path: str, one: str, other: str) -> PackageError:
    return PackageError(
        f"path {path[:80]!r}", f"comes from {one} and from {other}, and they differ.", "Correct the packages."
    )
