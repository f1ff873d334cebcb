"""What the checks of starts and answers ask: the record of facts, and Airflow's own tables (api-server only)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from pps.activities.ports.record import Facts
from pps.domain.record.rollouts import line_of
from pps.workflow.answers import Place


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

        A patch that was refused opens no rollout, and may be started again once it was corrected.
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
