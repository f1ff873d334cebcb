"""Where a rollout stands, as views of its facts: for the CLI, the pages and the public API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pps.domain.facts import Fact, FactKind
from pps.domain.feedback import outcome
from pps.domain.rollouts import Rollout
from pps.domain.tags import RunTimeEnvironmentTag, jdl_requirement

#: The first of these facts that is on record names the state.
_STATES = (
    (FactKind.ROLLOUT_STOPPED, "stopped"),
    (FactKind.RELEASED_TO_PRODUCTION, "released to production"),
    (FactKind.RELEASE_REFUSED, "release refused"),
    (FactKind.ROLLOUT_CLOSED, "closed"),
    (FactKind.FEEDBACK_ENDED, "feedback ended"),
    (FactKind.FEEDBACK_DATE_AGREED, "open for feedback"),
    (FactKind.GATE_PASSED, "being distributed"),
    (FactKind.PLAN_AGREED, "at the canaries"),
    (FactKind.PATCH_ADMITTED, "being built"),
)


def state_of(rollout: Rollout) -> str:
    """Where a whole rollout stands, in a few words."""
    return next((word for kind, word in _STATES if rollout.has(kind)), "opened")


def tag_of(rollout: Rollout) -> RunTimeEnvironmentTag | None:
    """The tag with which the preview is announced, as it was chosen when the rollout was opened."""
    opened = rollout.the(FactKind.ROLLOUT_OPENED)
    if opened is None or not opened.payload.get("tag"):
        return None
    vo, _, name = str(opened.payload["tag"]).removeprefix("VO-").partition("-")
    return RunTimeEnvironmentTag(vo, name)


def feedback_due(rollout: Rollout) -> datetime | None:
    """The agreed date until which feedback counts; None before it was agreed."""
    agreed = rollout.the(FactKind.FEEDBACK_DATE_AGREED)
    return datetime.fromisoformat(agreed.payload["due"]) if agreed else None


def told(fact: Fact) -> str:
    """The part of a fact's payload that tells people most."""
    for key in ("reason", "reasons", "text"):
        if value := fact.payload.get(key):
            return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return ", ".join(f"{k} {v}" for k, v in fact.payload.items() if isinstance(v, str | int | float) and k != "v")[:200]


def public_view(rollout: Rollout) -> Mapping[str, Any]:
    """What anybody may know of a rollout: no person, no address, no word of a site's internals.

    SD 4.1.1: the live map is public, and users select the version by a requirement in the JDL.
    """
    tag, due, opened = tag_of(rollout), feedback_due(rollout), rollout.the(FactKind.ROLLOUT_OPENED)
    return {
        "rollout": rollout.name,
        "state": state_of(rollout),
        "opened_at": opened.at.isoformat() if opened else None,
        "tag": str(tag) if tag else None,
        "jdl": jdl_requirement(tag) if tag else None,
        "feedback": {"until": due.isoformat() if due else None, "outcome": outcome(rollout).value},
        "sites": [
            {"site": p.site, "state": p.state.value, "since": p.fact.at.isoformat() if p.fact else None}
            for p in rollout.all_progress()
        ],
    }
