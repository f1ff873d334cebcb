"""A follow-up to a VO's answer, and the release notes that tell of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pps.activities.people import follow_ups
from pps.activities.pilots.notes import write_pilot_notes
from pps.activities.release.notes import write_release_notes
from pps.domain.base.errors import RolloutError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS
from pps.workflow.desk import FrontDesk


@dataclass(frozen=True, slots=True)
class Followed:
    """A follow-up that is on record."""

    fact: Fact
    notes: str
    """what is to be said of the release notes"""
    missing: bool = False
    """from release notes that are out"""


def follow_up(d: FrontDesk, answer: str, text: str, user: str, mine: Collection[str]) -> Followed:
    """Put it on record, and bring release notes that are out up to date.

    Those are written anew, which is on record with the reason; in them the follow-up says that it came later. Where
    they cannot be written now, whoever sends the same again has them written.
    """
    fact = follow_ups.follow_up(d, answer, text, user, mine)
    if not d.rollout.has(FactKind.RELEASE_NOTES_WRITTEN):
        return Followed(fact, "It will be in the release notes.")
    because, folder = f"a follow-up to the answer of {fact.subject}", d.services.publication_folder
    try:
        if d.rollout.path in PILOTS:
            write_pilot_notes(d, folder, because)
        else:
            write_release_notes(d, folder, d.policies.feedback.terms(), because)
    except RolloutError as error:
        return Followed(
            fact, f"The release notes do not show it yet: {error.why} Send the same again later.", missing=True
        )
    return Followed(fact, "The release notes show it now, as one that came later.")
