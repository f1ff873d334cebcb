"""Where a provider's releases are: why each is still here, who tries it, what VOs said, and what is wrong.

It is the answer of `workflow.why`, in short, and shows no more than that one does to anybody: no person, no address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from pps.activities.packages.verdicts import standing_verdict
from pps.activities.ports.record import Facts
from pps.config.policy_models import Policies
from pps.domain.base.conditions import ConditionState
from pps.domain.people.providers import Provider
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout, dossier_name
from pps.domain.record.site_states import REACHED
from pps.workflow.why import Told, Why, public_view, why

#: Facts that a site has an update that is no preview -> it tries it.
_TRIES = (FactKind.SERVICE_SET_UP, FactKind.PATCH_DELIVERED)
_KEPT = (
    "patch", "metapackage", "software_version", "title", "state", "tracker", "in_production", "answer", "rollouts",
)  # fmt: skip


def standing(facts: Facts, number: int, told: Told, policies: Policies, now: datetime) -> dict[str, Any]:
    """One patch in short; keys may be added.

    Raises:
        PatchNotFoundError, ServiceError: see `why`.
    """
    found = why(facts, number, told, policies, now)
    view = public_view(found)
    conditions = view["conditions"]
    return {
        **{key: view[key] for key in _KEPT},
        "verdict": _verdict(found),
        "tried_by": {name: list(sites) for name, record in found.records.items() if (sites := _sites(record))},
        "waits_for": [
            {"what": c["name"], "who": c["who"], "until": c["until"], "sentence": c["sentence"]}
            for c in conditions
            if c["state"] == ConditionState.WAITING
        ],
        "troubles": [
            {"what": c["name"], "sentence": c["sentence"], "rollout": c["rollout"]}
            for c in conditions
            if c["state"] == ConditionState.FAILED
        ],
        "tickets": _tickets(found.records[dossier_name(number)]),
        "waived": [e["what"] for e in view["events"] if e["is_decision"] and " waives " in e["what"]],
    }


def _tickets(dossier: Rollout) -> list[dict[str, Any]]:
    """The patch's trouble tickets in the tracker, the newest first; who may read one, the tracker decides."""
    closed = {f.subject: f.at for f in dossier.facts if f.kind is FactKind.TICKET_CLOSED}
    return [
        {
            "about": " ".join(f.subject.split(":")[1:3]).replace("deployment-test", "deployment test"),
            "page": f.payload.get("page", ""),
            "opened_at": f.at.isoformat(timespec="seconds"),
            "closed_at": closed[f.subject].isoformat(timespec="seconds") if f.subject in closed else None,
        }
        for f in reversed(dossier.facts)
        if f.kind is FactKind.TICKET_OPENED
    ]


def _verdict(found: Why) -> str | None:
    verdict = standing_verdict(found.records[dossier_name(found.number)]).verdict
    return verdict.value if verdict else None


def _sites(record: Rollout) -> Collection[str]:
    """The sites that have what this rollout brings, as far as the record tells."""
    if not record.has(FactKind.ROLLOUT_OPENED):
        return ()
    if record.path in PREVIEWS:
        return sorted(p.site for p in record.all_progress() if p.state in REACHED)
    return sorted({f.subject for f in record.facts if f.kind in _TRIES})


def patches_of(facts: Facts, providers: Iterable[Provider]) -> Mapping[int, str]:
    """The patches of these providers' products of which a rollout is on record -> `<metapackage> <version>`, newest
    first. It does not ask the tracker, which may have thousands.
    """
    mine = tuple(providers)
    found: dict[int, str] = {}
    for fact in facts.facts_of_kind((FactKind.ROLLOUT_OPENED,)):
        product = str(fact.payload.get("metapackage") or "")
        if product and any(p.has(product) for p in mine):
            found[int(fact.payload["patch"])] = f"{product} {fact.payload.get('version', '')}"
    return dict(sorted(found.items(), reverse=True))
