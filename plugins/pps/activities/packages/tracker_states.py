"""The tracker is told which patches are in production: at once where it answers, else when it does.

The facts say what is released (`RELEASED_TO_PRODUCTION`), and of what the tracker was told. So nothing is queued
beside them, and no release fails because the tracker is away. Until it is told, who asks for the patch's state gets
ours (`as_on_record`): nobody takes what the tracker says of a patch that is out for news.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pps.activities.desk import Office
from pps.activities.ports.record import Facts
from pps.activities.ports.tracker import Tracker
from pps.domain.base.errors import PackageError, PatchNotFoundError, RefusedError, RolloutError
from pps.domain.packages.moves import moves_to_production
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, dossier_name

log = logging.getLogger(__name__)

_TOLD = (FactKind.PATCH_MOVED, FactKind.PATCH_LEFT)


@dataclass(frozen=True, slots=True)
class StatesTold:
    """What the tracker was told."""

    moved: tuple[int, ...] = ()
    """patches that it now has in production"""
    left: tuple[int, ...] = ()
    """patches that somebody has set to another state meanwhile"""
    rollouts: tuple[str, ...] = ()
    """those that have released them"""
    trouble: str = ""
    """why it could not be told everything; the rest waits for the next time"""


def untold(facts: Facts) -> tuple[Fact, ...]:
    """Releases that the tracker was not told of, oldest first."""
    found = facts.facts_of_kind((FactKind.RELEASED_TO_PRODUCTION, *_TOLD))
    told = {fact.subject for fact in found if fact.kind in _TOLD}
    return tuple(fact for fact in found if _by_facts(fact) and fact.rollout not in told)


def tell_states(office: Office, tracker: Tracker, *, patch: int | None = None) -> StatesTold:
    """Move to `In production` what is released. Repeating it changes nothing, and no failure is an error here.

    Args:
        patch: only this one; None: all.
    """
    moved: list[int] = []
    left: list[int] = []
    rollouts: list[str] = []
    trouble = ""
    for release in untold(office.facts):
        number = int(release.payload["patch"])
        if patch not in (None, number):
            continue
        try:
            state = _told(tracker, number, release)
        except (PatchNotFoundError, RefusedError, PackageError) as error:
            # this one is not taken; that keeps no other from being told
            log.warning("Patch %s is not in production in the tracker: %s", number, error)
            trouble = str(error)
            continue
        except RolloutError as error:
            log.warning("Patch %s is in production; the tracker does not say so yet: %s", number, error)
            return StatesTold(tuple(moved), tuple(left), tuple(rollouts), str(error))
        there = state is PatchState.IN_PRODUCTION
        (moved if there else left).append(number)
        kind = FactKind.PATCH_MOVED if there else FactKind.PATCH_LEFT
        said = {"state": state.value}
        fact = Fact(dossier_name(number), kind, release.rollout, "", office.clock(), office.actor, said)
        office.facts.record_in_dossier(number, fact)
        rollouts.append(release.rollout)
    return StatesTold(tuple(moved), tuple(left), tuple(rollouts), trouble)


def as_on_record(facts: Facts, *patches: Patch) -> tuple[Patch, ...]:
    """Patches as the tracker has them, and in production where it was not told yet that they are."""
    behind: dict[int, list[Fact]] = {}
    for release in untold(facts):
        behind.setdefault(int(release.payload["patch"]), []).append(release)
    return tuple(
        replace(patch, state=PatchState.IN_PRODUCTION) if _is_behind(patch, behind.get(patch.number, ())) else patch
        for patch in patches
    )


def what_tracker_says(out: Fact, dossier: Rollout) -> str:
    """A sentence where the tracker does not say of a release that it is one; "" where it does, or did."""
    if not _by_facts(out):
        return ""
    told = {fact.kind: fact for fact in dossier.facts if fact.kind in _TOLD and fact.subject == out.rollout}
    if FactKind.PATCH_MOVED in told:
        return ""
    if left := told.get(FactKind.PATCH_LEFT):
        return f'The tracker says "{left.payload["state"]}", which somebody has set there since; it stays so.'
    return "The tracker does not say so yet."


def _by_facts(fact: Fact) -> bool:
    """Releases on record from before were in the tracker before they were on record."""
    return fact.kind is FactKind.RELEASED_TO_PRODUCTION and "state" in fact.payload


def _is_behind(patch: Patch, releases: Sequence[Fact]) -> bool:
    return any(moves_to_production(patch.state, PatchState(r.payload["state"])) for r in releases)


def _told(tracker: Tracker, number: int, release: Fact) -> PatchState:
    """Move it; returns the state in which it is then."""
    state = tracker.patch(number).state
    moves = moves_to_production(state, PatchState(release.payload["state"]))
    if moves is None:
        return state
    for move in moves:
        # its reason stands with the last one: whoever breaks off before has said nothing yet
        words = str(release.payload["comment"]) if move is PatchState.IN_PRODUCTION else ""
        tracker.set_state(number, move, words, only_from=state)
        state = move
    return state
