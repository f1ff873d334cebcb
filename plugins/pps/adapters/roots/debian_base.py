"""Makes the tarball of a minimal Debian from the repositories that this machine's own APT uses.

Host, proxy and keys are the machine's: whoever lets it install packages lets it install these.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pps.domain.base.errors import CleanRootError
from pps.domain.base.texts import one_line
from pps.domain.sites.site import Platform

#: Debian's version -> its code name, by which repositories know it.
CODENAMES = {"debian10": "buster", "debian11": "bullseye", "debian12": "bookworm", "debian13": "trixie"}

_SECONDS = 60.0
_TARGET_FIELDS = "$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)"


@dataclass(frozen=True, slots=True)
class AptSources:
    """What the machine's APT knows of one release of Debian."""

    codename: str
    lines: tuple[str, ...]
    """`deb URI SUITE COMPONENT...`, as in sources.list"""
    options: tuple[str, ...]
    """proxies, as in apt.conf"""

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of this machine that are repositories (`file:`): a root must see them, too."""
        found = (re.match(r"deb (?:file|copy):(?://)?(/[^ ]+)", line) for line in self.lines)
        return tuple(dict.fromkeys(m[1].rstrip("/") for m in found if m))


def codename_of(platform: Platform) -> str | None:
    """Debian's name of a platform's system, or None if it is no Debian that we know."""
    return CODENAMES.get(platform.os)


def machine_architecture() -> str:
    """Debian's name of this machine's architecture, "" where there is no dpkg."""
    return _said(["dpkg", "--print-architecture"]).strip()


def machine_sources(codename: str) -> AptSources:
    """What the machine's APT has configured for a release, its updates and security updates; perhaps nothing."""
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    found: dict[tuple[str, str], list[str]] = {}
    for line in _said(["apt-get", "indextargets", "--format", _TARGET_FIELDS, "Created-By: Packages"]).splitlines():
        uri, release, name, component = [*line.split("|"), "", "", "", ""][:4]
        # a release may be configured as `stable`; its code name is known once its index was fetched
        if {release, name} & suites and re.fullmatch(r"[a-z+]+:[^\s|\[\]]+", uri):
            found.setdefault((uri, release), []).append(component)
    lines = [f"deb {uri} {suite} {' '.join(dict.fromkeys(parts))}" for (uri, suite), parts in found.items()]
    settings = _said(["apt-config", "dump", "--format", '%f "%v";%n', "Acquire"]).splitlines()
    proxies = [s for s in settings if re.match(r'Acquire::(http|https|ftp)::(proxy|proxy::[^ "]+) "', s, re.IGNORECASE)]
    return AptSources(codename, tuple(lines), tuple(s for s in proxies if not s.endswith('"";')))


def _said(command: Sequence[str]) -> str:
    """What a program prints, "" if it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time; a dead one's lock is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tarball_name(sources: AptSources, architecture: str, today: date) -> str:
    """Another day, or other sources, make another base."""
    digest = hashlib.sha256("\n".join((*sources.lines, *sources.options)).encode()).hexdigest()[:8]
    return f"{sources.codename}-{architecture}-{today.isoformat()}-{digest}.tar"


def base_tarball(
    cache: Path, sources: AptSources, architecture: str, today: date, *, mode: str, limit_s: float
) -> Path:
    """The tarball of a minimal system, made once a day; `CleanRootError` if it cannot be made.

    Args:
        mode: mmdebstrap's: `root`, or `unshare` for everybody else.
    """
    wanted = cache / tarball_name(sources, architecture, today)
    stem = f"{sources.codename}-{architecture}"
    with locked(cache / f"{stem}.lock"):
        if not wanted.exists():
            part = wanted.with_name(f".{wanted.name}.part")
            try:
                _make(sources, architecture, part, mode, limit_s)
                part.replace(wanted)
            finally:
                part.unlink(missing_ok=True)
            for old in cache.glob(f"{stem}-*.tar"):
                if old != wanted:
                    old.unlink(missing_ok=True)  # whoever is unpacking it keeps it open
    return wanted


def _make(sources: AptSources, architecture: str, into: Path, mode: str, limit_s: float) -> None:
    command = [
        *("setpriv", "--pdeathsig", "TERM", "mmdebstrap", "--quiet", "--variant=minbase", "--format=tar"),
        *(f"--mode={mode}", f"--architectures={architecture}"),
        # lists stay, without translations, so that each scenario only asks whether they have changed
        *("--skip=cleanup/apt/lists", '--aptopt=Acquire::Languages "none";', "--dpkgopt=force-unsafe-io"),
        *(f"--aptopt={option}" for option in sources.options),
        *(
            f"--hook-dir=/usr/share/mmdebstrap/hooks/{h}"
            for h in (["file-mirror-automount"] if sources.folders else [])
        ),
        *(sources.codename, str(into), *sources.lines),
    ]
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        umask=0o022,  # other users of the root, APT's own among them, read what is made
    )
    try:
        said, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        why = f"making a minimal {sources.codename} took longer than {limit_s:.0f} s."
        raise CleanRootError("clean root", why, "Look at the speed of this machine's Debian mirror.") from error
    finally:
        if process.poll() is None:
            process.terminate()  # it removes its own folder and mounts
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode != 0:
        last = one_line(" ".join(said.decode(errors="replace").splitlines()[-3:]), 400)
        why = f"a minimal {sources.codename} could not be made ({last or 'no reason given'})."
        raise CleanRootError("clean root", why, "Run `apt-get update` on this machine, then try again.")
