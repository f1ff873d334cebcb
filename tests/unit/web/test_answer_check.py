"""The answer check alone, in front of an application that says what reached it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from pps.web.answer_check import AnswerCheck
from pps.web.checked_requests import BODY_BYTES

PATH = "/api/v2/dags/non_bc_client_update/dagRuns/r-1/taskInstances/site.configure/2/hitlDetails"
FIELDS = {
    "settings": {"type": ["null", "string"], "maxLength": 20},
    "count": {"type": "integer", "minimum": 0},
}
WHOLE = {"settings": "X=1", "count": 1}


@dataclass
class World:
    """Airflow behind the check, what it knows of the task, and who calls."""

    state: str = "awaiting_input"
    answered: bool = False
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: FIELDS)
    known: bool = True
    user: bool = True
    looked_at: list[tuple[str, str, str, int]] = field(default_factory=list)
    reached: list[Any] = field(default_factory=list)

    def look(self, dag: str, run: str, task: str, map_index: int) -> World | None:
        self.looked_at.append((dag, run, task, map_index))
        return self if self.known else None

    async def airflow(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"airflow"})

    def call(
        self, body: Any, *, path: str = PATH, method: str = "PATCH", kind: str = "application/json"
    ) -> tuple[int, str]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        async def is_user(scope: Scope) -> bool:
            return self.user

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": "",
            "headers": [(b"content-type", kind.encode())],
        }
        asyncio.run(AnswerCheck(self.airflow, self.look, is_user)(scope, receive, send))
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]).decode()


def an_answer(**form: Any) -> dict[str, Any]:
    return {"chosen_options": ["Configured"], "params_input": form}


def test_a_whole_form_reaches_airflow_as_it_was_sent() -> None:
    world = World()
    assert world.call(an_answer(**WHOLE)) == (200, "airflow")
    assert json.loads(world.reached[0]) == an_answer(**WHOLE)
    assert world.looked_at == [("non_bc_client_update", "r-1", "site.configure", 2)]


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"settings": "X=1"}, "params_input: count is missing."),
        ({**WHOLE, "evil": 1}, "params_input: unknown key evil"),
        ({**WHOLE, "settings": 7}, "params_input.settings: must be null or string."),
        ({**WHOLE, "settings": "x" * 21}, "params_input.settings: breaks the rule maxLength 20."),
        ({**WHOLE, "count": True}, "params_input.count: must be integer."),
        ({**WHOLE, "count": -1}, "params_input.count: breaks the rule minimum 0."),
        ([1], "params_input: must be object."),
    ],
)
def test_a_form_that_airflow_would_store_and_fail_on_is_refused_before_it_is_stored(form: Any, why: str) -> None:
    world = World()
    status, body = world.call({"chosen_options": ["Configured"], "params_input": form})
    assert status == 422
    assert why in json.loads(body)["detail"]
    assert world.reached == []


def test_an_option_alone_is_for_the_step_to_judge() -> None:
    for body in ({"chosen_options": ["Configured"]}, an_answer(), {"chosen_options": ["x"], "params_input": None}):
        assert World().call(body)[0] == 200


@pytest.mark.parametrize("state", ["scheduled", "queued", "running", "up_for_retry"])
def test_an_answer_in_the_instant_in_which_the_task_parks_is_refused_instead_of_lost(state: str) -> None:
    world = World(state=state)
    status, body = world.call(an_answer(**WHOLE))
    assert status == 409
    assert "in a moment" in body
    assert world.reached == []


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "removed", ""])
def test_an_answer_after_the_end_is_refused_and_says_so(state: str) -> None:
    world = World(state=state)
    assert world.call(an_answer(**WHOLE))[0] == 409
    assert world.reached == []


def test_a_second_answer_and_an_unknown_task_get_airflows_own_word() -> None:
    for world in (World(answered=True, state="success"), World(known=False)):
        assert world.call(an_answer(**WHOLE)) == (200, "airflow")


def test_who_is_no_user_and_what_is_no_answer_is_not_looked_at() -> None:
    for world, more in (
        (World(user=False), {}),
        (World(), {"method": "GET"}),
        (World(), {"path": "/api/v2/dags/d/dagRuns/r/hitlDetails"}),
        (World(), {"path": PATH.replace("/2/", "/x/")}),
    ):
        assert world.call(an_answer(evil=1), **more) == (200, "airflow")
        assert world.looked_at == []


def test_a_form_of_another_pages_making_a_huge_one_and_no_json_are_refused() -> None:
    assert World().call(an_answer(**WHOLE), kind="text/plain")[0] == 415
    assert World().call(b"x" * (BODY_BYTES + 1))[0] == 413
    assert World().call(b"{")[0] == 422
    assert World().call(b'{"chosen_options": [], "chosen_options": ["Yes"]}')[0] == 422
