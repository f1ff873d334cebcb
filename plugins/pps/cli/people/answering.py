"""Answers a question as Airflow's form does, and waits for what becomes of the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.cli import output
from pps.cli.front import Front
from pps.domain.base.errors import RefusedError, ServiceError
from pps.workflow.answers import Place, Standing, Verdict

Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until the answer is taken, or not, for two minutes at most.")
]

_EVERY_S = 1.0
#: An answer that Airflow has stored is judged within seconds; the set-up of a pilot when its service has been probed.
WAIT_S = 120.0


def answer(here: Front, question: AirflowQuestion, option: str, form: Mapping[str, Any]) -> datetime | Verdict:
    """Send it: when Airflow has stored it, or the verdict that it is not taken, and why.

    Raises:
        RefusedError: the question is put to somebody else.
    """
    try:
        return here.airflow.answer(question, [option], form)
    except RefusedError as error:
        if "not a respondent" not in str(error):
            return Verdict(Standing.NOT_TAKEN, error.reasons)
        whose = ", ".join(question.assigned_to)
        step = "Sign in as one of those: PPS_AIRFLOW_USER and PPS_AIRFLOW_PASSWORD."
        raise RefusedError(question.subject, (f"It is not put to you, but to {whose}.",), step) from error


def judged(here: Front, question: AirflowQuestion, at: datetime, wait_s: float = WAIT_S) -> Verdict:
    """Wait for the verdict on an answer that is stored; `NOT_JUDGED` if there is none in time."""
    with output.console(stderr=True).status("The answer is stored. Waiting until it is taken ..."):
        for _ in range(math.ceil(wait_s / _EVERY_S)):
            verdict = _verdict(here, question, at)
            if verdict.standing is not Standing.NOT_JUDGED:
                return verdict
            here.pause(_EVERY_S)
    return Verdict(Standing.NOT_JUDGED)


def outcome(here: Front, question: AirflowQuestion, option: str, form: Mapping[str, Any], *, wait: bool) -> Verdict:
    """Send it and, where it is stored and `wait`, wait for the verdict.

    Raises:
        RefusedError: the question is put to somebody else.
    """
    sent = answer(here, question, option, form)
    if isinstance(sent, Verdict):
        return sent
    return judged(here, question, sent) if wait else Verdict(Standing.NOT_JUDGED)


def word(verdict: Verdict) -> str:
    """What became of an answer that was not refused."""
    match verdict.standing:
        case Standing.TAKEN:
            return "The answer was taken."
        case Standing.WITHOUT_EFFECT:
            return "It is kept and decides nothing: it came after the time, or after another one."
        case Standing.SET_ASIDE:
            return f"It is kept, and taken as soon as that is possible: {' '.join(verdict.reasons)}"
        case _:
            return "It is stored, and not judged yet. If it is not taken, the question waits again: pps tasks list"


def _verdict(here: Front, question: AirflowQuestion, at: datetime) -> Verdict:
    where = {"dag": question.dag, "run": question.run, "task": question.task, "map_index": str(question.map_index)}
    try:
        said = here.get("verdict", {**where, "at": at.isoformat()}, about="the verdict")
    except ServiceError:  # the answer is stored; an api-server that is away for a moment changes nothing
        return Verdict(Standing.NOT_JUDGED)
    return Verdict(Standing(said["standing"]), tuple(said["reasons"]))


def place_of(question: AirflowQuestion) -> Place:
    """Where it waits in Airflow."""
    return Place(question.dag, question.run, question.task, question.map_index)


def on_record(here: Front, waiting: Sequence[AirflowQuestion]) -> dict[Place, dict[str, Any]]:
    """What the record says of questions that wait in Airflow: until when, and whether they are put to this user."""
    known = here.get("questions", {}, about="the questions")["questions"]
    return {place: said for place in map(place_of, waiting) for said in known if place.is_in(said["link"])}
