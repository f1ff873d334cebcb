"""What those in charge say to a VO's answer, for everybody who reads it: "fixed in patch 4720"."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from pps.activities.desk import Desk
from pps.domain.base.errors import RefusedError
from pps.domain.base.texts import clean_text, for_the_public
from pps.domain.people import feedback
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact, FactKind

LONGEST_TEXT = 2000
MOST = 20
"""to one answer"""
_ROLES = (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR)


def follow_up(desk: Desk, answer: str, text: str, user: str, mine: Collection[str]) -> Fact:
    """Put a follow-up to an answer on record, and return it; the same twice is one. It may come after the end.

    What it shows of persons is hidden before it is stored.

    Args:
        answer: its identity.
        mine: all names under which whoever writes it is known (`domain.people.roles.identities`).

    Raises:
        RefusedError: with one sentence for each thing that is wrong with it.
    """
    role = next((role for role in _ROLES if f"role:{role}" in mine), None)
    text = for_the_public(clean_text(text).strip())
    given = next((a for a in feedback.answers(desk.rollout) if a.identity == answer), None)
    if reasons := _reasons_against(given, text, role):
        raise RefusedError(f"a follow-up to feedback on {desk.name}", reasons, "Nothing was stored.")
    assert given is not None  # noqa: S101 (there would be a reason)
    assert role is not None  # noqa: S101
    occasion = hashlib.sha256(f"{answer}\0{text}".encode()).hexdigest()[:32]
    payload = {"answer": answer, "text": text, "role": role.value, "user": user}
    desk.record(desk.fact(FactKind.FEEDBACK_FOLLOWED_UP, given.vo, occasion, payload))
    kept = (FactKind.FEEDBACK_FOLLOWED_UP, given.vo, occasion)
    return next(f for f in desk.rollout.facts if (f.kind, f.subject, f.occasion) == kept)


def _reasons_against(given: feedback.VoAnswer | None, text: str, role: Role | None) -> tuple[str, ...]:
    reasons = []
    if role is None:
        reasons.append(f"Only a {' or a '.join(_ROLES)} writes follow-ups.")
    if given is None:
        reasons.append("There is no such answer; pps feedback list --json shows their identities.")
    elif given.withdrawn_at is not None:
        reasons.append("The answer was withdrawn; there is nothing to follow up.")
    elif len(given.follow_ups) >= MOST and text not in {f.text for f in given.follow_ups}:
        reasons.append(f"There are {MOST} follow-ups to this answer already.")
    if not text:
        reasons.append("The follow-up says nothing.")
    if len(text) > LONGEST_TEXT:
        reasons.append(f"The follow-up has {len(text)} characters; at most {LONGEST_TEXT} are kept.")
    return tuple(reasons)
