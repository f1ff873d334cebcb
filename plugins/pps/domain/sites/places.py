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
    patience: float | None = None
    """when only sites are left that keep us waiting, the others' time times this is still theirs; then it ends without
    them. None: it ends with the last site"""


#: How often it is asked who keeps us waiting.
LOOK_EVERY_S = 1.0
#: What a site needs until its first byte, and in all, while none has told.
_UNKNOWN_ANSWER_S, _UNKNOWN_S = 5.0, 15.0
#: What one that works by itself may take, in times of what others need in all: until it gives its place to the next
#: one, and until a batch may end without it (its work is then done twice).
GIVES_ITS_PLACE, MAY_BE_LEFT = 2 / 3, 3.0


@dataclass(frozen=True, slots=True)
class Usual:
    """What the others needed."""

    answer_s: tuple[float, ...] = ()
    """until their first byte"""
    all_s: tuple[float, ...] = ()
    """until their end, of those that had a first byte"""


def keeps_us_waiting(
    places: Places, usual: Usual, *, age_s: float, its_turn: bool, moved: int, at_work: float = GIVES_ITS_PLACE
) -> bool:
    """Tell whether a site gives its place to the next one, and goes on beside it.

    One that must answer, or take what we send, and moves next to nothing, is dead, hanging or slow. One that works by
    itself, or seems to, has a right to some time. Both are measured by what others need: where everything is slow,
    perhaps because we are, the sites are not begun all at once.

    Args:
        age_s: since it was begun.
        its_turn: its first byte has not come yet, or we have more to send than it takes, or than it says it has.
        moved: bytes, either way, in the last `LOOK_EVERY_S`.
        at_work: as `GIVES_ITS_PLACE`.
    """
    if moved >= places.bytes_per_s * LOOK_EVERY_S:
        return False
    patience = (
        3 * median(usual.answer_s or [_UNKNOWN_ANSWER_S]) if its_turn else at_work * median(usual.all_s or [_UNKNOWN_S])
    )
    return age_s >= max(LOOK_EVERY_S, patience)


def may_end(served: int, left: int) -> bool:
    """Tell whether a batch may end without those that are left, if all of them keep us waiting.

    Where most keep us waiting, we are the cause, or it is a network: nobody is served better later.
    """
    return 0 < left < served


def room(places: Places, at_work: int, waiting: int) -> int:
    """How many further sites may be begun."""
    return max(0, min(places.at_once - at_work, places.at_once + places.waiting - at_work - waiting))
