"""How many sites are served at once, when some of them are dead, hanging or slow."""

from __future__ import annotations

from collections.abc import Iterable
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
#: What a site needs, while none is done.
_UNKNOWN_S = 15.0


def keeps_us_waiting(places: Places, moved: int, age_s: float, took_s: Iterable[float]) -> bool:
    """Tell whether a site gives its place to the next one, and goes on beside it.

    A slow transfer, a login that is not answered and a site that works by itself look alike from here: next to nothing
    moves. Who has come as far as others do in a third of their time is left its place: else, where all are slow, all
    would be begun at once. With a third, one bad site of five costs the others a tenth of their time at most.

    Args:
        moved: bytes, either way, in the last `LOOK_EVERY_S`.
        age_s: since it was begun.
        took_s: what those needed that are done, and at which anything moved.
    """
    usual = median([*took_s] or [_UNKNOWN_S])
    return moved < places.bytes_per_s * LOOK_EVERY_S and age_s >= max(LOOK_EVERY_S, usual / 3)


def room(places: Places, at_work: int, waiting: int) -> int:
    """How many further sites may be begun."""
    return max(0, min(places.at_once - at_work, places.at_once + places.waiting - at_work - waiting))
