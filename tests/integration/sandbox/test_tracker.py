"""The sandbox tracker over HTTP, and our adapter against it and against trackers that misbehave."""

from __future__ import annotations

import dataclasses
import gzip
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from tests.support.sandbox_grid import RunningGrid, sandbox_grid  # noqa: F401

from pps.adapters.services.tracker import RestTracker
from pps.config.patch_documents import patch_document
from pps.domain.base.errors import (
    ConfigurationError,
    PackageError,
    PatchNotFoundError,
    RefusedError,
    ServiceError,
)
from pps.domain.packages.patch import PackageRef, Patch, PatchState, Repository, RepositoryKind
from pps.domain.sites.site import Platform
from pps.sandbox.provider.scenario import demo_patch

DEMO = demo_patch(
    Repository(RepositoryKind.YUM, "http://repository.example.org/yum"),
    [PackageRef("glite-wn", "3.1.23-1", "noarch")],
    platform=Platform("debian12", "amd64"),
)
_numbers = iter(range(5000, 6000))


@pytest.fixture
def patch(sandbox_grid: RunningGrid) -> Patch:
    patch = dataclasses.replace(DEMO, number=next(_numbers))
    sandbox_grid.tracker.create(patch)
    return patch


@pytest.fixture
def url(sandbox_grid: RunningGrid) -> str:
    return sandbox_grid.configuration.service.tracker_url


def test_what_was_entered_is_read_back(sandbox_grid: RunningGrid, patch: Patch):
    assert sandbox_grid.tracker.patch(patch.number) == patch


def test_a_provider_corrects_fields_and_reaches_nothing_else(sandbox_grid: RunningGrid, patch: Patch):
    sandbox_grid.tracker.edit(patch.number, {"special_configuration": "Set X."})
    assert sandbox_grid.tracker.patch(patch.number) == dataclasses.replace(patch, special_configuration="Set X.")
    with pytest.raises(RefusedError, match="cannot be edited"):
        sandbox_grid.tracker.edit(patch.number, {"state": "Certified"})


def test_a_state_is_set_once_however_often_it_is_asked_for(sandbox_grid: RunningGrid, patch: Patch):
    for _ in range(3):
        sandbox_grid.tracker.set_state(patch.number, PatchState.CERTIFIED, "all tests passed")
    moves = [e for e in sandbox_grid.tracker.history(patch.number) if "->" in e["what"]]
    assert [e["comment"] for e in moves] == ["all tests passed"]


def test_an_illegal_move_is_refused_with_what_would_be_legal(sandbox_grid: RunningGrid, patch: Patch):
    with pytest.raises(
        RefusedError, match='cannot go from "In certification" to "In production"; allowed: "Certified"'
    ):
        sandbox_grid.tracker.set_state(patch.number, PatchState.IN_PRODUCTION, "")


def test_a_comment_is_kept_once_and_moves_nothing(sandbox_grid: RunningGrid, patch: Patch):
    for _ in range(2):
        sandbox_grid.tracker.comment(patch.number, "Deployment test: scenario wn failed.")
    history = sandbox_grid.tracker.history(patch.number)
    assert [e["comment"] for e in history if e["what"] == "comment"] == ["Deployment test: scenario wn failed."]
    assert sandbox_grid.tracker.patch(patch.number) == patch
    with pytest.raises(RefusedError):
        sandbox_grid.tracker.comment(patch.number, "")
    with pytest.raises(PatchNotFoundError):
        sandbox_grid.tracker.comment(999999, "x")


def test_a_patch_that_is_not_there_is_said_so(sandbox_grid: RunningGrid):
    with pytest.raises(PatchNotFoundError, match="patch 999999"):
        sandbox_grid.tracker.patch(999999)
    with pytest.raises(PatchNotFoundError):
        sandbox_grid.tracker.set_state(999999, PatchState.CERTIFIED, "")


def test_a_wrong_token_reads_but_does_not_write(url: str, patch: Patch):
    stranger = RestTracker(url, "wrong")
    assert stranger.patch(patch.number) == patch
    with pytest.raises(ConfigurationError, match="refuses our token") as refusal:
        stranger.set_state(patch.number, PatchState.CERTIFIED, "")
    assert "wrong" not in str(refusal.value)
    assert stranger.patch(patch.number).state is PatchState.IN_CERTIFICATION


def test_lists_are_complete_over_many_pages_newest_first_and_by_state(sandbox_grid: RunningGrid, patch: Patch):
    for number in range(7000, 7450):
        sandbox_grid.tracker.create(dataclasses.replace(DEMO, number=number, state=PatchState.OBSOLETE))
    obsolete = sandbox_grid.tracker.patches(PatchState.OBSOLETE)
    assert [p.number for p in obsolete] == list(range(7449, 6999, -1))
    assert patch in sandbox_grid.tracker.patches()


def test_flag_and_bugs(sandbox_grid: RunningGrid, url: str, patch: Patch):
    sandbox_grid.tracker.set_flag(patch.number, "basic_certification_passed", False, "a test failed")
    assert not sandbox_grid.tracker.patch(patch.number).basic_certification_passed
    bug = {"number": 1, "title": "Late", "severity": "critical", "originator": "cms-offline@example.org"}
    headers = {"Authorization": f"Bearer {sandbox_grid.tracker_token}"}
    for _ in range(2):
        assert (
            requests.post(f"{url}/patches/{patch.number}/bugs", json=bug, headers=headers, timeout=5).status_code == 201
        )
    assert sandbox_grid.tracker.patch(patch.number).bugs[0].title == "Late"
    assert len(sandbox_grid.tracker.patch(patch.number).bugs) == len(patch.bugs) + 1


def test_of_two_people_who_edit_at_once_the_second_is_told(sandbox_grid: RunningGrid, url: str, patch: Patch):
    headers = {"Authorization": f"Bearer {sandbox_grid.tracker_token}"}
    address = f"{url}/patches/{patch.number}"
    etag = requests.get(address, timeout=5).headers["ETag"]
    answers = [
        requests.patch(address, json={"release_notes": text}, headers=headers | {"If-Match": etag}, timeout=5)
        for text in ("first", "second")
    ]
    assert [a.status_code for a in answers] == [200, 412]
    assert sandbox_grid.tracker.patch(patch.number).release_notes == "first"
    assert requests.patch(address, json={}, headers=headers, timeout=5).status_code == 428


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"state": NaN}', "application/json", 400),
        (b'{"state": "Certified", "state": "Rejected"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a":' * 100_000, "application/json", 400),
        (b"\xff\xfe{\x00}\x00", "application/json", 400),
        (b'{"state": "certified"}', "application/json", 422),
        (b'{"state": "Certified", "extra": 1}', "application/json", 422),
        (b'{"state": "Certified", "comment": "\\ud800"}', "application/json", 422),
        (b'{"state": "Certified", "comment": 5}', "application/json", 422),
        (b'{"state": "Certified", "comment": "' + b"x" * 5000 + b'"}', "application/json", 422),
        (b'"' + b"x" * 5_000_000 + b'"', "application/json", 413),
    ],
)
def test_hostile_bodies_are_refused_in_words_and_change_nothing(
    sandbox_grid: RunningGrid, url: str, patch: Patch, body: bytes, content_type: str, status: int
):
    headers = {"Authorization": f"Bearer {sandbox_grid.tracker_token}", "Content-Type": content_type}
    answer = requests.post(f"{url}/patches/{patch.number}/state", data=body, headers=headers, timeout=10)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert sandbox_grid.tracker.patch(patch.number) == patch


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/patches/" + "9" * 5000, 404),
        ("/patches/-1", 404),
        ("/patches/%D9%A1", 404),
        ("/patches/1/../..", 404),
        ("/patches?limit=1e9", 422),
        ("/patches?below=x", 422),
        ("/patches?state=x", 422),
        ("/patches?limit=-5", 200),
        ("/patches?limit=" + "9" * 4500, 422),
        ("/nothing", 404),
    ],
)
def test_hostile_addresses_get_an_answer(url: str, path: str, status: int):
    assert requests.get(url + path, timeout=5).status_code == status


def test_a_new_patch_is_checked_field_by_field(sandbox_grid: RunningGrid, url: str):
    document = patch_document(dataclasses.replace(DEMO, number=next(_numbers))) | {"metapackage": "a;b", "typo": 1}
    headers = {"Authorization": f"Bearer {sandbox_grid.tracker_token}"}
    answer = requests.post(f"{url}/patches", json=document, headers=headers, timeout=5)
    assert answer.status_code == 422
    assert "metapackage" in answer.json()["error"] and "typo" in answer.json()["error"]


# --- trackers that misbehave --------------------------------------------------------------------

Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def misbehaving() -> Iterator[Callable[[Reply], tuple[str, list[str]]]]:
    """Start a server that answers with `reply`; gives its address and the list of requests it got."""
    servers = []

    def start(reply: Reply) -> tuple[str, list[str]]:
        seen: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(f"{self.command} {self.path}")
                if length := int(self.headers.get("Content-Length", 0)):
                    self.rfile.read(length)
                try:
                    reply(self)
                except OSError:
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, *arguments: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answer(body: bytes, status: int = 200, **headers: str) -> Reply:
    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def good(**changes: object) -> bytes:
    return json.dumps(patch_document(DEMO) | changes).encode()


@pytest.mark.parametrize(
    ("body", "error", "why"),
    [
        (b"<html>login", ServiceError, "not JSON"),
        (b"[1]", ServiceError, "not a JSON object"),
        (b'{"number": NaN}', ServiceError, "not JSON"),
        (b"[" * 200_000, ServiceError, "not JSON"),
        (good(number=4712), ServiceError, "asked for patch 4711"),
        (good(state="Lost"), PackageError, "state"),
        (
            good(bugs=[{"number": 1, "title": "x", "severity": "major", "originator": "a\nBcc: b@c"}]),
            PackageError,
            "bugs.0.originator",
        ),
        (good(platforms=["debian12"]), PackageError, "platforms.0"),
    ],
)
def test_a_wrong_answer_is_an_error_that_says_what_is_wrong(
    misbehaving: Any, body: bytes, error: type[Exception], why: str
):
    url, _ = misbehaving(answer(body))
    with pytest.raises(error, match=why):
        RestTracker(url).patch(4711)


def test_an_answer_that_is_too_large_is_cut_off(misbehaving: Any):
    url, _ = misbehaving(answer(b" " * 200_000))
    with pytest.raises(ServiceError, match="larger than 100000 bytes"):
        RestTracker(url, most_bytes=100_000).patch(4711)


def test_a_compressed_answer_that_nobody_asked_for_is_refused(misbehaving: Any):
    url, _ = misbehaving(answer(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"))
    with pytest.raises(ServiceError, match="compressed"):
        RestTracker(url).patch(4711)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_that_drips_ends_at_the_deadline(misbehaving: Any, chunked: bool):
    ended = threading.Event()

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "1000000")))
        handler.end_headers()
        for _ in range(200):
            if ended.wait(0.1):
                break
            handler.wfile.write(b"1\r\n \r\n" if chunked else b" ")

    url, _ = misbehaving(drip)
    began = time.monotonic()
    try:
        with pytest.raises(ServiceError, match="took longer"):
            RestTracker(url, total_s=1).patch(4711)
    finally:
        ended.set()
    assert time.monotonic() - began < 15


def test_no_redirect_is_followed(misbehaving: Any):
    target, seen = misbehaving(answer(good()))
    url, _ = misbehaving(answer(b"", 302, Location=f"{target}/patches/4711"))
    with pytest.raises(ServiceError, match="redirects to"):
        RestTracker(url, "secret-token").patch(4711)
    assert seen == []


def test_reads_are_tried_again_and_writes_are_not(misbehaving: Any):
    url, seen = misbehaving(answer(b"{}", 503))
    with pytest.raises(ServiceError, match="503"):
        RestTracker(url).patch(4711)
    assert seen == ["GET /patches/4711"] * 3
    seen.clear()
    with pytest.raises(ServiceError, match="503"):
        RestTracker(url).create(DEMO)
    assert seen == ["POST /patches"]


def test_the_state_that_a_patch_has_is_not_written_again(misbehaving: Any):
    url, seen = misbehaving(answer(good()))
    RestTracker(url, "token").set_state(4711, PatchState.IN_CERTIFICATION, "")
    assert seen == ["GET /patches/4711"]


def test_a_tracker_that_does_not_answer_is_a_service_error(misbehaving: Any):
    def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.connection.close()

    for url in (misbehaving(cut)[0], "http://127.0.0.1:1"):
        with pytest.raises(ServiceError, match="does not answer"):
            RestTracker(url).patch(4711)


def test_one_bad_patch_does_not_hide_the_others_and_is_named_in_the_log(
    misbehaving: Any, caplog: pytest.LogCaptureFixture
):
    bad = patch_document(DEMO) | {"number": 4710, "state": "Lost"}
    url, _ = misbehaving(answer(json.dumps({"patches": [patch_document(DEMO), bad], "more": False}).encode()))
    assert RestTracker(url).patches() == (DEMO,)
    assert "patch 4710: state" in caplog.text


@pytest.mark.parametrize(
    "page", [{"patches": [patch_document(DEMO)], "more": True}, {"patches": [1], "more": False}, {"patches": {}}, {}]
)
def test_a_list_that_never_ends_or_is_none_is_a_service_error(misbehaving: Any, page: dict[str, Any]):
    url, seen = misbehaving(answer(json.dumps(page).encode()))
    with pytest.raises(ServiceError, match="list of patches"):
        RestTracker(url).patches()
    assert len(seen) <= 2


def test_a_change_by_somebody_else_in_between_is_looked_at_again(
    sandbox_grid: RunningGrid, patch: Patch, monkeypatch: pytest.MonkeyPatch
):
    """Between our look and our act the flag changes, so the version does."""
    ours, theirs = (
        RestTracker(sandbox_grid.configuration.service.tracker_url, sandbox_grid.tracker_token),
        sandbox_grid.tracker,
    )
    looked = ours._versioned
    looks = []

    def look_and_be_overtaken(number: int) -> Any:
        seen = looked(number)
        if not looks:
            theirs.set_flag(number, "basic_certification_passed", False)
        looks.append(number)
        return seen

    monkeypatch.setattr(ours, "_versioned", look_and_be_overtaken)
    ours.set_state(patch.number, PatchState.CERTIFIED, "")
    assert len(looks) == 2
    after = theirs.patch(patch.number)
    assert (after.state, after.basic_certification_passed) == (PatchState.CERTIFIED, False)


def test_a_proxy_or_netrc_of_the_machine_is_not_used_for_loopback(
    url: str, patch: Patch, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert RestTracker(url).patch(patch.number) == patch
