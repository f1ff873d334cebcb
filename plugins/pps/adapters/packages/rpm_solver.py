"""Asks libsolv, dnf's own solver, whether packages can be installed. In the confined child: a stranger's index.

`primary.xml` names few of a package's files. Only if one that it does not name is depended on, the whole lists of
files are read. Where an index has none, what depends on such a file is neither complete nor missing: nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import solv

from pps.adapters.packages.index_xml import IndexReader
from pps.domain.base.errors import PackageError

_SENTENCES = 20
"""of one package"""
_PIECE = 1 << 16
#: In `/usr/bin/perl`, and in `(/usr/bin/perl or perl-interpreter)`.
_FILE = re.compile(r"(?:^|(?<=[\s(]))/[^\s()]+")


def solve_rpms(
    arch: str, wanted: list[list[str]], release: list[str], platform: list[str], file_lists: list[str], all_listed: bool
) -> dict[str, Any]:
    """Which needs of each package nothing fulfils.

    Args:
        file_lists: those that were read.
        all_listed: there is one for every index.

    Returns:
        `problems` there are, whatever a list that was not read may say; `unknown` ones would end if it named a file.
    """
    asked = _Asked(arch, release, platform)
    asked.know_files(file_lists)
    problems = asked.problems(wanted)
    unknown: list[list[str]] = []
    if problems and not all_listed and asked.suppose_files():
        supposed = asked.problems(wanted)
        unknown = [p for p in problems if p[0] not in {package for package, _ in supposed}]
        problems = supposed
    return {"problems": problems, "unknown": unknown, "of_platform": asked.of_platform({n for n, _, _ in wanted})}


class _Asked:
    """A pool of packages, and what they need."""

    def __init__(self, arch: str, release: Iterable[str], platform: Iterable[str]) -> None:
        self._pool = solv.Pool()
        self._pool.setarch(arch)
        self._ours, self._theirs = self._pool.add_repo("release"), self._pool.add_repo("platform")
        for repo, paths in ((self._ours, release), (self._theirs, platform)):
            for path in paths:
                if not repo.add_rpmmd(solv.xfopen(path), None):
                    why = f"is none that libsolv reads: {self._pool.errstr}."
                    raise PackageError("the index", why, "Ask who made it.")
        self._pool.addfileprovides()
        self._pool.createwhatprovides()

    def know_files(self, lists: list[str]) -> None:
        """Have packages provide those of their files that something needs, and that `primary.xml` does not name."""
        needed, found = (
            frozenset(self._needed_files()) if lists else frozenset(),
            dict[tuple[str, str, str], set[str]](),
        )
        for path in lists:
            reader = _FileList("the list of files", needed, found)
            with Path(path).open("rb") as file:
                reader.read(iter(lambda file=file: file.read(_PIECE), b""))  # type: ignore[misc]
        if found:
            for package in [*self._ours.solvables, *self._theirs.solvables]:
                for name in found.get((package.name, _without_epoch(package.evr), package.arch), ()):
                    package.add_provides(self._pool.Dep(name))
            self._pool.createwhatprovides()

    def suppose_files(self) -> bool:
        """Suppose that every file that is needed, and that no package is known to have, is there; False if none is."""
        if not (needed := self._needed_files()):
            return False
        package = self._pool.add_repo("supposed").add_solvable()
        package.name, package.evr, package.arch = "files-that-nobody-knows", "0-0", "noarch"
        for name in needed:
            package.add_provides(self._pool.Dep(name))
        self._pool.createwhatprovides()
        return True

    def _needed_files(self) -> set[str]:
        known: dict[str, bool] = {}
        for package in [*self._ours.solvables, *self._theirs.solvables]:
            for dep in package.lookup_deparray(solv.SOLVABLE_REQUIRES):
                text = str(dep)
                if "/" not in text or text in known:
                    continue
                for name in _FILE.findall(text):
                    known[name] = bool(self._pool.whatprovides(self._pool.Dep(name)))
        return {name for name, provided in known.items() if not provided}

    def problems(self, wanted: Iterable[list[str]]) -> list[list[str]]:
        """What keeps each of these packages from being installed, by itself, on a platform that has nothing yet."""
        ids = {(s.name, _without_epoch(s.evr), s.arch): s.id for s in self._ours.solvables}
        problems: list[list[str]] = []
        for name, version, of in wanted:
            number = ids.get((name, _without_epoch(version), of))
            if number is None or not self._pool.id2solvable(number).installable():
                continue  # of another architecture: nothing that this platform would install
            job = self._pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, number)
            said: dict[str, None] = {}
            solver = self._pool.Solver()  # its problems are its own: they end with it
            for problem in solver.solve([job]):
                for rule in problem.findallproblemrules():
                    info = rule.info()
                    if info.type != solv.Solver.SOLVER_RULE_JOB:
                        said[info.problemstr()] = None
            problems += [[f"{name}-{version}.{of}", f"{text}."] for text in list(said)[:_SENTENCES]]
        return problems

    def of_platform(self, names: set[str]) -> dict[str, str]:
        """Each of these names that the platform has, with its newest version there."""
        newest: dict[str, Any] = {}
        for found in self._theirs.solvables:
            if found.name in names and found.installable():
                other = newest.get(found.name)
                if other is None or found.evrcmp(other) > 0:
                    newest[found.name] = found
        return {n: _without_epoch(s.evr) for n, s in newest.items()}


@dataclass
class _FileList(IndexReader):
    """filelists.xml: who has these files."""

    needed: frozenset[str]
    found: dict[tuple[str, str, str], set[str]]
    _package: list[str] = field(default_factory=list, init=False)

    def opened(self, path: str, attributes: dict[str, str]) -> None:
        if path == "filelists/package":
            self._package = [attributes.get("name", ""), "", attributes.get("arch", "")]
        elif path == "filelists/package/version" and self._package:
            epoch, version, release = (attributes.get(a, "") for a in ("epoch", "ver", "rel"))
            evr = f"{version}-{release}"
            self._package[1] = evr if epoch in ("", "0") else f"{epoch}:{evr}"

    def closed(self, path: str, text: str) -> None:
        if path == "filelists/package/file" and text in self.needed and self._package:
            name, evr, arch = self._package
            self.found.setdefault((name, evr, arch), set()).add(text)


def _without_epoch(evr: str) -> str:
    """An epoch of 0 is written by some, and left out by others."""
    return evr.removeprefix("0:")
