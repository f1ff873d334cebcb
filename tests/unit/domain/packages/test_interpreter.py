"""Which Python has known holes in tarfile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pps.domain.packages.interpreter import holes_in_tarfile, warning


@pytest.mark.parametrize(
    ("version", "numbers", "needed"),
    [
        ((3, 11, 2), ["CVE-2024-6232", "CVE-2025-4517", "CVE-2025-8194"], "3.11.14"),
        ((3, 11, 9), ["CVE-2024-6232", "CVE-2025-4517", "CVE-2025-8194"], "3.11.14"),
        ((3, 11, 10), ["CVE-2025-4517", "CVE-2025-8194"], "3.11.14"),
        ((3, 11, 13), ["CVE-2025-8194"], "3.11.14"),
        ((3, 11, 14), [], ""),
        ((3, 12, 5), ["CVE-2024-6232", "CVE-2025-4517", "CVE-2025-8194"], "3.12.12"),
        ((3, 12, 11), ["CVE-2025-8194"], "3.12.12"),
        ((3, 12, 12), [], ""),
        ((3, 13, 3), ["CVE-2025-4517", "CVE-2025-8194"], "3.13.6"),
        ((3, 13, 6), [], ""),
        ((3, 14, 0), [], ""),
    ],
)
def test_each_hole_is_named_until_the_version_that_mended_it(
    version: tuple[int, int, int], numbers: list[str], needed: str
) -> None:
    holes = holes_in_tarfile(version)
    assert len(holes) == len(numbers)
    assert all(number in hole for number, hole in zip(numbers, holes, strict=True))
    assert f"Install {needed} or newer" in warning(version) if needed else warning(version) == ""


def test_setup_asks_before_anything_is_installed() -> None:
    root = Path(__file__).parents[4]
    lines = [line for line in (root / "bin/setup").read_text().splitlines() if "interpreter" in line or "holes" in line]
    assert len(lines) == 3
    script = "\n".join([f"venv={sys.prefix}", "say() { printf '%s\n' \"$*\" >&2; }", *lines])
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=root, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr.strip() == warning(sys.version_info[:3])
