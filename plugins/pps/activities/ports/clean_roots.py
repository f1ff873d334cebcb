"""What a deployment test needs of the machine it runs on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pps.domain.sites.site import Platform


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a script in a clean root ended."""

    exit_code: int
    """of the script; also not 0 if it was ended because its time was up"""
    output: str
    """standard output and error together, as they came; the middle of a very long one is left out"""
    seconds: float
    timed_out: bool = False


class CleanRoot(Protocol):
    """A freshly installed system of its own, in which a stranger's packages may be installed."""

    def run(self, script: str, timeout_s: float) -> CommandResult:
        """Run a script (POSIX sh) as the system's root; no process that it started lives on when it returns.

        `CleanRootError` if it could not be started at all.
        """


class CleanRoots(Protocol):
    """Makes clean roots, where the machine allows it."""

    def reasons_against(self, platform: Platform) -> tuple[str, ...]:
        """Say why this machine cannot make a root of this platform, and what to do; no reasons means it can try."""

    def open(self, platform: Platform) -> AbstractContextManager[CleanRoot]:
        """A clean root, removed with all that is in it when the context is left, however it is left.

        `CleanRootError` says why it is not possible, and what to do.
        """
