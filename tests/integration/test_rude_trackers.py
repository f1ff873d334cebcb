"""Trackers that answer badly, slowly, too much or elsewhere: each adapter says so in our words, and keeps our token."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import PATCH
from tests.support.slow_servers import tcp_server
from tests.support.stand_in import Answered, Asked, StandIn, served

from pps.activities.ports.tracker import Tracker
from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.open import open_tracker
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.base.errors import ConfigurationError, PatchNotFoundError, RefusedError, RolloutError, ServiceError
from pps.domain.packages.patch import PatchState

TOKEN = "s3cret-t0ken-of-ours"
KINDS = list(TrackerKind)
#: A patch has an address of its own there. Roundup is asked for those of a number, and its 404 means a wrong address.
WITH_AN_ADDRESS = [kind for kind in TrackerKind if kind is not TrackerKind.ROUNDUP]

#: What a workflow does with a tracker.
CALLS: dict[str, Callable[[Tracker], object]] = {
    "patch": lambda t: t.patch(7),
    "patches": lambda t: t.patches(),
    "comments": lambda t: t.comments(7),
    "set_state": lambda t: t.set_state(7, PatchState.CERTIFIED, "x"),
    "comment": lambda t: t.comment(7, "x"),
    "enter": lambda t: t.enter(PATCH, submission="x"),
    "edit": lambda t: t.edit(7, {"version": "1"}),
}


class Anybody:
    def wrong_with(self, asked: Asked) -> list[str]:
        return []

    def wrong_with_answer(self, asked: Asked, answer: Answered) -> list[str]:
        return []


class Rude(StandIn):
    """Gives everybody the same answer."""

    def __init__(self, answer: Answered | None = None) -> None:
        super().__init__(Anybody())
        self.always = answer or Answered(200, [])

    def answer(self, asked: Asked) -> Answered:
        return self.always


def opened(kind: TrackerKind, url: str, folder: Path, **how: Any) -> Tracker:
    file = TrackerFile(
        kind=kind, url=url, project="patch" if kind is TrackerKind.ROUNDUP else "middleware/patches", **how
    )
    return open_tracker(file, Secret(TOKEN), folder)


def told(kind: TrackerKind, folder: Path, answer: Answered, call: str) -> RolloutError:
    """What a call says to such an answer; nothing in it, or behind it, is our token."""
    with served(rude := Rude(answer)), pytest.raises(RolloutError) as raised:
        CALLS[call](opened(kind, rude.url, folder))
    error: BaseException | None = raised.value
    assert rude.asked
    assert raised.value.next_step
    while error is not None:
        assert TOKEN not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    return raised.value


@pytest.fixture(autouse=True)
def no_token_in_any_log(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)
    yield
    assert TOKEN not in caplog.text
    assert all(TOKEN not in f"{record.args}" for record in caplog.records)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_takes_our_token_nowhere(
    kind: TrackerKind, call: str, status: int, tmp_path: Path
) -> None:
    with served(elsewhere := Rude()):
        place = elsewhere.url.replace("127.0.0.1", "localhost") + "/api/v3/x"
        told(kind, tmp_path, Answered(status, {}, {"Location": place}), call)
    assert elsewhere.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_next_page_elsewhere_is_not_asked_for(kind: TrackerKind, tmp_path: Path) -> None:
    with served(elsewhere := Rude()):
        link = f'<{elsewhere.url}/api/v4/x?page=2>; rel="next"'
        body = {"items": [], "pages": 2, "page": 1, "count": 0, "per_page": 1, "total": 5, "next_page": elsewhere.url}
        answer = Answered(200, [] if kind != "request-tracker" else body, {"Link": link})
        with served(rude := Rude(answer)), suppress(RolloutError):
            opened(kind, rude.url, tmp_path).patches()
    assert elsewhere.asked == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please sign in</html>",
        b"\xff\xfe{",
        b"{" * 100_000,
        b'{"a": NaN',
        b"null",
        b"7",
        b'"text"',
        b"[null]",
        b"[[]]",
        b"{}",
        b'[{"number": "x", "iid": [], "id": {}}]',
        json.dumps({"number": 7, "iid": 7, "id": 7, "title": 5, "body": 5, "description": {}, "labels": 5}).encode(),
        json.dumps({"number": 7, "iid": 7, "id": 7, "title": "x", "labels": [5, None, {"name": []}]}).encode(),
        json.dumps({"number": 8, "iid": 8, "id": 8, "labels": [], "title": "another one"}).encode(),
    ],
)
def test_an_answer_that_is_none_of_this_tracker_is_an_error_of_ours(
    kind: TrackerKind, call: str, body: bytes, tmp_path: Path
) -> None:
    error = told_or_nothing(kind, tmp_path, Answered(200, body), call)
    assert error is None or isinstance(error, ServiceError | PatchNotFoundError | ConfigurationError)


def told_or_nothing(kind: TrackerKind, folder: Path, answer: Answered, call: str) -> RolloutError | None:
    """An answer may be read as a tracker without entries; but never as a patch."""
    with served(rude := Rude(answer)):
        try:
            found = CALLS[call](opened(kind, rude.url, folder))
        except RolloutError as error:
            return error
    assert call in ("patches", "comments") and found == (), (call, found)
    return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ["patch", "patches", "comment", "enter"])
@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [
        (401, ConfigurationError),
        (403, ConfigurationError),
        (429, ServiceError),
        (500, ServiceError),
        (503, ServiceError),
        (422, RefusedError),
        (400, RefusedError),
    ],
)
def test_a_refusal_says_who_has_to_act(
    kind: TrackerKind, call: str, status: int, kind_of_error: type[RolloutError], tmp_path: Path
) -> None:
    why = {"message": "no\nwith reasons", "error": "no with reasons"}
    error = told(kind, tmp_path, Answered(status, why, {"Retry-After": "3600"}), call)
    assert isinstance(error, kind_of_error), repr(error)
    assert str(error).isprintable()


@pytest.mark.parametrize("kind", WITH_AN_ADDRESS)
@pytest.mark.parametrize("call", ["patch", "comment", "edit", "comments"])
def test_nothing_at_this_number_is_a_patch_that_is_not_found(kind: TrackerKind, call: str, tmp_path: Path) -> None:
    error = told(kind, tmp_path, Answered(404, {"message": "Not Found"}), call)
    assert isinstance(error, PatchNotFoundError)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_too_large_is_not_read_to_its_end(kind: TrackerKind, tmp_path: Path) -> None:
    error = told(kind, tmp_path, Answered(200, b"[" + b" " * (17 * 1024 * 1024) + b"]"), "patch")
    assert isinstance(error, ServiceError)
    assert "larger than" in error.why


@pytest.mark.parametrize("kind", KINDS)
def test_a_compressed_answer_is_not_unpacked(kind: TrackerKind, tmp_path: Path) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    error = told(kind, tmp_path, Answered(200, bomb, {"Content-Encoding": "gzip"}), "patch")
    assert isinstance(error, ServiceError)
    assert "compressed" in error.why


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_that_drips_does_not_hold_us_up(kind: TrackerKind, tmp_path: Path) -> None:
    def drip(connection: socket.socket, end: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not end.wait(0.05):
            connection.sendall(b" ")

    with tcp_server(drip) as port, pytest.raises(ServiceError, match="took longer"):
        opened(kind, f"http://127.0.0.1:{port}", tmp_path, timeout=0.3).patch(7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_that_is_not_there_is_worth_another_try(kind: TrackerKind, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ServiceError, match="does not answer"):
        opened(kind, f"http://127.0.0.1:{port}", tmp_path).patch(7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_netrc_file_takes_the_place_of_no_token_and_a_proxy_is_not_for_this_machine(
    kind: TrackerKind, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"machine {host} login somebody password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if host == "127.0.0.1":
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with served(rude := Rude(Answered(500, {"message": "Not Found"})), host), pytest.raises(ServiceError):
        opened(kind, rude.url, tmp_path).patch(7)
    assert rude.asked
    assert all(TOKEN in " ".join(asked.headers.values()) for asked in rude.asked)
    assert all("basic" not in asked.headers.get("authorization", "").lower() for asked in rude.asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_within_a_tracker_is_not_followed_either(kind: TrackerKind, status: int, tmp_path: Path) -> None:
    with served(rude := Rude()):
        rude.always = Answered(status, {}, {"Location": f"{rude.url}/elsewhere"})
        with pytest.raises(RolloutError):
            opened(kind, rude.url, tmp_path).patch(7)
    assert len(rude.asked) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_cookie_of_a_tracker_is_not_sent_back(kind: TrackerKind, tmp_path: Path) -> None:
    with served(rude := Rude(Answered(500, {"message": "Not Found"}, {"Set-Cookie": "session=1; Path=/"}))):
        tracker = opened(kind, rude.url, tmp_path)
        for _ in range(2):
            with pytest.raises(ServiceError):
                tracker.patch(7)
    assert all("cookie" not in asked.headers for asked in rude.asked)
