"""What Airflow alone would know goes on record: a task has failed for good; and that it was tried again."""

from __future__ import annotations

import logging

from airflow.sdk import Context, get_current_context

from pps.domain.base.errors import RolloutError
from pps.domain.base.names import checked_name
from pps.domain.base.texts import as_sentence, one_line
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.halts import failures
from pps.domain.record.rollouts import Rollout
from pps.workflow.desk import FrontDesk, FrontOffice
from pps.workflow.paths import WITHDRAW

log = logging.getLogger(__name__)

_LONGEST = 1000
_KILLED = "It was killed, or has not reported back."


def note_failure(context: Context) -> None:
    """For `on_failure_callback`: put on record why the rollout of this run does not go on. It fails nothing itself."""
    from pps.orchestration import runtime  # which opens desks, and so notes that a task goes on

    run, task, of_this = _here(context)
    try:
        with runtime.services() as services:
            office = FrontOffice.of(services, runtime.now, f"airflow:{context['dag_run'].dag_id}")
            if name := _rollout_of(office, run, context):
                desk = office.desk(name)
                payload = {"task": task, "reason": _why(context)}
                desk.record(desk.fact(FactKind.TASK_FAILED, run, f"{of_this}/{context['ti'].try_number}", payload))
    except RolloutError as error:
        log.warning("That %s has failed could not be put on record: %s", task, error)


def note_going_on(d: FrontDesk) -> None:
    """Put on record that a task which had failed is tried again; called by whoever opens a desk within one."""
    try:
        context = get_current_context()
    except RuntimeError:
        return
    run, _, of_this = _here(context)
    ended = [f for f in failures(d.rollout) if (f.subject, f.occasion.rpartition("/")[0]) == (run, of_this)]
    d.record(*(_went_on(d, fact) for fact in ended))


def _went_on(d: FrontDesk, failed: Fact) -> Fact:
    return d.fact(FactKind.TASK_WENT_ON, failed.subject, failed.occasion, {"task": failed.payload["task"]})


def _here(context: Context) -> tuple[str, str, str]:
    """The run, the task as people know it, and what tells its failures from those of its siblings."""
    run, ti = context["dag_run"], context["ti"]
    at = "" if ti.map_index in (None, -1) else f"[{ti.map_index}]"
    return f"{run.dag_id}/{run.run_id}", ti.task_id, f"{ti.task_id}{at}"


def _rollout_of(office: FrontOffice, run: str, context: Context) -> str:
    """The rollout that a run has opened, or withdraws. A night or another try is for many, and comes again."""
    if opened := office.facts.with_payload(FactKind.ROLLOUT_OPENED, "run", [run]):
        return opened[-1].rollout
    if context["dag_run"].dag_id != WITHDRAW:
        return ""
    name = checked_name(str((context.get("params") or {}).get("rollout", "")), "rollout")
    known: Rollout = office.facts.rollout(name)
    return name if known.has(FactKind.ROLLOUT_OPENED) else ""


def _why(context: Context) -> str:
    error = context.get("exception")
    if error is None:
        return _KILLED
    if isinstance(error, RolloutError | str):
        return as_sentence(one_line(str(error), _LONGEST))
    return as_sentence(one_line(f"{type(error).__name__}: {error}", _LONGEST))
