"""Implements `ports.DependencySolver`: libsolv, which is dnf's own, for YUM; apt itself for APT.

Both read what a stranger's index says, so they run in the confined child, on files that were verified before.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pps.activities.ports.packages import PackageRepository, Solved
from pps.adapters.packages.confined import Confined
from pps.domain.base.errors import PackageError
from pps.domain.base.texts import one_line
from pps.domain.packages.patch import PackageRef, RepositoryKind
from pps.domain.packages.versions import age

_SENTENCES = 20
"""of one package"""
_APART = 40
"""packages that are tried one by one when not all go together"""
#: What is missing is said in the last lines.
_SAID = 16_000
_RPM_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "ppc64el": "ppc64le"}


@dataclass(frozen=True)
class Solvers:
    """The solvers that this machine has."""

    confined: Confined

    def solve(
        self,
        kind: RepositoryKind,
        arch: str,
        refs: Sequence[PackageRef],
        release: PackageRepository,
        platform: Sequence[PackageRepository],
        workdir: Path,
    ) -> Solved:
        """See the port."""
        if not platform:
            return Solved(unsolved="no index of the platform itself is configured.")
        if kind is RepositoryKind.APT and shutil.which("apt-get", path=os.defpath) is None:
            return Solved(unsolved="apt is not installed on the machine that looks at releases.")
        if kind is RepositoryKind.YUM and importlib.util.find_spec("solv") is None:
            return Solved(unsolved="libsolv is not installed on the machine that looks at releases.")
        arch = _RPM_ARCHITECTURES.get(arch, arch) if kind is RepositoryKind.YUM else arch
        with tempfile.TemporaryDirectory(dir=workdir, prefix="solve-") as name:
            folder, repositories = Path(name), (release, *platform)
            saved = [
                [os.fspath(path) for path in _saved(folder / str(n), repository, arch)]
                for n, repository in enumerate(repositories)
            ]
            wanted = [[r.name, r.version, r.arch] for r in refs]
            theirs = [path for paths in saved[1:] for path in paths]
            if kind is RepositoryKind.APT:
                found = self.confined.call("the index", solve_debs, arch, wanted, saved[0], theirs, name)
            else:
                found = self._rpms(arch, wanted, saved[0], theirs, repositories, folder)
        problems, unknown = (
            tuple((package, one_line(sentence, 400)) for package, sentence in found.get(key, ()))
            for key in ("problems", "unknown")
        )
        return Solved(problems, found["of_platform"], unknown=unknown)

    def _rpms(
        self,
        arch: str,
        wanted: list[list[str]],
        release: list[str],
        platform: list[str],
        repositories: Sequence[PackageRepository],
        folder: Path,
    ) -> Any:
        """First without the lists of files: they are large, and seldom needed."""
        # imported only where libsolv is installed
        solve_rpms = importlib.import_module("pps.adapters.packages.rpm_solver").solve_rpms
        found = self.confined.call("the index", solve_rpms, arch, wanted, release, platform, [], False)
        if not found["unknown"]:
            return found
        lists = [os.fspath(p) for n, r in enumerate(repositories) if (p := r.save_file_list(folder / str(n)))]
        if not lists:
            return found
        complete = len(lists) == len(repositories)
        return self.confined.call("the index", solve_rpms, arch, wanted, release, platform, lists, complete)


def _saved(folder: Path, repository: PackageRepository, arch: str) -> tuple[Path, ...]:
    folder.mkdir()
    return repository.save_index(arch, folder)


# --- in the child ------------------------------------------------------------------------------


def solve_debs(
    arch: str, wanted: list[list[str]], release: list[str], platform: list[str], folder: str
) -> dict[str, Any]:
    """Ask apt whether it would install them, all together, else one by one."""
    names = {name for name, _, _ in wanted}
    of_platform = dict(_newest(platform, names))
    apt = _Apt(Path(folder), arch, [*release, *platform])
    mine = [[name, version] for name, version, of in wanted if of in (arch, "all")]
    problems: list[list[str]] = []
    if mine and apt.why_not(mine):
        for name, version in mine[:_APART]:
            said = apt.why_not([[name, version]])
            problems += [[f"{name} {version}", line] for line in said[:_SENTENCES]]
        if not problems:
            problems = [["", line] for line in apt.why_not(mine)[:_SENTENCES]]
    return {"problems": problems, "of_platform": of_platform}


class _Apt:
    """An apt of its own, which knows these indexes and nothing of this machine."""

    def __init__(self, folder: Path, arch: str, indexes: Iterable[str]) -> None:
        root = folder / "apt"
        for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "home"):
            (root / name).mkdir(parents=True)
        lines = []
        for number, index in enumerate(indexes):
            place = root / f"index-{number}"
            place.mkdir()
            Path(index).rename(place / "Packages")
            # ours, of this moment: signature and digests of what is in it were checked when it was saved (`save_index`)
            lines.append(f"deb [trusted=yes allow-insecure=yes arch={arch}] file:{place} ./\n")
        (root / "sources.list").write_text("".join(lines))
        (root / "status").touch()
        settings = {
            "Dir": root,
            "Dir::State::status": root / "status",
            "Dir::Etc": root / "etc",
            "Dir::Etc::main": "none",  # nothing that this machine's own apt is told
            "Dir::Etc::parts": "none",
            "Dir::Etc::sourcelist": root / "sources.list",
            "Dir::State": root / "state",
            "Dir::Cache": root / "cache",
            "APT::Architecture": arch,
            "APT::Architectures": arch,
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
        }
        (root / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
        self._environment = {**os.environ, "HOME": os.fspath(root / "home"), "APT_CONFIG": os.fspath(root / "apt.conf")}
        status, text = self._run("update")
        if status:
            raise PackageError("the index", f"is none that apt reads: {one_line(text[-300:], 300)}", "Ask who made it.")

    def why_not(self, wanted: list[list[str]]) -> list[str]:
        """What apt says against installing these; nothing if it would."""
        status, text = self._run("install", "--simulate", "--", *(f"{name}={version}" for name, version in wanted))
        if not status:
            return []
        if found := list(_unmet(text)):
            return found
        # not the packages' fault, as far as anybody can tell
        raise PackageError("apt", f"came to no end: {one_line(text[-300:], 300)}", "Look at this machine.")

    def _run(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            ["apt-get", "-q", *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
        )
        return done.returncode, done.stdout.decode(errors="replace")[-_SAID:]


_UNMET = re.compile(r"^ (\S+) : ((?:Pre)?Depends|Conflicts|Breaks): (.+)$")
_FURTHER = re.compile(r"^ {4,}((?:Pre)?Depends|Conflicts|Breaks): (.+)$")


def _unmet(text: str) -> Iterator[str]:
    """The sentences in what apt says."""
    package = ""
    for line in text.splitlines():
        if found := _UNMET.match(line):
            package = found[1]
            yield f"{package} {found[2].lower()}: {found[3].strip()}."
        elif package and (further := _FURTHER.match(line)):
            yield f"{package} {further[1].lower()}: {further[2].strip()}."
        elif line.startswith("E: ") and line.endswith("was not found"):
            yield f"{line[3:].strip()}."


def _newest(indexes: Iterable[str], names: set[str]) -> Iterator[tuple[str, str]]:
    """Each of these names that the platform has, with its newest version there."""
    found: dict[str, list[str]] = {}
    for index in indexes:
        name = ""
        with Path(index).open(encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key == "Package":
                    name = value.strip()
                elif key == "Version" and name in names:
                    found.setdefault(name, []).append(value.strip())
    order = age(RepositoryKind.APT)
    for name, versions in found.items():
        yield name, max(versions, key=order)
