"""Looks at every answer to a human task before Airflow stores it (`PATCH .../hitlDetails`).

Airflow 3.3 stores an answer whose form breaks its schema, answers 200, and fails the task later: the answer is
burnt. It also stores one that comes when the task is not waiting (any more, or in the instant in which it
parks), which then never resumes it. And it stores what the question's own rule refuses: whoever answered is thanked,
and the same question comes back. Here such an answer is refused with its reasons, and nothing is stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from jsonschema import Draft202012Validator

from pps.domain.base.errors import RolloutError
from pps.domain.people.questions import Given
from pps.domain.people.roles import identities
from pps.web.airflow_routes import FORMATS, Handler, refusal, sentence
from pps.workflow.answers import Place

log = logging.getLogger(__name__)

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

    @property
    def options(self) -> Collection[str]:
        """One of these is the answer."""

    @property
    def assigned_to(self) -> Collection[str]:
        """Who may answer, as `identities` names them; empty: whoever may answer at all."""


class Look(Protocol):
    """Finds a human task in a session with Airflow's database."""

    def __call__(self, place: Place, session: Any, *, hold: bool) -> Asked | None:
        """None where there is none. `hold`: it stays as it is until the session ends."""


#: Says why the question's rule would refuse an answer; asks services that may be slow.
Judge = Callable[[Place, Given], Sequence[str]]


class AnswerCheck:
    """In place of Airflow's handler."""

    def __init__(self, look: Look, judge: Judge, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._look, self._judge, self._now = look, judge, now

    def __call__(self, handler: Handler, given: dict[str, Any]) -> Any:
        """Check an answer as Airflow has parsed it, and pass it on."""
        place = Place(given["dag_id"], given["dag_run_id"], given["task_id"], given["map_index"])
        asked = self._look(place, given["session"], hold=False)
        if asked is not None:  # else Airflow's own 404
            _must_wait(asked)
            _must_fit(asked, given["update_hitl_detail_payload"].params_input)
            self._must_be_taken(place, asked, given["update_hitl_detail_payload"], given["user"])
            # the rule may have asked a slow service, so the task is not held meanwhile: it is looked at again
            if (held := self._look(place, given["session"], hold=True)) is not None:
                _must_wait(held)
        return handler(**given)

    def _must_be_taken(self, place: Place, asked: Asked, answer: Any, user: Any) -> None:
        mine = identities(user.get_id(), user.get_name(), (role.name for role in getattr(user, "roles", ())))
        is_one_of_its_options = len(answer.chosen_options) == 1 and answer.chosen_options[0] in asked.options
        if asked.answered or not is_one_of_its_options or (asked.assigned_to and not mine & set(asked.assigned_to)):
            return  # Airflow's own 409, 400 and 403
        given = Given(answer.chosen_options[0], dict(answer.params_input), user.get_name(), self._now())
        try:
            reasons = self._judge(place, given)
        except RolloutError as error:
            # a service that is down, or misconfigured: the step judges every answer again, and keeps it until it can
            log.warning("%s: an answer goes on without our check: %s", place.page, error)
            return
        if reasons:
            raise refusal(422, " ".join(reasons))


def _must_wait(asked: Asked) -> None:
    if asked.answered:
        return  # Airflow's own 409
    if asked.state in ("scheduled", "queued", "running", "up_for_retry", "restarting"):
        raise refusal(409, "The question is just being put. Nothing was stored; send the answer again in a moment.")
    if asked.state not in ("awaiting_input", "deferred"):
        raise refusal(409, f"The question is closed ({asked.state}): the time is over, or the rollout has ended.")


def _must_fit(asked: Asked, form: Mapping[str, Any]) -> None:
    if not form or asked.answered:
        return  # an option alone; the rule says whether that will do
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
