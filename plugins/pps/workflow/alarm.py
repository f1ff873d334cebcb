"""Who is told when something that we keep, or publish, is not what is on record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pps.activities.people.tampering import tell_of_tampering
from pps.activities.release.signing import Misfit
from pps.domain.base.errors import PackageError, RolloutError, TamperedError
from pps.domain.people.roles import Role
from pps.domain.record.facts import FactKind
from pps.workflow.desk import FrontDesk, FrontOffice

log = logging.getLogger(__name__)


def raise_alarm(d: FrontDesk, error: PackageError, *, published: bool = False) -> None:
    """Coordination and Release Manager hear, once for each finding, that something we keep is not as on record."""
    log.error("%s", error)
    contacts = d.config.people.role_contacts
    to = (d.config.service.reply_to, *map(contacts.get, (Role.PPS_COORDINATOR, Role.RELEASE_MANAGER)))
    recipients = list(dict.fromkeys(address for address in to if address))
    try:
        tell_of_tampering(d, error, recipients, published=published)
        d.send()
    except RolloutError as failure:  # what was refused stays refused, whoever hears of it
        log.error("Nobody could be told: %s", failure)


@contextmanager
def watched(d: FrontDesk, also: type[PackageError] = TamperedError) -> Iterator[None]:
    """Whatever reads what we keep (tarballs, packages, mirrors) does so in here; `also`: errors that mean the same."""
    try:
        yield
    except (TamperedError, also) as error:
        raise_alarm(d, error)
        raise


def tell_what_is_not_as_published(o: FrontOffice) -> tuple[Misfit, ...]:
    """Compare what our repositories hold with what was published; coordination and Release Manager hear of each
    finding once.

    Raises:
        ServiceError: something could not be looked at; what was found elsewhere has been told.
    """
    looked = o.services.not_as_published(o.now)
    for misfit in looked.found:
        newest = (r.name for r in o.facts.rollouts() if o.facts.has(r.name, FactKind.RELEASED_TO_PRODUCTION))
        name = misfit.rollout or next(newest, "")
        error = TamperedError(misfit.place, misfit.why, "Find out who changed it; restore it from the backup.")
        if name:
            raise_alarm(o.desk(name), error, published=True)
        else:
            log.error("%s", error)
    looked.complain()
    return looked.found
