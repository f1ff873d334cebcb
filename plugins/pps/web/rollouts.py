"""A rollout as those who work on it see it: what was done, what failed and why, whom it waits for.

The same page is a tab of Airflow's own pages: of a run, and of each of its tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pps.activities.clients.bulletin import SHOWN_STATES, stage
from pps.activities.clients.bulletin_pages import as_row_order
from pps.activities.clients.standing import tag_of, told
from pps.domain.people import questions
from pps.domain.people.feedback import feedback_due, summary
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, STATE_KINDS, Rollout
from pps.services import Services
from pps.web.closed import masked
from pps.web.public import rollout_or_404
from pps.web.shell import page
from pps.workflow.paths import STARTS

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


def router(services: Callable[[], Services], now: Callable[[], datetime]) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api = APIRouter()

    def shown(record: Rollout, place: str) -> HTMLResponse:
        s = services()
        return page(s.templates, "rollout.html", masked(view(record, now())), place)

    def of_run(dag: str, run: str, place: str) -> HTMLResponse:
        s = services()
        opened = s.facts.with_payload(FactKind.ROLLOUT_OPENED, "run", [f"{dag}/{run}"])
        if opened:
            return shown(s.facts.rollout(opened[-1].rollout), place)
        about = {"dag": dag, "run": run, "path": STARTS[dag].path if dag in STARTS else None, "ours": dag in STARTS}
        return page(s.templates, "no_rollout.html", about, place)

    @api.get("/rollouts/{name}")
    def rollout(name: str) -> HTMLResponse:
        """One rollout."""
        return shown(rollout_or_404(services().facts, name), f"rollouts/{name}")

    @api.get("/runs/{dag}/{run}")
    def run_tab(dag: str, run: str) -> HTMLResponse:
        """The rollout that a run has opened, or a sentence that it is none."""
        return of_run(dag, run, f"runs/{dag}/{run}")

    @api.get("/runs/{dag}/{run}/{task}/{map_index}")
    def task_tab(dag: str, run: str, task: str, map_index: str) -> HTMLResponse:
        """The same, for a task of the run."""
        return of_run(dag, run, f"runs/{dag}/{run}/{task}/{map_index}")

    return api


def view(record: Rollout, now: datetime) -> Mapping[str, Any]:
    """Everything that the page shows, with addresses still in it."""
    opened = record.opened
    progress = as_row_order(record.all_progress()) if record.path in PREVIEWS else []
    counts = Counter(p.state.value for p in progress)
    said = summary(record)
    of_sites = {*STATE_KINDS, FactKind.SITES_SELECTED}
    story = [f for f in record.facts if f.kind not in of_sites]
    return {
        "rollout": record.name,
        "software": f"{opened.get('metapackage', '')} {opened.get('version', '')}".strip() or record.name,
        "title": opened.get("title", ""),
        "patch": record.patch_number,
        "path": record.path.value,
        "stage": stage(record),
        "tag": tag_of(record),
        "way": _way(record),
        "because": _because(record),
        "counts": {s.value: counts[s.value] for s in SHOWN_STATES if counts[s.value]},
        "states": tuple(s.value for s in SHOWN_STATES),
        "sites": [
            {"site": p.site, "state": p.state.value, "since": p.fact.at if p.fact else None, "reason": p.reason}
            for p in progress
        ],
        "questions": [
            {"title": q.title or f"{q.step}: {q.subject}", "due": q.due, "whose": q.assigned_to}
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
        reached = bool(done)
        steps.append({"word": word, "state": state, "at": done.at if done else None})
    return steps


def _because(record: Rollout) -> list[str]:
    kinds = (FactKind.WITHDRAWAL_ASKED, FactKind.ROLLOUT_STOPPED, FactKind.RELEASE_REFUSED)
    return [told(fact) for kind in kinds if (fact := record.the(kind))]
