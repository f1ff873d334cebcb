"""People who follow something hear of each piece of news once, by mails that one click ends, through a real server."""

from __future__ import annotations

import re
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.following import ROLLOUT, AFollowing
from tests.support.smtp_sink import SmtpSink, smtp_sink  # noqa: F401
from tests.support.snapshots import matches_snapshot

from pps.activities.people.following import RECORD
from pps.activities.people.outbox import empty_outbox
from pps.adapters.record.store import FactStore
from pps.domain.record.facts import Fact, FactKind


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = AFollowing.of(tmp_path)
    yield made
    made.store.dispose()


@pytest.fixture
def arrived(world: AFollowing, smtp_sink: SmtpSink) -> Any:
    """Sweeps, sends, and returns what has arrived by that."""

    def swept() -> list[EmailMessage]:
        before = len(smtp_sink.messages)
        world.sweep()
        empty_outbox(world.store, smtp_sink.mailer(), lambda: world.now)
        return smtp_sink.messages[before:]

    return swept


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())


def test_each_piece_of_news_comes_once_to_each_who_follows_it(world: AFollowing, arrived: Any) -> None:
    world.follows("ada", "patch:4711")
    world.follows("ada", "product:glite-WN")
    world.follows("bob", "site:CNAF")
    assert arrived() == [], "what was before is no news"
    world.then(FactKind.FEEDBACK_DATE_AGREED, due="2026-03-15T12:00:00+00:00")
    world.then(FactKind.TAG_SEEN, "CNAF", "night")
    world.then(FactKind.TAG_SEEN, "PIC", "night")
    mails = {mail["To"]: text_of(mail) for mail in arrived()}
    assert sorted(mails) == ["ada@example.org", "bob@example.org"]
    assert "is asked for until 2026-03-15 12:00 UTC." in mails["ada@example.org"]
    assert "available" not in mails["ada@example.org"]
    assert "glite-WN 3.1.23 (patch 4711) is available at CNAF." in mails["bob@example.org"]
    assert "PIC" not in mails["bob@example.org"]
    assert arrived() == []
    world.wait(60)
    assert arrived() == []


def test_all_that_is_new_of_a_rollout_is_one_mail_and_how_it_ends_is_told(world: AFollowing, arrived: Any) -> None:
    world.follows("ada", "product:glite-WN")
    world.then(FactKind.FEEDBACK_DATE_AGREED, due="2026-03-15T12:00:00+00:00")
    world.then(FactKind.WITHDRAWAL_ASKED, reason="It loses files; ask bob@example.org.")
    (mail,) = arrived()
    assert mail["Subject"].endswith("is withdrawn: It loses files; ask b***@example.org (and 1 more)")
    text = text_of(mail)
    assert text.index("is asked for until") < text.index("is withdrawn")
    world.then(FactKind.RELEASED_TO_PRODUCTION)
    (mail,) = arrived()
    assert "glite-WN 3.1.23 (patch 4711) is in production." in text_of(mail)
    assert "is withdrawn" not in text_of(mail)


def test_the_words_of_the_mail(world: AFollowing) -> None:
    world.follows("ada", "patch:4711")
    world.follows("ada", "site:CNAF")
    world.then(FactKind.FEEDBACK_DATE_AGREED, due="2026-03-15T12:00:00+00:00")
    world.then(FactKind.TAG_SEEN, "CNAF", "night")
    world.sweep()
    ((mail, _, _),) = world.store.outbox(RECORD)
    matches_snapshot("followed.txt", mail.text)
    matches_snapshot("followed.html", mail.html)


def test_one_click_ends_the_mails(world: AFollowing, arrived: Any) -> None:
    world.follows("ada", "patch:4711")
    world.follows("bob", "patch:4711")
    world.then(FactKind.WITHDRAWAL_ASKED, reason="It loses files.")
    mail = next(mail for mail in arrived() if mail["To"] == "ada@example.org")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.sub(r"[<>\s]", "", mail["List-Unsubscribe"])
    assert link in re.sub(r"\s", "", text_of(mail))
    html = mail.get_body(("html",))
    assert html is not None
    assert link in html.get_content()
    assert {m.unsubscribe for m, _, _ in FactStore.outbox(world.store, RECORD)} == {""}, "the key goes with the text"
    place = urlsplit(link).path.removeprefix("/pps")
    assert world.who().post(place, content="List-Unsubscribe=One-Click").status_code == 200
    world.then(FactKind.RELEASED_TO_PRODUCTION)
    assert [mail["To"] for mail in arrived()] == ["bob@example.org"]


def test_other_mails_have_no_such_header(smtp_sink: SmtpSink, world: AFollowing) -> None:
    from pps.activities.ports.people import Mail

    world.store.record(mails=[Mail("bc-client-4711-1/x", "vo@example.org", "s", "t")])
    empty_outbox(world.store, smtp_sink.mailer(), lambda: world.now)
    assert "List-Unsubscribe" not in smtp_sink.messages[0]


def test_what_was_missed_for_weeks_is_no_news_any_more(world: AFollowing, arrived: Any) -> None:
    world.follows("ada", "patch:4711")
    world.then(FactKind.FEEDBACK_DATE_AGREED, due="2026-03-15T12:00:00+00:00")
    world.now += timedelta(days=20)
    assert arrived() == []


def test_a_withdrawal_long_after_the_end_is_news(world: AFollowing, arrived: Any) -> None:
    world.store.close(Fact(ROLLOUT, FactKind.ROLLOUT_CLOSED, "", "", world.now, "pps", {"outcome": "released"}))
    world.now += timedelta(days=60)
    world.follows("ada", "patch:4711")
    world.then(FactKind.WITHDRAWAL_ASKED, reason="It loses files.")
    assert len(arrived()) == 1


def test_a_site_that_comes_back_is_told_of_once(world: AFollowing, arrived: Any) -> None:
    world.follows("ada", "site:CNAF")
    world.then(FactKind.TAG_SEEN, "CNAF", "night")
    assert len(arrived()) == 1
    world.then(FactKind.PREVIEW_LOST, "CNAF", "n2", reason="gone")
    world.then(FactKind.TAG_SEEN, "CNAF", "n3")
    world.now += timedelta(days=3)
    assert arrived() == []


def test_an_account_without_an_address_has_the_feed_only_until_it_gets_one(world: AFollowing, arrived: Any) -> None:
    nobody, somebody = world.who("ada", **{"X-Test-Mail": "not an address"}), world.who("ada")
    nobody.post("/following", data={"do": "follow", "patch": "4711"})
    assert "no mail address" in nobody.get("/following").text
    world.then(FactKind.FEEDBACK_DATE_AGREED, due="2026-03-15T12:00:00+00:00")
    assert arrived() == []
    assert "has changed to ada@example.org" in somebody.get("/following").text
    assert somebody.post("/following", data={"do": "address"}).status_code == 303
    world.wait(1)
    assert [mail["To"] for mail in arrived()] == ["ada@example.org"]


def test_an_update_under_release_test_is_no_news_until_it_is_in_production(world: AFollowing, arrived: Any) -> None:
    from tests.support.release_tests import AReleaseTest

    test = AReleaseTest(store=world.store)
    world.follows("ada", "patch:4711")
    world.then(FactKind.RELEASE_REFUSED, rollout=test.name, reasons=["It is rejected."])
    assert arrived() == []
    world.then(FactKind.RELEASED_TO_PRODUCTION, rollout=test.name)
    assert len(arrived()) == 1


def test_the_hourly_sweep_writes_to_followers(world: AFollowing, monkeypatch: Any) -> None:
    from contextlib import contextmanager

    from tests.support.desks import front_office

    from pps.orchestration.steps import clients as steps

    world.follows("ada", "patch:4711")
    world.then(FactKind.FEEDBACK_DATE_AGREED, due="2026-03-15T12:00:00+00:00")
    world.services.given["clock"] = lambda: world.now  # type: ignore[index]

    @contextmanager
    def office(acts: str = "") -> Any:
        yield front_office(world.services, "airflow:reminders")

    monkeypatch.setattr(steps, "office", office)
    assert [steps.remind.function(), steps.remind.function()] == [1, 0]
    ((mail, _, _),) = world.store.outbox(RECORD)
    assert mail.to == "ada@example.org"
