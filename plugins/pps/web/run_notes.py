"""Where workers ask for the note of a run to be written, which they may not do (`activities.clients.run_note`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from pps.activities.clients.run_note import DOOR, NoteAsked, note_with
from pps.domain.base.errors import ConfigurationError
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.services import Services
from pps.web.guards import read_text

log = logging.getLogger(__name__)

#: Airflow's DAG and run, and what changes the note; tells whether there is such a run.
KeepNote = Callable[[str, str, Callable[[str | None], str]], bool]


def no_runs(dag: str, run: str, changed: Callable[[str | None], str]) -> bool:
    """Where no Airflow is around us."""
    return False


def write_note(services: Services, keep_note: KeepNote, dag: str, run: str, rollout: str) -> bool:
    """Bring the line of a rollout up to date in the note of a run; False where there is no such run."""
    facts, terms = services.facts, services.config.policies.feedback.terms()
    return keep_note(dag, run, lambda note: note_with(note, rollout, facts.rollout, terms))


def noted(services: Services, keep_note: KeepNote, record: Rollout) -> None:
    """The same after a VO has spoken, as no task runs then: in the note of the run that has opened the rollout."""
    dag, _, run = str(record.opened.get("run", "")).partition("/")
    if record.path in PREVIEWS and run:
        write_note(services, keep_note, dag, run, record.name)


def router(services: Callable[[], Services], keep_note: KeepNote) -> tuple[APIRouter, Callable[..., Any]]:
    """The route, and the dependency that lets nobody but our own workers in."""

    async def asked_by_worker(request: Request) -> NoteAsked:
        text = await read_text(request)
        try:
            asked = NoteAsked.read(services().feedback_secret, text)
        except ConfigurationError as error:  # nobody can sign anything without it
            log.warning("A worker cannot be told from anybody else: %s", error)
            asked = None
        if asked is None:
            raise HTTPException(401, "This is for the workers of this installation.")
        return asked

    api = APIRouter()

    @api.post(DOOR, status_code=204)
    async def write(asked: NoteAsked = Depends(asked_by_worker)) -> None:  # noqa: B008
        """Write the line of a rollout into the note of a run, from its facts as they are now."""
        if not await run_in_threadpool(write_note, services(), keep_note, asked.dag, asked.run, asked.rollout):
            raise HTTPException(404, "Airflow has no such run.")

    return api, asked_by_worker
