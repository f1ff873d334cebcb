"""The people of a demo: each signs in to Airflow as itself, and answers what it is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pps.adapters.services.airflow_rest import AirflowClient, AirflowQuestion
from pps.domain.base.errors import RefusedError
from pps.sandbox.airflow.installation import Installation

_ASK_EVERY_S = 1.0


class People:
    """Whoever has an account, by user name."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._clients: dict[str, AirflowClient] = {}
        self._open: dict[tuple[str, str], tuple[float, list[AirflowQuestion]]] = {}

    def client(self, user: str) -> AirflowClient:
        """Airflow as this user, who signs in once."""
        if user not in self._clients:
            self._clients[user] = self._installation.client(user)
        return self._clients[user]

    def question(self, dag: str, run: str, about: str) -> AirflowQuestion | None:
        """The open question whose headline begins with, or ends in brackets with, a site, role or scenario."""
        known = self.questions(dag, run)
        fitting = (q for q in known if q.subject.startswith(f"{about}:") or f"({about})" in q.subject)
        return next(fitting, None)

    def questions(self, dag: str, run: str) -> list[AirflowQuestion]:
        """All open questions of a run; asked for anew at most once a second."""
        asked_at, known = self._open.get((dag, run), (0.0, []))
        if time.monotonic() - asked_at > _ASK_EVERY_S:
            known = self.client("release-manager").questions(dag, run)
            self._open[dag, run] = (time.monotonic(), known)
        return known

    def answer(self, user: str, question: AirflowQuestion, choice: str, form: Mapping[str, Any]) -> None:
        """Answer as this user; `RefusedError` if it is not theirs to answer, or not to be taken."""
        self.client(user).answer(question, [choice], form)
        self._open.clear()

    def refusal(self, user: str, question: AirflowQuestion, choice: str, form: Mapping[str, Any]) -> str:
        """Try to answer as nobody may, or not so; why that is refused, "" if it is not."""
        try:
            self.answer(user, question, choice, form)
        except RefusedError as error:
            return " ".join(error.reasons)
        return ""
