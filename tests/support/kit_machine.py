"""A site's machine with the kit as its root installs it: accounts, sudo and sshd of its own, in a namespace."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.kits import KitSite, People
from tests.support.previews import FolderArtefacts
from tests.support.sshd import free_port, new_key, public_key, wait_for_port

from pps.activities.trust.kit import Centre, Place, Policy, kit_files, kit_tar
from pps.domain.sites.site import Site

# /etc is a copy, so that accounts and sudo's rules are this machine's alone; the kit's places are below /opt and /srv.
_BEGIN = """
set -eu
umask 022
cp -a /etc "$1/etc" && mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /opt && mount -t tmpfs -o mode=755 tmpfs /srv && mkdir -p /run/sshd
mkdir -p /srv/state /srv/production/bin /srv/profile.d /srv/tags/ce.example.org/ops
echo production >/srv/production/bin/tool
tar -xf "$1/kit.tar" -C /srv
echo ready
exec sleep infinity
"""


@dataclass
class KitMachine(KitSite):
    """As `KitSite`, but asked over SSH, with the controller's key."""

    pid: int = 0
    port: int = 0

    @property
    def site(self) -> Site:
        return replace(
            super().site, preview_root="/srv/previews", production_root="/srv/production",
            profile_d="/srv/profile.d", tag_dir="/srv/tags",
        )  # fmt: skip

    def inside(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """Run something as root of the site."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "--", *command],
            input=stdin, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def ssh(self, *words: str, stdin: bytes = b"", user: str = "pps") -> subprocess.CompletedProcess[bytes]:
        """The OpenSSH client with the controller's key; `words` are options and what is asked for."""
        return subprocess.run(
            ["ssh", "-F", "none", "-T", "-p", str(self.port), "-l", user, "-i", str(self.folder / "id"),
             "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
             "-o", f"UserKnownHostsFile={self.folder / 'known'}", "-o", "LogLevel=ERROR", *words],
            input=stdin, capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    def ask(self, verb: str, *arguments: str, stdin: bytes = b"", prefix: str = "", seconds: float = 60) -> list[str]:
        done = self.ssh("127.0.0.1", " ".join(["pps-kit", "1", "pps-nonce", verb, *arguments]), stdin=stdin)
        return [line for line in done.stdout.decode().split("\n") if line not in ("", "pps-nonce", "PPS-WAIT")]


@contextmanager
def running(
    folder: Path, people: People, store: FolderArtefacts, product: str = "client", controller: Path | None = None
) -> Iterator[KitMachine]:
    """The machine with the kit unpacked in /srv/pps-kit, not installed yet; sshd runs.

    Args:
        controller: the key by which it is reached; a new one is made where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    machine = KitMachine(folder, people, store, policy=Policy(product), port=free_port())
    controller = controller or new_key(folder / "id")
    host_key = new_key(folder / "host_key")
    centre = Centre(people.root(), public_key(controller), "ops")
    files = kit_files(machine.site, [machine.policy], centre, Place(state="/srv/state"))
    (folder / "kit.tar").write_bytes(kit_tar(files))
    keeper = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BEGIN, "sh", str(folder)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    server = None
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "ready\n"
        machine.pid = keeper.pid
        sshd = shutil.which("sshd") or "/usr/sbin/sshd"
        options = [
            f"Port={machine.port}", "ListenAddress=127.0.0.1", f"HostKey={host_key}", f"PidFile={folder / 'pid'}",
            "UsePAM=no", "PasswordAuthentication=no", "Subsystem=sftp internal-sftp", "AllowTcpForwarding=yes",
        ]  # fmt: skip
        command = ["nsenter", "-t", str(keeper.pid), "-m", "--", sshd, "-D", "-e", "-f", "/dev/null"]
        for option in options:
            command += ["-o", option]
        with (folder / "sshd.log").open("w") as log:
            server = subprocess.Popen(command, stderr=log)
        wait_for_port(machine.port, server)
        yield machine
    finally:
        for process in (server, keeper):
            if process is not None:
                process.kill()
                process.wait()
