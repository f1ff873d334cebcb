"""Chats whose host is fixed: what apprise would send to them, seen where requests hands it to the network."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from requests.adapters import HTTPAdapter
from tests.support.examples import NOW, opened

from pps.activities.people.outbox import empty_outbox
from pps.activities.ports.people import Mail, Mailer
from pps.adapters.record.store import FactStore
from pps.adapters.services.channels import AppriseChannel
from pps.domain.base.errors import ServiceError

LINK = "https://pps.example.org/pps/rollouts/bc-client-4711-1"


@dataclass(frozen=True)
class Chat:
    url: str
    posts_to: str
    secret: str
    answer: str


TELEGRAM = Chat(
    "tgram://123456789:CANARYabcdefghijklmnopqrstuvwxyz123/-10012345/",
    "https://api.telegram.org/bot123456789:CANARYabcdefghijklmnopqrstuvwxyz123/sendMessage",
    "CANARYabcdefghijklmnopqrstuvwxyz123",
    '{"ok": true, "result": {"message_id": 1}}',
)
DISCORD = Chat(
    "discord://1234567890/CANARY-token-of-the-webhook",
    "https://discord.com/api/webhooks/1234567890/CANARY-token-of-the-webhook",
    "CANARY-token-of-the-webhook",
    "",
)
SLACK = Chat(
    "slack://T1JJ3T3L2/A1BRTD4JD/CANARYxdnlazkcOXrIdevi7F/",
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/CANARYxdnlazkcOXrIdevi7F",
    "CANARYxdnlazkcOXrIdevi7F",
    "ok",
)


@dataclass
class Network:
    """Takes what requests would send."""

    chat: Chat
    status: int = 200
    fails: bool = False
    posted: list[requests.PreparedRequest] = field(default_factory=list)

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        self.posted.append(request)
        if self.fails:
            raise requests.ConnectionError(f"HTTPSConnectionPool: Max retries exceeded with url: {request.url}")
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = self.status, str(request.url), request
        # an error that repeats what it was asked is what a careless server, or a proxy, says
        said = self.chat.answer if self.status == 200 else json.dumps({"ok": False, "description": request.url})
        answer._content = said.encode()
        return answer


@pytest.fixture(params=[TELEGRAM, DISCORD, SLACK], ids=["telegram", "discord", "slack"])
def network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    made = Network(request.param)
    monkeypatch.setattr(HTTPAdapter, "send", made.send)
    yield made


def room(chat: Chat) -> AppriseChannel:
    return AppriseChannel("room", lambda: chat.url)


def message(subject: str = "It has stopped") -> Mail:
    return Mail("bc-client-4711-1/stopped/by/room", "room", subject, LINK, channel="room")


def test_headline_and_link_are_posted_once_to_its_own_host(network: Network) -> None:
    hostile = "@everyone <!everyone> [x](javascript:alert(1)) *now* ana@example.org"
    assert room(network.chat).send(message(hostile)) == ""
    (posted,) = network.posted
    assert (posted.method, str(posted.url).partition("?")[0]) == ("POST", network.chat.posts_to)
    body = posted.body if isinstance(posted.body, str) else (posted.body or b"").decode()
    assert LINK in body.replace("\\/", "/")
    assert not [bad for bad in ("@everyone", "<!everyone>", "](javascript", "*now*") if bad in body]
    assert network.chat.secret not in body


@pytest.mark.parametrize(
    "breaks",
    [
        lambda network: setattr(network, "fails", True),
        *(lambda network, status=status: setattr(network, "status", status) for status in (301, 401, 404, 500)),
    ],
    ids=["no connection", "301", "401", "404", "500"],
)
def test_its_token_is_in_no_error_log_line_or_row_of_the_outbox(
    network: Network, breaks: Callable[[Network], None], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    breaks(network)
    with pytest.raises(ServiceError) as error:
        room(network.chat).send(message())
    assert error.value.__cause__ is None, "a traceback would tell what requests said"
    store = FactStore(f"sqlite:///{tmp_path}/store.db")
    store.upgrade()
    name = opened(store).name
    store.record(mails=[Mail(f"{name}/stopped/by/room", "room", "It has stopped", LINK, channel="room")])
    empty_outbox(store, cast(Mailer, None), lambda: NOW, channels={"room": room(network.chat)})
    (row,) = store.outbox(name)
    store.dispose()
    assert network.posted and row[1] is None and "channel room: " in row[2]
    assert network.chat.secret in str(network.posted[0].url)
    assert network.chat.secret not in "".join((caplog.text, repr(error.value), repr(row), repr(room(network.chat))))
