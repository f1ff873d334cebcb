"""An image without a container engine: the steps of a Containerfile, as they stand, in a clean Debian root.

Knows FROM, ENV, RUN, COPY of the whole checkout, USER, WORKDIR, ENTRYPOINT and CMD, and refuses everything else. RUN is
in this machine's network, with its settings of apt, pip and uv. Needs root.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.debian_machine import machine_settings, settings_of_package_tools, uv_cache

from pps.adapters.roots import debian_base
from pps.adapters.roots.clean_root import DebianRoots
from pps.domain.sites.site import Platform
from pps.services.base import clean_root_cache

_CACHE = "/var/tmp/uv"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: In namespaces of its own; what is shown of this machine is given as arguments.
_ENTER = """set -eu
umask 022
root=$1 cache=$2 shown=$3 after=$4
shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
ln -s /proc/self/fd dev/fd
if [ -n "$cache" ]; then mkdir -p ./var/tmp/uv; mount --bind "$cache" ./var/tmp/uv; fi
for folder in $shown; do mkdir -p ".$folder"; mount --bind "$folder" ".$folder"; done
eval "$after"
exec chroot . "$@"
"""


@dataclass
class Image:
    """What was made by the steps."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    user: str = "0:0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, script: str) -> None:
        """As RUN does."""
        shown = " ".join(debian_base.machine_sources("bookworm").folders)
        settings = {"HOME": "/root"} | self.environment | dict(settings_of_package_tools())
        settings["UV_CACHE_DIR"] = _CACHE  # not where this machine has it: a step may remove its own caches
        cache = uv_cache()
        cache.mkdir(parents=True, exist_ok=True)
        done = self._enter(str(cache), shown, ":", ["env", "-i", *_assigned(settings), "/bin/sh", "-c", script])
        print(f"--- exit code {done.returncode}\n{script}\n{done.stdout[-3000:]}", flush=True)
        assert done.returncode == 0, done.stdout[-6000:]

    def starts(self, *words: str, mounts: Mapping[str, Path | None]) -> subprocess.CompletedProcess[str]:
        """As an engine starts a container with a read-only root: its user, no rights, no network.

        Args:
            words: instead of the image's own command.
            mounts: folder of the container -> one of this machine, read-only; or None: empty, to be written to.
        """
        lines = []
        for place, source in mounts.items():
            if source is None:
                lines.append(f"mount -t tmpfs -o mode=1777 tmpfs .{place}")
            else:
                lines.append(f"mount --bind {source} .{place} && mount -o remount,ro,bind .{place}")
            (self.root / place.lstrip("/")).mkdir(exist_ok=True)  # an engine makes it, too
        lines.append("mount -o remount,ro,bind .")
        uid, _, gid = self.user.partition(":")
        shut_in = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
        shut_in += ["--inh-caps=-all", "--bounding-set=-all"]
        inside = ["sh", "-c", f'cd {self.folder} && exec "$@"', "start", *self.entrypoint, *(words or self.command)]
        enter = ["env", "-i", *_assigned(self.environment), *shut_in, *inside]
        return self._enter("", "", " && ".join(lines), enter, "--net")

    def _enter(
        self, cache: str, shown: str, after: str, words: list[str], *kinds: str
    ) -> subprocess.CompletedProcess[str]:
        namespaces = ["--mount", "--pid", "--ipc", "--uts", *kinds, "--fork", "--kill-child"]
        return subprocess.run(
            [
                *("setpriv", "--pdeathsig", "KILL", "unshare", *namespaces),
                *("sh", "-c", _ENTER, "enter", str(self.root), cache, shown, after, *words),
            ],
            env={"PATH": _PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=900,
        )


@contextmanager
def image(containerfile: Path, checkout: Path, folder: Path) -> Iterator[Image]:
    """Make one by the steps of a recipe. `folder`: an empty one, for what it is made with."""
    steps = list(instructions(containerfile.read_text()))
    (base,) = [given for name, given in steps if name == "FROM"]
    assert base.rpartition("/")[2].startswith("debian:12"), f"{base} is not the Debian that is made here"
    roots, platform = DebianRoots(clean_root_cache()), Platform("debian12", debian_base.machine_architecture())
    settings = folder / "settings"
    machine_settings(settings, roots._base(platform)[1].options)
    before = os.umask(0o022)  # whoever starts the image is another account
    try:
        with roots.open(platform) as opened:
            made = Image(opened.folder)
            subprocess.run(["cp", "-R", f"{settings}/.", str(made.root)], check=True)
            for name, given in steps:
                _follow(made, name, given, checkout)
            yield made
    finally:
        os.umask(before)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(name, what is given to it) of each."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, given = line.strip().partition(" ")
            yield name, given.strip()


def _follow(made: Image, name: str, given: str, checkout: Path) -> None:
    match name:
        case "FROM":
            pass
        case "ENV":
            made.environment |= dict(word.split("=", 1) for word in shlex.split(given))
        case "RUN":
            made.run(given)
        case "COPY":
            here, place = given.split()
            assert here == ".", "only the whole checkout is copied"
            _copy(checkout, made.root / place.lstrip("/"))
        case "USER":
            made.user = given
        case "WORKDIR":
            made.folder = given
        case "ENTRYPOINT":
            made.entrypoint = json.loads(given)
        case "CMD":
            made.command = json.loads(given)
        case _:
            raise AssertionError(f"{name} is no step that is known here")


def _copy(checkout: Path, target: Path) -> None:
    """What a clean checkout has, but for what .containerignore names; root's."""
    tell = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(tell, cwd=checkout, check=True, capture_output=True, text=True).stdout.split("\0")
    ignored = [line for line in (checkout / ".containerignore").read_text().split("\n") if line and line[0] != "#"]
    kept = [name for name in names if name and (checkout / name).exists() and not _is_ignored(name, ignored)]
    target.mkdir(parents=True)
    pack = ["tar", "--null", "--owner=0", "--group=0", "--mode=u=rwX,go=rX", "-cf", "-", "-T", "-"]
    packed = subprocess.run(pack, cwd=checkout, input="\0".join(kept).encode(), stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-xf", "-", "-C", str(target)], input=packed.stdout, check=True)


def _is_ignored(name: str, patterns: list[str]) -> bool:
    """As an engine reads the file: from the checkout's root, `**/` anywhere; a folder with all below."""
    parts = name.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    return any(
        any(fnmatch.fnmatch(part, p.removeprefix("**/")) for part in parts)
        if p.startswith("**/")
        else any(fnmatch.fnmatch(path, p) and path.count("/") == p.count("/") for path in above)
        for p in patterns
    )


def _assigned(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]
