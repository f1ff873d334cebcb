"""A sandbox grid in a process of its own, and the ways into it.

`sandbox_grid` (module scope): four healthy sites, two of them canaries. `start_grid` for any other.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.roundup import RoundupTracker
from pps.config.loader import Configuration
from pps.domain.sites.site import Site
from pps.sandbox.grid.control import GridControl

_PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Poll until `condition` is true; fail with `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


@dataclass
class RunningGrid:
    """A grid that has said READY."""

    folder: Path
    process: subprocess.Popen[str]

    @cached_property
    def configuration(self) -> Configuration:
        return Configuration(self.folder / "config")

    @cached_property
    def control(self) -> GridControl:
        return GridControl(self.folder)

    @property
    def sites(self) -> list[Site]:
        return list(self.configuration.sites.values())

    @cached_property
    def tracker(self) -> RoundupTracker:
        return RoundupTracker(self.configuration.tracker, self.tracker_secret)

    @property
    def tracker_secret(self) -> Secret:
        return Secret.of(Path(self.control.description["tracker_connection_file"]).read_text().strip())

    def disk(self, site: Site) -> Path:
        return self.folder / "sites" / site.name

    def ssh(self, site: Site, *command: str, key: Path | None = None, user: str = "") -> list[str]:
        """Argument list of the OpenSSH client, with the site's pinned host key."""
        known_hosts = self.folder / f"known_hosts.{site.name}"
        known_hosts.write_text(f"[{site.ssh.host}]:{site.ssh.port} {site.ssh.host_key}\n")
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known_hosts),
            "IdentitiesOnly": "yes",
            "ConnectTimeout": "5",
            "LogLevel": "ERROR",
        }
        key = key or self.configuration.sites_file.ssh_key_file
        arguments = [a for k, v in options.items() for a in ("-o", f"{k}={v}")]
        address = f"{user or site.ssh.user}@{site.ssh.host}"
        return ["ssh", "-F", "none", *arguments, "-i", str(key), "-p", str(site.ssh.port), address, *command]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


@contextmanager
def spawn_grid(folder: Path, *arguments: str, **popen: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a grid without waiting; it ends with the block, whatever happens in there."""
    with subprocess.Popen(
        (sys.executable, "-m", "pps.sandbox.grid.grid", str(folder), *arguments),
        env=os.environ | {"PYTHONPATH": str(_PLUGINS)},
        stdout=subprocess.PIPE,
        text=True,
        **popen,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


@contextmanager
def start_grid(folder: Path, *arguments: str) -> Iterator[RunningGrid]:
    """Run a grid until the end of the block."""
    with spawn_grid(folder, *arguments) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, "the grid said nothing for 60 s"
        line = process.stdout.readline()
        assert line.startswith("READY "), line
        yield RunningGrid(folder, process)


@pytest.fixture(scope="module")
def sandbox_grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGrid]:
    """Four healthy sites."""
    with start_grid(tmp_path_factory.mktemp("grid"), "--sites", "4", "--healthy") as grid:
        yield grid
