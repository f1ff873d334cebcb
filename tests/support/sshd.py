"""A real OpenSSH server on a loopback port, as root or as any user, whose sites are folders of their own."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pps.activities.ports.sites import SshTarget
from pps.domain.sites.site import Platform, Site, SshEndpoint
from pps.sandbox.kit.ssh import free_port, new_key, public_key, wait_for_port

__all__ = [
    "SshServer",
    "account",
    "free_port",
    "login_through",
    "new_key",
    "public_key",
    "running_sshd",
    "sshd",
    "wait_for_port",
]


def account() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@dataclass(frozen=True)
class SshServer:
    """A running server. `folder` is where its sites live."""

    folder: Path
    port: int
    host_key: str
    key_file: Path

    def target(self, site: str = "SITE-A", **changes: object) -> SshTarget:
        values: dict[str, object] = {
            "site": site,
            "host": "127.0.0.1",
            "port": self.port,
            "user": account(),
            "host_key": self.host_key,
            "key_file": self.key_file,
        }
        return SshTarget(**{**values, **changes})  # type: ignore[arg-type]

    def site(self, name: str = "SITE-A") -> Site:
        """A site of the registry; its folder, with a small production client, is made at the first call."""
        home = self.folder / name
        if not home.exists():
            (home / "production" / "bin").mkdir(parents=True)
            (home / "production" / "bin" / "old-tool").write_text("#!/bin/sh\necho production\n")
            (home / "production" / "bin" / "link").symlink_to("old-tool")
            (home / "profile.d").mkdir()
            (home / "profile.d" / "site.sh").write_text("export SITE_SAYS=hello\n")
            (home / "tags").mkdir()
        return Site(
            name=name,
            roc="Test",
            platform=Platform("debian12", "amd64"),
            ssh=SshEndpoint("127.0.0.1", self.port, account(), self.host_key),
            preview_root=str(home / "previews"),
            production_root=str(home / "production"),
            profile_d=str(home / "profile.d"),
            tag_dir=str(home / "tags"),
            subcluster=f"ce.{name.lower()}.example.org",
            contact="admin@example.org",
        )


@contextmanager
def running_sshd(
    folder: Path, *, force_command: str = "", extra: str = "", host_key_kind: str = "ed25519"
) -> Iterator[SshServer]:
    """Start sshd; `force_command` sees what was asked for in SSH_ORIGINAL_COMMAND."""
    folder.mkdir(parents=True, exist_ok=True)
    host_key, key = new_key(folder / "host_key", host_key_kind), new_key(folder / "id")
    (folder / "authorized_keys").write_text(public_key(key) + "\n")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root wants its empty folder
    server = SshServer(folder, free_port(), public_key(host_key), key)
    lines = [
        f"Port {server.port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {host_key}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        f"PidFile {folder / 'pid'}",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "PermitRootLogin prohibit-password",
        "MaxStartups 500:30:1000",
        "PrintMotd no",
        *([f"ForceCommand {force_command}"] if force_command else []),
        extra,
    ]
    config = folder / "sshd_config"
    config.write_text("\n".join(lines) + "\n")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", str(config)], stderr=log
        )
        try:
            wait_for_port(server.port, process)
            yield server
        finally:
            process.terminate()
            process.wait(10)


def login_through(folder: Path, name: str, text: str) -> str:
    """A ForceCommand that runs `text` (sh) first: noise, another shell, a hostile site."""
    script = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return shlex.quote(str(script))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """One server for all tests that do it no harm; take your own site with `sshd.site(<name>)`."""
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server
