"""Messages into a Matrix room: the real apprise, and a home server of the client-server API on a real socket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.test_channels import chat, message, queued, store, swept  # noqa: F401
from tests.support.examples import NOW
from tests.support.matrix import ALIAS, PASSWORD, ROOM, TOKEN, USER, HomeServer, home_server

from pps.adapters.record.store import FactStore
from pps.domain.base.errors import ServiceError

API = "/_matrix/client/v3"


@pytest.fixture
def home() -> Iterator[HomeServer]:
    with home_server() as made:
        yield made


def by_password(home: HomeServer, room: str = ROOM) -> str:
    return f"matrix://{USER}:{PASSWORD}@{home.address}/{room.replace('#', '%23')}"


@pytest.mark.parametrize("room", [ROOM, ALIAS])
def test_with_a_password_it_logs_in_joins_says_one_message_and_leaves_no_login_behind(
    home: HomeServer, room: str
) -> None:
    assert chat(by_password(home, room)).send(message(subject="It has *stopped* <b>now</b>")) == ""
    assert [asked.partition(API)[2].partition("/send/")[0] for asked in home.asked] == [
        "/login",
        f"/join/{room}",
        f"/rooms/{ROOM}",
        "/logout",
    ]
    (said,) = home.messages
    assert said["body"].endswith("\nhttps://pps.example.org/pps/rollouts/bc-client-4711-1")
    assert "formatted_body" not in said, "nobody's words become HTML in the room"
    assert home.tokens == {TOKEN}


def test_with_a_token_each_message_has_a_transaction_of_its_own(home: HomeServer) -> None:
    room = chat(f"matrix://{TOKEN}@{home.address}/{ROOM}")
    for text in ("one", "two"):
        assert room.send(message(subject=text)) == ""
    assert [said["body"].splitlines()[0] for said in home.messages] == ["one", "two"]
    assert not [asked for asked in home.asked if "login" in asked or "logout" in asked]


def test_each_message_of_the_outbox_is_in_the_room_once(home: HomeServer, store: FactStore) -> None:
    name = queued(store, "room")
    for _ in range(2):
        swept(store, {"room": chat(by_password(home))})
    assert len(home.messages) == 1
    assert {mail.to: at for mail, at, _ in store.outbox(name)}["room"] == NOW


@pytest.mark.parametrize("problem", ["password", "token", "room", "full", "gone"])
def test_what_a_home_server_does_not_take_waits_and_no_secret_is_in_log_error_or_outbox(
    home: HomeServer, store: FactStore, caplog: pytest.LogCaptureFixture, problem: str, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    url = by_password(home)
    home.full = problem == "full"
    if problem == "password":
        url = url.replace(PASSWORD, "canary-wrong")
    elif problem == "token":
        url = f"matrix://canary-wrong@{home.address}/{ROOM}"
    elif problem == "room":
        url = by_password(home, "!other:matrix.example.org")
    elif problem == "gone":
        url = f"matrix://{USER}:{PASSWORD}@127.0.0.1:9/{ROOM}"
    room = chat(url)
    name = queued(store, "room")
    swept(store, {"room": room})
    (row,) = [(at, why) for mail, at, why in store.outbox(name) if mail.to == "room"]
    assert row[0] is None and "channel room: " in row[1]
    with pytest.raises(ServiceError) as error:
        room.send(message())
    assert home.messages == []
    assert "canary" not in "".join((caplog.text, row[1], str(error.value), repr(error.value), repr(room)))
