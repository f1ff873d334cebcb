"""Where a patch goes in the tracker once it is released, and where it is left as people have set it."""

from __future__ import annotations

from pps.domain.packages.patch import PatchState

#: The way to production, in order.
_WAY = (
    PatchState.IN_CERTIFICATION,
    PatchState.CERTIFIED,
    PatchState.READY_FOR_PRODUCTION,
    PatchState.READY_FOR_ROLLOUT,
    PatchState.ROLLING_OUT,
    PatchState.IN_PRODUCTION,
)
#: Steps that a tracker does not let anybody leave out; the others are some grids' own.
_STEPS = (PatchState.CERTIFIED, PatchState.READY_FOR_PRODUCTION)


def moves_to_production(state: PatchState, released_as: PatchState) -> tuple[PatchState, ...] | None:
    """The states that a released patch is still to be set to, one after the other; none: it is in production.

    None where somebody has set another one since it was released: that one stays. A state further on the way is no
    such one, as it may be ours; nothing is ever moved back.

    Args:
        state: what the tracker says.
        released_as: what it said when the release was decided.
    """
    if state is PatchState.IN_PRODUCTION:
        return ()
    if state is not released_as and (state not in _WAY or _place(state) < _place(released_as)):
        return None
    steps = tuple(s for s in _STEPS if _place(state) < _place(s)) if state in _WAY else ()
    return (*steps, PatchState.IN_PRODUCTION)


def _place(state: PatchState) -> int:
    return _WAY.index(state) if state in _WAY else -1
