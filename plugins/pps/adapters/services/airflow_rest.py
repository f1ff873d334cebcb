"""Airflow's REST API, as much of it as a rollout needs: start, watch, answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests

from pps.adapters.http_session import arranged, why_no_answer
from pps.domain.base.errors import AlreadyOpenError, RefusedError, ServiceError

_PAGE = 100  # Airflow's own most
_ATTEMPTS = 3
_NEXT = {401: "Check user and password.", 403: "Sign in as a user whose role may do this."}


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task instance of a run."""

    task: str
    map_index: int
    state: str | None
    try_number: int


@dataclass(frozen=True, slots=True)
class AirflowQuestion:
    """A human task: what it asks, and who may answer."""

    dag: str
    run: str
    task: str
    map_index: int
    subject: str
    options: tuple[str, ...]
    body: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    assigned_to: tuple[str, ...] = ()
    """ids of users or `role:<Name>`; empty: whoever may answer at all"""


class AirflowClient:
    """Talks to one Airflow as one user. Signs in when first needed, and again when the token has run out.

    Every method raises `ServiceError` when Airflow does not answer or fails, `AlreadyOpenError` for a
    409, and `RefusedError` with Airflow's own reasons for any other 4xx.
    """

    def __init__(self, url: str, user: str, password: str, timeout_s: float = 30.0, *, token: str = "") -> None:
        """Sign in with a password, or with a token that Airflow has given before, for as long as that is good."""
        self.url = url.rstrip("/")
        self.user = user
        self._password = password
        self._timeout_s = timeout_s
        self._session = arranged(requests.Session(), self.url)
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def token(self) -> str:
        """What Airflow has given whoever has signed in; signs in if need be."""
        if "Authorization" not in self._session.headers:
            self._sign_in()
        return str(self._session.headers["Authorization"]).removeprefix("Bearer ")

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> str:
        """Start a run with this configuration; return its id, which Airflow (or our start check) chooses."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self._call("POST", f"dags/{_q(dag)}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag: str, run: str) -> str:
        """`queued`, `running`, `success` or `failed`."""
        return str(self._call("GET", f"dags/{_q(dag)}/dagRuns/{_q(run)}")["state"])

    def tasks(self, dag: str, run: str) -> list[TaskState]:
        """Every task instance of a run."""
        found = self._pages(f"dags/{_q(dag)}/dagRuns/{_q(run)}/taskInstances", "task_instances")
        return [TaskState(t["task_id"], t["map_index"], t["state"], t["try_number"]) for t in found]

    def questions(self, dag: str = "~", run: str = "~") -> list[AirflowQuestion]:
        """Human tasks that wait for an answer; of one DAG or run, or (`~`) of all."""
        found = self._pages(
            f"dags/{_q(dag)}/dagRuns/{_q(run)}/hitlDetails",
            "hitl_details",
            {"response_received": "false", "state": "awaiting_input"},
        )
        return [_question(detail) for detail in found]

    def answer(
        self, question: AirflowQuestion, options: Sequence[str], params: Mapping[str, Any] | None = None
    ) -> datetime:
        """Answer a human task; returns when Airflow has stored it.

        Args:
            params: all of the question's, or none, else Airflow fails the task later.
        """
        if params and set(params) != set(question.params):
            raise RefusedError(
                f"the answer to {question.task}",
                (f"It must give all of {', '.join(sorted(question.params)) or 'no params'}, or none.",),
            )
        where = f"dags/{_q(question.dag)}/dagRuns/{_q(question.run)}/taskInstances/{_q(question.task)}"
        body = {"chosen_options": list(options), "params_input": dict(params or {})}
        stored = self._call("PATCH", f"{where}/{question.map_index}/hitlDetails", json=body)
        return datetime.fromisoformat(stored["responded_at"])

    def dags(self) -> dict[str, bool]:
        """Every DAG that this user sees -> whether it is paused."""
        return {d["dag_id"]: d["is_paused"] for d in self._pages("dags", "dags")}

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Any other call, signed in; the answer as it is, or that of the third attempt if there was need to repeat."""
        for attempt in range(_ATTEMPTS):
            if "Authorization" not in self._session.headers:
                self._sign_in()
            answer = self._send(method, f"{self.url}/{path.lstrip('/')}", **arguments)
            if answer.status_code == 401 and attempt == 0:
                del self._session.headers["Authorization"]  # the token has run out (24 h)
            elif not _was_undone(answer):
                break
        return answer

    def _sign_in(self) -> None:
        if not self._password:
            raise ServiceError("Airflow", f"knows the sign-in of {self.user} no more.", "Sign in again: pps login")
        body = {"username": self.user, "password": self._password}
        answer = self._send("POST", f"{self.url}/auth/token", json=body)
        token = _checked(answer, f"signing in as {self.user}").get("access_token")
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _send(self, method: str, url: str, **arguments: Any) -> requests.Response:
        try:
            return self._session.request(method, url, timeout=self._timeout_s, allow_redirects=False, **arguments)
        except OSError as error:  # requests' own are, and that of a missing file of certificates
            why, step = why_no_answer(error, "Check the address, and that its api-server runs.")
            raise ServiceError(f"Airflow at {self.url}", why, step) from error

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        return _checked(self.request(method, f"api/v2/{path}", **arguments), f"{method} {path}")

    def _pages(self, path: str, key: str, params: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", path, params={**(params or {}), "limit": _PAGE, "offset": offset})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= (page.get("total_entries") or 0):
                return


def _q(part: str) -> str:
    return quote(part, safe="~")


def _question(detail: Mapping[str, Any]) -> AirflowQuestion:
    task = detail["task_instance"]
    return AirflowQuestion(
        dag=task["dag_id"],
        run=task["dag_run_id"],
        task=task["task_id"],
        map_index=task["map_index"],
        subject=detail["subject"],
        options=tuple(detail["options"]),
        body=detail.get("body") or "",
        params=detail.get("params") or {},
        assigned_to=tuple(user["id"] for user in detail.get("assigned_users") or ()),
    )


def _was_undone(answer: requests.Response) -> bool:
    """Whether Airflow's database refused a transaction, and the call has changed nothing.

    api-server and scheduler lock a run and its tasks in different order: of 125 runs that were ended within a
    second of their start, 12 met a deadlock, which PostgreSQL ends at the cost of one of the two. The scheduler
    repeats what it lost; the api-server answers 500.
    """
    return answer.status_code == 500 and _reasons(answer)[0].startswith("Database error")


def _checked(answer: requests.Response, subject: str) -> dict[str, Any]:
    if answer.ok:
        try:
            return dict(answer.json()) if answer.content else {}
        except (ValueError, TypeError) as error:
            why = f"its answer to {subject} is not JSON."
            raise ServiceError("Airflow", why, "Is the address Airflow's?") from error
    reasons = _reasons(answer)
    if answer.status_code == 409:
        raise AlreadyOpenError(f"Airflow refuses {subject}", " ".join(reasons))
    if 400 <= answer.status_code < 500:
        ended = tuple(r if r.endswith(".") else f"{r}." for r in reasons)
        raise RefusedError(f"Airflow refuses {subject}", ended, _NEXT.get(answer.status_code, ""))
    raise ServiceError(
        "Airflow",
        f"answers {subject} with HTTP {answer.status_code}. {' '.join(reasons)}",
        "Look at the api-server's log.",
    )


def _reasons(answer: requests.Response) -> tuple[str, ...]:
    """Airflow's reasons: `detail` is a sentence, or FastAPI's list of places and messages."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return (f"HTTP {answer.status_code} {answer.reason}.",)
    if isinstance(detail, list):
        places = (".".join(map(str, d.get("loc", ())[1:])) for d in detail)
        return tuple(f"{place}: {d.get('msg', d)}" for place, d in zip(places, detail, strict=True))
    if isinstance(detail, dict) and isinstance(detail.get("reason"), str):
        return (f"{detail['reason']}: {detail.get('message') or detail.get('statement') or ''}".strip(),)
    return (str(detail),)
