r"""MANIFEST: every file of a client tarball with digest, mode and size; its packages; its parts.

Text, UTF-8, one entry a line, sorted by path, so that equal content gives equal bytes:

```text
# PPS-MANIFEST 1
# client glite-WN 3.1.23
# package middleware voms-clients 2.1.0~rc3-3 amd64 <sha256 of the package file>
# package external libgfal2-2 2.21.3-1 amd64 <sha256>
d - 0755 0 bin
f <sha256> 0755 31880 bin/voms-proxy-info
l - 0777 0 lib/libvomsapi.so -> libvomsapi.so.1
```

Paths are relative, hold neither newline nor ` -> `, and never leave the tree; links are relative
and stay inside. The digest of a tarball is the sha256 of these bytes.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pps.domain.base.errors import PackageError
from pps.domain.base.names import checked_name
from pps.domain.packages.patch import PackageRef

_ENTRY = re.compile(r"([dfl]) ([0-9a-f]{64}|-) ([0-7]{4}) (\d{1,15}) (.+)")
_PACKAGE = re.compile(r"# package (middleware|external) (\S+) (\S+) (\S+) ([0-9a-f]{64})")
Kind = Literal["d", "f", "l"]


def checked_tree_path(path: str) -> str:
    """Return a path inside the tree, or raise `PackageError`: absolute, `..`, control characters, ` -> `."""
    if (
        not path
        or path.startswith("/")
        or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in path)  # before encode()
        or len(path.encode()) > 1024
        or any(part in ("", ".", "..") or len(part.encode()) > 255 for part in path.split("/"))
        or " -> " in path
    ):
        raise PackageError(f"path {path[:80]!r}", "may not stand in a client tarball.", "Correct the package.")
    return path


@dataclass(frozen=True, slots=True, order=True)
class ManifestEntry:
    """One directory, file or symbolic link of the tree."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    sha256: str = ""
    target: str = ""

    def __post_init__(self) -> None:
        checked_tree_path(self.path)
        if self.kind == "l":
            inside = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), self.target))
            if not self.target or self.target.startswith("/") or inside.startswith("../") or inside == "..":
                raise PackageError(
                    f"link {self.path[:80]!r}", f"leads out of the tree ({self.target[:80]!r}).", "Correct the package."
                )
            if any(ord(c) < 32 for c in self.target) or " -> " in self.target:
                raise PackageError(
                    f"link {self.path[:80]!r}", "has a target that may not stand in a tarball.", "Correct the package."
                )

    @property
    def line(self) -> str:
        """The entry's line of MANIFEST."""
        path = f"{self.path} -> {self.target}" if self.kind == "l" else self.path
        return f"{self.kind} {self.sha256 or '-'} {self.mode:04o} {self.size} {path}"


@dataclass(frozen=True, slots=True)
class ManifestPackage:
    """A package that went into the tarball."""

    part: Literal["middleware", "external"]
    ref: PackageRef
    sha256: str

    @property
    def line(self) -> str:
        """The package's line of MANIFEST."""
        return f"# package {self.part} {self.ref.name} {self.ref.version} {self.ref.arch} {self.sha256}"


@dataclass(frozen=True)
class Manifest:
    """The whole list."""

    metapackage: str
    version: str
    packages: tuple[ManifestPackage, ...]
    entries: tuple[ManifestEntry, ...] = field(repr=False)

    def __post_init__(self) -> None:
        checked_name(self.metapackage, "metapackage")
        checked_name(self.version, "version")
        object.__setattr__(self, "entries", tuple(sorted(self.entries)))
        for before, after in zip(self.entries, self.entries[1:], strict=False):
            if before.path == after.path:
                raise PackageError(f"path {after.path[:80]!r}", "stands twice in the tarball.", "Correct the packages.")

    @cached_property
    def text(self) -> str:
        """The file's text."""
        head = ["# PPS-MANIFEST 1", f"# client {self.metapackage} {self.version}", *(p.line for p in self.packages)]
        return "\n".join([*head, *(e.line for e in self.entries), ""])

    @cached_property
    def digest(self) -> str:
        """sha256 of the text: the identity of the tarball."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name of the tarball, and of its folder at a site."""
        return f"{self.metapackage}-{self.version}-PPS-{self.digest[:12]}"

    @cached_property
    def files(self) -> dict[str, ManifestEntry]:
        """The regular files, by path."""
        return {e.path: e for e in self.entries if e.kind == "f"}

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Read MANIFEST; `PackageError` names the first line that does not belong there."""
        lines = text.split("\n")
        head = lines[1].split(" ") if len(lines) > 1 else []
        if lines[0] != "# PPS-MANIFEST 1" or len(head) != 4 or head[:2] != ["#", "client"] or lines[-1] != "":
            raise PackageError("MANIFEST", "does not begin and end as a MANIFEST must.")
        return cls(head[2], head[3], tuple(_packages(lines)), tuple(_entries(lines)))


def _packages(lines: Iterable[str]) -> Iterable[ManifestPackage]:
    for line in lines:
        if m := _PACKAGE.fullmatch(line):
            yield ManifestPackage(m[1], PackageRef(m[2], m[3], m[4]), m[5])  # type: ignore[arg-type]


def _entries(lines: list[str]) -> Iterable[ManifestEntry]:
    for number, line in enumerate(lines[:-1], 1):
        if line.startswith("# "):
            continue
        match = _ENTRY.fullmatch(line)
        if match is None:
            raise PackageError(f"MANIFEST, line {number}", f"is not an entry: {line[:80]!r}.")
        kind, sha256, mode, size, path = match.groups()
        path, _, target = path.partition(" -> ") if kind == "l" else (path, "", "")
        yield ManifestEntry(path, kind, int(mode, 8), int(size), "" if sha256 == "-" else sha256, target)  # type: ignore[arg-type]
