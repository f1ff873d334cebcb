"""Run one of our scripts at a site and read what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pps.activities.ports import SiteLimits, SiteShell, SshTarget


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """What a script printed, and its exit code."""

    lines: tuple[str, ...]
    exit_code: int


async def run_script(shell: SiteShell, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits) -> ScriptOutput:
    """Run a script that needs no input; raises what the channel raises."""
    async with shell.open(target, script, arguments, limits) as channel:
        lines = []
        while (line := await channel.read_line()) is not None:
            lines.append(line)
        return ScriptOutput(tuple(lines), await channel.finish())
