"""OpenID Connect by deploy/etc-pps/webserver_config.py: a provider on loopback, Airflow's own application, real FAB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from oidc_provider_mock import User, run_server_in_thread

from pps.sandbox.airflow.postgres import EmbeddedPostgres

pytestmark = pytest.mark.needs("postgres")
ROOT = Path(__file__).parents[2]
PEOPLE = {
    "manager": {"groups": ["pps-release-managers", "pps-emt", "somebody-else"], "email": "manager@example.org"},
    "in-no-group": {"groups": []},
    "groups-no-list": {"groups": "pps-admins"},
    "no-user-name": {"preferred_username": "x; DROP TABLE", "groups": ["pps-admins"]},
    "closed": {"groups": ["pps-admins"]},
}


def test_whoever_signs_in_has_the_roles_of_their_groups_and_no_others(
    postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    postgres_server.create_database(name := f"oidc_{os.getpid()}")
    claims = [User(sub=sub, claims={"preferred_username": sub, **more}) for sub, more in PEOPLE.items()]
    with run_server_in_thread(user_claims=claims) as provider:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__AUTH_MANAGER": "pps.orchestration.auth.GridAuthManager",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "none"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres_server.url(name),
            "AIRFLOW__FAB__CONFIG_FILE": str(ROOT / "deploy/etc-pps/webserver_config.py"),
            "AIRFLOW__API__BASE_URL": "https://pps.example.org",
            "AIRFLOW__API__SECRET_KEY": "a" * 32,
            "AIRFLOW__API_AUTH__JWT_SECRET": "b" * 64,
            "PPS_OIDC_CLIENT_SECRET": "a-secret-of-the-client",
            "PPS_OIDC_METADATA": f"http://127.0.0.1:{provider.server_port}/.well-known/openid-configuration",
            "AUTHLIB_INSECURE_TRANSPORT": "1",  # loopback has no TLS
        }
        users = [
            {"name": "pps-doctor", "roles": ["Viewer"], "password": "the-password-of-a-program"},
            {"name": "closed", "roles": ["Admin"], "active": False, "password": None},
        ]
        full = [{"email": f"{u['name']}@x", "first_name": "", "last_name": "", "active": True, **u} for u in users]
        run = {"env": environment, "capture_output": True, "text": True}
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, **run)  # type: ignore[call-overload]
        given = f"{json.dumps({'users': full})}\n{{}}\n"
        subprocess.run([sys.executable, "-m", "pps.orchestration.users"], input=given, check=True, **run)  # type: ignore[call-overload]
        done = subprocess.run([sys.executable, "-m", "tests.support.sign_in_by_oidc", *PEOPLE], **run)  # type: ignore[call-overload]
    answer = next((line for line in done.stdout.splitlines() if line.startswith("SAID ")), None)
    assert answer is not None, done.stderr[-3000:]
    said = json.loads(answer.removeprefix("SAID "))
    with psycopg.connect(postgres_server.url(name).replace("+psycopg", "")) as connection:
        roles = dict(
            connection.execute(
                "SELECT u.username, string_agg(r.name, ', ' ORDER BY r.name) FROM ab_user u "
                "JOIN ab_user_role ur ON ur.user_id = u.id JOIN ab_role r ON r.id = ur.role_id GROUP BY 1"
            ).fetchall()
        )
    assert roles == {
        "manager": "EMT, Public, Release Manager",
        "in-no-group": "Public",
        "groups-no-list": "Public",  # groups that are no list are none
        "closed": "Admin",  # closed by us: nobody opens it again
        "pps-doctor": "Viewer",
    }
    let_in = {sub: said[sub]["me"] for sub in PEOPLE}
    assert let_in["manager"] == 200 and let_in["no-user-name"] is None and let_in["closed"] is None, said
    assert "redirect_uri=https%3A%2F%2Fpps.example.org%2Fauth%2Foauth-authorized%2Foidc" in said["manager"]["asked"]
    assert "code_challenge_method=S256" in said["manager"]["asked"]
    assert said["password"] == 201, "programs still sign in with their password"
