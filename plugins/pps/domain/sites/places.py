"""How many sites are served at once, when some of them are dead, hanging or slow."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Places:
    """Numbers of config/policies.yaml, section `distribution`."""

    at_once: int
    """sites that something happens at"""
    waiting: int = 0
    """sites that keep us waiting, beside these: they cost a client process each, and no work"""
    bytes_per_s: int = 65536
    """a site that moves less keeps us waiting"""


#: How often it is asked who keeps us waiting.
LOOK_EVERY_S = 1.0
#: What a site needs until its first byte, and in all, while none has told.
_UNKNOWN_ANSWER_S, _UNKNOWN_S = 5.0, 15.0


@dataclass(frozen=True, slots=True)
class Usual:
    """What the others needed."""

    answer_s: tuple[float, ...] = ()
    """until their first byte"""
    all_s: tuple[float, ...] = ()
    """until their end, of those that had a first byte"""


def keeps_us_waiting(places: Places, usual: Usual, *, age_s: float, its_turn: bool, moved: int) -> bool:
    """Tell whether a site gives its place to the next one, and goes on beside it.

    One that must answer, or take what we send, and moves next to nothing, is dead, hanging or slow. One that works by
    itself, or seems to, has a right to some time. Both are measured by what others need: where everything is slow,
    perhaps because we are, the sites are not begun all at once.

    Args:
        age_s: since it was begun.
        its_turn: its first byte has not come yet, or we have more to send than it takes.
        moved: bytes, either way, in the last `LOOK_EVERY_S`.
    """
    if moved >= places.bytes_per_s * LOOK_EVERY_S:
        return False
    patience = (
        3 * median(usual.answer_s or [_UNKNOWN_ANSWER_S]) if its_turn else 2 / 3 * median(usual.all_s or [_UNKNOWN_S])
    )
    return age_s >= max(LOOK_EVERY_S, patience)


def room(places: Places, at_work: int, waiting: int) -> int:
    """How many further sites may be begun."""
    return max(0, min(places.at_once - at_work, places.at_once + places.waiting - at_work - waiting))
