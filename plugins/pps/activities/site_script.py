"""Run one of our scripts at a site and read what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pps.activities.ports import SiteLimits, SiteShell, SshTarget


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """What a script printed, and its exit code."""

    lines: tuple[str, ...]
    exit_code: int


@cache
def load_script(name: str) -> str:
    """One of scripts/*.sh, as it is sent to a site; a line `#include NAME` stands for another of them."""
    text = (resources.files("pps.activities") / "scripts" / name).read_text(encoding="utf-8")
    parts = (line.partition("#include ") for line in text.splitlines())
    lines = (
        load_script(name).rstrip("\n") if found and not before else before + found + name
        for before, found, name in parts
    )
    return "\n".join(lines) + "\n"


async def run_script(
    shell: SiteShell, target: SshTarget, script: str, arguments: Sequence[str], limits: SiteLimits
) -> ScriptOutput:
    """Run a script that needs no input; raises what the channel raises."""
    async with shell.open(target, script, arguments, limits) as channel:
        lines = []
        while (line := await channel.read_line()) is not None:
            lines.append(line)
        return ScriptOutput(tuple(lines), await channel.finish())
