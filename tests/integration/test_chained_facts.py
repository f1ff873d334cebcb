"""Facts are chained, and the application's role can neither change nor delete them (docs/adr/0025)."""

from __future__ import annotations

import hashlib
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from tests.support.examples import NOW
from tests.support.front import MemoryServices, site, write_config
from tests.support.postgres import StoreUrls
from typer.testing import CliRunner

from pps.activities.ports.people import Mail
from pps.adapters.record import schema
from pps.adapters.record.outbox_table import GIVE_UP_AFTER
from pps.adapters.record.store import FactStore, upgrade
from pps.cli import facts
from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.base.errors import ConfigurationError
from pps.domain.record import chain
from pps.domain.record.facts import Fact, FactKind

pytestmark = pytest.mark.needs("postgres")


def fact(rollout: str, subject: str = "PIC", kind: FactKind = FactKind.SITE_FAILED, **payload: object) -> Fact:
    return Fact(rollout, kind, subject, "", NOW, "test", payload)


def opened(store: FactStore, patch: int = 1) -> str:
    name = store.next_name("bc-client", patch)
    store.open("bc-client", patch, fact(name, "", FactKind.ROLLOUT_OPENED), f"run-{patch}")
    return name


def misfits(store: FactStore) -> dict[str, str]:
    found = [chain.verify(name, links) for name, links in store.chains()]
    return {v.rollout: v.misfit for v in found if v.misfit}


def as_superuser(urls: StoreUrls, *statements: str) -> None:
    """What somebody does who has the whole database."""
    with psycopg.connect(urls.superuser.replace("+psycopg", "")) as connection:
        connection.execute("ALTER TABLE facts DISABLE TRIGGER USER")
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]
        connection.execute("ALTER TABLE facts ENABLE TRIGGER USER")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE facts SET actor = 'x'",
        "DELETE FROM facts",
        "TRUNCATE facts",
        "ALTER TABLE facts DISABLE TRIGGER USER",
        "DROP TABLE facts",
        "SET session_replication_role = replica",
        "CREATE TABLE mine (x int)",
        "DELETE FROM rollouts",
        "UPDATE rollouts SET name = 'x'",
        "DELETE FROM outbox",
        "UPDATE outbox SET text_sha256 = ''",
        "UPDATE pps_alembic_version SET version_num = '0001'",
        "GRANT ALL ON facts TO PUBLIC",
    ],
)
def test_the_applications_role_records_and_reads_and_nothing_else(
    fact_store: FactStore, store_urls: StoreUrls, statement: str
) -> None:
    name = opened(fact_store)
    with (
        psycopg.connect(store_urls.application.replace("+psycopg", "")) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation)) as refused,
    ):
        connection.execute(statement)  # type: ignore[arg-type]
        if statement.startswith("GRANT"):  # PostgreSQL only warns that nothing was granted
            raise psycopg.errors.InsufficientPrivilege
    assert "append-only" not in str(refused.value), "it is not the trigger alone that refuses"
    assert len(fact_store.rollout(name).facts) == 1
    assert fact_store.too_many_rights() == ()


def test_one_role_for_everything_still_works_and_is_named(store_urls: StoreUrls) -> None:
    upgrade(store_urls.owner, application=store_urls.owner)
    store = FactStore(store_urls.owner)
    opened(store)
    assert store.too_many_rights() == ("owns the tables",)
    store.dispose()
    assert FactStore(store_urls.superuser).too_many_rights() == ("is a superuser",)


def test_the_documented_sql_makes_two_roles_of_one(store_urls: StoreUrls) -> None:
    text = (Path(__file__).parents[2] / "docs" / "production.md").read_text()
    (reassign,) = re.findall(r"^REASSIGN OWNED BY pps TO pps_owner;$", text, re.M)
    database = sa.make_url(store_urls.owner).database
    before = sa.make_url(store_urls.application)
    with psycopg.connect(store_urls.superuser.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{database}" OWNER TO "{before.username}"')  # type: ignore[arg-type]
    upgrade(store_urls.application, application=store_urls.application)
    store = FactStore(store_urls.application)
    name = opened(store)
    assert store.too_many_rights() == ("owns the tables",)
    change = reassign.replace("BY pps ", f'BY "{before.username}" ').replace("pps_owner", f'"{database}_owner"')
    with psycopg.connect(store_urls.superuser.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(change)  # type: ignore[arg-type]
    upgrade(store_urls.owner, application=store_urls.application)
    assert store.too_many_rights() == ()
    assert store.record(fact(name))
    assert misfits(store) == {}
    store.dispose()


def test_an_upgrade_by_the_application_changes_nothing_and_says_who_must_do_it(store_urls: StoreUrls) -> None:
    with pytest.raises(ConfigurationError, match="pps db upgrade"):
        upgrade(store_urls.application, application=store_urls.application)


def test_facts_from_many_at_once_make_one_chain_and_none_is_lost(fact_store: FactStore, store_urls: StoreUrls) -> None:
    names = [opened(fact_store, patch) for patch in (1, 2, 3)]
    stores = [FactStore(store_urls.application) for _ in range(4)]

    def record(worker: int) -> None:
        shuffled = random.Random(worker)
        for n in range(12):
            some = shuffled.sample(names, 3)  # in any order: no two wait for each other
            new = [fact(name, f"S{worker % 4}-{n}", n=n) for name in some]
            stores[worker % 4].record(*new, mails=[Mail(f"{some[0]}/{worker}-{n}", "a@example.org", "s", "t")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))
    assert [len(fact_store.rollout(name).facts) for name in names] == [1 + 4 * 12] * 3
    assert misfits(fact_store) == {}
    for store in stores:
        store.dispose()


@pytest.mark.parametrize(
    "payload",
    [
        {"n": 5.0, "big": 1e22, "huge": 1e300, "small": 1e-7, "third": 1 / 3, "minus": -0.0, "int": 2**60},
        {"deep": [{"b": None, "a": [True, False, 1, "1"]}], "text": "é\u2028\U0001f600\x00\ud800", "": ""},
        {str(n): n for n in range(50)},
    ],
)
def test_what_a_database_makes_of_numbers_and_texts_does_not_break_the_chain(
    fact_store: FactStore, payload: dict[str, object]
) -> None:
    name = opened(fact_store)
    fact_store.record(fact(name, "a\x00b", **payload), fact(name, "b"))
    assert misfits(fact_store) == {}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE facts SET payload = '{\"reason\": \"other\"}' WHERE subject = 'S2'", "Fact 4 .* was changed"),
        ("UPDATE facts SET at = at + interval '1 us' WHERE subject = 'S2'", "Fact 4 .* was changed"),
        ("UPDATE facts SET actor = 'mallory' WHERE subject = ''", "Fact 1 .* was changed"),
        ("DELETE FROM facts WHERE subject = 'S2'", "Fact 4 .*S3.* does not follow fact 3"),
        ("DELETE FROM facts WHERE subject = ''", "Fact 1 .* does not follow the beginning"),
        (
            "UPDATE facts SET id = -1 WHERE subject = 'S3'",
            "Fact 1 .*S3.* does not follow the beginning",
        ),
        (
            "INSERT INTO facts (rollout, kind, subject, occasion, at, actor, payload, previous, digest) SELECT "
            "rollout, kind, 'S9', '', at, actor, payload, 'x', 'y' FROM facts WHERE subject = 'S2'",
            "Fact 7 .*S9.* does not follow fact 6",
        ),
        ("UPDATE facts SET kind = 'no-such-kind' WHERE subject = 'S2'", "Fact 4 .* was changed"),
        ("DELETE FROM facts", "has no facts"),
    ],
)
def test_what_was_changed_behind_our_back_is_named(
    fact_store: FactStore, store_urls: StoreUrls, statement: str, said: str
) -> None:
    name, other = opened(fact_store), opened(fact_store, 2)
    fact_store.record(*(fact(name, f"S{n}") for n in range(5)))
    as_superuser(store_urls, f"{statement}{' AND' if 'WHERE' in statement else ' WHERE'} rollout = '{name}'")
    (found,) = misfits(fact_store).items()
    assert found[0] == name != other
    assert re.search(said, found[1]), found[1]


def pps(front: Front, *words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(words), obj=front)
    return done.exit_code, " ".join(done.stdout.split()), done.stderr


def heads_kept(front: Front, path: Path) -> tuple[int, str]:
    code, out, _ = pps(front, "facts", "verify", "--heads", str(path))
    return code, out


def test_the_command_names_the_first_misfit_and_keeps_heads(
    fact_store: FactStore, store_urls: StoreUrls, tmp_path: Path
) -> None:
    front = Front(MemoryServices(write_config(tmp_path / "config", [site("PIC")]), given={"facts": fact_store}))
    name, heads = opened(fact_store), tmp_path / "heads"
    fact_store.record(*(fact(name, f"S{n}") for n in range(5)))
    other = opened(fact_store, 2)
    assert heads_kept(front, heads)[0] == 0
    kept = heads.read_text()
    assert kept.splitlines()[0].startswith(f"{name} 6 ")
    fact_store.record(fact(name, "S5"))
    assert heads_kept(front, heads)[0] == 0, "a chain may grow"
    assert heads.read_text().startswith(f"{name} 7 ")

    as_superuser(store_urls, f"DELETE FROM facts WHERE subject = 'S5' AND rollout = '{name}'")
    assert pps(front, "facts", "verify")[0] == 0, "without the heads nobody can know"
    before = heads.read_text()
    code, out = heads_kept(front, heads)
    assert (code, "the end was cut off" in out, heads.read_text()) == (1, True, before)

    as_superuser(
        store_urls, f"DELETE FROM facts WHERE rollout = '{other}'", f"DELETE FROM rollouts WHERE name = '{other}'"
    )
    assert f"{other}: It had 1 facts" in heads_kept(front, heads)[1]

    heads.write_text(kept.replace(kept.split()[2], "0" * 64))
    assert "made anew" in heads_kept(front, heads)[1]
    as_superuser(store_urls, f"UPDATE facts SET actor = 'mallory' WHERE subject = 'S2' AND rollout = '{name}'")
    code, out, _ = pps(front, "facts", "verify", name)
    assert (code, "Fact 4" in out) == (1, True)
    said = json.loads(pps(front, "facts", "verify", "--json")[1])
    assert said["fits"] is False
    heads.write_text("nonsense\n")
    assert pps(front, "facts", "verify", "--heads", str(heads))[0] == 1
    assert pps(front, "facts", "verify", "no-such-rollout")[0] == 1


@pytest.fixture
def ended(fact_store: FactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Front, list[str]]:
    """Five rollouts that have ended, and an account that looks again at two old chains each time."""
    monkeypatch.setenv("PPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(facts, "READ_AGAIN", 2)
    names = [opened(fact_store, patch) for patch in range(1, 6)]
    for name in names:
        fact_store.record(*(fact(name, f"S{n}") for n in range(4)))
    config = write_config(tmp_path / "config", [site("PIC")])
    return Front(MemoryServices(config, given={"facts": fact_store})), names


def test_doctor_reads_what_is_new_and_the_rest_in_turns(
    fact_store: FactStore, ended: tuple[Front, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    front, names = ended
    read: list[str] = []
    links = fact_store.links
    monkeypatch.setattr(fact_store, "links", lambda name: read.append(name) or links(name))

    def look() -> list[str]:
        read.clear()
        assert facts.look_at_chains(front).misfits == ()
        return read.copy()

    assert look() == names, "nothing is known yet"
    assert look() == names[:2]
    fact_store.record(fact(names[0], "new"))
    assert look() == [names[0], *names[2:4]], "what is new, and those read longest ago"
    assert look() == [names[1], names[4]]
    (note,) = (front.services.cache / "verified").iterdir()
    note.write_text("nonsense\n")
    seen = facts.look_at_chains(front)
    assert (len(seen.read), "line 1" in seen.problem) == (5, True), "what is no note is none"
    assert facts.look_at_chains(front).problem == ""
    note.parent.chmod(0o777)
    note.unlink()
    note.symlink_to("elsewhere")
    assert len(facts.look_at_chains(front).read) == 5
    assert not note.is_symlink()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("DELETE FROM facts WHERE rollout = '{0}' AND subject = 'S3'", "the end was cut off"),
        ("DELETE FROM facts WHERE rollout = '{0}'; DELETE FROM rollouts WHERE name = '{0}'", "is gone"),
        ("UPDATE facts SET digest = repeat('0', 64) WHERE rollout = '{0}' AND subject = 'S3'", "was changed"),
        ("UPDATE facts SET actor = 'mallory' WHERE rollout = '{0}' AND subject = 'S1'", "Fact 3 .* was changed"),
    ],
)
def test_doctor_sees_what_was_done_to_an_old_chain_and_goes_on_saying_so(
    ended: tuple[Front, list[str]], store_urls: StoreUrls, changed: str, said: str
) -> None:
    front, names = ended
    for _ in range(2):
        assert facts.look_at_chains(front).misfits == ()
    as_superuser(store_urls, changed.format(names[0]))
    looks = [facts.look_at_chains(front).misfits for _ in range(6)]
    seen = [bool(misfits) for misfits in looks]
    assert seen[-1]
    assert seen == sorted(seen), "once seen, it is said until somebody has looked into it"
    assert re.search(said, looks[-1][0].misfit)
    if "actor" not in changed:
        assert seen[0], "against the head that was kept, at once"


def test_a_mails_text_goes_when_it_was_sent_or_given_up_and_its_digest_stays(fact_store: FactStore) -> None:
    name = opened(fact_store)
    secret = ("requirement.jdl", "text/plain", "token")
    keys = [f"{name}/{n}" for n in range(3)]
    fact_store.record(mails=[Mail(key, "a@example.org", "s", "token", "<p>token", (secret,)) for key in keys])
    fact_store.unsent(10, NOW)
    fact_store.mark_sent(keys[:1], NOW)
    fact_store.mark_refused({keys[1]: "451 later"}, NOW)
    fact_store.mark_refused({keys[1]: "451 later", keys[2]: "451 later"}, NOW + GIVE_UP_AFTER)
    sent, given_up, waiting = (mail for mail, _, _ in fact_store.outbox(name))
    for mail in (sent, given_up):
        assert (mail.text, mail.html, mail.attachments) == ("", "", ())
        assert mail.text_sha256 == hashlib.sha256(b"token").hexdigest()
    assert waiting.text == "token", "one that still has to go out is whole"
    fact_store.record(mails=[Mail(keys[0], "a@example.org", "s", "token")])
    assert len(fact_store.outbox(name)) == 3, "and none is queued again"


def test_the_migration_chains_old_facts_and_clears_old_mails(store_urls: StoreUrls) -> None:
    engine = sa.create_engine(store_urls.owner)
    with engine.begin() as connection:
        command.upgrade(schema._migrations(connection), "0002")
        for number in (1, 2):
            connection.exec_driver_sql(
                "INSERT INTO rollouts (name, path, patch, run, opened_at) VALUES (%s, 'bc-client', %s, 'r', now())",
                (f"bc-client-{number}-1", number),
            )
        for n in range(1200):
            connection.exec_driver_sql(
                "INSERT INTO facts (rollout, kind, subject, occasion, at, actor, payload) "
                "VALUES (%s, 'site-failed', %s, '', now(), 'x', '{\"n\": 1.0, \"reason\": \"\u00fc\"}')",
                (f"bc-client-{1 + n % 2}-1", f"S{n}"),
            )
        for key, sent in (("sent", "now()"), ("waiting", "NULL")):
            connection.exec_driver_sql(
                'INSERT INTO outbox (key, rollout, "to", subject, text, html, attachments, sent_at) '
                f"VALUES ('bc-client-1-1/{key}', 'bc-client-1-1', 'a', 's', 'token', 'token', '[]', {sent})"
            )
    engine.dispose()
    upgrade(store_urls.owner, application=store_urls.application)
    store = FactStore(store_urls.application)
    assert misfits(store) == {}
    assert [len(store.rollout(f"bc-client-{n}-1").facts) for n in (1, 2)] == [600, 600]
    assert [(mail.text, len(mail.text_sha256)) for mail, _, _ in store.outbox("bc-client-1-1")] == [
        ("", 64),
        ("token", 64),
    ]
    store.record(fact("bc-client-1-1", "new"))
    assert misfits(store) == {}
    store.dispose()


def test_what_ended_and_is_at_no_site_is_not_read_again_until_something_new_is_recorded(fact_store: FactStore) -> None:
    name = opened(fact_store)
    fact_store.close(fact(name, "", FactKind.ROLLOUT_CLOSED, outcome="released"))
    record = fact_store.rollout(name)
    fact_store.record(fact(name, "late"))
    assert not fact_store.mark_cleared(record), "more is on record than was read"
    assert fact_store.mark_cleared(fact_store.rollout(name))
    assert fact_store.rollouts(not_cleared=True) == ()
    assert [row.name for row in fact_store.rollouts()] == [name]
    fact_store.record(Fact(name, FactKind.PREVIEW_INSTALLED, "PIC", "late", NOW + timedelta(days=60), "test", {}))
    assert [row.name for row in fact_store.rollouts(not_cleared=True)] == [name]
