"""Small DAGs that show what the runtime does: a question for a role, a site's SSH Connection."""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import dag, task

EMT = [{"id": "role:EMT", "name": "EMT"}]


@dag(schedule=None)
def ask_the_emt() -> None:
    HITLOperator(task_id="ask", subject="Minor?", options=["Yes", "No"], assigned_users=EMT)


@task
def login(params: dict) -> str:
    from airflow.providers.ssh.hooks.ssh import SSHHook

    with SSHHook(f"ssh_site_{params['site']}", conn_timeout=5).get_conn() as client:
        return client.exec_command("echo hello")[1].read().decode().strip()


@task
def target(params: dict) -> str:
    from pps.config.loader import load_configuration
    from pps.orchestration.targets import ssh_targets

    found = ssh_targets([load_configuration().site(params["site"])])[params["site"]]
    return f"{found.user}@{found.host}:{found.port} {found.host_key} {found.key_file}"


@dag(schedule=None, params={"site": "SITE-A"})
def reach_a_site() -> None:
    login()
    target()


ask_the_emt()
reach_a_site()
