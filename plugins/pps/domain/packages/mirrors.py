r"""MIRROR: every file of the mirror of a provider's repository (SD 4.1.3, 6), with digest and size.

Text, UTF-8, one file a line, sorted by path, so that equal content gives equal bytes:

```text
# PPS-MIRROR 1
# source apt http://repository.example.org/debian preview main
p <sha256> 18034 pool/main/voms-clients/voms-clients_2.1.0-1_amd64.deb voms-clients 2.1.0-1 amd64
i <sha256> 532 dists/preview/Release
```

`p` is a package, `i` a file of the index that is the mirror's own. The digest of a mirror is the sha256 of these bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pps.domain.base.errors import PackageError
from pps.domain.packages.manifest import checked_tree_path
from pps.domain.packages.patch import PackageRef, Repository, RepositoryKind

LIST = "MIRROR"
"""its own name in the mirror's folder"""

_HEAD = "# PPS-MIRROR 1"
_LINE = re.compile(r"([ip]) ([0-9a-f]{64}) (\d{1,15}) (\S+)(?: (\S+) (\S+) (\S+))?")
_PLAIN = re.compile(r"[A-Za-z0-9._+~/-]{1,200}")


@dataclass(frozen=True, slots=True)
class MirrorFile:
    """One file as it is listed, or as it was found."""

    path: str
    """below the mirror's folder"""
    size: int
    sha256: str
    """"" where something other than a plain file was found"""
    package: PackageRef | None = None

    @property
    def line(self) -> str:
        """The file's line of MIRROR."""
        ref = self.package
        package = f" {ref.name} {ref.version} {ref.arch}" if ref else ""
        return f"{'p' if ref else 'i'} {self.sha256} {self.size} {self.path}{package}"


@dataclass(frozen=True)
class MirrorList:
    """The whole list."""

    source: Repository
    files: tuple[MirrorFile, ...] = field(repr=False)

    def __post_init__(self) -> None:
        suite, components = self.source.suite or "-", self.source.components
        if re.search(r"\s", self.source.url) or not all(_PLAIN.fullmatch(word) for word in (suite, *components)):
            raise PackageError(
                f"repository {self.source.url[:120]!r}",
                "has a suite or component that may not stand in a mirror's list.",
                "Correct the patch.",
            )
        object.__setattr__(self, "files", tuple(sorted(self.files, key=lambda f: f.path)))
        for before, after in zip(self.files, self.files[1:], strict=False):
            if before.path == after.path:
                raise PackageError(f"path {after.path[:80]!r}", "stands twice in a mirror.", "Make the mirror again.")

    @cached_property
    def text(self) -> str:
        """The file's text."""
        source = self.source
        origin = f"# source {source.kind} {source.url} {source.suite or '-'} {','.join(source.components) or '-'}"
        return "\n".join([_HEAD, origin, *(f.line for f in self.files), ""])

    @cached_property
    def digest(self) -> str:
        """sha256 of the text: the identity of the mirror."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def packages(self) -> dict[PackageRef, MirrorFile]:
        """The packages in it."""
        return {f.package: f for f in self.files if f.package is not None}

    @classmethod
    def parse(cls, text: str) -> MirrorList:
        """Read MIRROR; `PackageError` names the first line that does not belong there."""
        lines = text.split("\n")
        origin = lines[1].split(" ") if len(lines) > 1 else []
        if lines[0] != _HEAD or len(origin) != 6 or origin[:2] != ["#", "source"] or lines[-1] != "":
            raise PackageError(LIST, "does not begin and end as such a list must.")
        if origin[2] not in tuple(RepositoryKind):
            raise PackageError(LIST, f"names a kind of repository that is not known here: {origin[2][:80]!r}.")
        suite, components = ("" if w == "-" else w for w in origin[4:])
        source = Repository(
            RepositoryKind(origin[2]), origin[3], suite, tuple(components.split(",")) if components else ()
        )
        return cls(source, tuple(_files(lines[2:-1])))


def _files(lines: Iterable[str]) -> Iterable[MirrorFile]:
    for number, line in enumerate(lines, 3):
        match = _LINE.fullmatch(line)
        if match is None or (match[1] == "p") != (match[5] is not None):
            raise PackageError(f"{LIST}, line {number}", f"is not an entry: {line[:80]!r}.")
        ref = PackageRef(match[5], match[6], match[7]) if match[1] == "p" else None
        yield MirrorFile(checked_tree_path(match[4]), int(match[3]), match[2], ref)


@dataclass(frozen=True, slots=True)
class Differences:
    """Where a mirror differs from its list: paths, in order."""

    differ: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.differ or self.missing or self.extra)


def differences(listed: Iterable[MirrorFile], found: Iterable[MirrorFile]) -> Differences:
    """Compare what should be there with what is."""
    should = {f.path: (f.size, f.sha256) for f in listed}
    there = {f.path: (f.size, f.sha256) for f in found}
    return Differences(
        differ=tuple(sorted(p for p in should.keys() & there.keys() if should[p] != there[p])),
        missing=tuple(sorted(should.keys() - there.keys())),
        extra=tuple(sorted(there.keys() - should.keys())),
    )


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """What has changed at the provider's since the mirror was made. It may, and none of it reaches the mirror."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    """the same name, version and architecture with another content"""
    unreadable: str = ""
    """why the provider's repository cannot be read now"""


def source_changes(listed: MirrorList, digests_now: Mapping[PackageRef, str]) -> SourceChanges:
    """Compare the packages of a mirror with those of its source now: package -> sha256."""
    before = {ref: file.sha256 for ref, file in listed.packages.items()}
    return SourceChanges(
        added=tuple(sorted(str(r) for r in digests_now.keys() - before.keys())),
        removed=tuple(sorted(str(r) for r in before.keys() - digests_now.keys())),
        rebuilt=tuple(sorted(str(r) for r in before.keys() & digests_now.keys() if before[r] != digests_now[r])),
    )
