"""Starts as people make them, through a real Airflow: the start check and Airflow's unique key together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import requests
from tests.support.airflow import RunningAirflow, airflow  # noqa: F401
from tests.support.airflow_waits import runs_of

from pps.domain.record.facts import Fact, FactKind

pytestmark = pytest.mark.e2e
_patches = count(700_001)
_RUNS = "api/v2/dags/bc_client_update/dagRuns"


@pytest.fixture
def patch() -> int:
    """A patch that nothing knows yet."""
    return next(_patches)


def start(airflow: RunningAirflow, conf: Any, user: str = "release-manager", **more: Any) -> requests.Response:
    return airflow.client(user).request("POST", _RUNS, json={"logical_date": None, "conf": conf, **more})


def reason(answer: requests.Response) -> str:
    return str(answer.json()["detail"])


def test_a_run_is_named_after_its_rollout(airflow: RunningAirflow, patch: int) -> None:
    answer = start(airflow, {"patch": patch})
    assert answer.status_code == 200, answer.text
    assert answer.json()["dag_run_id"] == f"bc-client-{patch}-1"
    assert answer.json()["triggering_user_name"] == "release-manager"


def test_of_twenty_who_start_the_same_patch_at_once_one_does_and_the_others_are_told(
    airflow: RunningAirflow, patch: int
) -> None:
    clients = [airflow.client("release-manager") for _ in range(20)]
    for client in clients:
        client.dags()  # signed in before the race
    with ThreadPoolExecutor(20) as pool:
        body = {"logical_date": None, "conf": {"patch": patch}}
        answers = list(pool.map(lambda c: c.request("POST", _RUNS, json=body), clients))
    assert sorted(a.status_code for a in answers) == [200] + [409] * 19
    assert {reason(a) for a in answers if a.status_code == 409} == {
        f"The run bc-client-{patch}-1 exists already: somebody started this patch a moment ago. Follow that run."
    }
    runs = [run["dag_run_id"] for run in runs_of(airflow.client(), "bc_client_update")]
    assert [name for name in runs if f"-{patch}-" in name] == [f"bc-client-{patch}-1"]


def test_a_patch_with_an_open_rollout_is_refused_with_its_name(airflow: RunningAirflow, patch: int) -> None:
    name = f"bc-client-{patch}-1"
    airflow.store.open(
        "bc-client",
        patch,
        Fact(name, FactKind.ROLLOUT_OPENED, "", "", datetime.now(UTC), "test", {"patch": patch}),
        "test",
    )
    answer = start(airflow, {"patch": patch})
    assert answer.status_code == 409
    assert f"is being rolled out already: {name}" in reason(answer)


def test_a_patch_whose_start_ended_before_it_opened_a_rollout_can_be_started_again(
    airflow: RunningAirflow, patch: int
) -> None:
    first = start(airflow, {"patch": patch}).json()["dag_run_id"]
    assert airflow.client().request("PATCH", f"{_RUNS}/{first}", json={"state": "failed"}).status_code == 200
    assert start(airflow, {"patch": patch}).json()["dag_run_id"] == f"bc-client-{patch}-1.2"
    assert start(airflow, {"patch": patch}).status_code == 409


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ({"patch": 1, "evil": 1}, "conf: unknown key evil"),
        ({"patch": "1"}, "conf.patch: must be integer"),
        ({"patch": True}, "conf.patch: must be integer"),
        ({"patch": 0}, "conf.patch: breaks the rule minimum"),
        ({}, "conf: patch is missing"),
        (None, "conf: patch is missing"),
        ([], "valid dictionary"),
        ({"patch": 1, "vos": ["ops\n"]}, "conf.vos.0: breaks the rule pattern"),
        ({"patch": 1, "feedback_until": "tomorrow"}, "conf.feedback_until: breaks the rule format"),
        ({"patch": 1, "feedback_until": "2030-01-01T00:00:00"}, "conf.feedback_until: breaks the rule format"),
        (
            {"patch": 1, "feedback_until": "2020-01-01T00:00:00Z"},
            "conf.feedback_until: '2020-01-01T00:00:00Z': Wed 1 Jan 2020, 00:00 UTC has passed.",
        ),
    ],
)
def test_a_wrong_conf_is_refused_with_a_sentence(airflow: RunningAirflow, conf: Any, why: str) -> None:
    answer = start(airflow, conf)
    assert answer.status_code == 422
    assert why in reason(answer)


def test_a_run_id_of_the_callers_own_is_refused(airflow: RunningAirflow, patch: int) -> None:
    answer = start(airflow, {"patch": patch}, dag_run_id="mine")
    assert answer.status_code == 422
    assert "dag_run_id" in reason(answer)


def test_what_the_form_in_the_browser_posts_is_taken(airflow: RunningAirflow, patch: int) -> None:
    now = datetime.now(UTC).isoformat()
    conf = {"patch": patch, "feedback_until": None, "vos": None}
    answer = start(airflow, conf, logical_date=now, data_interval_start=None, data_interval_end=None, note=None)
    assert answer.status_code == 200, answer.text


def test_the_nightly_distribution_takes_no_conf(airflow: RunningAirflow) -> None:
    body = {"logical_date": None, "conf": {"site": "x"}}
    answer = airflow.client("release-manager").request("POST", "api/v2/dags/nightly_distribution/dagRuns", json=body)
    assert answer.status_code == 422


def test_anonymous_callers_and_forged_tokens_get_airflows_own_answer(airflow: RunningAirflow, patch: int) -> None:
    url = f"{airflow.airflow.url}/{_RUNS}"
    body = {"logical_date": None, "conf": {"patch": patch, "evil": 1}}
    assert requests.post(url, json=body, timeout=30).json() == {"detail": "Not authenticated"}
    assert requests.post(url, json=body, timeout=30).status_code == 401
    assert requests.post(url, json=body, headers={"Authorization": "Bearer x.y.z"}, timeout=30).status_code == 403
    assert requests.post(url, json=body, cookies={"_token": "x.y.z"}, timeout=30).status_code in (401, 403)


def test_a_user_by_cookie_is_checked_like_one_by_token(airflow: RunningAirflow, patch: int) -> None:
    answer = requests.post(
        f"{airflow.airflow.url}/{_RUNS}",
        json={"logical_date": None, "conf": {"patch": patch, "evil": 1}},
        cookies={"_token": airflow.airflow.token("release-manager")},
        timeout=30,
    )
    assert answer.status_code == 422


def test_a_viewer_starts_nothing(airflow: RunningAirflow, patch: int) -> None:
    assert start(airflow, {"patch": patch}, "viewer").status_code == 403


def test_other_spellings_of_the_address_do_not_go_round_the_check(airflow: RunningAirflow, patch: int) -> None:
    client = airflow.client("release-manager")
    body = {"logical_date": None, "conf": {"patch": patch, "evil": 1}}
    for path in (
        "api/v2/dags/bc%5Fclient%5Fupdate/dagRuns",
        "api/v2/dags/bc_client_update/dagRuns/",
        "api/v2/dags/bc_client_update/dagRuns?x=1",
        "/api/v2/dags/bc_client_update/dagRuns",
        "api/v2/dags/~/dagRuns",
        "api/v2/dags/BC_CLIENT_UPDATE/dagRuns",
        "api/v2//dags/bc_client_update/dagRuns",
    ):
        answer = client.request("POST", path, json=body)
        assert answer.status_code in (307, 404, 405, 422), f"{path}: {answer.status_code} {answer.text[:200]}"


def test_other_ways_to_make_runs_are_closed_for_rollouts(airflow: RunningAirflow) -> None:
    admin = airflow.client()
    before = {run["dag_run_id"] for run in runs_of(admin, "bc_client_update")}
    backfill = {"dag_id": "bc_client_update", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}
    assert 400 <= admin.request("POST", "api/v2/backfills", json=backfill).status_code < 500
    bulk = {"actions": [{"action": "create", "entities": [{"dag_run_id": "x", "dag_id": "bc_client_update"}]}]}
    admin.request("PATCH", _RUNS, json=bulk)
    assert {run["dag_run_id"] for run in runs_of(admin, "bc_client_update")} == before
