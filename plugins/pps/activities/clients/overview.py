"""A preview at one look, for those who work on it: its way, its batches and their budget, its sites, what it waits for.

The rollout's page and `pps rollout watch` show the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pps.activities.clients.bulletin import SHOWN_STATES, stage
from pps.activities.clients.bulletin_pages import as_row_order
from pps.activities.clients.standing import tag_of, told
from pps.activities.ports.record import Facts
from pps.domain.clients.batches import BatchLimits, failures_allowed, keeps_waiting
from pps.domain.clients.control import pause_of
from pps.domain.people import questions
from pps.domain.people.feedback import feedback_due, summary
from pps.domain.quality.comparison import compared
from pps.domain.record.facts import FactKind
from pps.domain.record.halts import halt_of
from pps.domain.record.rollouts import PREVIEWS, STRAGGLERS, Rollout
from pps.domain.record.site_states import FAILURES, REACHED, STATE_KINDS, SiteState

#: A preview's way, as SD 4.1.1 and 4.1.2 number it: what is on record when a step is done -> what people call it.
_WAY = (
    (FactKind.ROLLOUT_OPENED, "Opened"),
    (FactKind.TARBALL_BUILT, "Built"),
    (FactKind.PLAN_AGREED, "Planned"),
    (FactKind.GATE_PASSED, "First sites"),
    (FactKind.FEEDBACK_DATE_AGREED, "At the sites"),
    (FactKind.FEEDBACK_ENDED, "VOs asked"),
    (FactKind.ROLLOUT_CLOSED, "Ended"),
)
_NEWEST = 40


def as_it_was(record: Rollout, at: datetime) -> Rollout:
    """A rollout as its facts told it at a moment; none are ever changed, so every moment can be shown again."""
    return Rollout(record.name, tuple(f for f in record.facts if f.at <= at))


def version_before(facts: Facts, record: Rollout) -> Rollout | None:
    """The newest preview of the same client that was opened before this one; None if there is none."""
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.")
    metapackage = str(opened.payload.get("metapackage", ""))
    others = [
        fact
        for fact in facts.with_payload(FactKind.ROLLOUT_OPENED, "metapackage", [metapackage])
        if fact.payload.get("path") in PREVIEWS
        and fact.at < opened.at
        and fact.payload.get("version") != opened.payload.get("version")
    ]
    return facts.rollout(max(others, key=lambda fact: fact.at).rollout) if others else None


def overview(record: Rollout, now: datetime, limits: BatchLimits, before: Rollout | None = None) -> Mapping[str, Any]:
    """Everything that is shown of a rollout, with addresses still in it.

    Args:
        before: the rollout of the version before, if it is to be compared with.
    """
    opened = record.opened
    progress = as_row_order(record.all_progress()) if record.path in PREVIEWS else []
    counts = Counter(p.state.value for p in progress)
    said = summary(record)
    of_sites = {*STATE_KINDS, FactKind.SITES_SELECTED}
    story = [f for f in record.facts if f.kind not in of_sites]
    beside = compared(record, before)
    return {
        "rollout": record.name,
        "software": f"{opened.get('metapackage', '')} {opened.get('version', '')}".strip() or record.name,
        "title": opened.get("title", ""),
        "patch": record.patch_number,
        "path": record.path.value,
        "stage": stage(record),
        "tag": tag_of(record),
        "run": opened.get("run", ""),
        "opened_at": record.need(FactKind.ROLLOUT_OPENED, "").at,
        "way": _way(record),
        "because": _because(record),
        "has_failed": halt_of(record) is not None,
        "paused": pause_of(record),
        "counts": {s.value: counts[s.value] for s in SHOWN_STATES if counts[s.value]},
        "states": tuple(s.value for s in SHOWN_STATES),
        "batches": _batches(record),
        "budget": _budget(record, limits),
        "before": before and f"{before.opened.get('metapackage')} {before.opened.get('version')}",
        "sites": [
            {
                "site": p.site,
                "state": p.state.value,
                "since": p.fact.at if p.fact else None,
                "reason": p.reason,
                "beside": beside.get(p.site) if p.state in FAILURES else None,
            }
            for p in progress
        ],
        "questions": [
            {"title": q.title or f"{q.step}: {q.subject}", "due": q.due, "whose": q.assigned_to, "link": q.link}
            for q in sorted(questions.questions(record), key=lambda q: q.due)
            if questions.is_open(record, q)
        ],
        "feedback": {
            "due": feedback_due(record),
            "invited": sorted(said.invited),
            "answered": sorted({a.vo for a in said.counting}),
            "open": not record.is_over and said.due is not None and now <= said.due,
        },
        "story": [
            {"at": f.at, "kind": f.kind.value, "subject": f.subject, "told": told(f)} for f in story[-_NEWEST:][::-1]
        ],
        "older": max(0, len(story) - _NEWEST),
        "is_over": record.is_over,
        "read_at": now,
    }


def _way(record: Rollout) -> list[dict[str, Any]]:
    """The steps of a preview: done, and when; the first that is not done is the present one."""
    if record.path not in PREVIEWS:
        return []
    steps, reached = [], True
    for kind, word in _WAY:
        done = record.the(kind)
        state = "done" if done else "now" if reached and not record.is_over else "later"
        reached = reached and bool(done)
        steps.append({"word": word, "state": state, "at": done.at if done else None})
    return steps


def _batches(record: Rollout) -> list[dict[str, Any]]:
    """The agreed plan, batch by batch: how many sites of each have been served, have failed, wait."""
    plan = record.the(FactKind.PLAN_AGREED)
    rows = []
    planned = dict(plan.payload["batches"]) if plan and record.path in PREVIEWS else {}
    if late := record.batch(STRAGGLERS):
        planned[STRAGGLERS] = late
    for name, sites in planned.items():
        states = [p.state for p in record.all_progress(sites)]
        rows.append(
            {
                "batch": name,
                "sites": len(states),
                "reached": sum(s in REACHED and s is not SiteState.NOT_ANNOUNCED for s in states),
                "failed": sum(s in FAILURES for s in states),
                "waiting": sum(s is SiteState.PLANNED for s in states),
            }
        )
    return rows


def _budget(record: Rollout, limits: BatchLimits) -> Mapping[str, int] | None:
    """Of the planned sites: how many have failed, keep us waiting, and may before the rollout stops by itself."""
    if not record.planned_sites or record.path not in PREVIEWS:
        return None
    progress = record.all_progress(record.planned_sites)
    failed = sum(p.state in FAILURES for p in progress)
    late, allowed = sum(map(keeps_waiting, progress)), failures_allowed(len(progress), limits)
    return {"planned": len(progress), "failed": failed, "not_yet": late, "allowed": allowed}


def _because(record: Rollout) -> list[str]:
    kinds = (FactKind.WITHDRAWAL_ASKED, FactKind.ROLLOUT_STOPPED, FactKind.RELEASE_REFUSED)
    return [halt.sentence] if (halt := halt_of(record)) else [told(f) for kind in kinds if (f := record.the(kind))]
