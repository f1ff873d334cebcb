"""Implements `ports.Linters`: runs `lintian` and `rpmlint` in the confined child, where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pps.adapters.packages.confined import Confined
from pps.domain.base.errors import RolloutError
from pps.domain.base.texts import one_line

_PROGRAMS = {".deb": "lintian", ".rpm": "rpmlint"}
_MOST = 20
"""hints of one package"""
_TAG = re.compile(r"^(?:[EWI]: \S+?: |\S+: [EWI]: )(\S.*)$")
_SECONDS = 120


@dataclass(frozen=True)
class LintPrograms:
    """The programs of this machine."""

    confined: Confined

    def hints(self, package: Path) -> tuple[str, ...]:
        """See the port."""
        name = _PROGRAMS.get(package.suffix, "")
        program = shutil.which(name, path=os.defpath) if name else None
        if program is None:
            return ()
        try:
            with tempfile.TemporaryDirectory(dir=package.parent, prefix="lint-") as folder:
                text = self.confined.call(package.name, run, program, os.fspath(package.absolute()), folder)
        except RolloutError as error:
            return (f"{name} came to no end with it: {one_line(error.why, 200)}",)
        found = [one_line(match[1], 200) for line in text.splitlines() if (match := _TAG.match(line))]
        return tuple(f"{name}: {tag}" for tag in dict.fromkeys(found))[:_MOST]


def run(program: str, package: str, folder: str) -> str:
    """What a program says of a package; in the child."""
    environment = {**os.environ, "HOME": folder, "TMPDIR": folder}
    done = subprocess.run(
        [program, package],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
        timeout=_SECONDS,
    )
    return done.stdout.decode(errors="replace")[:200_000]
