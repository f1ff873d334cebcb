"""Fetches real grid clients through the machine's own APT configuration, without root.

APT works on a private state with an empty package status, so that it plans the whole closure, and
downloads only; what every Debian machine has anyway (and the C library above all) is taken out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pps.domain.base.errors import PackageError, ServiceError
from pps.domain.packages.patch import PackageRef
from pps.sandbox.provider.packages import ProviderPackages

CLIENTS = (
    "voms-clients", "globus-proxy-utils", "globus-gass-copy-progs", "gfal2-util-scripts", "gfal2-plugin-file",
    "gfal2-plugin-http", "gfal2-plugin-gridftp", "myproxy",
)  # fmt: skip
#: These, with what they need, are on every site that runs Debian; perl finds its modules by fixed paths only.
_BASE = ("libc6", "libstdc++6", "apt", "perl")
_SECONDS = 900
_STAMP = "clients.json"


def can_fetch_real_clients() -> bool:
    """Tell whether this machine has APT."""
    return shutil.which("apt-get") is not None and shutil.which("apt-cache") is not None


def fetch_real_clients(folder: Path) -> ProviderPackages:
    """Download the clients and their closure; a folder that has them already is only checked.

    Raises `ServiceError` when APT cannot get them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (known := _cached(folder)) is not None:
        return known
    apt = _PrivateApt(folder / "apt")
    plan = apt.plan(CLIENTS)
    base = set(apt.plan((*apt.essential(), *_BASE)))
    wanted = {name: version for name, version in plan.items() if name not in base}
    sources = apt.sources(wanted)
    ours = {sources[name] for name in CLIENTS}
    files = apt.download(wanted, folder)
    refs = {name: PackageRef(name, wanted[name], files[name].stem.rpartition("_")[2]) for name in sorted(wanted)}
    result = ProviderPackages(
        tuple(ref for name, ref in refs.items() if sources[name] in ours),
        tuple(ref for name, ref in refs.items() if sources[name] not in ours),
        tuple(files[name] for name in refs),
    )
    _remember(folder, result)
    return result


class _PrivateApt:
    """APT with the machine's sources and keys, and a state of its own."""

    def __init__(self, state: Path) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        self._options = {
            "Dir::State": str(state / "state"),
            "Dir::State::status": str(state / "status"),
            "Dir::Cache": str(state / "cache"),
            "Debug::NoLocking": "1",
            "APT::Install-Recommends": "0",
            # as root APT would become another user, who may not write here
            "APT::Sandbox::User": "root",
            # the machine's own lists if it has them; reading them needs no rights
            "Dir::State::lists": self._machine_lists(),
        }
        if not self._knows(CLIENTS):
            self._options["Dir::State::lists"] = str(state / "state/lists")
            if not self._knows(CLIENTS):
                self._run("apt-get", "-qq", "update")

    def plan(self, names: Iterable[str]) -> dict[str, str]:
        """Name -> version of everything that an empty machine would install for these."""
        out = self._run("apt-get", "-s", "install", *names)
        return dict(re.findall(r"^Inst (\S+) \((\S+) ", out, re.MULTILINE))

    def essential(self) -> list[str]:
        """The packages that no machine is without."""
        # one long text: read by lines, it has as many megabytes as the distribution has packages
        found, name = set(), ""
        command, environment = self._command("apt-cache", "dumpavail")
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, errors="replace") as listing:
            for line in listing.stdout or ():
                if line.startswith("Package: "):
                    name = line.removeprefix("Package: ").strip()
                elif line.startswith("Essential: yes"):
                    found.add(name)
        if not found:
            raise ServiceError("APT", "knows no essential packages.", "Run apt-get update, or use the sample packages.")
        return sorted(found)

    def sources(self, versions: dict[str, str]) -> dict[str, str]:
        """Package -> name of its source package."""
        out = self._run("apt-cache", "show", *(f"{name}={version}" for name, version in versions.items()))
        found: dict[str, str] = {}
        for stanza in out.split("\n\n"):
            fields: dict[str, str] = dict(re.findall(r"^(Package|Source): (\S+)", stanza, re.MULTILINE))
            if "Package" in fields:
                found[fields["Package"]] = fields.get("Source", fields["Package"])
        return found

    def download(self, versions: dict[str, str], folder: Path) -> dict[str, Path]:
        """Download into a folder; APT checks each file against its signed lists."""
        self._run("apt-get", "-qq", "download", *(f"{n}={v}" for n, v in versions.items()), cwd=folder)
        files = {n: p for n, v in versions.items() for p in folder.glob(f"{n}_{v.replace(':', '%3a')}_*.deb")}
        if missing := sorted(versions.keys() - files.keys()):
            raise ServiceError("APT", f"did not download {', '.join(missing)}.", "Run apt-get update, then try again.")
        return {name: files[name] for name in versions}

    def _machine_lists(self) -> str:
        out = subprocess.run(
            ["apt-config", "shell", "L", "Dir::State::lists/d"], capture_output=True, text=True, check=False
        ).stdout
        match = re.search(r"^L='([^']+)'", out, re.MULTILINE)
        return match[1] if match else "/var/lib/apt/lists"

    def _knows(self, names: Iterable[str]) -> bool:
        out = self._run("apt-cache", "policy", *names)
        return len(re.findall(r"^  Candidate: (?!\(none\))", out, re.MULTILINE)) == len(CLIENTS)

    def _command(self, command: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
        options = [part for name, value in self._options.items() for part in ("-o", f"{name}={value}")]
        return [command, *options, *arguments], {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}

    def _run(self, command: str, *arguments: str, cwd: Path | None = None) -> str:
        line, environment = self._command(command, *arguments)
        try:
            done = subprocess.run(
                line,
                cwd=cwd,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceError(
                "APT", f"does not run ({type(error).__name__}).", "Try again, or use the sample packages."
            ) from error
        if done.returncode != 0:
            why = " ".join(line for line in done.stderr.splitlines() if line.startswith("E:"))
            raise ServiceError(
                "APT", f"{command} failed: {why[:500]}", "Run apt-get update, or use the sample packages."
            )
        return done.stdout


def _remember(folder: Path, packages: ProviderPackages) -> None:
    def rows(refs: tuple[PackageRef, ...]) -> list[list[str]]:
        return [[ref.name, ref.version, ref.arch] for ref in refs]

    data = {
        "packages": rows(packages.packages),
        "externals": rows(packages.externals),
        "files": {path.name: _sha256(path) for path in packages.files},
    }
    part = folder / f"{_STAMP}.part"
    part.write_text(json.dumps(data, indent=1))
    part.replace(folder / _STAMP)


def _cached(folder: Path) -> ProviderPackages | None:
    try:
        data = json.loads((folder / _STAMP).read_text())
        files = {folder / name: sha256 for name, sha256 in data["files"].items()}
        if any(_sha256(path) != sha256 for path, sha256 in files.items()):
            return None
        packages, externals = (tuple(PackageRef(*row) for row in data[key]) for key in ("packages", "externals"))
    except (OSError, ValueError, KeyError, TypeError, PackageError):
        return None
    return ProviderPackages(packages, externals, tuple(files))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
