"""A real APT with a root folder of its own, and the checks switched on that a container may have switched off."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def apt_options(line: str, folder: Path) -> list[str]:
    """Options with which apt-get and apt-cache know one line of sources.list and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"{line}\n")
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "etc",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": 1,
        "Acquire::http::Proxy": "false",
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "true",
        "Acquire::Check-Date": "true",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def apt_update(line: str, folder: Path) -> str:
    """What `apt-get update` says when it refuses; empty if it does not."""
    done = subprocess.run(
        ["apt-get", *apt_options(line, folder), "update"], check=False, capture_output=True, text=True, timeout=120
    )
    return f"{done.stdout}{done.stderr}" if done.returncode else ""
