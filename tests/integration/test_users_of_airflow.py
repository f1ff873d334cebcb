"""`pps users apply` against a real FAB database: Airflow's own, migrated by Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support.front import site, write_config
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app
from pps.config.loader import problems_in
from pps.config.role_models import RolesFile
from pps.sandbox.airflow.postgres import EmbeddedPostgres
from pps.services import Services

pytestmark = pytest.mark.needs("postgres")
EXAMPLE = Path(__file__).parents[2] / "deploy" / "etc-pps" / "roles.yaml"
LOGIN = "the-password-of-a-program"


@pytest.fixture(scope="module")
def settings(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An environment with a migrated database of Airflow."""
    postgres_server.create_database(name := f"users_{os.getpid()}")
    given = {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__AUTH_MANAGER": "pps.orchestration.auth.GridAuthManager",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres_server.url(name),
        "PPS_AIRFLOW_PASSWORD": LOGIN,
    }
    given["PYTHONPATH"] = str(Path(__file__).parents[2] / "plugins")
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, env={**os.environ, **given}, check=True, capture_output=True)
    yield given


@pytest.fixture
def here(settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Front:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg", "")) as connection:
        connection.execute("DELETE FROM ab_user_role")
        connection.execute("DELETE FROM ab_user")
    config = write_config(tmp_path / "config", [site("EXAMPLE-SITE", administrators=["site-example", "ada"])])
    return Front(Services(config, {}.get))


def apply(here: Front, file: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["users", "apply", str(file), *words], obj=here, env={"COLUMNS": "300"})
    return done.exit_code, done.stdout + done.stderr


def users(settings: dict[str, str]) -> dict[str, tuple[str, bool, str]]:
    """Name -> roles, whether active, hash of the password."""
    query = """SELECT u.username, string_agg(r.name, ', ' ORDER BY r.name), u.active, coalesce(u.password, '')
        FROM ab_user u LEFT JOIN ab_user_role ur ON ur.user_id = u.id LEFT JOIN ab_role r ON r.id = ur.role_id
        GROUP BY u.id"""
    with psycopg.connect(settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg", "")) as connection:
        return {row[0]: (row[1] or "", row[2], row[3]) for row in connection.execute(query)}


def test_the_example_makes_its_users_once_and_a_second_time_nothing_changes(
    here: Front, settings: dict[str, str], tmp_path: Path
) -> None:
    assert problems_in(EXAMPLE, RolesFile) == ()
    code, said = apply(here, EXAMPLE, "--dry-run")
    assert (code, users(settings), "new" in said) == (0, {}, True), said

    kept = tmp_path / "first-passwords"
    code, said = apply(here, EXAMPLE, "--passwords", str(kept))
    assert code == 0, said
    made = users(settings)
    assert {name: roles for name, (roles, _, _) in made.items()} == {
        "admin": "Admin",
        "pps-doctor": "Viewer",
        "release-manager": "Release Manager",
        "pps-coordinator": "PPS Coordinator",
        "emt": "EMT",
        "roc-example": "Regional Manager",
        "vo-atlas": "VO Representative",
        "provider-example": "Software Provider",
        "site-example": "Site Administrator",
    }
    assert "EXAMPLE-SITE: ada of sites.yaml not in this file." in said
    first = dict(line.split(" ") for line in kept.read_text().splitlines())
    assert kept.stat().st_mode & 0o777 == 0o600
    assert first.keys() == made.keys() - {"pps-doctor"}
    assert not [password for password in (*first.values(), LOGIN) if password in said]

    from werkzeug.security import check_password_hash

    assert all(check_password_hash(made[name][2], password) for name, password in first.items())
    assert check_password_hash(made["pps-doctor"][2], LOGIN)

    code, said = apply(here, EXAMPLE, "--json", "--passwords", str(tmp_path / "none"))
    told = json.loads(said)
    assert (code, [one for one in told["changes"] if one["change"]]) == (0, [])
    assert (users(settings), (tmp_path / "none").exists()) == (made, False)


def test_who_changes_is_changed_and_who_is_not_named_stays(
    here: Front, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert apply(here, EXAMPLE)[0] == 0
    before = users(settings)
    assert {password for name, (_, _, password) in before.items() if name != "pps-doctor"} == {""}
    other = tmp_path / "other.yaml"
    other.write_text(
        "users:\n"
        "  - {name: emt, roles: [Viewer, EMT]}\n"
        "  - {name: vo-atlas, roles: [VO Representative], active: false}\n"
        "  - {name: pps-doctor, roles: [Viewer], password_env: PPS_AIRFLOW_PASSWORD}\n"
    )
    monkeypatch.setenv("PPS_AIRFLOW_PASSWORD", "another-password-of-it")
    code, said = apply(here, other, "--dry-run", "--json")
    assert (code, users(settings)) == (0, before)
    assert {one["user"]: one["change"] for one in json.loads(said)["changes"]} == {
        "emt": ["roles: EMT -> EMT, Viewer"],
        "vo-atlas": ["may no longer sign in"],
        "pps-doctor": ["password"],
    }
    code, said = apply(here, other)
    after = users(settings)
    assert code == 0 and "another-password-of-it" not in said
    assert after["emt"][0] == "EMT, Viewer" and after["vo-atlas"][1] is False
    assert after["pps-doctor"][2] != before["pps-doctor"][2]
    unnamed = before.keys() - {"emt", "vo-atlas", "pps-doctor"}
    assert {name: after[name] for name in unnamed} == {name: before[name] for name in unnamed}
    assert "release-manager (Release Manager)" in " ".join(said.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("users: [{name: ada, roles: [Release Manger]}]", "no such role: Release Manger"),
        ("users: [{name: ada, roles: [EMT]}, {name: ada, roles: [EMT]}]", "named twice"),
        ("users: [{name: ada, roles: [EMT], password: x}]", "not a key that we know"),
        ("sites: {NO-SUCH-SITE: [{name: ada}]}", "not in sites.yaml: NO-SUCH-SITE"),
        ("users: [{name: ada, roles: [EMT], password_env: PPS_NOT_SET}]", "PPS_NOT_SET is not set"),
    ],
)
def test_a_file_that_is_wrong_changes_nobody(
    here: Front, settings: dict[str, str], tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "roles.yaml"
    file.write_text(text)
    code, said = apply(here, file)
    assert (code, says in " ".join(said.split()), users(settings)) == (1, True, {}), said


def test_a_database_that_does_not_answer_leaves_no_file_of_passwords(
    here: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg://x:secret-word@127.0.0.1:1/none")
    code, said = apply(here, EXAMPLE, "--passwords", str(tmp_path / "first"))
    assert (code, (tmp_path / "first").exists(), "secret-word" in said) == (1, False, False), said
    assert "airflow db migrate" in said
