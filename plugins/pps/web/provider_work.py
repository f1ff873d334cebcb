"""Looks at submitted releases, beside the requests: a look fetches, unpacks and solves, and takes minutes.

A thread of this process does it, and what it has found is a fact: whoever asks, here or in another process, sees how
far it has come. A look whose process ends is lost; it is said to have broken off, and the release is sent again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pps.activities.packages import classification, submission
from pps.activities.packages.submission_look import look
from pps.domain.base.errors import RolloutError
from pps.domain.packages.patch import PatchKind
from pps.domain.packages.submission import Release
from pps.domain.record.facts import Fact
from pps.services import Services
from pps.web.readers import behind
from pps.workflow.desk import FrontOffice

log = logging.getLogger(__name__)

_OURS = "The service has a problem of its own. Try again; if it happens again, tell the coordination."


@dataclass
class Looker:
    """Begins looks, and does a few of them at a time."""

    services: Callable[[], Services]
    now: Callable[[], datetime]
    _room: threading.Semaphore | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def begin(self, release: Release, offered: Fact) -> None:
        """Look at it as soon as there is room; returns at once."""
        with self._lock:
            if self._room is None:
                self._room = threading.Semaphore(self.services().config.policies.submission.looks_at_once)
        threading.Thread(target=self._work, args=(release, offered), name="pps-look", daemon=True).start()

    def _work(self, release: Release, offered: Fact) -> None:
        assert self._room is not None  # noqa: S101 (`begin` has made it)
        with self._room:
            s = behind(self.services())
            office = FrontOffice.of(s, self.now, offered.actor)
            try:
                self._look(s, office, release, offered)
            except Exception as error:
                log.exception("The look %s at %s broke off.", offered.occasion, offered.subject)
                why = f"{error.subject}: {error.why}" if isinstance(error, RolloutError) else _OURS
                try:
                    submission.break_off(office, offered.subject, offered.occasion, why)
                except Exception:  # the record is away: after a while the look counts as lost
                    log.exception("Not even that could be put on record.")

    def _look(self, s: Services, office: FrontOffice, release: Release, offered: Fact) -> None:
        looked = look(release, s.release_bench)
        submission.conclude(office, offered.subject, offered.occasion, looked.findings)
        try:
            within = s.config.policies.submission.look_within
            patch = submission.enter(office, s.tracker, release, offered.occasion, within)
            if patch is not None and looked.classification and release.patch.kind is PatchKind.CLIENT:
                classification.record(office, patch, looked.classification)
        except RolloutError as error:  # accepted all the same: the hourly sweep enters it
            log.warning("%s is not in the tracker yet: %s", offered.subject, error)
