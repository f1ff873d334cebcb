"""Run one of our scripts at a site and read what it says."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """What a script printed, and its exit code."""

    lines: tuple[str, ...]
    exit_code: int


#: What the account has set reaches nothing below this line: a new shell runs the rest, with an environment of our own.
#: The system's tools come before the account's, so a wrapper in its PATH is not used; only an account whose PATH
#: leaves out /usr/bin and /bin has chosen all its tools. PPS_LOGIN_PATH is for what a job would see.
_CLEAN_LINE = "#clean-environment"
_CLEAN = r"""
case :${PATH-}: in
  *:/usr/bin:*|*:/bin:*|::) pps_path=/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:${PATH-} ;;
  *) pps_path=$PATH ;;
esac
pps_login=${PATH-}
PATH=$pps_path:/usr/bin:/bin
exec env -i PATH="$pps_path" PPS_LOGIN_PATH="$pps_login" HOME="${HOME:-/}" ${USER:+"USER=$USER"} \
  ${TMPDIR:+"TMPDIR=$TMPDIR"} LC_ALL=C sh -c %s pps "$@"
"""
_DROPS_NO_TMPDIR = '[ -d "${TMPDIR-}" ] && [ -w "$TMPDIR" ] || unset TMPDIR\n'


@cache
def load_script(name: str) -> str:
    """One of scripts/*.sh, as it is sent to a site; a line `#include NAME` stands for another of them."""
    text = _with_parts(name)
    head, line, body = text.partition(f"{_CLEAN_LINE}\n")
    return head + _CLEAN.lstrip("\n") % shlex.quote(_DROPS_NO_TMPDIR + body) if line else text


def _with_parts(name: str) -> str:
    text = (resources.files("pps.activities.sites") / "scripts" / name).read_text(encoding="utf-8")
    parts = (line.partition("#include ") for line in text.splitlines())
    lines = (
        _with_parts(name).rstrip("\n") if found and not before else before + found + name
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
