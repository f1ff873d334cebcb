"""Shows a question that waits again after an answer was not taken: with the reasons, and with what was typed.

Airflow 3.3 keeps the text and the fields of a human task as they were put first, also when the task puts its question
again. So what it reads of a question that waits passes here, and gets what the record of facts says of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from pps.domain.base.errors import RolloutError
from pps.web.airflow_routes import Check, Handler
from pps.workflow.answers import AskedAgain, Place

log = logging.getLogger(__name__)

_TASK = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails"
ONE = ("GET", _TASK)
#: The page of a task reads it here.
ONE_TRY = ("GET", f"{_TASK}/tries/{{try_number}}")
LIST = ("GET", "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/hitlDetails")

#: What the record says of these places, since the oldest of their questions was put.
Recall = Callable[[datetime, Iterable[Place]], Mapping[Place, AskedAgain]]


def checks(recall: Recall) -> dict[tuple[str, str], Check]:
    """For each of Airflow's routes that read a human task."""

    def one(handler: Handler, given: dict[str, Any]) -> Any:
        found = handler(**given)
        place = Place(given["dag_id"], given["dag_run_id"], given["task_id"], given["map_index"])
        return _shown({place: found}, recall)[0]

    def several(handler: Handler, given: dict[str, Any]) -> Any:
        found = handler(**given)
        details = {_place(detail.task_instance): detail for detail in found.hitl_details}
        # an iterator, as Airflow's model has it
        return found.model_copy(update={"hitl_details": iter(_shown(details, recall))})

    return {ONE: one, ONE_TRY: one, LIST: several}


def _place(task: Any) -> Place:
    return Place(task.dag_id, task.run_id, task.task_id, task.map_index)


def _shown(details: Mapping[Place, Any], recall: Recall) -> list[Any]:
    waiting = {place: detail for place, detail in details.items() if detail.responded_at is None}
    if not waiting:
        return list(details.values())
    try:
        recalled = recall(min(detail.created_at for detail in waiting.values()), waiting)
    except RolloutError as error:
        log.warning("Questions are shown as they were put first: %s", error)
        recalled = {}
    return [_said_anew(detail, recalled[place]) if place in recalled else detail for place, detail in details.items()]


def _said_anew(read: Any, again: AskedAgain) -> Any:
    """A copy; what Airflow has read from its database stays as it is, or it would be written there."""
    params = {
        name: {**spec, "value": again.form[name]} if isinstance(spec, Mapping) and name in again.form else spec
        for name, spec in (read.params or {}).items()
    }
    anew = {"body": f"{again.words}{read.body or ''}", "params": params}
    return read.model_copy(update=anew) if hasattr(read, "model_copy") else _Copy(read, anew)


class _Copy:
    """An object of Airflow's database with other values for some of its attributes."""

    def __init__(self, read: Any, anew: Mapping[str, Any]) -> None:
        self._read, self._anew = read, anew

    def __getattr__(self, name: str) -> Any:
        return self._anew[name] if name in self._anew else getattr(self._read, name)
