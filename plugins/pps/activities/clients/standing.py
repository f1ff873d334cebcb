"""Where a rollout stands, as views of its facts: for the CLI, the pages and the public API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pps.activities.clients.bulletin import stage
from pps.activities.people.said import feedback_view
from pps.domain.base.texts import shown_to_the_public
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import feedback_due
from pps.domain.people.users import users_in
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout


def tag_of(rollout: Rollout) -> str:
    """The tag with which the preview is announced, as it was chosen when the rollout was opened."""
    opened = rollout.the(FactKind.ROLLOUT_OPENED)
    return str(opened.payload.get("tag", "")) if opened else ""


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
    view = {
        "rollout": rollout.name,
        "stage": stage(rollout),
        "opened_at": opened.at.isoformat() if opened else None,
        "tag": tag or None,
        "jdl": jdl_requirement(tag) if tag else None,
        "feedback": {**feedback_view(rollout), "until": due.isoformat() if due else None},
        "sites": [
            {"site": p.site, "state": p.state.value, "since": p.fact.at.isoformat() if p.fact else None}
            for p in rollout.all_progress()
        ],
    }
    return dict(shown_to_the_public(view, users_in(rollout)))
