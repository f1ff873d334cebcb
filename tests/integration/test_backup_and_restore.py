"""`pps backup` and `pps restore` on the real PostgreSQL: facts, Airflow's database, lists of the stores."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import yaml
from tests.support.examples import NOW, opened, previewed
from tests.support.front import site, write_config
from typer.testing import CliRunner

from pps.activities.operations.watch import BACKUP
from pps.activities.ports.record import LastSeen
from pps.adapters.record.store import FactStore, upgrade
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import AlreadyOpenError
from pps.domain.record.facts import Fact, FactKind
from pps.sandbox.airflow.postgres import EmbeddedPostgres, program
from pps.services import Services

pytestmark = pytest.mark.needs("postgres")
SECRET = "the-secret-of-all-invitations-0123456789"


@dataclass
class World:
    """One installation: two databases, and its stores."""

    server: EmbeddedPostgres
    facts: str
    airflow: str
    stores: Path
    front: Front

    def environment(self) -> dict[str, str]:
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.server.url(self.airflow, role="owner"),
            "PPS_FEEDBACK_SECRET": SECRET,
            "PATH": f"{program('pg_dump').parent}:{os.environ['PATH']}",
            "COLUMNS": "400",
        }

    def connections(self) -> dict[str, str]:
        urls = {"pps_store": self.server.url(self.facts, role="application")}
        urls["pps_store_owner"] = self.server.url(self.facts, role="owner")
        return {name: url.replace("+psycopg", "") for name, url in urls.items()}

    def pps(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words), obj=self.front, env=self.environment())
        assert not done.exception or isinstance(done.exception, SystemExit), done.exc_info
        return done.exit_code, " ".join((done.stdout + done.stderr).split())

    def sql(self, database: str, statement: str) -> list[tuple[object, ...]]:
        url = self.server.url(database, role="owner").replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(statement)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def elsewhere(self) -> World:
        """Two new, empty databases; the stores are the same."""
        names = [f"{kind}_{uuid.uuid4().hex[:8]}" for kind in ("pps", "airflow")]
        for name in names:
            self.server.create_database(name)
        new = World(self.server, *names, self.stores, self.front)
        new.front = Front(Services(self.front.services.config, new.connections().get), now=lambda: NOW)
        return new


@pytest.fixture
def world(postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[World]:
    """With an open rollout that has its preview at sites, a run in Airflow's database, and files in the stores."""
    config = write_config(tmp_path / "config", [site("PIC"), site("CNAF")])
    stores = tmp_path / "stores"
    service = yaml.safe_load((config.folder / "service.yaml").read_text())
    for setting in ("artefact_store", "production_repository", "mirror_folder"):
        (stores / setting).mkdir(parents=True)
        service[setting] = (stores / setting).as_uri()
    (config.folder / "service.yaml").write_text(yaml.safe_dump(service))
    front = Front(Services(type(config)(config.folder), {}.get))
    world = World(postgres_server, "", "", stores, front).elsewhere()
    upgrade(world.connections()["pps_store_owner"], application=world.connections()["pps_store"])
    store = FactStore(world.connections()["pps_store"])
    previewed(store)
    store.dispose()
    world.sql(world.airflow, "CREATE TABLE alembic_version (version_num text)")
    world.sql(world.airflow, "CREATE TABLE dag_run (id serial PRIMARY KEY, run_id text)")
    world.sql(world.airflow, "INSERT INTO dag_run (run_id) VALUES ('rollout__4711'), ('rollout__4712')")
    (stores / "production_repository/apt").mkdir()
    (stores / "production_repository/apt/a.deb").write_bytes(b"a package")
    (stores / "production_repository/apt/.half.part").write_bytes(b"just being made")
    yield world


def facts_of(world: World) -> list[tuple[object, ...]]:
    return world.sql(world.facts, "SELECT rollout, kind, subject, occasion, digest FROM facts ORDER BY id")


def seen_by_those_who_watch(world: World) -> Mapping[str, LastSeen]:
    store = FactStore(world.connections()["pps_store"])
    try:
        return store.last_seen()
    finally:
        store.dispose()


def test_what_was_backed_up_comes_back_and_goes_on(world: World, tmp_path: Path) -> None:
    kept = tmp_path / "backup"
    code, said = world.pps("backup", str(kept), "--dry-run")
    assert (code, kept.exists()) == (0, False), said
    assert seen_by_those_who_watch(world) == {}
    code, said = world.pps("backup", str(kept), "--json")
    assert seen_by_those_who_watch(world) == {BACKUP: LastSeen(NOW, None)}
    made = json.loads(said)
    # the example's tarball is on record, and in no store: it is said
    assert (code, [p for p in made["problems"] if "not in the artefact store" in p] == made["problems"]) == (
        1 if made["problems"] else 0,
        True,
    )
    line = f"{hashlib.sha256(b'a package').hexdigest()} 9 apt/a.deb\n"
    assert (kept / "production.list").read_text() == line
    everything = b"".join(file.read_bytes() for file in kept.iterdir() if not file.name.endswith(".dump")).decode()
    assert SECRET not in everything + said and made["secrets"].keys() == {"PPS_FEEDBACK_SECRET"}
    assert not any(url.split("@")[0].rsplit(":", 1)[1] in everything + said for url in world.connections().values())
    code, said = world.pps("backup", str(kept))
    assert (code, "not written over" in said) == (1, True)

    new = world.elsewhere()
    code, said = new.pps("restore", str(kept), "--dry-run")
    assert (code, new.sql(new.facts, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == (0, [(0,)]), said
    code, said = new.pps("restore", str(kept))
    assert code == 0, said
    assert facts_of(new) == facts_of(world)
    assert new.sql(new.airflow, "SELECT run_id FROM dag_run") == [("rollout__4711",), ("rollout__4712",)]

    # as the application, which has its rights again and no more, and whose counters go on
    store = FactStore(new.connections()["pps_store"])
    (record,) = store.rollouts(open_only=True)
    assert store.record(Fact(record.name, FactKind.SITE_FAILED, "PIC", "after", NOW, "test", {}))
    assert store.too_many_rights() == ()
    with pytest.raises(AlreadyOpenError):  # by the register's indexes
        opened(store, run="another")
    store.dispose()
    assert new.pps("facts", "verify")[0] == 0

    code, said = new.pps("restore", str(kept))
    assert (code, "needs an empty one" in said) == (1, True)
    assert len(facts_of(new)) == len(facts_of(world)) + 1


def test_a_backup_that_was_changed_is_not_restored(world: World, tmp_path: Path) -> None:
    world.pps("backup", str(kept := tmp_path / "backup"))
    new = world.elsewhere()
    dump = kept / "pps.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1])
    code, said = new.pps("restore", str(kept))
    assert (code, "Missing or changed since it was made: pps.dump" in said) == (1, True), said
    dump.write_bytes(whole)
    manifest = json.loads((kept / "BACKUP.json").read_text())
    for change, reason in {
        "servers": ({"facts": 99, "airflow": 15}, "come from PostgreSQL 99"),
        "revision": ("0099", "is newer than PPS Rollout"),
        "airflow": ("99.1.0", "It is of Airflow 99.1.0"),
        "format": (2, "of format 2"),
    }.items():
        (kept / "BACKUP.json").write_text(json.dumps({**manifest, change: reason[0]}))
        code, said = new.pps("restore", str(kept))
        assert (code, reason[1] in said) == (1, True), said
    assert new.sql(new.facts, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_where_the_second_database_cannot_be_restored_the_first_one_is_empty_again(
    world: World, tmp_path: Path
) -> None:
    world.pps("backup", str(kept := tmp_path / "backup"))
    manifest = json.loads((kept / "BACKUP.json").read_text())
    (kept / "airflow.dump").write_bytes(b"PGDMP, and then nothing")
    manifest["files"]["airflow.dump"] = hashlib.sha256((kept / "airflow.dump").read_bytes()).hexdigest()
    (kept / "BACKUP.json").write_text(json.dumps(manifest))
    new = world.elsewhere()
    code, said = new.pps("restore", str(kept))
    assert (code, "Airflow's database: could not be restored" in said) == (1, True), said
    for name in (new.facts, new.airflow):
        assert new.sql(name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_a_fact_that_was_changed_shows_after_the_restore(world: World, tmp_path: Path) -> None:
    url = world.server.url(world.facts).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE facts DISABLE TRIGGER ALL")
        changed = "UPDATE facts SET actor = 'somebody else' WHERE id = (SELECT min(id) + 1 FROM facts)"
        connection.execute(changed)
        connection.execute("ALTER TABLE facts ENABLE TRIGGER ALL")
    world.pps("backup", str(kept := tmp_path / "backup"))
    new = world.elsewhere()
    code, said = new.pps("restore", str(kept))
    assert (code, "was changed after it was recorded" in said) == (1, True), said


def test_what_the_stores_lack_and_what_cannot_be_read_any_more_is_said(world: World, tmp_path: Path) -> None:
    world.pps("backup", str(kept := tmp_path / "backup"))
    (world.stores / "production_repository/apt/a.deb").write_bytes(b"b package")
    new = world.elsewhere()
    environment = new.environment() | {"PPS_FEEDBACK_SECRET": "another secret, of more than 32 bytes"}
    done = CliRunner().invoke(app, ["restore", str(kept)], obj=new.front, env=environment)
    said = " ".join(done.stdout.split())
    assert done.exit_code == 1
    assert "apt/a.deb is not the one of the backup." in said
    assert "PPS_FEEDBACK_SECRET is not the one of the backup" in said
    (world.stores / "production_repository/apt/a.deb").unlink()
    assert "apt/a.deb is missing." in world.elsewhere().pps("restore", str(kept))[1]


def test_ctrl_c_leaves_nothing_half(world: World, tmp_path: Path) -> None:
    """pg_dump waits for a lock that we hold: it is interrupted in the middle of its work."""
    kept = tmp_path / "backups" / "backup"
    environment = {
        **os.environ,
        **world.environment(),
        **{f"AIRFLOW_CONN_{name.upper()}": url for name, url in world.connections().items()},
        "PPS_CONFIG": str(world.front.services.config.folder),
    }
    url = world.server.url(world.airflow, role="owner").replace("+psycopg", "")
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE dag_run IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-m", "pps.cli.main", "backup", str(kept)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        with psycopg.connect(url, autocommit=True) as looks:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not (row := looks.execute(waits).fetchone()) or not row[0]:
                assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert list(kept.parent.iterdir()) == []
    shutil.rmtree(kept.parent)
