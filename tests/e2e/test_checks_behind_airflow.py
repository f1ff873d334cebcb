"""Our checks in a real Airflow: whatever its own routes take for an answer or a start has passed them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from fastapi.routing import APIRoute
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.airflow import RunningAirflow, airflow  # noqa: F401
from tests.support.airflow_waits import runs_of, wait_for_tasks

from pps.adapters.services.airflow_rest import AirflowQuestion

pytestmark = pytest.mark.e2e

_OWN_ROLES = (
    "release-manager",
    "pps-coordinator",
    "emt",
    "site-administrator",
    "regional-manager",
    "vo-representative",
    "software-provider",
)
#: What one of our roles may call although it is no GET: starts and answers, which are checked; searches; its own stars.
_OPEN_TO_ROLES = {
    ("POST", "/api/v2/dags/{dag_id}/dagRuns"),
    ("PATCH", "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails"),
    ("POST", "/api/v2/backfills"),
    ("POST", "/api/v2/backfills/dry_run"),
    ("POST", "/api/v2/dags/{dag_id}/dagRuns/list"),
    ("POST", "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list"),
    ("POST", "/api/v2/dags/{dag_id}/favorite"),
    ("POST", "/api/v2/dags/{dag_id}/unfavorite"),
    ("POST", "/ui/auth/token"),
}


@pytest.fixture(scope="module")
def question(airflow: RunningAirflow) -> AirflowQuestion:
    """A human task that waits for the EMT; nobody here answers it."""
    admin = airflow.client()
    run = admin.trigger("ask_the_emt", {})
    wait_for_tasks(admin, "ask_the_emt", run, lambda tasks: [t.state for t in tasks] == ["awaiting_input"], 180)
    (asked,) = admin.questions("ask_the_emt", run)
    return asked


def _percent(text: str, which: list[bool]) -> str:
    """The text with some of its characters percent-encoded, as any client may send it."""
    return "".join(
        f"%{ord(sign):02X}" if coded else quote(sign, safe="") for sign, coded in zip(text, which * 40, strict=False)
    )


_CODED = st.lists(st.booleans(), min_size=1, max_size=5)
#: -1, as pydantic or a careless parser may read it.
_MINUS_ONE = st.builds(
    lambda lead, zeros, more, end, coded: _percent(f"{lead}-{zeros}1{more}{end}", coded),
    st.sampled_from(["", " ", "\t", "\n", "  ", "\u2003", "+"]),
    st.sampled_from(["", "0", "000000", "0_0", "_"]),
    st.sampled_from(["", ".0", ".", ".000", "e0", "_", ",0"]),
    st.sampled_from(["", " ", "\n", "\x0b", ";x", "\x00"]),
    _CODED,
)


def test_every_spelling_of_an_address_that_airflow_takes_for_an_answer_is_checked(
    airflow: RunningAirflow, question: AirflowQuestion
) -> None:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {airflow.airflow.token('emt')}"
    checked = set()

    @settings(max_examples=150)
    @given(
        _MINUS_ONE,
        _CODED,
        st.sampled_from(["", "/", "?map_index=7", "//", "/."]),
        st.sampled_from([("PATCH", {}), ("POST", {"X-HTTP-Method-Override": "PATCH"}), ("PATCH", {"Expect": ""})]),
        st.sampled_from(["application/json", "application/json; charset=utf-8", "application/x+json", "text/plain"]),
    )
    def ask(index: str, coded: list[bool], end: str, how: tuple[str, dict[str, str]], kind: str) -> None:
        dag, run, task = (_percent(part, coded) for part in (question.dag, question.run, question.task))
        url = f"{airflow.airflow.url}/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/{index}/hitlDetails{end}"
        method, headers = how
        body = '{"chosen_options": ["Yes"], "params_input": {"evil": 1}}'
        answer = session.request(method, url, data=body, headers={**headers, "Content-Type": kind}, timeout=60)
        assert answer.status_code >= 400, f"{method} {url}: {answer.text}"
        if "unknown key evil" in answer.text:
            checked.add(index)

    ask()
    assert len(checked) > 5  # among them such as only a lenient parser takes for -1
    assert checked - {"-1"}
    (still,) = airflow.client().questions("ask_the_emt", question.run)
    assert still.task == question.task


def _changing_routes() -> Iterator[tuple[str, str]]:
    from airflow.api_fastapi.core_api.routes.public import public_router
    from airflow.api_fastapi.core_api.routes.ui import ui_router

    for route in [*public_router.routes, *ui_router.routes]:
        if isinstance(route, APIRoute):
            for method in sorted((route.methods or set()) - {"GET", "HEAD", "OPTIONS"}):
                yield method, route.path


def test_no_role_of_ours_reaches_another_route_that_changes_something(
    airflow: RunningAirflow, question: AirflowQuestion
) -> None:
    known = {"dag_id": question.dag, "dag_run_id": question.run, "task_id": question.task, "map_index": "-1"}
    this_task = {**known, "map_index": -1, "new_state": "success", "state": "success"}
    body = {
        "actions": [{"action": "update", "entities": [this_task]}],
        "new_state": "success",
        "state": "success",
        "dry_run": False,
        "is_paused": True,
        "task_ids": [question.task],
        "key": "return_value",
        "value": "x",
        "dag_runs": [known],
    }
    removal = {"actions": [{"action": "delete", "entities": ["x"]}]}
    forbidden: set[tuple[str, str, str]] = set()
    routes = list(_changing_routes())
    assert set(routes) >= _OPEN_TO_ROLES
    for user in _OWN_ROLES:
        client = airflow.client(user)
        for method, path in routes:
            if (method, path) in _OPEN_TO_ROLES:
                continue
            address = re.sub(r"\{(\w+)(?::path)?\}", lambda m: known.get(m[1], "1"), path)
            bulk = path.endswith(("/connections", "/variables", "/pools", "/taskInstances", "/dagRuns"))
            answer = client.request(method, address.lstrip("/"), json=removal if bulk else body)
            # 404: an asset or a backfill that is not there; 422: read before the rights are asked for, and not taken
            assert answer.status_code in (401, 403, 404, 405, 422), f"{user}: {method} {path}: {answer.status_code}"
            if answer.status_code == 403:
                forbidden.add((user, method, path))
    run = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}"
    for user in _OWN_ROLES:
        assert {(user, "PATCH", run), (user, "POST", f"{run}/clear")} <= forbidden
        assert (user, "PATCH", f"{run}/taskInstances/{{task_id}}") in forbidden
        assert (user, "POST", "/api/v2/dags/{dag_id}/clearTaskInstances") in forbidden
    (still,) = airflow.client().questions("ask_the_emt", question.run)
    assert still.task == question.task


def test_a_users_token_opens_no_route_of_the_tasks_own_api(airflow: RunningAirflow) -> None:
    from airflow.api_fastapi.execution_api.routes import execution_api_router

    headers = {"Authorization": f"Bearer {airflow.airflow.token('admin')}"}
    looked_at = 0
    for route in execution_api_router.routes:
        if not isinstance(route, APIRoute) or "health" in route.path:
            continue
        address = re.sub(r"\{[^}]*\}", "00000000-0000-0000-0000-000000000001", route.path)
        for method in route.methods or ():
            url = f"{airflow.airflow.url}/execution{address}"
            answer = requests.request(method, url, json={}, headers=headers, timeout=60)
            assert answer.status_code in (401, 403, 404), f"{method} {route.path}: {answer.status_code}"
            looked_at += 1
    assert looked_at > 20


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"run_after": "2999-01-01T00:00:00Z"}, "run_after"),
        ({"logical_date": "2999-01-01T00:00:00Z"}, "logical_date"),
        ({"data_interval_start": "2026-01-01T00:00:00Z", "data_interval_end": "2026-01-02T00:00:00Z"}, "data_interval"),
        ({"partition_key": "x"}, "partition_key"),
        ({"note": "x" * 5000}, "note"),
        ({"dag_run_id": "minor-pilot-710001-1"}, "dag_run_id"),
    ],
)
def test_a_start_for_another_time_or_name_is_refused_and_takes_nothing_from_others(
    airflow: RunningAirflow, more: dict[str, Any], why: str
) -> None:
    path = "api/v2/dags/minor_server_pilot/dagRuns"
    body = {"logical_date": None, "conf": {"patch": 710_001, "scope": "Jobs of ours through the new service."}}
    answer = airflow.client("emt").request("POST", path, json={**body, **more})
    assert answer.status_code == 422
    assert why in str(answer.json()["detail"])
    assert not [run for run in runs_of(airflow.client(), "minor_server_pilot") if "710001" in run["dag_run_id"]]


def test_a_night_is_not_started_by_a_backfill_nor_under_the_name_of_the_next(airflow: RunningAirflow) -> None:
    client = airflow.client("pps-coordinator")
    today = datetime.now(UTC)
    days = {"from_date": (today - timedelta(days=3)).isoformat(), "to_date": today.isoformat()}
    for dag in ("nightly_distribution", "bc_client_update", "reminders"):
        answer = client.request("POST", "api/v2/backfills", json={"dag_id": dag, **days})
        assert answer.status_code == 422, answer.text
        assert "is not backfilled" in str(answer.json()["detail"])
    taken = {"logical_date": None, "dag_run_id": "scheduled__2030-01-01T03:00:00+00:00"}
    answer = client.request("POST", "api/v2/dags/nightly_distribution/dagRuns", json=taken)
    assert answer.status_code == 422
    assert not [r for r in runs_of(airflow.client(), "nightly_distribution") if r["dag_run_id"].startswith("backfill")]


def test_no_dag_of_ours_can_be_started_by_an_asset(airflow: RunningAirflow) -> None:
    assert airflow.client().request("GET", "api/v2/assets").json()["total_entries"] == 0


def test_a_start_as_another_sites_form_would_send_it_is_none(airflow: RunningAirflow) -> None:
    token = airflow.airflow.token("release-manager")
    url = f"{airflow.airflow.url}/api/v2/dags/bc_client_update/dagRuns"
    body = '{"logical_date": null, "conf": {"patch": 710002}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = requests.post(url, data=body, headers={"Content-Type": kind}, cookies={"_token": token}, timeout=60)
        assert answer.status_code == 422, f"{kind}: {answer.text}"
