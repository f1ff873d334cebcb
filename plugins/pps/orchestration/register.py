"""What our part of the api-server asks and writes in Airflow's own tables, for starts, answers and notes of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from pps.activities.ports.operations import Night
from pps.activities.ports.record import Facts
from pps.domain.base.errors import ServiceError
from pps.domain.record.rollouts import line_of
from pps.workflow.answers import Place
from pps.workflow.paths import NIGHT


@dataclass(frozen=True, slots=True)
class FactsRegister:
    """`pps.web.start_check.Register`."""

    facts: Facts

    def open_rollout(self, path: str, patch: int) -> str | None:
        """Name of the rollout that is open for this patch in the path's line, or None."""
        opened = self.facts.rollouts(open_only=True, patch=patch)
        return next((r.name for r in opened if line_of(r.path) == line_of(path)), None)

    def next_run(self, dag: str, path: str, patch: int) -> str:
        """The rollout's next name; `<name>.2`, `<name>.3`, ... after runs that ended before they opened it.

        A patch that was refused opens no rollout, and may be started again once it has been corrected.
        """
        name = self.facts.next_name(path, patch)
        ended = _ended_runs(dag, name)
        return f"{name}.{ended + 1}" if ended else name


def _ended_runs(dag: str, name: str) -> int:
    this_name = or_(DagRun.run_id == name, DagRun.run_id.startswith(f"{name}.", autoescape=True))
    has_ended = DagRun.state.in_([DagRunState.SUCCESS, DagRunState.FAILED])
    with create_session() as session:
        return session.scalar(select(func.count()).where(DagRun.dag_id == dag, this_name, has_ended)) or 0


@dataclass(frozen=True, slots=True)
class AskedTask:
    """`pps.web.answer_check.Asked`."""

    state: str
    answered: bool
    fields: Mapping[str, Mapping[str, Any]]
    options: tuple[str, ...]
    assigned_to: tuple[str, ...]


def asked(place: Place, session: Session, *, hold: bool) -> AskedTask | None:
    """A human task as Airflow knows it now; None where there is none.

    Args:
        hold: it stays so until the session ends: a worker that parks the task in this instant waits for us, or we for
            it.
    """
    this_task = (
        TaskInstance.dag_id == place.dag,
        TaskInstance.run_id == place.run,
        TaskInstance.task_id == place.task,
        TaskInstance.map_index == place.map_index,
    )
    detail = (HITLDetail.responded_at, HITLDetail.params, HITLDetail.options, HITLDetail.assignees)
    query = select(TaskInstance.state, *detail).join(HITLDetail, HITLDetail.ti_id == TaskInstance.id).where(*this_task)
    row = session.execute(query.with_for_update(of=TaskInstance) if hold else query).first()
    if row is None:
        return None
    state, responded_at, params, options, assignees = row
    fields = {key: dict(spec.get("schema") or {}) for key, spec in (params or {}).items()}
    assigned_to = tuple(str(user["id"]) for user in assignees or ())
    return AskedTask(str(state or ""), responded_at is not None, fields, tuple(options), assigned_to)


def keep_note(dag: str, run: str, changed: Callable[[str | None], str]) -> bool:
    """Change the note of a run; False where Airflow has no such run.

    Args:
        changed: gets the note as it is, and returns what it becomes. The note is locked meanwhile, so that of two at
            once the second sees what the first has written.
    """
    try:
        return _keep_note(dag, run, changed)
    except IntegrityError:  # the first note of a run, written by two at once
        return _keep_note(dag, run, changed)


def _keep_note(dag: str, run: str, changed: Callable[[str | None], str]) -> bool:
    with create_session() as session:
        number = session.scalar(select(DagRun.id).where(DagRun.dag_id == dag, DagRun.run_id == run))
        if number is None:
            return False
        note = session.scalar(select(DagRunNote).where(DagRunNote.dag_run_id == number).with_for_update())
        content = changed(note.content if note else None)
        if note is None:
            note = DagRunNote(content)  # type: ignore[no-untyped-call]
            note.dag_run_id = number
            session.add(note)
        elif note.content != content:  # who wrote it stays its author
            note.content = content
        return True


def last_night() -> Night | None:
    """The nightly distribution that ended last; None: none has yet."""
    ended = (DagRun.state.in_([DagRunState.SUCCESS, DagRunState.FAILED]), DagRun.end_date.is_not(None))
    query = select(DagRun.end_date, DagRun.state).where(DagRun.dag_id == NIGHT, *ended)
    try:
        with create_session() as session:
            row = session.execute(query.order_by(DagRun.end_date.desc()).limit(1)).first()
    except SQLAlchemyError as error:
        raise ServiceError("Airflow's database", f"{type(error).__name__}.", "Check it, then try again.") from error
    return Night(row.end_date, row.state == DagRunState.FAILED) if row else None
