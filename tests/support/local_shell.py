"""A site's shell without a network: the script runs in a local /bin/sh with the tools that a test chose."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pps.activities.ports.sites import SiteLimits, SshTarget
from pps.domain.base.errors import SiteError, SiteUnreachableError

TOOLS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


def make_sh(folder: Path, flavour: str) -> str:
    """A PATH of one folder whose `sh` is dash, bash or busybox; with busybox (toybox) its own tools are there, too.

    Without /usr/bin and /bin in it, our scripts take it for the account's own choice of tools (`load_script`).
    FileNotFoundError where that shell is not installed.
    """
    program = shutil.which(flavour, path=":".join(TOOLS))
    if program is None:
        raise FileNotFoundError(f"{flavour} is not installed: apt-get install {flavour}")
    folder.mkdir(parents=True, exist_ok=True)
    if flavour == "busybox":
        subprocess.run([program, "--install", "-s", str(folder)], check=True)
    if flavour == "toybox":
        for name in subprocess.run([program], capture_output=True, text=True, check=True).stdout.split():
            (folder / name).symlink_to(program)
    if not os.path.lexists(folder / "sh"):
        (folder / "sh").symlink_to("/bin/dash" if flavour == "toybox" else program)
    for tools in (Path(t) for t in TOOLS if Path(t).is_dir()):
        for tool in tools.iterdir():
            if not os.path.lexists(folder / tool.name):
                (folder / tool.name).symlink_to(tool)
    return str(folder)


@cache
def _kept(flavour: str) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix="pps-tools-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # other accounts use it, too
    make_sh(folder, flavour)
    return folder, _links(folder)


def _links(folder: Path) -> int:
    return sum(entry.is_symlink() for entry in os.scandir(folder))


def kept_sh(flavour: str) -> str:
    """The same, made once for all tests of this process: thousands of links take longer than most scripts.

    For tests that leave it as it is; whoever takes tools away, or puts others in their place, makes one of their own,
    or puts a folder before it in PATH.
    """
    folder, count = _kept(flavour)
    assert _links(folder) == count, f"a test has changed the tools that all others use: {folder}"
    return str(folder)


class LocalChannel:
    """A `SiteChannel` to a local process."""

    def __init__(self, site: str, process: asyncio.subprocess.Process, limits: SiteLimits) -> None:
        self._site = site
        self._process = process
        self._limits = limits
        self._heard = 0

    async def read_line(self) -> str | None:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), self._limits.silence_s)
        except TimeoutError as error:
            raise SiteUnreachableError(
                self._site, f"said nothing for {self._limits.silence_s:g} s.", "Try again later."
            ) from error
        self._heard += len(line)
        if self._heard > self._limits.output_bytes:
            raise SiteError(self._site, "says too much.")
        return line.decode(errors="replace").rstrip("\n") if line else None

    async def write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        await self._process.stdin.drain()

    async def send_file(self, path: Path) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # a script that stops reading will say why
            self._process.stdin.write(path.read_bytes())
            await self._process.stdin.drain()
        self._process.stdin.close()

    async def finish(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        while await self.read_line() is not None:
            pass
        return await self._process.wait()


@dataclass
class LocalShell:
    """A `SiteShell`. Sites in `unreachable` do not answer; `scripts` counts what was run where."""

    path: str = ":".join(TOOLS)
    environment: Mapping[str, str] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    runs: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @asynccontextmanager
    async def open(
        self, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
    ) -> AsyncIterator[LocalChannel]:
        if target.site in self.unreachable:
            raise SiteUnreachableError(target.site, "no answer on port 22.", "The nightly distribution tries again.")
        self.runs.append((target.site, tuple(arguments)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        sh = shutil.which("sh", path=self.path)
        assert sh is not None
        process = await asyncio.create_subprocess_exec(
            sh, "-c", script, "sh", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": self.path, "HOME": "/", **self.environment}, start_new_session=True,
        )  # fmt: skip
        try:
            yield LocalChannel(target.site, process, limits)
        finally:
            self.at_once -= 1
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def target_of(site: str) -> SshTarget:
    return SshTarget(site, "localhost", 22, "pps", "ssh-ed25519 AAAA")
