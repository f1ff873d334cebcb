"""Who counts what moves between a site and us: the conversation tells, the batch asks (`batch.in_turns`)."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Visit:
    """One site of a batch, from its turn to its end; moments are by the loop's clock."""

    begun: float
    answered: float | None = None
    """when its first byte came"""
    sending: bool = False
    """we have more for it than it takes, or than it says it has"""
    moved: int = 0
    """bytes, either way, since we last looked"""
    looked_at: bool = False
    waiting: bool = False
    """it keeps us waiting, so it holds no place"""
    late: bool = False
    """it does so for so long that the others need not wait for it"""
    may_be_left: bool = False
    """there is a later turn for it"""
    left: bool = False
    """it was cut: it has its time later"""


#: Of this task, and of those that it starts.
VISIT: ContextVar[Visit | None] = ContextVar("pps_visit", default=None)


def sending(begins: bool) -> None:
    """We begin, or end, to send more than a word."""
    if visit := VISIT.get():
        visit.sending = begins


def count(moved: int) -> None:
    """So many bytes went one way or the other."""
    visit = VISIT.get()
    if visit and moved:
        visit.moved += moved
        if visit.answered is None:
            visit.answered = asyncio.get_running_loop().time()
