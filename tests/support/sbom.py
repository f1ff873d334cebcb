"""`make sbom`: what a production installs, as CycloneDX, and under which licences; fails on one that is not allowed.

`python -m tests.support.sbom FOLDER`: reads requirements-production.lock and bin/licences.yaml. Licences are those that
the installed distributions name: what runs the tests is the same, file for file (tests/unit/test_lock_files.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-production.lock"
RULES = ROOT / "bin" / "licences.yaml"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_PREFIX = "License :: "


@dataclass(frozen=True)
class Rules:
    """bin/licences.yaml."""

    allowed: Mapping[str, str]
    spelled: Mapping[str, str]
    packages: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, file: Path = RULES) -> Rules:
        return cls(**yaml.safe_load(file.read_text()))

    def permits(self, expression: str) -> bool:
        """Tell whether an SPDX expression leaves a way: one of what stands to choose, all of what belongs together."""
        return any(
            all(part.strip("() ") in self.allowed for part in choice.split(" AND "))
            for choice in expression.split(" OR ")
        )


@dataclass(frozen=True)
class Licensed:
    """A distribution, and what it says of its licence."""

    name: str
    version: str
    licence: str
    """SPDX; "" where nothing is known"""
    because: str = ""
    """where somebody of us has chosen, or found it out"""


def pinned(lock: str) -> list[tuple[str, str]]:
    """Names and versions of a lock file."""
    return _PIN.findall(lock)


def said(name: str) -> list[str]:
    """What an installed distribution says of its licence; nothing if it is not installed."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return []
    if expression := about.get("License-Expression"):
        return [expression]
    classifiers = [c for c in about.get_all("Classifier") or () if c.startswith(_PREFIX) and c.count("::") > 1]
    return classifiers or [line for line in (about.get("License") or "").splitlines()[:1] if line]


def licensed(
    pins: Iterable[tuple[str, str]], rules: Rules, say: Callable[[str], list[str]] = said
) -> Iterator[Licensed]:
    """Each distribution with its licence. What names several means all of them, unless we have chosen."""
    for name, version in pins:
        if chosen := rules.packages.get(name):
            yield Licensed(name, version, chosen["licence"], chosen["because"])
        else:
            spelled = [rules.spelled.get(text, text) for text in say(name)]
            yield Licensed(name, version, " AND ".join(dict.fromkeys(spelled)))


def refused(found: Iterable[Licensed], rules: Rules) -> list[str]:
    """What must not be installed, and what in the rules is said of nothing, in sentences."""
    found = list(found)
    wrong = [
        f"{one.name} {one.version}: {one.licence or 'says nothing of its licence'}; "
        "allow it in bin/licences.yaml, with the reason, or do without it."
        for one in found
        if not rules.permits(one.licence)
    ]
    gone = sorted(rules.packages.keys() - {one.name for one in found})
    return wrong + [f"{name} is not installed any more; take it out of bin/licences.yaml." for name in gone]


def inventory(lock: Path, found: Iterable[Licensed]) -> dict[str, Any]:
    """The lock file as CycloneDX, each component with its licence."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--output-format", "JSON"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-file", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    licences = {one.name: one.licence for one in found}
    for component in document["components"]:
        component.pop("description", None)  # the line of the lock file
        component["licenses"] = [{"expression": _valid(licences[component["name"]])}]
    return document


def _valid(expression: str) -> str:
    """As SPDX has it: which of the BSD licences is meant is a reference of ours."""
    return re.sub(r"\bBSD\b(?!-)", "LicenseRef-BSD", expression)


def main(folder: Path) -> int:
    rules = Rules.read()
    found = list(licensed(pinned(LOCK.read_text()), rules))
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{one.name} {one.version}\t{one.licence}\t{one.because}".rstrip() for one in found]
    (folder / "licences.txt").write_text("\n".join(rows) + "\n")
    (folder / "pps-rollout.cdx.json").write_text(json.dumps(inventory(LOCK, found), indent=1) + "\n")
    wrong = refused(found, rules)
    print(*wrong, f"{len(found)} distributions: {folder}/pps-rollout.cdx.json, {folder}/licences.txt", sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
