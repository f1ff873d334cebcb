"""The gate behind the canaries, the failure budget, and stopping."""

from __future__ import annotations

from collections.abc import Sequence

from pps.activities.desk import Desk
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.clients.batches import CANARY, BatchLimits, GateVerdict, judge_canaries, reasons_to_stop
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import SiteState


def pass_gate(desk: Desk, limits: BatchLimits) -> tuple[GateVerdict, tuple[str, ...]]:
    """Judge the canaries; a healthy verdict is recorded and stays."""
    verdict, why = judged(desk.rollout, limits)
    if verdict is GateVerdict.HEALTHY:
        desk.record(desk.fact(FactKind.GATE_PASSED, "", "", {"why": list(why)}))
    return verdict, why


def judged(record: Rollout, limits: BatchLimits) -> tuple[GateVerdict, tuple[str, ...]]:
    """What the gate says of the canaries as they are now; the first sentence counts them, each other is about one."""
    canaries = record.all_progress(record.batch(CANARY))
    unreachable = frozenset(
        c.site
        for c in canaries
        if c.state is SiteState.FAILED and c.fact and c.fact.payload.get("error") == "SiteUnreachableError"
    )
    return judge_canaries(canaries, unreachable, limits)


def budget_reasons(record: Rollout, limits: BatchLimits) -> tuple[str, ...]:
    """Say why no further site may be touched; no reasons means go on."""
    return reasons_to_stop(record.all_progress(record.planned_sites), limits)


def stop(desk: Desk, reasons: Sequence[str], recipients: Sequence[str]) -> None:
    """Stop a rollout: no further site is touched, the patch is free for another one, the people in charge are told."""
    opened = desk.rollout.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload
    states = {p.state for p in desk.rollout.all_progress()}
    announced = bool(states & {SiteState.TAGGED, SiteState.AVAILABLE})
    view = {"rollout": desk.name, "opened": opened, "reasons": list(reasons), "announced": announced}
    mails = desk.circular(
        "rollout_stopped",
        view,
        key=f"{desk.name}/stopped",
        to=recipients,
        subject=f"Stopped: {opened['metapackage']} {opened['version']} (patch {opened['patch']})",
    )
    desk.record(desk.fact(FactKind.ROLLOUT_STOPPED, "", "", {"reasons": list(reasons)}), mails=mails)
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", {"outcome": "stopped"}))


def must_go_on(record: Rollout) -> None:
    """Raise when it was stopped or withdrawn: a task that is retried or cleared must not touch further sites."""
    record.must_not_be_withdrawn()
    stopped = record.the(FactKind.ROLLOUT_STOPPED)
    if stopped is not None:
        raise NotYetAllowedError(
            record.name, " ".join(["It was stopped.", *stopped.payload["reasons"]]), "Start a new rollout of the patch."
        )
