"""The outbox between a real PostgreSQL and a real SMTP server, with senders that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.examples import NOW, opened
from tests.support.smtp_sink import SmtpSink, smtp_sink  # noqa: F401

from pps.activities.people.outbox import empty_outbox
from pps.activities.ports.people import Mail
from pps.adapters.record.store import FactStore

pytestmark = pytest.mark.needs("postgres")

SENDER = """
import sys
from datetime import datetime
from pps.activities.people.outbox import empty_outbox
from pps.adapters.services.mail import SmtpMailer
from pps.adapters.record.store import FactStore
url, port, now = sys.argv[1:]
mailer = SmtpMailer("127.0.0.1", int(port), "none", sender="pps@example.org", timeout_s=10)
print(empty_outbox(FactStore(url), mailer, lambda: datetime.fromisoformat(now)).sent)
"""


def queue(store: FactStore, number: int) -> list[str]:
    name = opened(store).name
    letters = [Mail(f"{name}/x/{n}", f"user-{n}@example.org", "s", "t", "<p>t</p>") for n in range(number)]
    store.record(mails=letters)
    return [m.to for m in letters]


def test_everything_is_sent_once_and_nothing_is_left(fact_store: FactStore, smtp_sink: SmtpSink) -> None:
    addresses = queue(fact_store, 60)
    done = empty_outbox(fact_store, smtp_sink.mailer(), lambda: NOW)
    assert (done.sent, done.refused, done.trouble) == (60, 0, "")
    assert sorted(m["To"] for m in smtp_sink.messages) == sorted(addresses)
    assert smtp_sink.connections == 3, "one for each batch of 25"
    assert empty_outbox(fact_store, smtp_sink.mailer(), lambda: NOW).sent == 0


def test_a_killed_sender_loses_no_mail_and_repeats_at_most_one(
    fact_store: FactStore,
    store_url: str,
    smtp_sink: SmtpSink,
) -> None:
    addresses = queue(fact_store, 150)
    kills = iter((7, 40, 41, 90, 120))
    sender: subprocess.Popen[bytes]
    next_kill = next(kills)

    def kill(number: int) -> None:
        nonlocal next_kill
        if number == next_kill:
            os.kill(sender.pid, signal.SIGKILL)
            next_kill = next(kills, -1)

    smtp_sink.at_message = kill
    plugins = Path(__file__).parents[2] / "plugins"
    ends = []
    for attempt in range(6):
        # ten minutes apart: the claim of the one that was killed has ended
        now = (NOW + attempt * timedelta(minutes=10)).isoformat()
        command = [sys.executable, "-c", SENDER, store_url, str(smtp_sink.port), now]
        sender = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(plugins)}, stdout=subprocess.DEVNULL)
        ends.append(sender.wait(60))
    assert ends == [-signal.SIGKILL] * 5 + [0]

    received = Counter(str(m["To"]) for m in smtp_sink.messages)
    assert set(received) == set(addresses), "none is missing"
    assert len(smtp_sink.messages) - len(addresses) <= 5, "at most one duplicate for each kill"
    ids = {(str(m["To"]), str(m["Message-ID"])) for m in smtp_sink.messages}
    assert len(ids) == len(addresses), "a duplicate has the Message-ID of the first"
    assert all(sent for _, sent, _ in fact_store.outbox("bc-client-4711-1"))


def test_a_refused_and_a_greylisted_mail_are_tried_again_later(
    fact_store: FactStore,
    smtp_sink: SmtpSink,
) -> None:
    queue(fact_store, 5)
    smtp_sink.refuse, smtp_sink.greylist = {"user-1@example.org"}, {"user-3@example.org"}
    first = empty_outbox(fact_store, smtp_sink.mailer(), lambda: NOW)
    assert (first.sent, first.refused) == (3, 2)
    errors = [error for _, _, error in fact_store.outbox("bc-client-4711-1")]
    assert errors == ["", "550 5.1.1 no such mailbox", "", "451 4.7.1 greylisted, come back later", ""]
    assert empty_outbox(fact_store, smtp_sink.mailer(), lambda: NOW + timedelta(seconds=59)).sent == 0
    later = empty_outbox(fact_store, smtp_sink.mailer(), lambda: NOW + timedelta(minutes=1))
    assert (later.sent, later.refused) == (1, 1)


def test_a_mail_server_that_is_down_fails_nothing_and_the_mails_wait(
    fact_store: FactStore,
    smtp_sink: SmtpSink,
) -> None:
    queue(fact_store, 30)
    mailer = smtp_sink.mailer()
    smtp_sink.stop()
    down = empty_outbox(fact_store, mailer, lambda: NOW)
    smtp_sink.start()
    assert down.sent == 0
    assert "does not answer" in down.trouble
    up = empty_outbox(fact_store, smtp_sink.mailer(), lambda: NOW + timedelta(minutes=2))
    assert up.sent == 30
