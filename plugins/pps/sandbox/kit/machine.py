"""A site with a kit that is reached over SSH, by a real sshd: with accounts of its own, or as one account.

With accounts it is a machine of its own, in a namespace, and its root installs the kit there (needs root here). As one
account (`switch none`) anybody may run it; then probes run as who keeps what the site remembers, so nothing can be
shown of that.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pps.activities.trust.kit import FOLDER, Centre, Fetch, Place, Policy, kit_files, kit_tar
from pps.domain.base.errors import ServiceError
from pps.domain.sites.site import Site
from pps.sandbox.kit.previews import FolderArtefacts
from pps.sandbox.kit.site import KitSite, People
from pps.sandbox.kit.ssh import free_port, new_key, public_key, wait_for_port

_SECONDS = 60
# /etc is a copy, so that accounts and sudo's rules are this machine's alone; the kit's places are below /opt and /srv.
_BEGIN = """
set -eu
umask 022
cp -a /etc "$1/etc" && mkdir -p "$1/etc/cron.d" && mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /opt && mount -t tmpfs -o mode=755 tmpfs /srv && mkdir -p /run/sshd
mkdir -p /srv/state /srv/production/bin /srv/profile.d /srv/tags/ce.example.org/ops
echo production >/srv/production/bin/tool
tar -xf "$1/kit.tar" -C /srv
echo ready
exec sleep infinity
"""


@dataclass
class ReachedSite(KitSite):
    """As `KitSite`, but asked over SSH, with the controller's key; one account does everything."""

    port: int = 0
    user: str = "pps"

    @property
    def places(self) -> Sequence[Path]:
        """All that must not change: as whoever looks at the site from outside sees it."""
        names = ("kit", "state", "previews", "production", "profile.d", "tags", "authorized_keys")
        return [self.folder / name for name in names]

    def connection(self, user: str = "") -> list[str]:
        """The OpenSSH client with the controller's key; options and what is asked for come behind it."""
        return [
            "ssh", "-F", "none", "-T", "-p", str(self.port), "-l", user or self.user, "-i", str(self.folder / "id"),
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
            "-o", f"UserKnownHostsFile={self.folder / 'known'}",
        ]  # fmt: skip

    def ssh(self, *words: str, stdin: bytes = b"", user: str = "") -> subprocess.CompletedProcess[bytes]:
        """Options and what is asked for; what came back."""
        command = [*self.connection(user), "-o", "LogLevel=ERROR", *words]
        return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=_SECONDS)

    def ask(self, verb: str, *arguments: str, stdin: bytes = b"", prefix: str = "", seconds: float = 60) -> list[str]:
        """See `KitSite`; `prefix` and `seconds` are for those without a connection."""
        done = self.ssh("127.0.0.1", " ".join(["pps-kit", "1", "pps-nonce", verb, *arguments]), stdin=stdin)
        return [line for line in done.stdout.decode().split("\n") if line not in ("", "pps-nonce", "PPS-WAIT")]


@dataclass
class KitMachine(ReachedSite):
    """A machine of its own: accounts, sudo and sshd."""

    pid: int = 0

    @property
    def site(self) -> Site:
        """As the registry has it."""
        return replace(
            super().site, preview_root="/srv/previews", production_root="/srv/production",
            profile_d="/srv/profile.d", tag_dir="/srv/tags",
        )  # fmt: skip

    @property
    def places(self) -> Sequence[Path]:
        """See `ReachedSite`."""
        return [Path(f"/proc/{self.pid}/root") / name for name in ("opt", "srv", "etc")]

    def inside(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """Run something as root of the site; ServiceError if it fails, unless `check` is off."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "--", *command],
            input=stdin, capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise ServiceError(" ".join(command), f"failed at the site: {done.stdout[-500:]} {done.stderr[-500:]}")
        return done.stdout


def why_no_accounts() -> str:
    """Why this machine cannot be one with accounts of its own; "" if it can."""
    if os.geteuid() != 0:
        return "that needs root here"
    programs = ("sudo", "visudo", "useradd", "unshare", "nsenter")
    if missing := [name for name in programs if shutil.which(name, path=_path()) is None]:
        return f"{', '.join(missing)} is not here"
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /srv"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "root may mount nothing here"


@contextmanager
def running(
    folder: Path,
    people: People,
    store: FolderArtefacts,
    product: str = "client",
    controller: Path | None = None,
    fetch_from: str = "",
    report_to: str = "",
) -> Iterator[KitMachine]:
    """The machine with the kit unpacked in /srv/pps-kit, not installed yet; sshd runs.

    Args:
        controller: the key by which it is reached; a new one is made where there is none.
        fetch_from: address that it fetches from by itself; "": it does not.
        report_to: address that it tells what it has, when its root has put a token there; "": none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    machine = KitMachine(folder, people, store, policy=Policy(product), port=free_port())
    controller = controller or new_key(folder / "id")
    centre = Centre(people.root(), public_key(controller), "ops")
    fetch = Fetch(fetch_from, "/srv/fetches", report=report_to) if fetch_from else None
    files = kit_files(machine.site, [machine.policy], centre, Place(state="/srv/state", fetch=fetch))
    (folder / "kit.tar").write_bytes(kit_tar(files))
    keeper = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BEGIN, "sh", str(folder)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if keeper.stdout is None or keeper.stdout.readline() != "ready\n":
            raise ServiceError("the site's machine", "could not be made.")
        machine.pid = keeper.pid
        with _sshd(machine, ["nsenter", "-t", str(keeper.pid), "-m", "--"]):
            yield machine
    finally:
        keeper.kill()
        keeper.wait()


@contextmanager
def running_as_one_account(
    folder: Path,
    people: People,
    store: FolderArtefacts,
    product: str = "client",
    controller: Path | None = None,
) -> Iterator[ReachedSite]:
    """The kit, unpacked and ready, all of it this account's; sshd runs. See `running`."""
    folder.mkdir(parents=True, exist_ok=True)
    user = pwd.getpwuid(os.geteuid()).pw_name
    site = ReachedSite(folder, people, store, policy=Policy(product), port=free_port(), user=user)
    site.unpack()
    key = public_key(controller or new_key(folder / "id"))
    line = (folder / "kit/etc/authorized_keys").read_text().replace(FOLDER, str(folder / "kit"))
    options = line.rpartition(" ssh-")[0]
    (folder / "authorized_keys").write_text(f"{options} {key}\n")
    options_of_sshd = [f"AuthorizedKeysFile={folder / 'authorized_keys'}", "StrictModes=no"]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root wants its empty folder
    with _sshd(site, [], [*options_of_sshd, "PermitRootLogin=forced-commands-only"]):
        yield site


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextmanager
def _sshd(site: ReachedSite, prefix: Sequence[str], more: Sequence[str] = ()) -> Iterator[None]:
    """A server for a site; its own configuration refuses nothing, so what is refused is by the kit's line."""
    folder = site.folder
    key = new_key(folder / "host_key")
    (folder / "known").write_text(f"[127.0.0.1]:{site.port} {public_key(key)}\n")
    options = [
        f"Port={site.port}", "ListenAddress=127.0.0.1", f"HostKey={key}",
        f"PidFile={folder / 'pid'}", "UsePAM=no", "PasswordAuthentication=no", "Subsystem=sftp internal-sftp",
        "AllowTcpForwarding=yes", *more,
    ]  # fmt: skip
    command = [*prefix, shutil.which("sshd", path=_path()) or "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null"]
    for option in options:
        command += ["-o", option]
    with (folder / "sshd.log").open("w") as log:
        server = subprocess.Popen(command, stderr=log)
    try:
        wait_for_port(site.port, server)
        yield
    finally:
        server.kill()
        server.wait()
