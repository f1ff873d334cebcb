"""The embedded Airflow itself: roles, human tasks, Connections of sites, supervision."""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
import requests
import yaml
from tests.support.airflow import RunningAirflow, airflow  # noqa: F401
from tests.support.airflow_waits import import_errors, wait_for_run, wait_for_tasks, xcom
from tests.support.sandbox_grid import wait_until
from tests.support.sshd import SshServer, new_key, public_key, sshd  # noqa: F401

from pps.adapters.services.airflow_rest import AirflowClient, AirflowQuestion
from pps.domain.base.errors import AlreadyOpenError, RefusedError, ServiceError
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.halts import halt_of
from pps.domain.record.rollouts import RolloutPath
from pps.sandbox.airflow.server import USERS

pytestmark = pytest.mark.e2e


@pytest.fixture
def question(airflow: RunningAirflow) -> AirflowQuestion:
    admin = airflow.client()
    run = admin.trigger("ask_the_emt", {})
    wait_for_tasks(admin, "ask_the_emt", run, lambda tasks: [t.state for t in tasks] == ["awaiting_input"], 180)
    (asked,) = admin.questions("ask_the_emt", run)
    return asked


def test_every_dag_loads_in_the_real_dag_processor(airflow: RunningAirflow) -> None:
    admin = airflow.client()
    wanted = {"bc_client_update", "nightly_distribution", "ask_the_emt"}
    wait_until(lambda: wanted <= set(admin.dags()) or import_errors(admin), "the DAGs", 120)
    assert import_errors(admin) == []
    assert wanted <= set(admin.dags())


def test_the_user_interface_leads_to_the_bulletin(airflow: RunningAirflow) -> None:
    # what a role of the field sees; an Admin sees everything
    (plugin,) = (
        p
        for p in airflow.client("vo-representative").request("GET", "api/v2/plugins").json()["plugins"]
        if p["name"] == "pps"
    )
    views = {view["destination"]: view for view in plugin["external_views"]}
    assert views.keys() == {"nav", "dag_run", "task_instance"}
    page = requests.get(f"{airflow.airflow.url}/{views['nav']['href']}", timeout=30)
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


def test_everything_listens_on_loopback_only(airflow: RunningAirflow) -> None:
    keeper = psutil.Process(airflow.airflow.pid("scheduler")).parent()
    listening = set()
    for process in [keeper, *keeper.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # a task may end while we look
            connections = process.net_connections("inet")
            listening |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_each_user_signs_in_and_files_of_secrets_are_for_the_owner_only(airflow: RunningAirflow) -> None:
    for user in USERS:
        assert airflow.client(user).dags()
    for file in ("passwords.json", "secrets.json"):
        assert (airflow.airflow.folder / file).stat().st_mode & 0o777 == 0o600


def test_a_wrong_password_is_refused_with_a_reason(airflow: RunningAirflow) -> None:
    with pytest.raises(RefusedError, match="signing in as emt"):
        AirflowClient(airflow.airflow.url, "emt", "wrong").dags()


def test_a_human_task_is_answered_by_its_role_and_by_nobody_else_and_only_once(
    airflow: RunningAirflow, question: AirflowQuestion
) -> None:
    for user in ("viewer", "release-manager", "vo-representative", "admin"):
        with pytest.raises(RefusedError):
            airflow.client(user).answer(question, ["Yes"])
    airflow.client("emt").answer(question, ["Yes"])
    with pytest.raises(AlreadyOpenError):
        airflow.client("emt").answer(question, ["No"])
    assert wait_for_run(airflow.client(), question.dag, question.run, 180) == "success"


def test_an_answer_that_falls_victim_to_a_deadlock_in_airflows_database_is_given_again(
    airflow: RunningAirflow, question: AirflowQuestion
) -> None:
    database = airflow.postgres.url("airflow").replace("+psycopg", "")
    where = (question.dag, question.run, question.task)
    with psycopg.connect(database, autocommit=True) as watch, psycopg.connect(database) as other:
        other.execute("SET deadlock_timeout = '10min'")  # so that the api-server is the victim
        task = "SELECT id FROM task_instance WHERE dag_id = %s AND run_id = %s AND task_id = %s"
        other.execute(f"SELECT 1 FROM hitl_detail WHERE ti_id = ({task}) FOR UPDATE", where)
        with ThreadPoolExecutor(1) as pool:
            answering = pool.submit(airflow.client("emt").answer, question, ["Yes"])
            blocked = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
            wait_until(
                lambda: watch.execute(blocked, [other.info.backend_pid]).fetchone(), "the answer to wait for us", 30
            )
            other.execute(f"{task} FOR UPDATE", where)  # the circle is closed; here we go on when it has been broken
            other.rollback()
            answering.result(timeout=60)
    assert wait_for_run(airflow.client(), question.dag, question.run, 180) == "success"


def test_who_may_answer_may_not_go_round_the_question(airflow: RunningAirflow, question: AirflowQuestion) -> None:
    instance = f"api/v2/dags/{question.dag}/dagRuns/{question.run}"
    for user in ("emt", "release-manager", "pps-coordinator"):
        client = airflow.client(user)
        for method, path, body in (
            ("PATCH", f"{instance}/taskInstances/ask", {"new_state": "success"}),
            ("PATCH", instance, {"state": "success"}),
            ("POST", f"{instance}/clear", {"dry_run": False}),
            ("POST", f"api/v2/dags/{question.dag}/clearTaskInstances", {"dry_run": False, "task_ids": ["ask"]}),
            ("PATCH", f"api/v2/dags/{question.dag}", {"is_paused": True}),
            ("DELETE", instance, None),
            ("GET", "api/v2/connections", None),
            ("GET", "api/v2/variables", None),
            ("GET", "api/v2/config", None),
        ):
            answer = client.request(method, path, json=body)
            assert answer.status_code == 403, f"{user}: {method} {path}: {answer.status_code} {answer.text}"


def test_only_the_roles_that_start_rollouts_start_runs(airflow: RunningAirflow) -> None:
    for user in ("release-manager", "pps-coordinator"):
        assert airflow.client(user).trigger("ask_the_emt", {})
    for user in ("viewer", "emt", "site-administrator", "regional-manager", "vo-representative"):
        with pytest.raises(RefusedError):
            airflow.client(user).trigger("ask_the_emt", {})


def write_registry(config: Path, server: SshServer, host_key: str) -> None:
    site = server.site("SITE-A")
    values = {
        name: getattr(site, name)
        for name in ("name", "roc", "preview_root", "production_root", "profile_d", "tag_dir", "subcluster", "contact")
    }
    endpoint = {"host": site.ssh.host, "port": site.ssh.port, "user": site.ssh.user, "host_key": host_key}
    content = {
        "ssh_key_file": str(server.key_file),
        "sites": [{**values, "platform": "debian12-amd64", "ssh": endpoint}],
    }
    aside = config / "sites.new"
    aside.write_text(yaml.safe_dump(content))
    aside.rename(config / "sites.yaml")


@pytest.mark.needs("openssh")
def test_a_worker_reaches_a_site_by_a_connection_made_from_the_registry_with_its_pinned_key(
    airflow: RunningAirflow, sshd: SshServer, tmp_path: Path
) -> None:
    admin = airflow.client()
    before = (airflow.config / "sites.yaml").read_text()
    try:
        write_registry(airflow.config, sshd, sshd.host_key)
        run = admin.trigger("reach_a_site", {"site": "SITE-A"})
        assert wait_for_run(admin, "reach_a_site", run, 180) == "success"
        assert xcom(admin, "reach_a_site", run, "login") == "hello"
        expected = sshd.target()
        assert xcom(admin, "reach_a_site", run, "target") == (
            f"{expected.user}@127.0.0.1:{expected.port} {expected.host_key} {expected.key_file}"
        )

        write_registry(airflow.config, sshd, public_key(new_key(tmp_path / "other")))
        run = admin.trigger("reach_a_site", {"site": "SITE-A"})
        assert wait_for_run(admin, "reach_a_site", run, 180) == "failed"
        assert {t.task: t.state for t in admin.tasks("reach_a_site", run)} == {"login": "failed", "target": "success"}
    finally:
        (airflow.config / "sites.yaml").write_text(before)


def test_a_component_that_is_killed_is_started_again_and_said_so(airflow: RunningAirflow) -> None:
    embedded = airflow.airflow
    before, said = embedded.pid("triggerer"), len(embedded.ended)
    psutil.Process(before).kill()
    deadline = time.monotonic() + 60
    while not (len(embedded.ended) > said and embedded.pid("triggerer") not in (None, before)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "triggerer ended with code -9" in str(embedded.ended[-1])
    while not embedded.health().is_good:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_airflow_that_is_not_there_is_a_service_error() -> None:
    with pytest.raises(ServiceError, match="does not answer"):
        AirflowClient("http://127.0.0.1:9", "emt", "x").dags()


def test_every_route_of_ours_wants_a_user_or_stands_in_the_table_of_public_ones(airflow: RunningAirflow) -> None:
    from fastapi import FastAPI

    from pps.web.app import PUBLIC, create_app

    async def somebody() -> None: ...

    app: FastAPI = create_app(lambda: None, somebody)  # type: ignore[arg-type, return-value]
    looked_at = 0
    for route in app.routes:
        for method in getattr(route, "methods", None) or {"GET"}:
            path = route.path  # type: ignore[attr-defined]
            url = f"{airflow.airflow.url}/pps{path.replace('{name}', 'bc-client-1-1')}"
            answer = requests.request(method, url, timeout=30, json={} if method == "POST" else None)
            if (method, path) in PUBLIC:
                assert answer.status_code not in (401, 403), f"{method} {path}"
                assert answer.status_code < 500, f"{method} {path}: {answer.text}"
            else:
                assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"
            looked_at += 1
    assert looked_at > len(PUBLIC)
    # what FastAPI adds by itself
    for path in ("docs", "redoc", "openapi.json"):
        assert requests.get(f"{airflow.airflow.url}/pps/{path}", timeout=30).status_code == 404
        assert "swagger" not in requests.get(f"{airflow.airflow.url}/{path}", timeout=30).text.lower()


def test_a_run_that_fails_is_on_record_with_its_cause_until_its_task_is_tried_again(airflow: RunningAirflow) -> None:
    admin, dag, run, store = airflow.client(), "fails_until_cleared", "bc-client-4777-1", airflow.store
    opened = {"path": "bc-client", "patch": 4777, "metapackage": "glite-WN", "version": "1", "run": f"{dag}/{run}"}
    fact = Fact(run, FactKind.ROLLOUT_OPENED, "", "", datetime.now(UTC), "test", {**opened, "title": "IPv6"})
    store.open(RolloutPath.BC_CLIENT, 4777, fact, f"{dag}/{run}")
    wait_until(lambda: dag in admin.dags(), "the DAG", 120)
    body = {"dag_run_id": run, "logical_date": None, "conf": {"rollout": run}}
    assert admin.request("POST", f"api/v2/dags/{dag}/dagRuns", json=body).ok
    assert wait_for_run(admin, dag, run, 180) == "failed"

    halt = halt_of(store.rollout(run))
    assert halt and (halt.run, halt.task) == (f"{dag}/{run}", "needs_somebody")
    assert "nobody has admitted it. Admit it." in halt.reason
    page = airflow.client("emt").request("GET", f"pps/rollouts/{run}").text
    assert "Its run has failed on" in page and "nobody has admitted it." in page

    longer = {"until": (datetime.now(UTC) + timedelta(days=3)).isoformat()}

    def extend(user: str) -> int:
        door = f"pps/api/v1/rollouts/{run}/feedback-date"
        return airflow.client(user).request("POST", door, json=longer).status_code

    assert [extend(user) for user in ("emt", "release-manager", "pps-coordinator")] == [422, 201, 200]

    store.record(Fact(run, FactKind.PATCH_ADMITTED, "", "", datetime.now(UTC), "test", {}))
    clear = {"dry_run": False, "dag_run_id": run, "only_failed": True, "reset_dag_runs": True}
    assert admin.request("POST", f"api/v2/dags/{dag}/clearTaskInstances", json=clear).ok
    assert wait_for_run(admin, dag, run, 180) == "success"
    assert halt_of(store.rollout(run)) is None
    store.close(Fact(run, FactKind.ROLLOUT_CLOSED, "", "", datetime.now(UTC), "test", {"outcome": "done"}))


def test_the_api_server_says_how_it_is_set(airflow: RunningAirflow) -> None:
    said = airflow.client("viewer").request("GET", "pps/api/v1/settings").json()
    assert said["executor"] == "pps.orchestration.executor.SafeLocalExecutor"
    assert said["execution_api"] == f"{airflow.airflow.url}/execution/"
    assert (said["uid"], abs(datetime.fromisoformat(said["at"]) - datetime.now(UTC)) < timedelta(minutes=5)) == (
        os.geteuid(),
        True,
    )
    assert requests.get(f"{said['execution_api']}health", timeout=30).json() == {"status": "healthy"}
    assert requests.get(f"{airflow.airflow.url}/pps/api/v1/settings", timeout=30).status_code == 401
