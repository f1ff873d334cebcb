"""The start check alone, in front of an application that says what reached it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from pps.domain.errors import ConfigurationError, ServiceError
from pps.web.checked_requests import BODY_BYTES
from pps.web.start_check import StartCheck, StartForm

PATH = "/api/v2/dags/bc_client_update/dagRuns"
FORM = StartForm(
    {"patch": {"type": "integer", "minimum": 1}, "until": {"type": ["null", "string"], "default": None}}, "bc"
)


@dataclass
class World:
    """Airflow behind the check, the register, and who calls."""

    status: int = 200
    open: str | None = None
    error: Exception | None = None
    user: bool = True
    reached: list[Any] = field(default_factory=list)

    def open_rollout(self, path: str, patch: int) -> str | None:
        if self.error:
            raise self.error
        return self.open

    def next_run(self, dag: str, path: str, patch: int) -> str:
        return f"{path}-{patch}-1"

    async def airflow(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        headers = dict(scope["headers"])
        assert b"content-length" not in headers or int(headers[b"content-length"]) == len(body)
        self.reached.append(body)
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.body", "body": b"airflow"})

    def call(
        self,
        body: bytes | dict[str, Any],
        *,
        path: str = PATH,
        method: str = "POST",
        kind: str = "application/json",
        root: str = "",
        chunk: int = 1 << 20,
    ) -> tuple[int, str]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        parts = [content[i : i + chunk] for i in range(0, len(content), chunk)] or [b""]
        messages: list[Message] = [{"type": "http.request", "body": p, "more_body": True} for p in parts]
        messages[-1]["more_body"] = False
        sent: list[Message] = []

        async def receive() -> Message:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        async def is_user(scope: Scope) -> bool:
            return self.user

        scope: Scope = {
            "type": "http",
            "method": method,
            "path": root + path,
            "root_path": root,
            "headers": [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())],
        }
        check = StartCheck(self.airflow, lambda: self, is_user, {"bc_client_update": FORM, "nightly": StartForm({})})
        asyncio.run(check(scope, receive, send))
        length = dict(sent[0]["headers"])[b"content-length"]
        text = b"".join(m.get("body", b"") for m in sent[1:])
        assert int(length) == len(text)
        return sent[0]["status"], text.decode()


def test_a_good_start_reaches_airflow_with_the_runs_name() -> None:
    world = World()
    assert world.call({"logical_date": None, "conf": {"patch": 7}}, chunk=5) == (200, "airflow")
    assert json.loads(world.reached[0]) == {"logical_date": None, "conf": {"patch": 7}, "dag_run_id": "bc-7-1"}


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"conf": {"patch": 7, "x" * 100: 1}}, 422, "unknown key"),
        ({"conf": {"patch": 7.5}}, 422, "must be integer"),
        ({"conf": {"patch": "$(reboot)\n"}}, 422, "must be integer"),
        ({"conf": {"until": 3, "patch": 7}}, 422, "must be null or string"),
        ({"conf": {}}, 422, "patch is missing"),
        ({}, 422, "patch is missing"),
        ({"conf": {"patch": 7}, "dag_run_id": "mine"}, 422, "dag_run_id"),
        (b"", 422, "not JSON"),
        (b"[1]", 422, "JSON object"),
        (b"\xff\xfe", 422, "not JSON"),
        (b'{"conf": {"patch": 7}, "conf": {"patch": 8}}', 422, "a key stands twice"),
        (b'{"conf": {"patch": 7, "patch": 8}}', 422, "a key stands twice"),
        (b"[" * 20_000, 422, "not JSON"),
        (b" " * (BODY_BYTES + 1), 413, "larger than"),
    ],
)
def test_what_is_wrong_does_not_reach_airflow_and_the_answer_says_why(body: Any, status: int, why: str) -> None:
    world = World()
    got, text = world.call(body)
    assert (got, world.reached) == (status, [])
    assert why in json.loads(text)["detail"]
    assert len(text) < 400


def test_a_value_that_breaks_a_rule_is_not_repeated_in_the_answer() -> None:
    assert "reboot" not in World().call({"conf": {"patch": "$(reboot)"}})[1]


def test_a_form_post_from_a_foreign_page_is_not_a_start() -> None:
    world = World()
    assert world.call({"conf": {"patch": 7}}, kind="text/plain")[0] == 415
    assert not world.reached


def test_an_open_rollout_is_named() -> None:
    status, text = World(open="bc-7-1").call({"conf": {"patch": 7}})
    assert status == 409
    assert "bc-7-1" in text


def test_airflows_conflict_becomes_our_sentence_and_other_answers_stay() -> None:
    status, text = World(status=409).call({"conf": {"patch": 7}})
    assert status == 409
    assert "The run bc-7-1 exists already" in json.loads(text)["detail"]
    assert World(status=403).call({"conf": {"patch": 7}}) == (403, "airflow")


@pytest.mark.parametrize(
    ("error", "status"),
    [(ServiceError("the store", "is down."), 503), (ConfigurationError("sites.yaml", "is wrong."), 500)],
)
def test_a_register_that_fails_refuses_the_start(error: Exception, status: int) -> None:
    world = World(error=error)
    assert world.call({"conf": {"patch": 7}})[0] == status
    assert not world.reached


def test_who_is_no_user_passes_untouched_for_airflow_to_refuse() -> None:
    world = World(user=False, status=401)
    assert world.call({"conf": {"evil": 1}}, kind="text/plain") == (401, "airflow")
    assert json.loads(world.reached[0]) == {"conf": {"evil": 1}}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/v2/dags/other/dagRuns", "POST"),
        (PATH, "GET"),
        (PATH + "/list", "POST"),
        ("/x" + PATH, "POST"),
        (PATH + "\n", "POST"),
    ],
)
def test_everything_else_passes_untouched(path: str, method: str) -> None:
    world = World()
    assert world.call(b"as it is", path=path, method=method, kind="text/plain") == (200, "airflow")
    assert world.reached == [b"as it is"]


def test_behind_a_path_prefix_the_check_still_sees_its_route() -> None:
    assert World().call({"conf": {"evil": 1}}, root="/airflow")[0] == 422


def test_a_dag_that_opens_no_rollout_only_has_its_conf_checked() -> None:
    path = "/api/v2/dags/nightly/dagRuns"
    assert World().call({"conf": {"x": 1}}, path=path)[0] == 422
    world = World()
    assert world.call({"conf": {}, "dag_run_id": "mine"}, path=path) == (200, "airflow")
    assert json.loads(world.reached[0])["dag_run_id"] == "mine"
