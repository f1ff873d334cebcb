"""Trouble tickets in the tracker: one for each incident and each failed deployment test, closed when it is mended.

The facts say which tickets there should be (`domain.pilots.troubles`); what was done is on record, too. So nothing is
queued beside them: a tracker that is down is told the rest the next time, and whoever is killed between the ticket and
its fact finds the ticket by its marker.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from pps.activities.desk import Office
from pps.activities.ports.tracker import Ticket, Tickets, Tracker
from pps.domain.base.errors import PatchNotFoundError, RefusedError, RolloutError
from pps.domain.pilots.troubles import Trouble, troubles
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, RolloutPath, dossier_name

log = logging.getLogger(__name__)

_PATHS = (RolloutPath.PRE_DEPLOYMENT.value, *(p.value for p in PILOTS))
#: So long after its end a test's or pilot's tickets are still looked after; a correction may take some weeks.
LOOKED_AFTER = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Told:
    """What the tracker was told."""

    opened: int = 0
    closed: int = 0
    trouble: str = ""
    """why it could not be told everything; the rest waits for the next time"""


def tell_tracker(office: Office, tracker: Tracker, *, patch: int | None = None) -> Told:
    """Open the tickets that are missing, and close those that are mended. Repeating it changes nothing.

    No failure of the tracker is an error here: no test and no pilot fails because of it.

    Args:
        patch: only this one's; None: those of all patches that were tested or piloted of late.
    """
    rows = office.facts.rollouts(paths=_PATHS, patch=patch, closed_after=office.now - LOOKED_AFTER)
    opened = closed = 0
    for number in dict.fromkeys(row.patch for row in rows):
        names = [row.name for row in reversed(rows) if row.patch == number]
        # the register is newest first
        found = troubles(office.facts.rollout(name) for name in names)
        done = {(f.kind, f.subject) for f in office.facts.dossier(number).facts} if found else set()
        for trouble in found:
            try:
                if (FactKind.TICKET_OPENED, trouble.marker) not in done:
                    _on_record(office, trouble, FactKind.TICKET_OPENED, _opened(tracker, trouble))
                    opened += 1
                if trouble.mended and (FactKind.TICKET_CLOSED, trouble.marker) not in done:
                    _close(tracker, trouble)
                    _on_record(office, trouble, FactKind.TICKET_CLOSED)
                    closed += 1
            except (PatchNotFoundError, RefusedError) as error:
                # this one is not taken; that keeps no other from being told
                log.warning("No ticket %s: %s", trouble.marker, error)
            except RolloutError as error:
                log.warning("Tickets wait for the tracker: %s", error)
                return Told(opened, closed, str(error))
    return Told(opened, closed)


def _opened(tracker: Tracker, trouble: Trouble) -> str:
    if isinstance(tracker, Tickets):
        return tracker.open_ticket(Ticket(trouble.marker, trouble.patch, trouble.title, trouble.text))
    tracker.comment(trouble.patch, f"{trouble.title}\n\n{trouble.text}\n\n[{trouble.marker}]")
    return tracker.page(trouble.patch)


def _close(tracker: Tracker, trouble: Trouble) -> None:
    if isinstance(tracker, Tickets):
        tracker.close_ticket(trouble.marker, trouble.mended)
    else:
        tracker.comment(trouble.patch, f"Mended: {trouble.title}. {trouble.mended}\n\n[{trouble.marker}]")


def _on_record(office: Office, trouble: Trouble, kind: FactKind, page: str = "") -> None:
    name, payload = dossier_name(trouble.patch), {"page": page} if page else {}
    fact = Fact(name, kind, trouble.marker, "", office.clock(), office.actor, payload)
    office.facts.record_in_dossier(trouble.patch, fact)
