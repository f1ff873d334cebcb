"""What the real apt and the real dnf list out of a repository on the local disk, each in a root of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def apt_lists(root: Path, suite: str, component: str, work: Path, *architectures: str) -> set[tuple[str, str, str]]:
    """(package, version, architecture) of all that apt would install from a folder."""
    options = apt_options(root, suite, component, work, *architectures)
    _run("apt-get", *options, "update")
    names = _run("apt-cache", *options, "pkgnames").split()
    shown = _run("apt-cache", *options, "show", "--all-versions", *names) if names else ""
    found: set[tuple[str, str, str]] = set()
    for stanza in shown.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.split("\n") if ": " in line and line[0] not in " \t")
        if "Package" in fields:
            found.add((fields["Package"], fields["Version"], fields["Architecture"]))
    # what apt itself works with, not only what it prints
    for line in _run("apt-cache", *options, "madison", *(names or ["none"])).splitlines():
        name, version, _ = (word.strip() for word in line.split("|"))
        assert any((name, version) == row[:2] for row in found), line
    return found


def apt_options(root: Path, suite: str, component: str, work: Path, *architectures: str) -> list[str]:
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [trusted=yes] file:{root} {suite} {component}\n")
    settings = {
        "Dir::State": "state", "Dir::State::status": "status", "Dir::Cache": "cache",
        "Dir::Etc::sourcelist": "sources.list", "Dir::Etc::sourceparts": "etc", "Dir::Etc::main": "none",
        "Dir::Etc::parts": "etc", "Dir::Etc::preferencesparts": "etc",
    }  # fmt: skip
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={work / value}")]
    options += ["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]
    for architecture in architectures or ("amd64",):
        options += ["-o", f"APT::Architectures::={architecture}"]
    return options


def dnf_lists(root: Path, work: Path) -> set[str]:
    """name-epoch:version-release.arch of all that dnf would install from a folder."""
    shown = _run(
        *_dnf(root, work), "repoquery", "--available", "--qf", "%{name}-%{epoch}:%{version}-%{release}.%{arch}"
    )
    return set(shown.split())


def dnf_plans(root: Path, work: Path, name: str) -> str:
    """What dnf would do to install a package; an assertion if it cannot."""
    plan = subprocess.run(
        [*_dnf(root, work), "install", "--assumeno", name],
        capture_output=True, text=True, timeout=180, check=False, env=_environment(),
    )  # fmt: skip
    assert "Operation aborted" in plan.stdout + plan.stderr, plan.stdout + plan.stderr
    return plan.stdout


def _dnf(root: Path, work: Path) -> list[str]:
    (work / "root").mkdir(parents=True, exist_ok=True)
    (work / "dnf.conf").write_text("[main]\n")
    return [
        "dnf", "-q", "-c", str(work / "dnf.conf"), f"--installroot={work / 'root'}", "--releasever=9",
        "--setopt=reposdir=/nowhere", f"--setopt=cachedir={work / 'cache'}", f"--setopt=logdir={work}",
        "--forcearch=x86_64", f"--repofrompath=ours,file://{root}", "--repo=ours", "--nogpgcheck", "--disableplugin=*",
        "--enableplugin=repoquery",
    ]  # fmt: skip


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=_environment())
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert "E: " not in done.stderr, done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
