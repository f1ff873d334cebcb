"""Clean roots that only pretend: what a script would have said is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pps.activities.ports.clean_roots import CommandResult
from pps.activities.ports.packages import IndexedPackage
from pps.domain.base.errors import CleanRootError, RolloutError
from pps.domain.packages.patch import PackageRef, Repository
from pps.domain.sites.site import Platform


@dataclass
class PretendedRoots:
    """`says`: part of a script -> how a script that holds it ends; every other one ends well."""

    says: dict[str, CommandResult] = field(default_factory=dict)
    impossible: str = ""
    scripts: list[str] = field(default_factory=list)
    left: int = 0

    def reasons_against(self, platform: Platform) -> tuple[str, ...]:
        return (self.impossible,) if self.impossible else ()

    @contextmanager
    def open(self, platform: Platform) -> Iterator[PretendedRoots]:
        if self.impossible:
            raise CleanRootError(f"clean root of {platform}", self.impossible)
        try:
            yield self
        finally:
            self.left += 1

    def run(self, script: str, timeout_s: float) -> CommandResult:
        self.scripts.append(script)
        return next((r for part, r in self.says.items() if part in script), CommandResult(0, "done\n", 0.1))


def fails(output: str, exit_code: int = 100) -> CommandResult:
    return CommandResult(exit_code, output, 0.1)


@dataclass
class PretendedRepositories:
    """Has every package, or fails as told."""

    error: RolloutError | None = None

    def open(self, repository: Repository) -> PretendedRepositories:
        if self.error:
            raise self.error
        return self

    def resolve(self, refs: Iterable[PackageRef]) -> tuple[IndexedPackage, ...]:
        return tuple(IndexedPackage(ref, f"pool/{ref.name}.deb", 1, "0" * 64) for ref in refs)

    def fetch(self, package: IndexedPackage, into: Path) -> Path:
        raise AssertionError("the root downloads itself")


@dataclass
class CommentingTracker:
    """Takes comments, one of each text."""

    comments: list[tuple[int, str]] = field(default_factory=list)
    error: RolloutError | None = None

    def page(self, number: int) -> str:
        return f"https://tracker.example.org/patch?:action=number&number={number}"

    def comment(self, number: int, text: str) -> None:
        if self.error:
            raise self.error
        if (number, text) not in self.comments:
            self.comments.append((number, text))
