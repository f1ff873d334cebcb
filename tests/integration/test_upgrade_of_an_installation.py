"""An installation of the version before this one is upgraded as docs/production.md says: nothing on record is lost.

`tests/support/previous_version` was made by that version's own code: `dump.sql.gz` is its database after a demo of each
path (all mails sent) and with five records that are open; `state.json` is what that code read out of it; `config` is
its configuration.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import yaml
from fastapi.testclient import TestClient
from tests.support.desks import is_over
from tests.support.examples import DUE, NOW
from tests.support.front import MemoryAirflow, MemoryBdii, MemoryServices, MemoryTracker, site, write_config
from tests.support.local_shell import LocalShell
from tests.support.postgres import StoreUrls
from tests.support.previews import artefacts_in
from tests.support.tasks import tasks_work_with
from tests.support.withdrawals import Postbox
from tests.unit.web.test_late_answers import airflow_user
from typer.testing import CliRunner
from upath import UPath

from pps.activities.clients.standing import public_view
from pps.activities.people import asking
from pps.activities.people.tokens import invitation_token
from pps.activities.sites.diagnosis import Health
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.cli import doctor
from pps.cli.front import Front
from pps.cli.main import app
from pps.config.loader import Configuration, problems_in
from pps.domain.people import feedback
from pps.domain.record.facts import FactKind
from pps.orchestration.steps import clients as steps
from pps.orchestration.steps import withdrawal as steps_withdrawal
from pps.services import Services
from pps.web.app import create_app

pytestmark = pytest.mark.needs("postgres")
BEFORE = Path(__file__).parents[1] / "support" / "previous_version"
STATE: dict[str, Any] = json.loads((BEFORE / "state.json").read_text())
OPEN = "bc-client-8102-1"
#: With which that version has signed; it holds blanks and a comma.
SECRET = b"an example of a secret, 32 bytes"


@pytest.fixture
def restored(store_urls: StoreUrls) -> StoreUrls:
    """The old database, which has one role: the application's, and it owns the tables."""
    dump = gzip.decompress((BEFORE / "dump.sql.gz").read_bytes()).decode()
    database, one = sa.make_url(store_urls.owner).database, sa.make_url(store_urls.application).username
    with psycopg.connect(store_urls.superuser.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{database}" OWNER TO "{one}"')  # type: ignore[arg-type]
    with psycopg.connect(store_urls.application.replace("+psycopg", "")) as connection:
        connection.execute(dump)  # type: ignore[arg-type]
    return store_urls


def pps(front: Front, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words), obj=front)
    return done.exit_code, " ".join((done.stdout + done.stderr).split())


def two_roles(urls: StoreUrls) -> None:
    """What docs/production.md, 2 says."""
    text = (Path(__file__).parents[2] / "docs" / "production.md").read_text()
    (change,) = re.findall(r"^REASSIGN OWNED BY pps TO pps_owner;$", text, re.M)
    one, owner = (sa.make_url(url).username for url in (urls.application, urls.owner))
    change = change.replace("BY pps ", f'BY "{one}" ').replace("pps_owner", f'"{owner}"')
    with psycopg.connect(urls.superuser.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(change)  # type: ignore[arg-type]


def upgraded(urls: StoreUrls, folder: Path) -> Front:
    """As an operator does it; the services have the real store."""
    connections = {"pps_store": urls.application, "pps_store_owner": urls.owner}
    plain = {name: url.replace("+psycopg", "") for name, url in connections.items()}
    front = Front(Services(write_config(folder / "config", [site("PIC")]), plain.get))
    assert front.services.store_is_current() is False
    code, said = pps(front, "rollout", "list")
    assert (code, "pps db upgrade" in said) == (1, True), said
    two_roles(urls)
    assert pps(front, "db", "upgrade")[0] == 0
    assert pps(front, "db", "upgrade")[0] == 0
    return front


def seen(store: FactStore) -> dict[str, Any]:
    """What the code of now reads, in the words of `state.json`."""
    rollouts = {}
    for name in STATE["rollouts"]:
        record = store.rollout(name)
        said = feedback.summary(record)
        given = [*said.counting, *said.replaced, *said.late, *said.others]
        facts = [
            [f.kind.value, f.subject, f.occasion, f.at.isoformat(), f.actor, dict(f.payload)] for f in record.facts
        ]
        view = {**public_view(record)}
        heard = dict(view["feedback"])
        # what has been added since tells the same of old facts: nobody judged a part, or took anything back
        view["feedback"] = {key: heard.pop(key) for key in ("until", "outcome")}
        assert [(a["vo"], a["words"]) for a in heard["said"]] == [(a.vo, a.opinion) for a in said.counting]
        assert (heard["invited"], heard["bugs"], heard["test_cases"], heard["withdrawn"]) == (
            len(said.invited),
            [],
            [],
            [],
        )
        rollouts[name] = {
            "view": view,
            "facts": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
            "feedback": [
                said.outcome.value,
                list(said.invited),
                list(said.silent),
                [[a.vo, a.opinion.value, a.text, a.author, a.invited] for a in given],
            ],
            "closed": record.is_closed,
            "withdrawn": record.is_withdrawn,
            "over": record.is_over,
        }
    waiting = asking.open_questions(store, datetime.now(UTC))
    questions = sorted([r.name, q.step, q.subject, q.due.isoformat()] for r, q in waiting)
    register = [
        [r.name, r.path, r.patch, r.opened_at.isoformat(), r.closed_at.isoformat() if r.closed_at else None]
        for r in store.rollouts()
    ]
    return {"rollouts": rollouts, "questions": questions, "register": register}


def with_names_of_now(state: dict[str, Any], store: FactStore) -> dict[str, Any]:
    """What `state.json` says, but for the one word that has become two since: a preview that lies at a site and has
    failed its probes is no longer called as one that never got there."""
    renamed = json.loads(json.dumps({key: state[key] for key in ("rollouts", "questions", "register")}))
    changed = 0
    for name, rollout in renamed["rollouts"].items():
        record = store.rollout(name)
        for row in rollout["view"]["sites"]:
            newest = record.progress(row["site"]).fact
            if newest is not None and newest.kind is FactKind.PROBES_FAILED:
                assert row["state"] == "failed"
                row["state"] = "installed, not announced"
                changed += 1
    assert changed, "there is such a site"
    return renamed


def test_every_record_reads_as_before_its_chain_is_right_and_the_application_can_only_add(
    restored: StoreUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPS_CACHE", str(tmp_path / "cache"))
    front = upgraded(restored, tmp_path)
    store = front.services.facts
    now = json.loads(json.dumps(seen(store)))
    for key, value in with_names_of_now(STATE, store).items():
        assert now[key] == value, key
    assert {r["view"]["stage"] for r in STATE["rollouts"].values()} >= {"released", "preview", "release test"}
    code, said = pps(front, "facts", "verify")
    assert (code, f"facts of {len(STATE['rollouts'])} records: all fit" in said) == (0, True), said
    assert store.too_many_rights() == ()
    for check in (doctor._database, doctor._database_role, doctor._facts):
        found = check(front)
        assert found.health is Health.OK, found
    store.dispose()


def test_texts_of_old_mails_go_with_the_mails_and_those_that_wait_are_sent_whole(
    restored: StoreUrls, tmp_path: Path
) -> None:
    with psycopg.connect(restored.superuser.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT key, text FROM outbox").fetchall()
    before: dict[str, str] = dict(rows)
    assert any("token=" in text for text in before.values())
    store = upgraded(restored, tmp_path).services.facts
    gone, waiting = set(), set()
    for key, sent, given_up in STATE["outbox"]:
        (gone if sent or given_up else waiting).add(key)
    mails = {mail.key: mail for name in STATE["rollouts"] for mail, _, _ in store.outbox(name)}
    assert mails.keys() == before.keys() == gone | waiting
    for key, mail in mails.items():
        assert mail.text == ("" if key in gone else before[key]), key
        assert mail.text_sha256 == hashlib.sha256(before[key].encode()).hexdigest(), key
        assert key in waiting or not (mail.html or mail.attachments), key
    assert {mail.key for mail in store.unsent(100, NOW + timedelta(days=400))} == waiting
    assert len(waiting) > 4
    store.dispose()


def test_an_invitation_of_before_is_taken_in_its_time_and_then_refused_in_a_sentence(
    restored: StoreUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = upgraded(restored, tmp_path).services.facts
    with psycopg.connect(restored.superuser.replace("+psycopg", "")) as connection:
        (text,) = connection.execute(  # type: ignore[misc]
            "SELECT text FROM outbox WHERE key = %s", [f"{OPEN}/vo-invited/ops"]
        ).fetchone()
    (token,) = set(re.findall(r"token=([\w-]+)", text))
    assert token == invitation_token(SECRET, OPEN, "ops"), "it stands in the mail that the version before has written"
    services = MemoryServices(
        write_config(tmp_path / "web", [site("PIC")]), given={"facts": store, "feedback_secret": SECRET}
    )
    clock = [NOW + timedelta(days=3)]
    web = TestClient(create_app(lambda: services, airflow_user, lambda: clock[0]), base_url="https://pps.example.org")

    def answer(text: str, **other: str) -> Any:
        body = {"vo": "ops", "opinion": "problem", "text": text, "token": token, **other}
        return web.post(f"/api/v1/rollouts/{OPEN}/feedback", json=body)

    assert (answer("Fails.").status_code, answer("Fails.").json()["invited"]) == (201, True)
    assert answer("Fails.", vo="atlas").status_code == 422
    clock[0] = DUE + timedelta(days=29)
    assert answer("Late.").json()["late"] is True
    clock[0] = DUE + timedelta(days=31)
    refused = answer("Too late.")
    assert (refused.status_code, "The invitation has expired" in refused.json()["detail"]) == (422, True)
    services.__dict__["feedback_secret"] = b"another key that is long enough"
    clock[0] = NOW + timedelta(days=3)
    assert "is not this VO's invitation" in answer("Other key.").json()["detail"]
    monkeypatch.setenv("PPS_FEEDBACK_SECRET", SECRET.decode())
    assert Services(services.config).feedback_secret == SECRET, "what was a key is one"
    store.dispose()


@pytest.fixture
def steps_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The steps work with these services, at this time, for nobody in particular."""
    world: list[Any] = [None, None]

    tasks_work_with(monkeypatch, lambda: world[0], lambda: world[1])
    return world


def test_the_night_runs_over_what_the_version_before_has_left(
    restored: StoreUrls, tmp_path: Path, steps_world: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = upgraded(restored, tmp_path).services.facts
    names = ["PIC", *sorted({s for r in STATE["rollouts"].values() for s in [x["site"] for x in r["view"]["sites"]]})]
    config = write_config(tmp_path / "night", [site(name) for name in dict.fromkeys(names[:6])])
    given = {
        "facts": store,
        "artefacts": artefacts_in(tmp_path / "store"),
        "information_system": MemoryBdii(),
        "mailer": (postbox := Postbox()),
        "shell": LocalShell(),
        "feedback_secret": SECRET,
        "tracker": MemoryTracker(),
        "publication_folder": PublishedFolder(UPath(config.folder / "publication_folder")),
    }
    services = MemoryServices(config, lambda _: None, given | {"clock": lambda: steps_world[1]})
    monkeypatch.setattr(steps, "_targets", lambda sites: {})  # no site has a Connection any more
    last = max(store.rollout(name).facts[-1].at for name in STATE["rollouts"])
    for day in (1, 45):
        steps_world[:] = [services, last + timedelta(days=day)]
        assert isinstance(steps.look_at_sites.function(), list)
        retired = steps_withdrawal.withdraw_retired_tags.function()
        assert is_over(services, "retired_tags_are_gone", rollouts=retired) in (True, False)
        steps_withdrawal.remove_retired_previews.function(retired)
        steps.update_release_bulletin_of_tonight.function()
        steps.remind.function()
        steps.send_mails.function()
    assert retired, "previews of long ago leave their sites"
    waiting = {key for key, sent, given_up in STATE["outbox"] if not (sent or given_up)}
    assert waiting <= {mail.key for mail in postbox.mails}
    assert "bc-client-8101-1" in (config.folder / "publication_folder" / "bulletin.json").read_text()
    front = Front(services)
    front.__dict__["airflow"] = MemoryAirflow()
    assert pps(front, "facts", "verify")[0] == 0
    for command in (["feedback", "list", OPEN], ["credits"], ["tasks", "list"], ["rollout", "show", OPEN]):
        code, said = pps(front, *command)
        assert code == 0, f"{command}: {said}"
    store.dispose()


def test_the_configuration_of_before_is_taken_as_it_is_and_means_what_this_one_says() -> None:
    new = {"tracker.yaml"}  # it has to be written: docs/production.md, 8
    for name, model in doctor._FILES.items():
        assert name in new or list(problems_in(BEFORE / "config" / name, model)) == [], name
    old, new = Configuration(BEFORE / "config"), Configuration(Path(__file__).parents[2] / "config")
    assert old.policies == new.policies
    written = yaml.safe_load((BEFORE / "config" / "policies.yaml").read_text())
    assert "signing" not in written, "it is of that version"
