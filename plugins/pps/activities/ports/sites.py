"""The ways to a site."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

#: What stands for a script where a site has a kit: there, nothing of ours is run (docs/kit.md).
KIT = "pps-kit 1"


@dataclass(frozen=True, slots=True)
class SshTarget:
    """All that is needed to log in at a site: from an Airflow Connection, or the registry in the CLI.

    Never leaves the process: `private_key` (PEM text) and `key_file` are excluded from its repr.
    """

    site: str
    host: str
    port: int
    user: str
    host_key: str
    """`<type> <base64>`, pinned"""
    key_file: Path | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """Time and size limits of one conversation with a site (config/policies.yaml, `site_limits`)."""

    connect_s: float = 20.0
    """until the script at the site has said its first line: TCP, banner, keys, login, shell"""
    silence_s: float = 30.0
    """longest time in which no byte goes either way"""
    total_s: float = 900.0
    """the whole conversation"""
    output_bytes: int = 65536
    """the most that a site may say; a site that says more is cut off"""


class SiteChannel(Protocol):
    """One connection to a site with one of our POSIX-sh scripts running at its other end.

    Every failure raises a `SiteError` that names the site; `SiteUnreachableError` where a later
    try can help (no connection, broken, hung), `HostKeyError` for an unknown or changed host key.
    """

    async def read_line(self) -> str | None:
        """Next line that the script printed, without its newline; None at the end of its output.

        Whatever the site's login prints before the script's first line (banners, profile noise) is
        skipped. Undecodable bytes come as U+FFFD.
        """

    async def write(self, text: str) -> None:
        """Send text to the script's standard input."""

    async def send_file(self, path: Path) -> None:
        """Send a whole file, then end the script's standard input. Memory does not grow with the file."""

    async def finish(self) -> int:
        """End standard input, read what is left unread, and return the script's exit code."""


class SiteShell(Protocol):
    """The way to a site: SSH with strict, pinned host keys."""

    def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AbstractAsyncContextManager[SiteChannel]:
        """Log in once and start `script` (POSIX sh) with `arguments`, whatever the login shell is.

        With the script `KIT` no script is sent: `arguments` are asked of the site's own kit.

        Leaving the context ends the connection and reaps every process, also after an error.
        """
