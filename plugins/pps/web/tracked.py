"""What the tracker says of patches, for pages that anybody may ask for: it is asked seldom, and never twice at once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from pps.services import Services
from pps.workflow.why import AWAY, Told, ask_tracker

_KEPT_S = 20.0
"""so long an answer is believed; also that there was none, so that a tracker that is away holds up no reader twice"""
_MOST = 2000
_PATIENCE_S = 2.0
"""a reader waits so long for the answer to another one"""


class Tracked:
    """Keeps the newest answers."""

    def __init__(self, services: Callable[[], Services], clock: Callable[[], float] = time.monotonic) -> None:
        self._services, self._clock = services, clock
        self._answers: OrderedDict[int, tuple[float, Told]] = OrderedDict()
        self._asking = threading.Lock()
        self._away_until = 0.0

    def patch(self, number: int) -> Told:
        """What the tracker says of a patch, or said a moment ago."""
        if (known := self._kept(number)) is not None:
            return known
        if not self._asking.acquire(timeout=_PATIENCE_S):
            return Told(None, AWAY)
        try:
            if (known := self._kept(number)) is not None:
                return known
            told = ask_tracker(self._services().tracker, number)
            if told.note == AWAY:
                self._away_until = self._clock() + _KEPT_S
                return told
            self._answers[number] = (self._clock() + _KEPT_S, told)
            while len(self._answers) > _MOST:
                self._answers.popitem(last=False)
            return told
        finally:
            self._asking.release()

    def _kept(self, number: int) -> Told | None:
        until, told = self._answers.get(number, (0.0, None))
        if told is not None and self._clock() < until:
            return told
        return Told(None, AWAY) if self._clock() < self._away_until else None
