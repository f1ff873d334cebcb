"""A clean Debian with systemd as its first process: the machine that docs/production.md begins with.

Namespaces of its own for processes, mounts, names, control groups and the network, in which there is nothing but
loopback: its PostgreSQL and nginx have their usual ports whatever runs beside it. Commands that fetch packages run in
this machine's network, with its settings of apt, pip and uv. Needs root; all of it ends with the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pps.adapters.roots import debian_base
from pps.adapters.roots.clean_root import DebianRoots
from pps.domain.sites.site import Platform
from pps.services.base import clean_root_cache

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
#: What would change this machine's kernel, or wait for a terminal.
_MASKED = (
    "systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service "
    "console-getty.service getty@.service apt-daily.timer apt-daily-upgrade.timer"
)
#: In namespaces of its own, still in this machine's network. Its files are in memory: they are gone with it, at once.
_PREPARE = """set -eu
root=$1 base=$2 settings=$3 boot=$4
shift 4
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=8g tmpfs "$root"
cd "$root"
tar --numeric-owner -b 2048 -xf "$base" --exclude="./dev/*"
cp -R "$settings"/. .
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,ro,bind proc/sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
for folder; do mkdir -p ".$folder"; mount --bind "$folder" ".$folder"; done
printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
chroot . sh -ec 'apt-get update -q && apt-get install -y -q --no-install-recommends systemd systemd-sysv dbus'
rm usr/sbin/policy-rc.d
for unit in $MASKED; do ln -sf /dev/null "etc/systemd/system/$unit"; done
hostname pps-machine
exec unshare --net --cgroup sh -c "$boot"
"""
_BOOT = """set -eu
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
pivot_root . .
umount -l .
exec env -i container=pps PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""


@dataclass(frozen=True)
class DebianMachine:
    """A running one, by its first process."""

    pid: int

    @property
    def root(self) -> Path:
        """Its files, as this machine sees them."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, script: str, *, network: bool = False, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        """Run a script of its shell, as its root; `network`: in this machine's network, not in its own."""
        kinds = ["--mount", "--pid", "--ipc", "--uts", "--cgroup", *([] if network else ["--net"])]
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", *kinds, "--root", "--wd", "sh", "-ec", script],
            env=_ENVIRONMENT | (settings_of_package_tools() if network else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )

    def beside(self, command: Sequence[str]) -> list[str]:
        """A command of this machine in the other one's network."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of its."""
        target = self.root / path.lstrip("/")
        target.write_text(text)
        target.chmod(mode)


@contextmanager
def debian_machine(folder: Path) -> Iterator[DebianMachine]:
    """Make one and start it; `folder`: an empty one, for what it is made with."""
    roots, platform = DebianRoots(clean_root_cache()), Platform("debian12", debian_base.machine_architecture())
    base, sources = roots._base(platform)
    root, settings = folder / "root", folder / "settings"
    root.mkdir(mode=0o755)
    machine_settings(settings, sources.options)
    cache = uv_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with _control_group() as group, (folder / "console.log").open("w") as console:
        kinds = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        enter = f'echo $$ >"{group}/cgroup.procs"; exec "$@"'
        given = [str(root), str(base), str(settings), _BOOT, str(cache), *sources.folders]
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "sh", "-c", enter, "enter"),
                *("unshare", *kinds, "sh", "-c", _PREPARE, "prepare", *given),
            ],
            env=_ENVIRONMENT | {"MASKED": _MASKED},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _started(process, folder / "console.log")
        finally:
            process.kill()  # its first process ends with it, and with that all others
            process.wait()


def _started(process: subprocess.Popen[bytes], console: Path) -> DebianMachine:
    """Wait until systemd has started everything."""
    until = time.monotonic() + 300
    said = ""
    while time.monotonic() < until:
        assert process.poll() is None, console.read_text()[-3000:]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
            machine = DebianMachine(int(children[0]))
            with suppress(subprocess.TimeoutExpired):
                said = machine.run("systemctl is-system-running || true", timeout_s=30).stdout.strip()
            if said in ("running", "degraded"):
                return machine
        time.sleep(0.1)
    raise AssertionError(f"the machine does not come up ({said}): {console.read_text()[-3000:]}")


@contextmanager
def _control_group() -> Iterator[Path]:
    """One of its own, so that its systemd sees no other."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    place = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    assert place is not None, "this machine has no control groups of version 2"
    group = place / f"pps-machine-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        until = time.monotonic() + 20
        while group.exists() and time.monotonic() < until:
            for part, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):  # its last process is just ending
                    Path(part).rmdir()
            time.sleep(0.05)


def machine_settings(folder: Path, apt: Sequence[str]) -> None:
    """This machine's ways to the registries of packages, and whom it believes."""
    for name in ("etc/pip.conf", "etc/xdg/pip", "root/.config/pip", "etc/uv", "root/.config/uv"):
        source = Path("/") / name if not name.startswith("root/") else Path.home() / name.removeprefix("root/")
        if source.is_dir():
            shutil.copytree(source, folder / name, dirs_exist_ok=True)
        elif source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    (folder / "root").mkdir(parents=True, exist_ok=True)
    if _BUNDLE.exists():
        shutil.copy(_BUNDLE, folder / "root/machine-ca.crt")
    (folder / "etc/apt/apt.conf.d").mkdir(parents=True)
    (folder / "etc/apt/apt.conf.d/80machine").write_text("".join(f"{o}\n" for o in (*apt, 'Acquire::Retries "2";')))
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", folder / "etc" / name)


def uv_cache() -> Path:
    return Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")


def settings_of_package_tools() -> Mapping[str, str]:
    ours = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "UV_")) or name.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    trust = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), "/root/machine-ca.crt") if _BUNDLE.exists() else {}
    return {**ours, **trust, "UV_CACHE_DIR": str(uv_cache())}


@contextmanager
def short_folder(prefix: str) -> Iterator[Path]:
    """Below /tmp, with a plain path, open to other accounts."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)
