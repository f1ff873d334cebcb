"""What the questions of the triggerer share, so that waiting is cheap, and what they never share."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from pps.adapters.record.store import FactStore
from pps.domain.base.errors import NotYetAllowedError, ServiceError
from pps.orchestration import runtime
from pps.orchestration.runtime import asking_again, services
from pps.services import Services

SITE = {
    "name": "INFN-T1",
    "roc": "Italy",
    "platform": "debian12-amd64",
    "ssh": {"host": "ui.example.org", "user": "ppsadm", "host_key": "ssh-ed25519 " + "A" * 68},
    "preview_root": "/opt/pps",
    "production_root": "/opt/glite",
    "profile_d": "/etc/profile.d",
    "tag_dir": "/opt/info",
    "subcluster": "ce.example.org",
    "contact": "grid@example.org",
}


class Asker:
    """Asks, and keeps what it was given to ask with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.given: list[Services] = []
        self.logged_in = 0
        self.trouble: Exception | None = None

    def credentials(self, _: str) -> str:
        self.logged_in += 1
        return self.url

    def __call__(self, site: str) -> bool:
        with services() as s:
            self.given.append(s)
            if self.trouble is not None:
                raise self.trouble
            s.facts.rollouts()
            return site in s.config.sites


@pytest.fixture
def asker(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    made = FactStore(store_url)
    made.upgrade()
    made.dispose()
    shutil.copytree(Path(__file__).parents[2] / "config", tmp_path / "config")
    monkeypatch.setenv("PPS_CONFIG", str(tmp_path / "config"))
    asker = Asker(store_url)
    monkeypatch.setattr(runtime, "credentials", asker.credentials)
    monkeypatch.setattr(runtime, "_KEPT", kept := runtime._Kept())
    yield asker
    kept.forget()


def register(*sites: str) -> None:
    """As an editor or a deployment tool writes it: aside, then renamed."""
    folder = Path(os.environ["PPS_CONFIG"])
    aside = folder / "sites.new"
    aside.write_text(yaml.safe_dump({"sites": [{**SITE, "name": name, "ssh": dict(SITE["ssh"])} for name in sites]}))  # type: ignore[call-overload]
    aside.replace(folder / "sites.yaml")


def has_sessions(url: str, *, at_most: int) -> bool:
    """Whether no more connections of ours to this database are open, as soon as PostgreSQL has ended those closed."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pps' AND datname = current_database()"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(sa.text(query)).scalar_one() <= at_most:
                return True
    return False


def test_those_who_ask_again_share_the_registry_and_the_connections(asker: Asker) -> None:
    register("INFN-T1")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(asking_again, asker, site="INFN-T1") for _ in range(20)]
    assert [answer.result() for answer in answers] == [True] * 20
    assert len({id(s.config) for s in asker.given}) == len({id(s.facts) for s in asker.given}) == 1
    assert asker.logged_in == 1
    assert has_sessions(asker.url, at_most=5)


def test_what_has_changed_in_the_registry_is_seen_at_the_next_question(asker: Asker) -> None:
    register("INFN-T1")
    assert not asking_again(asker, site="INFN-T2")
    register("INFN-T2")
    assert asking_again(asker, site="INFN-T2")
    assert not asking_again(asker, site="INFN-T1")


@pytest.mark.parametrize(
    "trouble", [ServiceError("the store", "is gone."), NotYetAllowedError("r", "is not on record")]
)
def test_after_a_trouble_everything_is_asked_for_anew_a_password_as_well(asker: Asker, trouble: Exception) -> None:
    asking_again(asker, site="A")
    asker.trouble = trouble
    with pytest.raises(type(trouble)):
        asking_again(asker, site="A")
    asker.trouble = None
    asking_again(asker, site="A")
    first, failed, third = asker.given
    assert first.facts is failed.facts is not third.facts
    assert asker.logged_in == 2


def test_a_task_has_services_of_its_own_and_leaves_no_connection_behind(asker: Asker) -> None:
    asker(site="A")
    assert has_sessions(asker.url, at_most=0)
    asking_again(asker, site="A")
    asker(site="A")
    shared, own = asker.given[1:]
    assert own.facts is not shared.facts
    assert has_sessions(asker.url, at_most=1), "that of those who ask again"
