"""The tracker is told which patches are in production: at once where it answers, else when it does.

The facts say what is released (`RELEASED_TO_PRODUCTION`), and of what the tracker was told. So nothing is queued
beside them, and no release fails because the tracker is away. Until it is told, who asks for the patch's state gets
ours (`as_on_record`): nobody takes what the tracker says of a patch that is out for news.

What was told is not read again: each full look notes when it was (`Facts.saw`), and, one by one, the releases that it
could not tell (`Facts.missed`); the next one reads what came since, and those. Notes only say where to look: whether
the tracker was told, the facts say.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

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
#: Names of our notes.
_LOOKED, _NOT_TOLD = "releases that the tracker is told", "not told to the tracker: "
#: A fact has the time at which its task began; the longest of them may take a day (policies.yaml, `task_limits`).
_LATE = timedelta(days=2)


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


def untold(facts: Facts, now: datetime | None = None) -> tuple[Fact, ...]:
    """Releases that the tracker was not told of, oldest first.

    Args:
        now: a look that was noted for later than now is none: our clock was set back since, and all is read again.
    """
    notes = facts.last_seen()
    looked = notes[_LOOKED].at if _LOOKED in notes else None
    since = looked - _LATE if looked and not (now and looked > now) else None
    found = facts.facts_of_kind((FactKind.RELEASED_TO_PRODUCTION, *_TOLD), since)
    told = {fact.subject for fact in found if fact.kind in _TOLD}
    recent = [fact for fact in found if fact.kind is FactKind.RELEASED_TO_PRODUCTION]
    waited = [name.removeprefix(_NOT_TOLD) for name, note in notes.items() if note.missed_since and _is_of_one(name)]
    before = [_release(facts, name) for name in waited if name not in {fact.rollout for fact in recent}]
    candidates = [fact for fact in (*before, *recent) if _by_facts(fact) and fact.rollout not in told]
    return tuple(fact for fact in candidates if not _is_told(facts, fact))


def _is_of_one(note: str) -> bool:
    return note.startswith(_NOT_TOLD)


def _release(facts: Facts, rollout: str) -> Fact:
    return facts.rollout(rollout).need(FactKind.RELEASED_TO_PRODUCTION, "Release it first.")


def _is_told(facts: Facts, release: Fact) -> bool:
    dossier = facts.dossier(int(release.payload["patch"]))
    return any(fact.kind in _TOLD and fact.subject == release.rollout for fact in dossier.facts)


def tell_states(office: Office, tracker: Tracker, *, patch: int | None = None) -> StatesTold:
    """Move to `In production` what is released. Repeating it changes nothing, and no failure is an error here.

    Args:
        patch: only this one; None: all.
    """
    moved: list[int] = []
    left: list[int] = []
    rollouts: list[str] = []
    trouble = ""
    waiting = untold(office.facts, office.now)
    for release in waiting:
        number = int(release.payload["patch"])
        if patch not in (None, number):
            continue
        try:
            # not every tracker keeps two apart who change a patch at the same moment; the second finds it done
            with office.facts.turn(f"telling the tracker of {release.rollout}"):
                state = _told(tracker, number, release)
        except (PatchNotFoundError, RefusedError, PackageError) as error:
            # this one is not taken; that keeps no other from being told
            log.warning("Patch %s is not in production in the tracker: %s", number, error)
            trouble = str(error)
            continue
        except RolloutError as error:
            log.warning("Patch %s is in production; the tracker does not say so yet: %s", number, error)
            trouble = str(error)
            break
        there = state is PatchState.IN_PRODUCTION
        (moved if there else left).append(number)
        kind = FactKind.PATCH_MOVED if there else FactKind.PATCH_LEFT
        said = {"state": state.value}
        fact = Fact(dossier_name(number), kind, release.rollout, "", office.clock(), office.actor, said)
        office.facts.record_in_dossier(number, fact)
        rollouts.append(release.rollout)
    if patch is None:
        _note_look(office, [release.rollout for release in waiting if release.rollout not in rollouts])
    return StatesTold(tuple(moved), tuple(left), tuple(rollouts), trouble)


def _note_look(office: Office, left: Sequence[str]) -> None:
    """Those that are left first: whoever is killed in between reads again what was read now."""
    noted = {name for name, note in office.facts.last_seen().items() if note.missed_since and _is_of_one(name)}
    wanted = {f"{_NOT_TOLD}{rollout}" for rollout in left}
    for name in sorted(wanted - noted):
        office.facts.missed(name, office.now)
    for name in sorted(noted - wanted):
        office.facts.saw(name, office.now)
    office.facts.saw(_LOOKED, office.now)


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
