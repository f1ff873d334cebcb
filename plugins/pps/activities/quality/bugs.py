"""What the tracker says of bugs goes on record: whether they were opened again is asked long after it has happened."""

from __future__ import annotations

import logging
from datetime import timedelta

from pps.activities.desk import Office
from pps.activities.ports.tracker import Bugs, Tracker
from pps.domain.base.errors import RolloutError
from pps.domain.packages.patch import BugState
from pps.domain.quality.bugs import states_seen
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name

log = logging.getLogger(__name__)

#: So long after the end of a patch's last rollout its bugs are still looked at.
LOOKED_AFTER = timedelta(days=365)


def look_at_bugs(office: Office, tracker: Tracker) -> tuple[Fact, ...]:
    """Record each bug of a patch of ours whose state is another one than when we last looked; returns what is new.

    A tracker that does not answer is asked again the next time. Looking twice records nothing twice.
    """
    if not isinstance(tracker, Bugs):
        return ()
    ours = {row.patch for row in office.facts.rollouts(closed_after=office.now - LOOKED_AFTER)}
    if not ours:
        return ()
    try:
        patches, states = tracker.patches(), tracker.bug_states()
    except RolloutError as error:
        log.warning("Bugs are looked at the next time: %s", error)
        return ()
    new: list[Fact] = []
    for patch in patches:
        if patch.number not in ours or not patch.bugs:
            continue
        dossier = office.facts.dossier(patch.number)
        seen = states_seen(dossier)
        found = []
        for bug in patch.bugs:
            before = seen.get(bug.number)
            state = states.get(bug.number)
            if state is None or state == (before.payload["state"] if before else BugState.OPEN):
                continue
            occasion = str(int(before.occasion) + 1 if before else 1)
            payload = {"state": state.value}
            name = dossier_name(patch.number)
            found.append(
                Fact(name, FactKind.BUG_SEEN, str(bug.number), occasion, office.clock(), office.actor, payload)
            )
        if found:
            new += office.facts.record_in_dossier(patch.number, *found)
    return tuple(new)
