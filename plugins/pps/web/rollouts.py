"""A rollout as those who work on it see it: what was done, what failed and why, whom it waits for.

The same page is a tab of Airflow's own pages: of a run, and of each of its tasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.background import BackgroundTask

from pps.activities.clients.overview import as_it_was, overview, version_before
from pps.activities.clients.standing import told
from pps.activities.packages.tracker_states import what_tracker_says
from pps.activities.sites.wishes import all_wishes
from pps.domain.base.errors import RolloutError
from pps.domain.people.embargo import advice_in
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, PREVIEWS, Rollout
from pps.services import Services
from pps.web import controls, pilots
from pps.web.airflow_calls import Airflow
from pps.web.closed import masked
from pps.web.doors import WebDoor
from pps.web.forms import Person, sent_form, status_and_reason
from pps.web.live import moment_of
from pps.web.past import stops
from pps.web.public import rollout_or_404
from pps.web.shell import page
from pps.web.tasks import page_of
from pps.workflow.desk import FrontDesk
from pps.workflow.paths import STARTS

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
        *,
        at: str = "",
        typed: Mapping[str, str] | None = None,
        why: str = "",
        started: str = "",
    ) -> HTMLResponse:
        """As it is now, or was at a moment; after a refusal with the reason, and with what was typed."""
        s, now = self.services(), self.now()
        past, moments = moment_of(at, now), stops(f.at for f in record.facts)
        may = () if past else controls.offered(record, s.config.sites, all_wishes(s.facts, now), person)
        if past and not (record := as_it_was(record, past)).facts:
            raise HTTPException(
                404, f"at: there was no such rollout yet at {at[:40]!r}; its first moment: {moments[0]}."
            )
        if record.path in PILOTS:
            return pilots.shown(s, record, place, person, pilots.Moment(now, past, moments), why=why)
        before = version_before(s.facts, record) if record.path in PREVIEWS else None
        shown = overview(record, past or now, s.config.policies.distribution.to_domain(), before)
        questions = [{**q, "page": page_of(q["link"])} for q in shown["questions"]]
        begun = _STARTED.match(started)
        out, dossier = record.the(FactKind.RELEASED_TO_PRODUCTION), s.facts.dossier(record.patch_number)
        dossier = as_it_was(dossier, past) if past else dossier
        about = {
            **masked({**shown, "questions": questions}),
            "may": may,
            "cves": (advice := advice_in(dossier.facts)).shown(),
            "embargo_until": advice.embargo_until if advice.is_secret(now) else None,
            "tracker_says": what_tracker_says(out, dossier) if out else "",
            "started": begun.groups() if begun else ("", ""),
            "typed": (typed or {}).get("reason", ""),
            "typed_until": (typed or {}).get("until", ""),
            "why": why,
            "past": past,
            "moments": moments,
            "read_at": now,
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
    def rollout(name: str, started: str = "", at: str = "", user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """One rollout, now or at a moment; `started`: the run of Airflow that a button has begun."""
        record = rollout_or_404(services().facts, name)
        return shown.shown(record, f"rollouts/{name}", Person.of(user), at=at, started=started)

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
            answer = await run_in_threadpool(
                partial(shown.shown, typed=typed, why=why), record, f"rollouts/{name}", person
            )
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

    @api.post("/api/v1/rollouts/{name}/feedback-date")
    async def extend_by_program(name: str, request: Request, user: Any = Depends(current_user)) -> JSONResponse:  # noqa: B008
        """Ask VOs for longer, for programs: `{"until": "2026-03-31T12:00:00+00:00", "reason": "..."}`."""

        def work(d: FrontDesk, body: controls.ExtendBody, who: str, mine: frozenset[str]) -> Fact:
            return controls.extend_at(d, body.until, body.reason, who, mine)

        def said(fact: Fact) -> Mapping[str, Any]:
            return {key: fact.payload.get(key) for key in ("due", "was", "reason")}

        return await door.answered(request, controls.ExtendBody, name, user, work, said)

    @api.get("/runs/{dag}/{run}")
    def run_tab(dag: str, run: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """The rollout that a run has opened, or a sentence that it is none."""
        return shown.of_run(dag, run, f"runs/{dag}/{run}", Person.of(user))

    @api.get("/runs/{dag}/{run}/{task}/{map_index}")
    def task_tab(dag: str, run: str, task: str, map_index: str, user: Any = Depends(current_user)) -> HTMLResponse:  # noqa: B008
        """The same, for a task of the run."""
        return shown.of_run(dag, run, f"runs/{dag}/{run}/{task}/{map_index}", Person.of(user))

    return api
