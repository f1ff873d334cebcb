"""What the tracker says of vulnerabilities goes on record, before anything else of the patch does.

Pages, feeds and mails are made from the record. So what is under embargo is known there first, also while the tracker
does not answer.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from pps.activities.desk import Office
from pps.activities.packages.embargo import whole
from pps.activities.ports.tracker import Tracker
from pps.domain.base.errors import NotYetAllowedError, RolloutError
from pps.domain.packages.advice import Advice
from pps.domain.packages.patch import Patch
from pps.domain.people.embargo import advice_by_patch, advice_in
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import dossier_name

log = logging.getLogger(__name__)

#: So long after the end of a patch's last rollout we still look at what it closes.
LOOKED_AFTER = timedelta(days=365)


def note_advice(office: Office, patch: Patch) -> tuple[Fact, ...]:
    """Record what a patch closes and until when that is a secret, if it is something else than before.

    Called by whatever records the first fact of a patch, before it does.
    """
    facts = whole(office.facts)  # also where whoever acts must not know of it any more
    dossier = facts.dossier(patch.number)
    now = patch.advice
    if advice_in(dossier.facts).says_the_same(now):
        return ()
    number = sum(f.kind is FactKind.ADVICE_SEEN for f in dossier.facts) + 1
    name = dossier_name(patch.number)
    fact = Fact(name, FactKind.ADVICE_SEEN, "", str(number), office.clock(), office.actor, now.written())
    return facts.record_in_dossier(patch.number, fact)


def look_at_advice(office: Office, tracker: Tracker) -> tuple[Fact, ...]:
    """The same for every patch of ours; returns what is new. A tracker that is away is asked again the next time."""
    ours = {row.patch for row in office.facts.rollouts(closed_after=office.now - LOOKED_AFTER)}
    if not ours:
        return ()
    try:
        patches = tracker.patches()
    except RolloutError as error:
        log.warning("Security advice is looked at the next time: %s", error)
        return ()
    known = advice_by_patch(whole(office.facts).facts_of_kind((FactKind.ADVICE_SEEN,)))
    new = [p for p in patches if p.number in ours and not known.get(p.number, Advice()).says_the_same(p.advice)]
    return tuple(fact for patch in new for fact in note_advice(office, patch))


def must_not_be_secret(office: Office, number: int) -> None:
    """Raise while a patch is under embargo: what comes next is public."""
    advice = advice_in(whole(office.facts).dossier(number).facts)
    if advice.embargo_until is not None and advice.is_secret(office.now):
        raise NotYetAllowedError(
            f"patch {number}",
            f"is embargoed until {advice.embargo_until:%Y-%m-%d %H:%M} UTC: nothing of it may be public before.",
            "Clear this task then, or when the embargo is lifted in the tracker.",
        )
