"""Looks at every answer to a human task before Airflow stores it (`PATCH .../hitlDetails`).

Airflow 3.3 stores an answer whose form breaks its schema, answers 200, and fails the task later: the answer is
burnt. It also stores one that comes when the task is not waiting (any more, or in the instant in which it
parks), which then never resumes it. Here such an answer is refused with its reasons, and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from jsonschema import Draft202012Validator

from pps.web.airflow_routes import FORMATS, Handler, refusal, sentence

ANSWER = ("PATCH", "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails")


class Asked(Protocol):
    """A human task, as Airflow knows it now."""

    @property
    def state(self) -> str:
        """Of the task instance; `awaiting_input` while it can be answered."""

    @property
    def answered(self) -> bool:
        """Tell whether Airflow has an answer already."""

    @property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The form: field -> JSON schema."""


#: By DAG, run, task and map index, in a session with Airflow's database.
Look = Callable[[str, str, str, int, Any], Asked | None]


class AnswerCheck:
    """In place of Airflow's handler.

    Args:
        look: finds a human task, and holds it as it is until the answer is stored.
    """

    def __init__(self, look: Look) -> None:
        self._look = look

    def __call__(self, handler: Handler, given: dict[str, Any]) -> Any:
        """Check an answer as Airflow has parsed it, and pass it on."""
        asked = self._look(given["dag_id"], given["dag_run_id"], given["task_id"], given["map_index"], given["session"])
        if asked is not None:  # else Airflow's own 404
            _check(asked, given["update_hitl_detail_payload"].params_input)
        return handler(**given)


def _check(asked: Asked, form: Mapping[str, Any]) -> None:
    if asked.answered:
        return  # Airflow's own 409
    if asked.state in ("scheduled", "queued", "running", "up_for_retry", "restarting"):
        raise refusal(409, "The question is just being put. Nothing was stored; send the answer again in a moment.")
    if asked.state not in ("awaiting_input", "deferred"):
        raise refusal(409, f"The question is closed ({asked.state}): the time is over, or the rollout has ended.")
    if not form:
        return  # an option alone; the step itself says whether that will do
    schema = {
        "type": "object",
        "properties": asked.fields,
        "required": sorted(asked.fields),
        "additionalProperties": False,
    }
    validator = Draft202012Validator(schema, format_checker=FORMATS)
    errors = sorted(validator.iter_errors(dict(form)), key=lambda e: list(map(str, e.absolute_path)))
    if errors:
        raise refusal(422, " ".join(sentence(error, "params_input") for error in errors[:10]))
