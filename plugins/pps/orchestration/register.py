"""What the start check asks: the record of facts, and Airflow's own table of runs (api-server only)."""

from __future__ import annotations

from dataclasses import dataclass

from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import func, or_, select

from pps.activities.ports import Facts


@dataclass(frozen=True, slots=True)
class FactsRegister:
    """`pps.web.start_check.Register`."""

    facts: Facts

    def open_rollout(self, patch: int) -> str | None:
        """Name of the rollout that is open for this patch, or None."""
        return next((r.name for r in self.facts.rollouts(open_only=True) if r.patch == patch), None)

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
