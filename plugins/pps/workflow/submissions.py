"""Accepted releases that no tracker has taken yet: a sweep enters them."""

from __future__ import annotations

import logging

from pps.activities.packages import submission
from pps.config.release_documents import parse_release
from pps.domain.base.errors import RolloutError
from pps.workflow.desk import FrontOffice

log = logging.getLogger(__name__)


def enter_waiting(office: FrontOffice) -> int:
    """Enter what is accepted, and not in the tracker yet; returns how many were. What cannot be waits further."""
    within = office.policies.submission.look_within
    done = 0
    for waits in submission.waiting(office.facts, office.now, within):
        try:
            release = parse_release(waits.newest.document, office.services.contact_of(waits.product))
            number = submission.enter(office, office.services.tracker, release, waits.newest.number, within)
            done += number is not None
        except RolloutError as error:
            log.warning("%s is not in the tracker yet: %s", waits.key, error)
    return done
