"""Messages by other channels than mail: a real webhook, chats through the real apprise, and ends that misbehave."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any, cast

import pytest
from tests.support.examples import NOW, opened
from tests.support.slow_servers import tcp_server

from pps.activities.people.outbox import empty_outbox, with_copies
from pps.activities.ports.people import Channel, Mail, Mailer
from pps.adapters.record.outbox_table import CLAIM, GIVE_UP_AFTER
from pps.adapters.record.store import FactStore
from pps.adapters.services.channels import SCHEMES, AppriseChannel, Webhook
from pps.domain.base.errors import ConfigurationError, ServiceError
from pps.domain.people.channels import Group, Notice
from pps.domain.record.facts import Fact, FactKind

SECRET = "canary-webhook-secret"
URL = "https://pps.example.org"


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.body))


@dataclass
class Receiver:
    """A web server that keeps what it is sent, and answers as it is told."""

    status: int = 200
    got: list[Got] = field(default_factory=list)
    url: str = ""
    location: str = ""

    @property
    def place(self) -> str:
        return self.url.removeprefix("http://")


@contextmanager
def receiving(status: int = 200) -> Iterator[Receiver]:
    receiver = Receiver(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.got.append(Got(self.path, dict(self.headers), body))
            self.do_HEAD()
            self.wfile.write(b"ok")

        def do_HEAD(self) -> None:
            self.send_response(receiver.status)
            self.send_header("Content-Length", "2")
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        yield receiver
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactStore]:
    made = FactStore(f"sqlite:///{tmp_path}/store.db")
    made.upgrade()
    yield made
    made.dispose()


class Taking:
    """A mail server that takes everything."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mails: Sequence[Mail], accepted: Any = lambda key: None) -> dict[str, str]:
        for mail in mails:
            self.mails.append(mail)
            accepted(mail.key)
        return {}


def webhook(url: str, **more: Any) -> Webhook:
    return Webhook("portal", url, lambda: SECRET, lambda: NOW, **more)


def chat(url: str, **more: Any) -> AppriseChannel:
    return AppriseChannel("room", lambda: url, **more)


def message(key: str = "bc-client-4711-1/stopped", subject: str = "It has stopped", channel: str = "portal") -> Mail:
    return Mail(f"{key}/by/{channel}", channel, subject, f"{URL}/pps/rollouts/bc-client-4711-1", channel=channel)


def queued(store: FactStore, *channels: str, number: int = 1) -> str:
    name = opened(store).name
    to = [message(f"{name}/stopped/{n}", channel=channel) for channel in channels for n in range(number)]
    store.record(mails=[*to, Mail(f"{name}/stopped/x", "a@example.org", "s", "t")])
    return name


def swept(store: FactStore, channels: dict[str, Channel], at: Any = NOW) -> Taking:
    mailer = Taking()
    empty_outbox(store, cast(Mailer, mailer), lambda: at, channels=channels)
    return mailer


# --- a webhook


def test_a_webhook_gets_each_message_once_signed_with_its_time(store: FactStore, receiver: Receiver) -> None:
    name = queued(store, "portal")
    for _ in range(2):
        swept(store, {"portal": webhook(f"{receiver.url}/hook?x=1")})
    (got,) = receiver.got
    assert (got.path, got.headers["Content-Type"]) == ("/hook?x=1", "application/json; charset=utf-8")
    timestamp = got.headers["X-PPS-Timestamp"]
    assert timestamp == str(int(NOW.timestamp()))
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-PPS-Signature"] == f"sha256={expected}"
    assert got.json == {
        "version": 1,
        "channel": "portal",
        "notice": "rollouts",
        "rollout": name,
        "subject": "It has stopped",
        "link": f"{URL}/pps/rollouts/bc-client-4711-1",
    }
    sent = {mail.to: (at, mail.text) for mail, at, _ in store.outbox(name)}
    assert sent == {"portal": (NOW, ""), "a@example.org": (NOW, "")}


def test_what_is_down_is_tried_again_as_the_same_delivery_and_given_up_in_the_end(
    store: FactStore, receiver: Receiver
) -> None:
    receiver.status = 500
    name, at = queued(store, "portal"), NOW
    for minutes in (0, 1, 2):
        at += timedelta(minutes=minutes)
        swept(store, {"portal": webhook(receiver.url)}, at)
        swept(store, {"portal": webhook(receiver.url)}, at)  # not before it is due
    assert len(receiver.got) == 3
    assert len({got.headers["X-PPS-Delivery"] for got in receiver.got}) == 1
    error = {mail.to: why for mail, _, why in store.outbox(name)}["portal"]
    assert "channel portal: answers with HTTP 500." in error
    receiver.status = 204
    swept(store, {"portal": webhook(receiver.url)}, at + timedelta(hours=1))
    swept(store, {"portal": webhook(receiver.url)}, at + timedelta(hours=9))
    assert len(receiver.got) == 4
    assert {mail.to: at is not None for mail, at, _ in store.outbox(name)}["portal"]


def test_after_five_days_it_is_given_up_and_its_words_go(store: FactStore, receiver: Receiver) -> None:
    receiver.status, name, at = 500, queued(store, "portal"), NOW
    while at < NOW + GIVE_UP_AFTER + timedelta(days=1):
        swept(store, {"portal": webhook(receiver.url)}, at)
        at += timedelta(hours=4)
    tried = len(receiver.got)
    receiver.status = 200
    swept(store, {"portal": webhook(receiver.url)}, at + timedelta(days=30))
    assert len(receiver.got) == tried
    assert {mail.to: mail.text for mail, _, _ in store.outbox(name)}["portal"] == ""


def test_a_sender_that_dies_before_it_has_noted_an_answer_repeats_that_one_message_recognisably(
    store: FactStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(store, "portal", number=3)
    channels: dict[str, Channel] = {"portal": webhook(receiver.url)}
    noted = store.mark_sent
    with monkeypatch.context() as dying:

        def dies(keys: Sequence[str], now: Any) -> None:
            if len(receiver.got) == 2:
                raise ServiceError("the store", "does not answer.")
            noted(keys, now)

        dying.setattr(store, "mark_sent", dies)
        with pytest.raises(ServiceError, match="the store"):
            swept(store, channels)
    swept(store, channels)
    assert len(receiver.got) == 3, "what it had claimed is still its own"
    swept(store, channels, NOW + CLAIM)
    deliveries = [got.headers["X-PPS-Delivery"] for got in receiver.got]
    assert sorted(Counter(deliveries).values()) == [1, 1, 2]


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.status, receiver.location = 307, f"{elsewhere.url}/caught"
        assert "A redirect is not followed" in webhook(receiver.url).send(message())
        with pytest.raises(ServiceError):
            chat(f"mmost://{receiver.place}/{'a' * 26}").send(message())
        assert elsewhere.got == []


@pytest.mark.parametrize("secret", [None, "", "short"])
def test_without_a_secret_nothing_leaves(receiver: Receiver, secret: str | None) -> None:
    with pytest.raises(ConfigurationError, match="pps_channel_portal"):
        Webhook("portal", receiver.url, lambda: secret).send(message())
    assert receiver.got == []


# --- what misbehaves


def silent(connection: socket, end: threading.Event) -> None:
    connection.recv(65536)
    end.wait()


def dripping(connection: socket, end: threading.Event) -> None:
    connection.recv(65536)
    while not end.wait(0.05):
        connection.sendall(b"H")


@pytest.mark.parametrize("serve", [silent, dripping])
def test_whatever_the_other_end_does_a_message_takes_no_longer_than_its_time(serve: Any) -> None:
    with tcp_server(serve) as port:
        for one in (
            webhook(f"http://127.0.0.1:{port}", deadline_s=0.3),
            chat(f"mmost://127.0.0.1:{port}/{'a' * 26}", deadline_s=0.3),
        ):
            with pytest.raises(ServiceError, match="has not answered within"):
                one.send(message())


def test_a_channel_that_hangs_keeps_neither_mail_nor_another_channel_waiting(
    store: FactStore, receiver: Receiver
) -> None:
    taken = threading.Event()

    class Hanging:
        """Hangs until the other channel has had its message: if that waited for this one, neither would end."""

        def send(self, message: Mail) -> str:
            assert taken.wait(30)
            raise ServiceError("channel hanging", "does not answer.")

        def check(self) -> str:
            return ""

    class Heard(Webhook):
        def send(self, message: Mail) -> str:
            said = super().send(message)
            taken.set()
            return said

    name = queued(store, "hanging", "portal", "unknown", number=3)
    portal = Heard("portal", receiver.url, lambda: SECRET)
    mailer = swept(store, {"hanging": Hanging(), "portal": portal})
    assert [mail.to for mail in mailer.mails] == ["a@example.org"]
    assert len(receiver.got) == 3
    errors = {(mail.to, why) for mail, at, why in store.outbox(name) if at is None}
    assert {to for to, _ in errors} == {"hanging", "unknown"}
    assert ("unknown", "people.yaml names no such channel") in errors


def test_what_is_gone_is_said_without_its_address(receiver: Receiver) -> None:
    with receiving() as gone:
        url = gone.url
    for one in (webhook(f"{url}/canary"), chat(f"mmost://{url.removeprefix('http://')}/{'canary' * 4}aa")):
        with pytest.raises(ServiceError) as error:
            one.send(message())
        assert "canary" not in str(error.value) and "127.0.0.1" not in str(error.value)


# --- chats


@pytest.mark.parametrize(("scheme", "token"), [("mmost", "canarycanarycanarycanaryca"), ("json", "canary")])
def test_a_chat_gets_headline_and_link_through_apprise_and_nobody_else_its_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, scheme: str, token: str
) -> None:
    caplog.set_level(logging.DEBUG)
    room = chat(f"{scheme}://{receiver.place}/{token}")
    hostile = "@channel <!everyone> [x](javascript:alert(1)) *now* ana@example.org"
    assert room.send(message(subject=hostile)) == ""
    (got,) = receiver.got
    said = got.body.decode()
    text = json.loads(said).get("text") or json.loads(said).get("message")
    assert f"{URL}/pps/rollouts/bc-client-4711-1" in text
    assert not [bad for bad in ("@channel", "<!everyone>", "](", "*now*") if bad in text]
    assert token in got.path
    assert "github" not in said, "no picture of somebody else's is loaded by those who read it"
    receiver.status = 500
    with pytest.raises(ServiceError) as error:
        room.send(message())
    assert token not in caplog.text + str(error.value) + repr(room)


def test_slack_s_webhook_is_spoken_too(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"{receiver.url}/services")
    assert chat("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/").send(message()) == ""
    assert receiver.got[0].path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert "It has stopped" in receiver.got[0].body.decode()


@pytest.mark.parametrize("url", ["syslog://", "dbus://", "file:///tmp/x", "mailto://a:b@example.org", "x", "", None])
def test_what_reaches_this_machine_or_is_no_chat_is_refused(url: str | None) -> None:
    with pytest.raises(ConfigurationError):
        AppriseChannel("room", lambda: url).send(message())
    assert "syslog" not in SCHEMES


# --- who gets what


def test_a_room_gets_one_short_message_of_what_its_people_are_told_and_never_a_key(store: FactStore) -> None:
    canary = "canary-token"
    name = opened(store).name
    groups = (
        Group("emt@example.org", ("room",), frozenset(Notice), mail=True),
        Group("roc@example.org", ("room", "portal"), frozenset({Notice.ROLLOUTS}), mail=False),
    )
    kinds = [*(kind.value for kind in FactKind), "stopped", "released", "artefact-refused"]
    everything = [
        Mail(
            f"{name}/{kind}/s/{to}",
            to,
            f"About {kind}, ana@example.org",
            f"{URL}/pps/feedback/{name}?vo=atlas&token={canary}",
            f"<p>{canary}</p>",
            (("a.txt", "text/plain", canary),),
            unsubscribe=f"{URL}/pps/following/end/{canary}",
            link=f"{URL}/pps/feedback/{name}?token={canary}",
        )
        for kind in kinds
        for to in ("emt@example.org", "roc@example.org")
    ]
    copies = [m for m in with_copies(everything, groups, URL) if m.channel]
    assert canary not in repr(copies) and "ana@example.org" not in repr(copies)
    assert {m.text for m in copies} == {f"{URL}/pps/rollouts/{name}"}
    told = {m.key.split("/")[1] for m in copies}
    for private in ("vo-invited", "originator-invited", "followed", "feedback-given"):
        assert private not in told
    assert {"question-asked", "reminded", "stopped", "site-opted-out"} <= told
    by_room = [m.key for m in copies if m.channel == "room"]
    assert len(by_room) == len(set(by_room)) == len(told), "both groups are in the room, which hears it once"
    assert {m.key.split("/")[1] for m in copies if m.channel == "portal"} <= {"stopped", "released", *told}

    mailed = {(m.key.split("/")[1], m.to) for m in with_copies(everything, groups, URL) if not m.channel}
    assert ("question-asked", "emt@example.org") in mailed
    assert ("stopped", "roc@example.org") not in mailed, "they have it from their rooms"
    assert ("vo-invited", "roc@example.org") in mailed, "what may leave by mail alone always does"
    assert ("site-told", "roc@example.org") in mailed


def test_a_question_leads_to_its_page_and_is_queued_once_whatever_is_repeated(store: FactStore) -> None:
    name = opened(store).name
    groups = (Group("EMT@example.org", ("room",), frozenset({Notice.QUESTIONS}), mail=True),)
    page = f"{URL}/pps/tasks/d/r/t/3"
    mail = Mail(f"{name}/question-asked/PIC/s", "emt@example.org, eve@example.org", "Please", "t", link=page)
    for _ in range(2):
        store.record(
            Fact(name, FactKind.QUESTION_ASKED, "PIC", "s", NOW, "pps", {}), mails=with_copies([mail], groups, URL)
        )
    found = [(m.to, m.channel, m.text) for m, _, _ in store.outbox(name)]
    assert sorted(found) == [("emt@example.org", "", "t"), ("eve@example.org", "", "t"), ("room", "room", page)]
    assert store.unsent(9, NOW, "room")[0].text == page
    assert store.waiting_channels(NOW) == (), "claimed"
