"""What the people in charge can do with a preview that is under way: pause it, let it go on, stop it.

SD 4.1.1 names no such thing; whoever watches a distribution to hundreds of sites needs it. A pause holds back what
has not begun: no further batch, no further site in the night, no production. What is at sites stays and can be tried.
Only a withdrawal takes it back.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from pps.domain.base.texts import reasons_against_reason
from pps.domain.people.roles import Role
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout


class Control(StrEnum):
    """What can be done. Part of addresses: never rename."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


#: Those who answer for a release, and those who coordinate the preview service (SD 3).
MAY_CONTROL = (Role.RELEASE_MANAGER, Role.PPS_COORDINATOR)

_TURNS = (FactKind.ROLLOUT_PAUSED, FactKind.ROLLOUT_RESUMED)


def pause_of(record: Rollout) -> Fact | None:
    """The pause that holds now; None while the rollout goes on, and when it is over: then nothing is held back."""
    newest = next((f for f in reversed(record.facts) if f.kind in _TURNS), None)
    return newest if newest and newest.kind is FactKind.ROLLOUT_PAUSED and not record.is_over else None


def said_of_pause(pause: Fact) -> str:
    """Why nothing goes on, as a sentence for whoever wants it to."""
    return f"It is paused. {pause.payload['reason']}"


def reasons_against_control(record: Rollout, what: Control, mine: Collection[str]) -> tuple[str, ...]:
    """Say why somebody may not do that with a rollout now; no reasons means that they may.

    Args:
        mine: all names under which this person is known (`roles.identities`).
    """
    if not {f"role:{role}" for role in MAY_CONTROL} & set(mine):
        return (f"Only the {' and the '.join(MAY_CONTROL)} may {what} a rollout.",)
    if record.path not in PREVIEWS:
        return (f"{record.name} takes the path {record.path.value}: it has no distribution that could be held back.",)
    if record.is_over:
        return ("It is over: nothing of it goes out any more. To take it back from its sites, withdraw it.",)
    paused = pause_of(record) is not None
    if what is Control.PAUSE and paused:
        return ("It is paused already.",)
    if what is Control.RESUME and not paused:
        return ("It is not paused.",)
    return ()


def reasons_against(record: Rollout, what: Control, mine: Collection[str], reason: str) -> tuple[str, ...]:
    """The same, with the reason that is given for it: others read it, and it is for ever."""
    return (*reasons_against_control(record, what, mine), *reasons_against_reason(reason))
