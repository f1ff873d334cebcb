"""Asks the api-server to bring the note of this run up to date (`activities.clients.run_note`); fails nothing."""

from __future__ import annotations

import logging

import requests
from airflow.sdk import get_current_context
from airflow.sdk.configuration import conf

from pps.activities.clients.run_note import DOOR, NoteAsked
from pps.adapters.http_session import arranged
from pps.domain.base.errors import RolloutError
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout
from pps.services import Services

log = logging.getLogger(__name__)

_WITHIN_S = 10.0
_EXECUTION = "/execution"


def tell_of(record: Rollout, services: Services) -> None:
    """Bring the line of a preview in the note of the current run up to date. Outside of tasks nothing is done.

    A note is for people who look; that it could not be written is logged, and no step fails for it.
    """
    if not record.has(FactKind.ROLLOUT_OPENED) or record.path not in PREVIEWS:
        return
    try:
        run = get_current_context()["dag_run"]
    except RuntimeError:
        return
    _ask(NoteAsked(run.dag_id, run.run_id, record.name), services)


def tell_opener(record: Rollout, services: Services) -> None:
    """The same in the note of the run that has opened the rollout: for what happens while none of it runs."""
    dag, _, run = str(record.opened.get("run", "")).partition("/")
    if record.path in PREVIEWS and run:
        _ask(NoteAsked(dag, run, record.name), services)


def _ask(note: NoteAsked, services: Services) -> None:
    try:
        asked = note.signed(services.feedback_secret)
        with requests.Session() as session:
            arranged(session, door := _door(services), proxies=False)  # every task reaches it directly
            answer = session.post(door, data=asked, timeout=_WITHIN_S, allow_redirects=False)
        if answer.status_code != 204:
            log.warning("The note of this run was not written: HTTP %s %s", answer.status_code, answer.text[:200])
    except (OSError, RolloutError) as error:
        log.warning("The note of this run was not written: %s", error)


def _door(services: Services) -> str:
    """Beside the execution API, which every task reaches; else where people reach Airflow."""
    execution = conf.get("core", "execution_api_server_url", fallback="") or ""
    base = execution.rstrip("/")
    if not base.endswith(_EXECUTION):
        return f"{services.config.service.public_url.rstrip('/')}/pps{DOOR}"
    return f"{base.removesuffix(_EXECUTION)}/pps{DOOR}"
