"""A rollout as those who work on it see it: what was done, what failed and why, whom it waits for.

The same page is a tab of Airflow's own pages: of a run, and of each of its tasks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.background import BackgroundTask

from pps.activities.clients.bulletin import SHOWN_STATES, stage
from pps.activities.clients.bulletin_pages import as_row_order
from pps.activities.clients.standing import tag_of, told
from pps.domain.base.errors import RolloutError
from pps.domain.clients.control import pause_of
from pps.domain.people import questions
from pps.domain.people.feedback import feedback_due, summary
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PREVIEWS, STATE_KINDS, Rollout
from pps.services import Services
from pps.web import controls
from pps.web.airflow_calls import Airflow
from pps.web.closed import masked
from pps.web.doors import WebDoor
from pps.web.forms import Person, sent_form, status_and_reason
from pps.web.public import rollout_or_404
from pps.web.shell import page
from pps.workflow.desk import FrontDesk
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
_STARTED = re.compile(r"^([a-z_]{1,60})/([A-Za-z0-9_.:+~-]{1,120})$")


@dataclass(frozen=True)
class _Page:
    """The page of a rollout, with what somebody may do with it."""

    services: Callable[[], Services]
    now: Callable[[], datetime]

    def shown(
        self,
        record: Rollout,
        place: str,
        person: Person,
        typed: Mapping[str, str] | None = None,
        why: str = "",
        started: str = "",
    ) -> HTMLResponse:
        """As it is now; after a refusal with the reason, and with what was typed."""
        s = self.services()
        about = {**view(record, self.now()), "may": controls.offered(record, s.config.sites, person)}
        begun = _STARTED.match(started)
        about = {
            **masked(about),
            "started": begun.groups() if begun else ("", ""),
            "typed": (typed or {}).get("reason", ""),
            "why": why,
        }
        return page(s.templates, "rollout.html", about, place)

    def of_run(self, dag: str, run: str, place: str, person: Person) -> HTMLResponse:
        """The rollout that a run has opened, or a sentence that it is none."""
        s = self.services()
        opened = s.facts.with_payload(FactKind.ROLLOUT_OPENED, "run", [f"{dag}/{run}"])
        if opened:
            return self.shown(s.facts.rollout(opened[-1].rollout), place, person)
        about = {"dag": dag, "run": run, "path": STARTS[dag].path if dag in STARTS else None, "ours": dag in STARTS}
        return page(s.templates, "no_rollout.html", about, place)


def router(
    services: Callable[[], Services], current_user: Callable[..., Any], now: Callable[[], datetime], airflow: Airflow
) -> APIRouter:
    """Routes for Airflow users; `create_app` puts the question for the user in front of each."""
    api, shown, door = APIRouter(), _Page(services, now), WebDoor(services, now)

    @api.get("/rollouts/{name}")
    def rollout(name: str, started: str = "", user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """One rollout; `started`: the run of Airflow that a button has begun."""
        record = rollout_or_404(services().facts, name)
        return shown.shown(record, f"rollouts/{name}", Person.of(user), started=started)

    @api.post("/rollouts/{name}")
    async def act(name: str, request: Request, user: Any = Depends(current_user)) -> Response:  # noqa: B008
        """Pause it, let it go on, stop it, take it back, or try its failed sites again; with a reason."""
        person, typed = Person.of(user), dict[str, str]()
        try:
            typed = await sent_form(request, services())
            said = await controls.done(services(), airflow, request, name, typed, person, now())
        except (HTTPException, RolloutError) as error:
            record = await run_in_threadpool(rollout_or_404, services().facts, name)
            status, why = status_and_reason(error)
            answer = await run_in_threadpool(shown.shown, record, f"rollouts/{name}", person, typed, why)
            answer.status_code = status
            return answer
        to = request.scope.get("root_path", "") + f"/rollouts/{name}{said}"
        return RedirectResponse(to, 303, background=BackgroundTask(door.send))

    @api.post("/api/v1/rollouts/{name}/control")
    async def act_by_program(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Pause it, let it go on, or stop it, for programs: `{"what": "pause", "reason": "..."}`."""

        def work(d: FrontDesk, body: controls.ControlBody, who: str, mine: frozenset[str]) -> Fact:
            return controls.control_at(d, body.what, body.reason, who, mine)

        def said(fact: Fact) -> Mapping[str, Any]:
            return {"what": fact.kind.value, "reason": told(fact)}

        return await door.answered(request, controls.ControlBody, name, user, work, said)

    @api.get("/runs/{dag}/{run}")
    def run_tab(dag: str, run: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """The rollout that a run has opened, or a sentence that it is none."""
        return shown.of_run(dag, run, f"runs/{dag}/{run}", Person.of(user))

    @api.get("/runs/{dag}/{run}/{task}/{map_index}")
    def task_tab(dag: str, run: str, task: str, map_index: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """The same, for a task of the run."""
        return shown.of_run(dag, run, f"runs/{dag}/{run}/{task}/{map_index}", Person.of(user))

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
        "paused": pause_of(record),
        "counts": {s.value: counts[s.value] for s in SHOWN_STATES if counts[s.value]},
        "states": tuple(s.value for s in SHOWN_STATES),
        "sites": [
            {"site": p.site, "state": p.state.value, "since": p.fact.at if p.fact else None, "reason": p.reason}
            for p in progress
        ],
        "run": opened.get("run", ""),
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
