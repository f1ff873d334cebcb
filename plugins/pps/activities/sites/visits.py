"""Who counts what moves between a site and us: the conversation tells, the batch asks (`batch.in_turns`)."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Visit:
    """One site of a batch, from its turn to its end."""

    begun: float
    """by the loop's clock"""
    moved: int = 0
    """bytes, either way, since we last looked"""
    total: int = 0
    looked_at: bool = False
    waiting: bool = False
    """it keeps us waiting, so it holds no place"""


#: Of this task, and of those that it starts.
VISIT: ContextVar[Visit | None] = ContextVar("pps_visit", default=None)


def count(moved: int) -> None:
    """So many bytes went one way or the other."""
    if visit := VISIT.get():
        visit.moved += moved
        visit.total += moved
