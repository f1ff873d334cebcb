"""PostgreSQL from a wheel: its data stays, its end is complete, nobody else gets in."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from pps.domain.base.errors import ServiceError
from pps.sandbox.airflow.postgres import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    # only its owner may walk in, as below /root
    path = Path(tempfile.mkdtemp(prefix="pps-pg-"))
    assert path.stat().st_mode & 0o777 == 0o700
    yield path / "postgres"
    shutil.rmtree(path, ignore_errors=True)


def connect(postgres: EmbeddedPostgres, database: str = "pps") -> psycopg.Connection:
    return psycopg.connect(postgres.url(database).replace("+psycopg", ""), autocommit=True)


def postmaster(postgres: EmbeddedPostgres) -> psutil.Process:
    return psutil.Process(postgres._servers.pids["postgres"])


def test_data_stays_from_one_start_to_the_next_and_twice_is_once(folder: Path) -> None:
    for expected in (0, 1, 2):
        with EmbeddedPostgres(folder) as postgres, connect(postgres) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (n int)")
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (expected,)
            connection.execute("INSERT INTO t VALUES (1)")
            connect(postgres, "airflow").close()
    postgres.stop()


def test_after_a_hard_kill_of_everything_the_next_start_recovers(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    with connect(postgres) as connection:
        connection.execute("CREATE TABLE t (n int)")
    server = postmaster(postgres)
    keeper = server.parent()
    family = [keeper, server, *server.children()]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # ended with its parent already
            process.kill()
    psutil.wait_procs(family, timeout=10)
    postgres.stop()
    with EmbeddedPostgres(folder) as again, connect(again) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_server_whose_keeper_was_killed_is_replaced_by_the_next_start(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    server = postmaster(postgres)
    server.suspend()  # so that it cannot follow its keeper by itself
    server.parent().kill()
    postgres.stop()
    with EmbeddedPostgres(folder) as again:
        assert connect(again).execute("SELECT 1").fetchone() == (1,)
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_it_listens_on_loopback_only_and_wants_its_password(folder: Path) -> None:
    with EmbeddedPostgres(folder) as postgres:
        listening = [c.laddr for c in postmaster(postgres).net_connections() if c.status == psutil.CONN_LISTEN]
        assert [(a.ip, a.port) for a in listening] == [("127.0.0.1", postgres.port)]
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host="127.0.0.1", port=postgres.port, user="pps", password="wrong", dbname="pps")
        assert (folder / "password").stat().st_mode & 0o777 == 0o600
        assert postmaster(postgres).uids().effective != 0
        password = (folder / "password").read_text().strip()
        for process in [postmaster(postgres), postmaster(postgres).parent()]:
            assert password not in " ".join(process.cmdline())


def test_an_initialisation_that_was_cut_short_is_made_again(folder: Path) -> None:
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "PG_VERSION").write_text("1")
    with EmbeddedPostgres(folder) as postgres:
        assert connect(postgres).execute("SELECT 1").fetchone() == (1,)


def test_a_broken_data_folder_is_a_service_error_with_the_servers_words(folder: Path) -> None:
    with EmbeddedPostgres(folder):
        pass
    (folder / "data" / "postgresql.conf").write_text("nonsense = here\n")
    if os.geteuid() == 0:
        shutil.chown(folder / "data" / "postgresql.conf", "nobody")
    with pytest.raises(ServiceError, match="nonsense"):
        EmbeddedPostgres(folder).start()
