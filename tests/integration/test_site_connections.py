"""Connections made from the site registry, used by the SSH provider's hooks against a real sshd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.support.sshd import SshServer, new_key, public_key, sshd  # noqa: F401

from pps.domain.base.errors import ConfigurationError
from pps.orchestration.secrets import GridSecretsBackend

ROOT = Path(__file__).parents[2]
BACKEND = "pps.orchestration.secrets.GridSecretsBackend"

SYNC = """
from airflow.providers.ssh.hooks.ssh import SSHHook
with SSHHook("ssh_site_SITE-A", conn_timeout=5).get_conn() as client:
    print(client.exec_command("echo hello")[1].read().decode())
"""
ASYNC = """
import asyncio
from airflow.providers.ssh.hooks.ssh import SSHHookAsync
async def main():
    code, out, err = await SSHHookAsync("ssh_site_SITE-A").run_command("echo hello")
    print(out)
asyncio.run(main())
"""


def registry(
    folder: Path, server: SshServer, *, host_key: str = "", connection: str = "", name: str = "SITE-A"
) -> Path:
    site = server.site("SITE-A")
    fields = ("roc", "preview_root", "production_root", "profile_d", "tag_dir", "subcluster", "contact")
    endpoint = {"host": "127.0.0.1", "port": server.port, "user": site.ssh.user, "connection": connection}
    values = {field: getattr(site, field) for field in fields}
    values |= {"name": name, "platform": "debian12-amd64", "ssh": endpoint | {"host_key": host_key or server.host_key}}
    folder.mkdir(exist_ok=True)
    aside = folder / "sites.new"
    aside.write_text(yaml.safe_dump({"ssh_key_file": str(server.key_file), "sites": [values]}))
    aside.rename(folder / "sites.yaml")
    return folder


def run(code: str, config: Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__SECRETS__BACKEND": BACKEND,
        "AIRFLOW__WORKERS__SECRETS_BACKEND": BACKEND,
        "PPS_CONFIG": str(config),
        "PYTHONPATH": str(ROOT / "plugins"),
        "HOME": str(home),  # no known_hosts, no keys of whoever runs the tests
    }
    environment.pop("SSH_AUTH_SOCK", None)
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.needs("openssh")
@pytest.mark.parametrize("code", [SYNC, ASYNC], ids=["SSHHook", "SSHHookAsync"])
def test_a_hook_reaches_the_site_with_the_pinned_key_and_refuses_any_other(
    code: str, sshd: SshServer, tmp_path: Path
) -> None:
    good = run(code, registry(tmp_path / "config", sshd), tmp_path)
    assert "hello" in good.stdout, good.stderr[-2000:]
    other = registry(tmp_path / "config", sshd, host_key=public_key(new_key(tmp_path / "other")))
    bad = run(code, other, tmp_path)
    assert bad.returncode != 0
    assert "hello" not in bad.stdout
    assert "host key" in bad.stderr.lower()


@pytest.mark.needs("openssh")
def test_it_answers_for_sites_of_the_registry_and_for_nothing_else(sshd: SshServer, tmp_path: Path) -> None:
    backend = GridSecretsBackend(str(registry(tmp_path / "config", sshd)))
    value = json.loads(backend.get_conn_value("ssh_site_SITE-A") or "")
    assert value["conn_type"] == "ssh"
    assert value["extra"]["host_key"] == sshd.host_key
    assert "PRIVATE" not in json.dumps(value)
    for name in ("ssh_site_OTHER", "ssh_site_", "ssh_site_SITE-A\n", "pps_store", "ssh_default", "SITE-A"):
        assert backend.get_conn_value(name) is None
    assert backend.get_variable("anything") is None
    assert backend.get_config("anything") is None


@pytest.mark.needs("openssh")
def test_a_changed_registry_is_read_again_and_a_site_with_its_own_connection_is_left_to_it(
    sshd: SshServer, tmp_path: Path
) -> None:
    backend = GridSecretsBackend(str(registry(tmp_path / "config", sshd)))
    assert backend.get_conn_value("ssh_site_SITE-A")
    registry(tmp_path / "config", sshd, name="SITE-B")
    assert backend.get_conn_value("ssh_site_SITE-A") is None
    assert backend.get_conn_value("ssh_site_SITE-B")
    registry(tmp_path / "config", sshd, connection="ours")
    assert backend.get_conn_value("ssh_site_SITE-A") is None


def test_a_broken_registry_is_an_error_for_sites_and_no_matter_for_others(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text("sites: [")
    backend = GridSecretsBackend(str(tmp_path))
    assert backend.get_conn_value("pps_store") is None
    with pytest.raises(ConfigurationError):
        backend.get_conn_value("ssh_site_SITE-A")
