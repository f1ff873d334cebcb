"""Clean Debian roots on this machine (port `CleanRoots`): namespaces and pivot_root, no daemon, no image registry.

What is installed in a root comes from strangers and runs as its root. docs/adr/0009 says what keeps it in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform as machine
import secrets
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pps.activities.ports.clean_roots import CommandResult
from pps.adapters.roots import debian_base
from pps.adapters.roots.debian_base import AptSources, locked
from pps.domain.base.errors import CleanRootError
from pps.domain.base.texts import one_line
from pps.domain.sites.site import Platform

_INIT = Path(__file__).with_name("clean_root_init.py")
_PROGRAMS = {
    "apt-get": "apt",
    "dpkg": "dpkg",
    "mmdebstrap": "mmdebstrap",
    "tar": "tar",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
#: As root of the machine we need no users of our own; everybody else borrows some from /etc/subuid.
_BORROWED = ("unshare", "--user", "--map-root-user", "--map-auto")
_NAMESPACES = ("--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
_SCRIPT_BYTES = 120_000  # one argument of a program is limited to 128 KiB
_CHUNK = 1 << 16


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class RootLimits:
    """What a root may cost."""

    make_s: float = 900.0
    """making the base, once a day"""
    unpack_s: float = 300.0
    output_bytes: int = 256 * 1024
    """kept of what one script says: its beginning and its end"""


@dataclass(frozen=True)
class DebianRoots:
    """The port `CleanRoots`. `cache`: a folder of ours; bases are kept in it, and roots live in it."""

    cache: Path
    limits: RootLimits = field(default_factory=RootLimits)
    clock: Callable[[], datetime] = field(default=_utc_now, repr=False)

    def reasons_against(self, platform: Platform) -> tuple[str, ...]:
        """See the port. Asks the machine, changes nothing."""
        elsewhere = "Assign the scenario to a PPS member site, or run this on such a machine."
        codename = debian_base.codename_of(platform)
        if codename is None:
            return (
                f"The automatic runner does not know {platform.os}, only {', '.join(debian_base.CODENAMES)}. "
                f"{elsewhere}",
            )
        if machine.system() != "Linux":
            return (f"The automatic runner needs Linux; this is {machine.system()}. {elsewhere}",)
        if missing := sorted({package for program, package in _PROGRAMS.items() if _which(program) is None}):
            return (f"This machine lacks {', '.join(missing)}. On Debian: apt-get install {' '.join(missing)}",)
        if (ours := debian_base.machine_architecture()) != platform.arch:
            return (f"This machine is {ours}, not {platform.arch}. {elsewhere}",)
        if not debian_base.machine_sources(codename).lines:
            return (
                f"This machine's APT has no repository for {codename}. Add one to its sources, then: apt-get update",
            )
        return self._against_namespaces()

    def _against_namespaces(self) -> tuple[str, ...]:
        try:
            done = subprocess.run(
                [*_entrance(), "true"], capture_output=True, text=True, errors="replace", timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return (f"Namespaces cannot be tried here ({type(error).__name__}).",)
        if done.returncode == 0:
            return ()
        why = one_line(done.stderr) or f"exit code {done.returncode}"
        if os.geteuid() == 0:
            return (
                f"This machine does not allow root to make namespaces ({why}). In a container: give it CAP_SYS_ADMIN.",
            )
        return (
            f"This account may not make user namespaces ({why}). Give it a range in /etc/subuid and /etc/subgid "
            "(package uidmap), or run the worker as root.",
        )

    @contextmanager
    def open(self, platform: Platform) -> Iterator[DebianRoot]:
        """See the port."""
        base, sources = self._base(platform)
        with _work_folder(self.cache / "work") as folder:
            root = folder / "root"
            root.mkdir(mode=0o755)
            self._unpack(base, root, sources)
            yield DebianRoot(root, sources.folders, self.limits)

    def prepare(self, platform: Platform) -> Path:
        """Make today's base of a platform unless it is there, so that no root has to wait for it; return its tarball.

        `CleanRootError` as in `open`.
        """
        return self._base(platform)[0]

    def _base(self, platform: Platform) -> tuple[Path, AptSources]:
        if reasons := self.reasons_against(platform):
            raise CleanRootError(f"clean root of {platform}", " ".join(reasons))
        sources = debian_base.machine_sources(debian_base.CODENAMES[platform.os])
        mode = "root" if os.geteuid() == 0 else "unshare"
        try:
            base = debian_base.base_tarball(
                self.cache, sources, platform.arch, self.clock().date(), mode=mode, limit_s=self.limits.make_s
            )
        except OSError as error:
            raise _cannot(f"its folder {self.cache} cannot be used ({error.strerror}).") from error
        return base, sources

    def _unpack(self, base: Path, root: Path, sources: AptSources) -> None:
        # nothing of a stranger is in it yet: later nobody writes into it from outside
        files = {
            "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",  # services do not start: there is no init
            "etc/apt/apt.conf.d/80clean-root": "".join(f"{o}\n" for o in (*sources.options, 'Acquire::Retries "2";')),
        }
        for path in ("/etc/resolv.conf", "/etc/hosts"):
            with contextlib.suppress(OSError):
                files[path[1:]] = Path(path).read_text(encoding="utf-8", errors="replace")
        script = 'cd "$2" && tar --numeric-owner -b 2048 -xf "$1" --exclude="./dev/*" && shift 2 || exit\n'
        script += 'while [ $# -gt 1 ]; do rm -f "./$1" && printf %s "$2" >"./$1" || exit; shift 2; done\n'
        script += "chmod 755 usr/sbin/policy-rc.d"
        arguments = [text for pair in files.items() for text in pair]
        try:
            done = subprocess.run(
                [*_as_owner(), "sh", "-c", script, "unpack", str(base), str(root), *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.limits.unpack_s,
                check=False,
                umask=0o022,  # as in debian_base
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _cannot(f"its base could not be unpacked ({type(error).__name__}).") from error
        if done.returncode != 0:
            raise _cannot(f"its base could not be unpacked ({one_line(done.stderr)}).")


@dataclass(frozen=True)
class DebianRoot:
    """The port `CleanRoot`."""

    folder: Path
    mirrors: tuple[str, ...]
    limits: RootLimits

    def run(self, script: str, timeout_s: float) -> CommandResult:
        """See the port. Whatever ends us (an error, Ctrl-C, a kill) ends every process of the root."""
        if len(script.encode()) > _SCRIPT_BYTES:
            return CommandResult(126, f"The script is longer than {_SCRIPT_BYTES} bytes.\n", 0.0)
        reader, writer = os.pipe()
        began = time.monotonic()
        try:
            process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", *_entrance(), sys.executable, "-I", str(_INIT)),
                    *(str(writer), str(self.folder), script, *self.mirrors),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,),
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
                cwd="/",
            )
        except OSError as error:
            os.close(reader)
            raise _cannot(f"{error.strerror}.") from error
        finally:
            os.close(writer)
        try:
            output, timed_out = _listen(process, began + timeout_s, self.limits.output_bytes)
        finally:
            _end(process)
            with os.fdopen(reader, "rb") as pipe:
                status = pipe.read(4096).decode(errors="replace")
        if status != "ready" and not timed_out:
            raise _cannot(f"it could not be entered ({one_line(status or output) or 'no reason given'}).")
        return CommandResult(process.returncode, output, time.monotonic() - began, timed_out)


def _listen(process: subprocess.Popen[bytes], deadline: float, at_most: int) -> tuple[str, bool]:
    """What the root says until it ends or its time is up: beginning and end, so that memory does not grow."""
    assert process.stdout is not None  # noqa: S101
    head, tail, size = bytearray(), bytearray(), 0
    timed_out = False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            if not selector.select(left):
                continue
            chunk = os.read(process.stdout.fileno(), _CHUNK)
            if not chunk:
                break
            size += len(chunk)
            room = max(0, at_most // 2 - len(head))
            head += chunk[:room]
            tail += chunk[room:]
            if len(tail) > at_most:
                del tail[: len(tail) - at_most // 2]
    if timed_out:
        _end(process)
        _drain(process.stdout)
    del tail[: max(0, len(tail) - at_most // 2)]
    left_out = size - len(head) - len(tail)
    middle = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out > 0 else b""
    return bytes(head + middle + tail).decode(errors="replace"), timed_out


def _drain(pipe: IO[bytes]) -> None:
    while os.read(pipe.fileno(), _CHUNK):  # nobody holds the other end any more
        pass


def _end(process: subprocess.Popen[bytes]) -> None:
    """End unshare; the kernel then kills its child, the root's first process, and with that all others."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    process.wait()


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _as_owner() -> Sequence[str]:
    """Become the owner of the root's files: root as it is, everybody else through borrowed users."""
    return () if os.geteuid() == 0 else _BORROWED


def _entrance() -> Sequence[str]:
    return (*(_as_owner() or ("unshare",)), *_NAMESPACES)


def _cannot(why: str) -> CleanRootError:
    return CleanRootError("clean root", why, "Look at this machine (rights, disk), then try again.")


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """A folder that is gone afterwards; what killed runs have left is removed on the way."""
    with locked(parent / ".door"):
        for left in parent.glob("*.lock"):
            with left.open() as file, contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_with_lock(left.with_suffix(""), left)
        folder = parent / secrets.token_hex(6)
        lock = folder.with_suffix(".lock")
        held = lock.open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        folder.mkdir()
        yield folder
    finally:
        _remove_with_lock(folder, lock)
        held.close()


def _remove_with_lock(folder: Path, lock: Path) -> None:
    """The lock goes last: what is left when somebody kills us here is found by it, and removed by the next run."""
    _remove(folder)
    if not folder.exists():
        lock.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    # rm follows no link and leaves other file systems alone
    command = [*_as_owner(), "rm", "-rf", "--one-file-system", "--", str(folder)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
