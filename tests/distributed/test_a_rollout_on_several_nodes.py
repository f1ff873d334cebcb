"""Nodes that share nothing but the database, a broker and an object store; some of them die in the middle of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from tests.support import gocdb
from tests.support.nodes import SETTINGS, TRIGGERERS, WORKERS, Nodes
from tests.support.whole import BC, VOS, Grid, far

from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import FAILURES, SiteState
from pps.sandbox.demo.play import answer_invitation
from pps.sandbox.grid.landscape import Fault
from pps.sandbox.grid.smtp import kept_mails, read_mail

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh", "distributed")]

DISTRIBUTION = "fleet.distribute_client"
#: What each task does first.
_ENTER = """
from pps.config.loader import load_configuration
from pps.orchestration.runtime import say_which_node
from pps.services import Services
say_which_node(Services(load_configuration())).close()
"""


@pytest.mark.sd("4.1.1")
def test_a_rollout_to_24_sites_ends_right_though_a_task_a_worker_and_a_triggerer_are_killed(
    grid: Grid, nodes: Nodes
) -> None:
    patch = grid.offers(4711, "3.1.23")
    sites = {s["name"]: s for s in grid.control.status()["sites"] if not s["faults"] and s["accepts_previews"]}
    canary = next(name for name, site in sites.items() if site["canary"])
    grid.control.break_site(canary, Fault.SLOW)
    name = run = grid.start(patch.number, feedback_until=far())
    grid.waits_for_fact(name, FactKind.PLAN_AGREED)
    last_batch = list(grid.rollout(name).need(FactKind.PLAN_AGREED, "").payload["batches"].values())[-1]
    slow = next(site for site in last_batch if site in sites)
    grid.control.break_site(slow, Fault.SLOW)

    # the process of a task
    task, _ = grid.waits_for("a task that speaks with the canary", lambda: _speaks_with(nodes, sites[canary]))
    task.kill()
    grid.control.repair_site(canary)
    grid.waits_for_fact(name, FactKind.GATE_PASSED)

    # a worker's node, with all that runs there
    _, worker = grid.waits_for("a task that speaks with the slow site", lambda: _speaks_with(nodes, sites[slow]))
    died = nodes.kill(worker)
    assert grid.rollout(name).progress(slow).state is SiteState.PLANNED
    nodes.begin(worker)  # as systemd does
    grid.control.repair_site(slow)
    noticed = grid.waits_for("that the task is dead", lambda: _ended_after(grid, run, died))
    again = grid.waits_for("another try", lambda: _second_try(grid, run, died))
    print(f"noticed {noticed - died:.0f} s after the worker's death; another try {again - died:.0f} s after it")
    assert noticed - died < 200, "with Airflow's own 300 s of patience it were more than 300"
    assert (
        int(SETTINGS["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]) + 10 + 20 <= 90
    )  # its looks, retry_delay
    grid.waits_for_fact(name, FactKind.FEEDBACK_DATE_AGREED)

    # every good site announces the preview, every bad one is shown with its reason, and both workers have done sites
    states = grid.states(name)
    assert {site for site, state in states.items() if state in FAILURES} == set(grid.faulty)
    assert grid.seen_tags(name) == {site for site, state in states.items() if state is SiteState.AVAILABLE}
    assert len(grid.seen_tags(name)) == 24 - 3 - 3
    done = [t for t in _tasks(grid, run) if t["task_id"] == DISTRIBUTION]
    assert {t["state"] for t in done} == {"success"}
    assert {t["hostname"] for t in done} == set(WORKERS)

    # the triggerer that has the wait for feedback
    wait = grid.waits_for("the wait for feedback", lambda: _deferred(grid, run, "wait_for_feedback"))
    holder = wait["triggerer_job"]["hostname"]
    assert holder in TRIGGERERS
    nodes.kill(holder)
    for vo in VOS:
        assert grid.waits_for(
            f"invitation of {vo}", lambda vo=vo: answer_invitation(grid.mails, vo, "works", f"Fine for {vo}.")
        )
    grid.waits_for_fact(name, FactKind.RELEASE_NOTES_WRITTEN)
    grid.certify(patch.number)
    assert grid.ends(run) == "success"
    assert grid.rollout(name).has(FactKind.RELEASED_TO_PRODUCTION)
    nodes.begin(holder)

    # whatever was done twice, no mail came twice
    ids = [read_mail(grid.mails, m)["Message-ID"] for m in kept_mails(grid.mails)]
    assert len(ids) == len(set(ids))
    assert set(grid.mails_of(name).values()) == {1}

    # all that was published lies in the object store, and nothing on a disk of the central node, which shows it
    stored = nodes.store.files().find("pps")
    assert sum(path.startswith("pps/production/") and path.endswith(".deb") for path in stored) == len(
        patch.packages
    ) + len(patch.externals)
    assert [p for p in (nodes.installation.grid_folder / "store").rglob("*") if p.is_file()] == []
    notes = grid.client.request("GET", f"pps/release-notes/{name}.html")
    assert notes.status_code == 200
    assert "Fine for lhcb." in notes.text

    # and so do the logs, of both workers, and of a task that waited
    for log_of in [*({t["hostname"]: t for t in done}.values()), wait]:
        where = f"{_of(run)}/{log_of['task_id']}/logs/{log_of['try_number']}"
        wanted = {"map_index": log_of["map_index"], "full_content": "true"}
        log = json.dumps(grid.client.request("GET", where, params=wanted).json())
        assert "s3://pps/logs/" in log or "pps/logs/" in log
        assert name in log
        if log_of is not wait:
            assert f"@{log_of['hostname']}" in log
            assert sum(site in log for site in states) >= 1
    assert list((nodes.installation.folder / "airflow" / "logs").glob(f"dag_id={BC}")) == []


def test_no_node_can_read_what_is_another_s_and_workers_have_no_key_of_the_central_node(nodes: Nodes) -> None:
    look = "import os, sys; print(sorted(p for p in sys.argv[1:] if os.access(p, os.R_OK)))"
    folders = [str(node.folder) for node in nodes.nodes.values()]
    central = [str(nodes.installation.folder), str(nodes.store.folder / "rights.json")]
    for name, node in nodes.nodes.items():
        if node.account:
            seen = nodes.run(name, "-c", look, *folders, *central)
            assert (seen.stdout.strip(), seen.returncode) == (str([str(node.folder)]), 0), seen.stderr
        mine = nodes.environment(name)
        assert (nodes.installation.postgres.url("airflow") in mine.values()) == (name in TRIGGERERS)
    folders_of = [{n.folder, n.home, n.config} for n in nodes.nodes.values()]
    assert len(set.union(*folders_of)) == 3 * len(folders_of)


def test_doctor_tells_a_node_that_has_not_the_key_of_the_object_store(nodes: Nodes) -> None:
    said = nodes.run("worker-1", "-m", "pps.cli.main", "doctor", "--json", more={"AWS_SECRET_ACCESS_KEY": "wrong"})
    bad = {f["subject"] for f in json.loads(said.stdout) if f["health"] == "FAIL"}
    assert {"artefact store", "production repository", "publication folder"} <= bad


def test_a_change_of_the_registry_reaches_the_other_nodes_and_doctor_says_which_have_not_got_it(nodes: Nodes) -> None:
    def doctor() -> tuple[str, str, str]:
        """What worker-1 says of all that are the same, and of worker-2."""
        said = nodes.run("worker-1", "-m", "pps.cli.main", "doctor", "--json")
        found = {f["subject"]: f for f in json.loads(said.stdout)}
        assert found["artefact store"]["health"] == "OK"
        other = found.get("node worker-2", {"health": "", "text": ""})
        return found["nodes"]["text"], other["health"], other["text"]

    def is_at_work() -> None:
        done = nodes.run("worker-2", "-c", _ENTER)
        assert done.returncode == 0, done.stderr

    shown = nodes.installation.client("viewer").request("GET", "pps/bulletin")
    assert shown.status_code == 200
    is_at_work()
    same, health, _ = doctor()
    assert (health, same.startswith("worker-1, central, ")) == ("", True), same
    assert "worker-2" in same

    # one node's registry changes
    place = nodes.nodes["worker-1"]
    (place.home / "get_site.xml").write_text(gocdb.document(gocdb.site("IT-PERUGIA", gocdb.USABLE)))
    place.own(place.home)
    done = nodes.run("worker-1", "-m", "pps.cli.main", "sites", "import", "--apply", str(place.home / "get_site.xml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert doctor()[1] == "WARN"
    # as doctor advises; a task there would say it within a minute
    assert nodes.run("worker-2", "-m", "pps.cli.main", "doctor", "--json").stdout
    _, health, text = doctor()
    assert health == "FAIL"
    assert "differed from this node: sites.yaml" in text

    # and is brought to another one
    nodes.nodes["worker-2"].take(place.config)
    is_at_work()
    same, health, _ = doctor()
    assert ("worker-2" in same, health) == (True, "")


def _speaks_with(nodes: Nodes, site: dict[str, Any]) -> tuple[psutil.Process, str] | None:
    """The task's process that has an ssh to this site, and its node."""
    port = site["address"].rpartition(":")[2]
    for worker in WORKERS:
        for process in nodes.processes(worker):
            try:
                if any(port in ssh.cmdline() for ssh in process.children()):
                    return process, worker
            except psutil.NoSuchProcess:
                continue
    return None


def _of(run: str) -> str:
    return f"api/v2/dags/{BC}/dagRuns/{quote(run)}/taskInstances"


def _tasks(grid: Grid, run: str) -> list[dict[str, Any]]:
    return list(grid.client.request("GET", _of(run), params={"limit": 100}).json()["task_instances"])


def _second_try(grid: Grid, run: str, died: float) -> float | None:
    """When it began. Until it runs, a task shows when its try before began."""
    tasks = (t for t in _tasks(grid, run) if t["task_id"] == DISTRIBUTION and t["try_number"] == 2 and t["start_date"])
    return next((at for t in tasks if (at := _seconds(t["start_date"])) > died), None)


def _ended_after(grid: Grid, run: str, died: float) -> float | None:
    """When a try ended that did not end well."""
    tasks = (t for t in _tasks(grid, run) if t["task_id"] == DISTRIBUTION and t["end_date"])
    ended = (_seconds(t["end_date"]) for t in tasks if t["state"] not in ("success", "running"))
    return next((at for at in ended if at > died), None)


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()


def _deferred(grid: Grid, run: str, task: str) -> dict[str, Any] | None:
    tasks = (t for t in _tasks(grid, run) if t["task_id"] == task and t["state"] == "deferred")
    return next((t for t in tasks if (t["triggerer_job"] or {}).get("hostname")), None)
