"""How many examples are tried: `make quick`, for while one writes, tries a tenth of them (PPS_QUICK=1)."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
_QUICK = os.environ.get("PPS_QUICK") == "1"


def examples(number: int = 100) -> int:
    """So many for hypothesis, or fewer."""
    return max(4, number // 10) if _QUICK else number


def all_or_some(of: tuple[T, ...]) -> tuple[T, ...]:
    """All of these, or some."""
    return of[::10] if _QUICK else of
