"""Who is told when something that we keep is not what is on record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pps.activities.outbox import empty_outbox
from pps.activities.tampering import tell_of_tampering
from pps.domain.errors import PackageError, RolloutError, TamperedError
from pps.domain.roles import Role
from pps.domain.rollouts import Rollout
from pps.orchestration.runtime import actor, now
from pps.services import Services

log = logging.getLogger(__name__)


def raise_alarm(s: Services, record: Rollout, error: PackageError) -> None:
    """Tell coordination and Release Manager, once for each finding."""
    log.error("%s", error)
    contacts = s.config.people.role_contacts
    to = (s.config.service.reply_to, *(contacts.get(r) for r in (Role.PPS_COORDINATOR, Role.RELEASE_MANAGER)))
    recipients = list(dict.fromkeys(address for address in to if address))
    try:
        tell_of_tampering(error, record, s.facts, s.templates, recipients, now(), actor())
        empty_outbox(s.facts, s.mailer, now)
    except RolloutError as failure:  # what was refused stays refused, whoever hears of it
        log.error("Nobody could be told: %s", failure)


@contextmanager
def watched(s: Services, record: Rollout, also: type[PackageError] = TamperedError) -> Iterator[None]:
    """Whatever reads tarballs or packages that we keep does it in here; `also`: another error that means the same."""
    try:
        yield
    except (TamperedError, also) as error:
        raise_alarm(s, record, error)
        raise
