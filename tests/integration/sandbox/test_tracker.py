"""A real Roundup with our schema, and our adapter against it and against trackers that misbehave."""

from __future__ import annotations

import dataclasses
import gzip
import http.server
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.support.sandbox_grid import RunningGrid, sandbox_grid  # noqa: F401

from pps.activities.ports.tracker import Ticket
from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.roundup import RoundupTracker
from pps.config.patch_documents import patch_document
from pps.config.tracker_models import TrackerFile, TrackerKind
from pps.domain.base.errors import (
    ConfigurationError,
    PackageError,
    PatchNotFoundError,
    RefusedError,
    ServiceError,
)
from pps.domain.packages.advice import Because, Impact, Risk, Status, Vulnerability
from pps.domain.packages.patch import (
    Bug,
    BugState,
    Case,
    PackageRef,
    Patch,
    PatchKind,
    PatchState,
    Repository,
    RepositoryKind,
    Severity,
)
from pps.domain.sites.site import Platform
from pps.sandbox.grid.tracker import take_over
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
    sandbox_grid.tracker.enter(patch)
    return patch


@pytest.fixture
def file(sandbox_grid: RunningGrid) -> TrackerFile:
    return sandbox_grid.configuration.tracker


def comments(grid: RunningGrid, patch: Patch) -> list[str]:
    return [c.text for c in grid.tracker.comments(patch.number)]


def test_what_was_entered_is_read_back(sandbox_grid: RunningGrid, patch: Patch):
    assert sandbox_grid.tracker.patch(patch.number) == patch


def test_a_sandbox_of_before_keeps_its_patches_and_what_became_of_them_since(sandbox_grid: RunningGrid, tmp_path: Path):
    patch = dataclasses.replace(DEMO, number=next(_numbers), state=PatchState.CERTIFIED)
    folder = tmp_path / "patches"
    folder.mkdir()
    (folder / f"{patch.number}.json").write_text(json.dumps({"patch": patch_document(patch), "version": 3}))
    description = sandbox_grid.control.description
    where = (description["services"]["tracker"], Path(description["tracker_connection_file"]))
    take_over(folder, *where)
    assert sandbox_grid.tracker.patch(patch.number) == patch
    sandbox_grid.tracker.set_state(patch.number, PatchState.IN_PRODUCTION, "Released.")
    take_over(folder, *where)  # as each start of the grid does
    assert sandbox_grid.tracker.patch(patch.number).state is PatchState.IN_PRODUCTION


def test_every_field_is_read_back(sandbox_grid: RunningGrid):
    whole = dataclasses.replace(
        DEMO,
        number=next(_numbers),
        repository=Repository(RepositoryKind.APT, "http://repository.example.org/apt", "bookworm", ("main", "extra")),
        packages=tuple(PackageRef(f"pkg{n}", f"1:2.{n}~rc1-3", "amd64") for n in range(40)),
        externals=(PackageRef("libgfal2-2", "2.21.3-1+b1", "amd64"),),
        bugs=(Bug(28731, DEMO.bugs[0].title, Severity.MAJOR, DEMO.bugs[0].originator),),
        test_cases=(Case("a", "A title | with a bar", "# Do\n\n1. this\n2. that"), Case("b", "B")),
        release_notes="Line <b>one</b>\n\n  indented\nLine ü 語 three",
        special_configuration="SET=1\nOTHER=2",
        new_variables=("A_B", "C"),
        changed_variables=("D",),
        basic_certification_passed=False,
        install_tested=(),
        programming_ph=0,
        provider="grid-packages@example.org",
        kind=PatchKind.SERVER,
        service_type="CREAM-CE",
        component_parameters=("blah.conf:maxJobs", "[CE] port"),
        operational_changes="Restart it.",
        database_schema_changed=True,
        clients_compatible=False,
        new_functionality=True,
        installation_guide="https://doc.example.org/install",
        configuration_guide="https://doc.example.org/configure",
        cves=(Vulnerability("CVE-2026-12345", Risk.CRITICAL), Vulnerability("CVE-2026-1234567")),
        vex=(Impact("CVE-2026-12346", Status.NOT_AFFECTED, Because.NO_CODE), Impact("CVE-2026-12347", Status.AFFECTED)),
        embargo_until=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    )
    assert sandbox_grid.tracker.enter(whole) == whole.number
    assert sandbox_grid.tracker.patch(whole.number) == whole
    assert sandbox_grid.tracker.enter(whole) == whole.number, "the same once more is the same patch"


def test_the_tracker_gives_a_number_once_for_each_submission(sandbox_grid: RunningGrid, patch: Patch):
    first = sandbox_grid.tracker.enter(patch, submission="submission-1")
    assert first not in (patch.number, 0)
    assert sandbox_grid.tracker.enter(patch, submission="submission-1") == first
    second = sandbox_grid.tracker.enter(patch, submission="submission-2")
    assert second == first + 1
    assert sandbox_grid.tracker.patch(second) == dataclasses.replace(patch, number=second)


def test_another_patch_of_the_same_number_is_refused(sandbox_grid: RunningGrid, patch: Patch):
    sandbox_grid.tracker.set_state(patch.number, PatchState.CERTIFIED, "")
    assert sandbox_grid.tracker.enter(patch) == patch.number, "what the workflow did is no other content"
    with pytest.raises(RefusedError, match="exists with other content"):
        sandbox_grid.tracker.enter(dataclasses.replace(patch, version="3.1.24"))


def test_a_bug_that_others_know_otherwise_is_not_written_over(sandbox_grid: RunningGrid, patch: Patch):
    mine = dataclasses.replace(DEMO.bugs[0], severity=Severity.CRITICAL)
    other = dataclasses.replace(DEMO, number=next(_numbers), bugs=(mine,))
    with pytest.raises(RefusedError, match="Bug 28731 is in the tracker with another title, severity or originator"):
        sandbox_grid.tracker.enter(other)
    assert sandbox_grid.tracker.patch(patch.number) == patch
    with pytest.raises(PatchNotFoundError):
        sandbox_grid.tracker.patch(other.number)


def test_a_provider_corrects_fields_and_reaches_nothing_else(sandbox_grid: RunningGrid, patch: Patch):
    late = Bug(1, "Late", Severity.CRITICAL, "cms-offline@example.org")
    fields = {
        "special_configuration": "Set X.",
        "clients_compatible": False,
        "bugs": [
            *(
                {"number": b.number, "title": b.title, "severity": b.severity.value, "originator": b.originator}
                for b in patch.bugs
            ),
            {"number": 1, "title": "Late", "severity": "critical", "originator": "cms-offline@example.org"},
        ],
    }
    sandbox_grid.tracker.edit(patch.number, fields)
    changed = dataclasses.replace(
        patch, special_configuration="Set X.", clients_compatible=False, bugs=(*patch.bugs, late)
    )
    read = sandbox_grid.tracker.patch(patch.number)
    assert dataclasses.replace(read, bugs=tuple(sorted(read.bugs, key=lambda b: b.number))) == dataclasses.replace(
        changed, bugs=tuple(sorted(changed.bugs, key=lambda b: b.number))
    )
    sandbox_grid.tracker.edit(patch.number, {"special_configuration": ""})
    assert sandbox_grid.tracker.patch(patch.number).special_configuration == ""
    for field, value in (("state", "Certified"), ("number", 1), ("basic_certification_passed", True)):
        with pytest.raises(RefusedError, match="cannot be edited"):
            sandbox_grid.tracker.edit(patch.number, {field: value})
    with pytest.raises(PackageError, match="metapackage"):
        sandbox_grid.tracker.edit(patch.number, {"metapackage": "$(id)"})
    with pytest.raises(PackageError, match="nonsense"):
        sandbox_grid.tracker.edit(patch.number, {"nonsense": 1})


def test_a_state_is_set_once_however_often_it_is_asked_for(sandbox_grid: RunningGrid, patch: Patch):
    for _ in range(3):
        sandbox_grid.tracker.set_state(patch.number, PatchState.CERTIFIED, "all tests passed")
    assert comments(sandbox_grid, patch) == ["all tests passed"]
    assert sandbox_grid.tracker.patch(patch.number).state is PatchState.CERTIFIED


def test_an_illegal_move_is_refused_with_what_would_be_legal(sandbox_grid: RunningGrid, patch: Patch):
    with pytest.raises(
        RefusedError, match='cannot go from "In certification" to "In production"; allowed: "Certified"'
    ):
        sandbox_grid.tracker.set_state(patch.number, PatchState.IN_PRODUCTION, "a move that was not made")
    assert comments(sandbox_grid, patch) == []


#: Where a patch may go next.
_ALWAYS = {PatchState.WITH_PROVIDER, PatchState.REJECTED, PatchState.OBSOLETE}
LEGAL_MOVES = {
    PatchState.READY_FOR_INTEGRATION: {PatchState.READY_FOR_CERTIFICATION} | _ALWAYS,
    PatchState.READY_FOR_CERTIFICATION: {PatchState.IN_CERTIFICATION} | _ALWAYS,
    PatchState.IN_CERTIFICATION: {PatchState.CERTIFIED} | _ALWAYS,
    PatchState.CERTIFIED: {PatchState.READY_FOR_PRODUCTION, PatchState.IN_PRODUCTION} | _ALWAYS,
    PatchState.READY_FOR_PRODUCTION: {
        PatchState.READY_FOR_ROLLOUT,
        PatchState.IN_PRODUCTION,
        PatchState.REJECTED,
        PatchState.OBSOLETE,
    },
    PatchState.READY_FOR_ROLLOUT: {
        PatchState.ROLLING_OUT,
        PatchState.IN_PRODUCTION,
        PatchState.REJECTED,
        PatchState.OBSOLETE,
    },
    PatchState.ROLLING_OUT: {PatchState.IN_PRODUCTION, PatchState.REJECTED, PatchState.OBSOLETE},
    PatchState.IN_PRODUCTION: {PatchState.OBSOLETE},
    PatchState.WITH_PROVIDER: {
        PatchState.READY_FOR_INTEGRATION,
        PatchState.READY_FOR_CERTIFICATION,
        PatchState.REJECTED,
        PatchState.OBSOLETE,
    },
    PatchState.REJECTED: {PatchState.WITH_PROVIDER, PatchState.OBSOLETE},
    PatchState.OBSOLETE: set(),
}


@pytest.mark.parametrize("old", PatchState)
def test_only_legal_moves_are_made_and_the_others_are_told_what_is_legal(sandbox_grid: RunningGrid, old: PatchState):
    for new in PatchState:
        if new is old:
            continue
        patch = dataclasses.replace(DEMO, number=next(_numbers), state=old, bugs=(), test_cases=())
        sandbox_grid.tracker.enter(patch)
        if new in LEGAL_MOVES[old]:
            sandbox_grid.tracker.set_state(patch.number, new, "")
        else:
            with pytest.raises(RefusedError, match="allowed:"):
                sandbox_grid.tracker.set_state(patch.number, new, "")
        is_now = sandbox_grid.tracker.patch(patch.number).state
        assert is_now is (new if new in LEGAL_MOVES[old] else old)


def test_a_comment_is_kept_once_and_moves_nothing(sandbox_grid: RunningGrid, patch: Patch):
    for _ in range(2):
        sandbox_grid.tracker.comment(patch.number, "Deployment test: scenario wn failed.\n\nSee its log.")
    assert comments(sandbox_grid, patch) == ["Deployment test: scenario wn failed.\n\nSee its log."]
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
    with pytest.raises(PatchNotFoundError):
        sandbox_grid.tracker.edit(999999, {"title": "x"})


def test_a_stranger_reads_but_sees_no_mail_address_and_does_not_write(file: TrackerFile, patch: Patch):
    stranger = RoundupTracker(file, Secret())
    reading = stranger.readings(patch.number)[0]
    assert reading.title == patch.title
    assert reading.patch is None and "bugs.0.originator" in reading.problems[0]
    with pytest.raises(ConfigurationError, match="refuses our token"):
        stranger.set_state(patch.number, PatchState.CERTIFIED, "")


def test_a_wrong_password_is_said_without_being_shown(file: TrackerFile, patch: Patch, caplog: Any):
    caplog.set_level(logging.DEBUG)
    stranger = RoundupTracker(file, Secret("wrong-password", "somebody"))
    with pytest.raises(ConfigurationError, match="refuses our token") as refusal:
        stranger.patch(patch.number)
    assert "wrong-password" not in f"{refusal.value} {caplog.text} {Secret('wrong-password', 'somebody')!r}"


def test_an_embargo_holds_for_strangers(sandbox_grid: RunningGrid, file: TrackerFile):
    closed = dataclasses.replace(
        DEMO, number=next(_numbers), embargo_until=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    )
    sandbox_grid.tracker.enter(closed)
    assert sandbox_grid.tracker.patch(closed.number) == closed
    with pytest.raises(PatchNotFoundError):
        RoundupTracker(file, Secret()).readings(closed.number)
    page = requests.get(sandbox_grid.tracker.page(closed.number), timeout=10)
    assert closed.title not in page.text


def test_lists_are_complete_over_many_pages_newest_first_and_by_state(sandbox_grid: RunningGrid, file: TrackerFile):
    few = dataclasses.replace(DEMO, state=PatchState.OBSOLETE, bugs=DEMO.bugs[:1])
    for number in range(7000, 7012):
        sandbox_grid.tracker.enter(dataclasses.replace(few, number=number))
    tracker = RoundupTracker(file, sandbox_grid.tracker_secret, page=5)
    assert [p.number for p in tracker.patches(PatchState.OBSOLETE) if 7000 <= p.number < 7012] == list(
        range(7011, 6999, -1)
    )
    assert dataclasses.replace(few, number=7003) in tracker.patches()


def test_an_answer_that_is_too_large_is_asked_for_in_parts(sandbox_grid: RunningGrid, file: TrackerFile):
    notes = "x" * 20_000
    entered = [dataclasses.replace(DEMO, number=next(_numbers), release_notes=notes) for _ in range(4)]
    for patch in entered:
        sandbox_grid.tracker.enter(patch)
    assert set(entered) <= set(RoundupTracker(file, sandbox_grid.tracker_secret, most_bytes=60_000).patches())


def test_the_copy_follows_the_tracker_and_is_only_a_copy(
    sandbox_grid: RunningGrid, file: TrackerFile, patch: Patch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy = tmp_path / "copy.json"

    def fresh() -> RoundupTracker:
        return RoundupTracker(file, sandbox_grid.tracker_secret, copy=copy)

    whole = fresh().patches()
    assert patch in whole
    assert copy.stat().st_mode & 0o077 == 0
    sandbox_grid.tracker.set_state(patch.number, PatchState.CERTIFIED, "")
    added = dataclasses.replace(DEMO, number=next(_numbers))
    sandbox_grid.tracker.enter(added)
    now = fresh().patches()
    assert set(now) - set(whole) == {added, dataclasses.replace(patch, state=PatchState.CERTIFIED)}
    for damage in ("", "{", "[]", '{"of": 1}', json.dumps({"of": json.loads(copy.read_text())["of"], "items": [1]})):
        copy.write_text(damage)
        assert fresh().patches() == now
    copy.unlink()
    copy.mkdir()
    assert fresh().patches() == now, "a copy that cannot be kept is no fault"


def test_a_flag_is_set_with_its_reason(sandbox_grid: RunningGrid, patch: Patch):
    for _ in range(2):
        sandbox_grid.tracker.set_flag(patch.number, "basic_certification_passed", False, "a test failed")
    assert not sandbox_grid.tracker.patch(patch.number).basic_certification_passed
    assert comments(sandbox_grid, patch) == ["a test failed"]


def test_a_ticket_is_opened_once_and_closed_once_and_strangers_do_not_see_it(
    sandbox_grid: RunningGrid, file: TrackerFile, patch: Patch
):
    tracker = sandbox_grid.tracker
    ticket = Ticket(f"pps:incident:{patch.number}", patch.number, "Incident at PIC", "No answer.\n\n<b>at all</b>")
    page = tracker.open_ticket(ticket)
    assert tracker.open_ticket(ticket) == page
    other = tracker.open_ticket(dataclasses.replace(ticket, marker=f"{ticket.marker}:2"))
    assert other != page
    for _ in range(2):
        tracker.close_ticket(ticket.marker, "It answers again.")
    tracker.close_ticket("pps:never", "x")
    fields = "marker,state.name,title,patch.number,messages"
    items = {i["marker"]: i for i in tracker._rest.items("ticket", fields) if patch.number == int(i["patch.number"])}
    assert {m: i["state.name"] for m, i in items.items()} == {ticket.marker: "closed", f"{ticket.marker}:2": "open"}
    said = [m["content"] for m in tracker._messages(items[ticket.marker])]
    assert said == [f"{ticket.text}\n\n[{ticket.marker}]", "It answers again."]
    with pytest.raises(PatchNotFoundError):
        tracker.open_ticket(dataclasses.replace(ticket, marker="pps:x", patch=999999))
    shown = requests.get(page, timeout=10)
    assert "Incident at PIC" not in shown.text
    assert RoundupTracker(file, Secret())._rest.of("msg", "content", items[ticket.marker]["messages"]) == []


def test_the_states_of_bugs_are_read_also_when_they_have_changed(
    sandbox_grid: RunningGrid, file: TrackerFile, patch: Patch, tmp_path: Path
):
    tracker = RoundupTracker(file, sandbox_grid.tracker_secret, copy=tmp_path / "copy.json")
    number = patch.bugs[0].number
    assert tracker.bug_states()[number] is BugState.OPEN
    for state in ("fixed", "reopened"):
        (bug,) = tracker._rest.items("bug", "number", number=str(number))
        _, etag = tracker._rest.versioned("bug", bug["id"], "number")
        assert tracker._rest.change("bug", bug["id"], etag, {"state": state})
        assert tracker.bug_states()[number] == state
    assert tracker.patch(patch.number) == patch


def test_its_page_shows_the_patch_and_hostile_texts_are_inert_there(sandbox_grid: RunningGrid, patch: Patch):
    sandbox_grid.tracker.edit(patch.number, {"title": "<script>alert(1)</script>", "release_notes": "<img src=x>"})
    sandbox_grid.tracker.comment(patch.number, "<iframe src=javascript:alert(1)>")
    page = requests.get(sandbox_grid.tracker.page(patch.number), timeout=10)
    assert page.status_code == 200
    assert "&lt;script&gt;alert(1)" in page.text and "&lt;img src=x" in page.text and "&lt;iframe" in page.text
    assert "<script>alert(1)" not in page.text and "<img src=x" not in page.text and "<iframe" not in page.text
    assert "@example.org" not in page.text, "mail addresses are for those who have signed in"
    for place in ("", "patch", "bug", "bug1", "case1"):
        assert requests.get(sandbox_grid.tracker.url + place, timeout=10).status_code == 200
    assert requests.get(sandbox_grid.tracker.page(999999), timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("number", "12a", "1 to 9 digits"),
        ("number", "0012", "1 to 9 digits"),
        ("packages", "only-a-name", "NAME VERSION ARCHITECTURE"),
        ("kind", "toaster", "client or a server"),
        ("title", " ", "needs a title"),
        ("state", "Lost", "Lost"),
    ],
)
def test_what_people_type_into_the_tracker_is_refused_in_words(
    sandbox_grid: RunningGrid, field: str, value: str, why: str
):
    values = {"number": str(next(_numbers)), "title": "x", "metapackage": "glite-WN", "version": "1"} | {field: value}
    with pytest.raises(RefusedError, match=why):
        sandbox_grid.tracker._rest.create("patch", values)


def test_what_cannot_be_used_is_shown_with_every_reason_and_hides_nothing_else(
    sandbox_grid: RunningGrid, patch: Patch, caplog: pytest.LogCaptureFixture
):
    number = next(_numbers)
    values = {"number": str(number), "title": "Half", "metapackage": "a;b", "version": "1", "packages": "a 1 all"}
    sandbox_grid.tracker._rest.create("patch", values)
    reading = sandbox_grid.tracker.readings(number)[0]
    assert reading.patch is None
    assert [p.partition(":")[0] for p in reading.problems] == ["metapackage", "platforms", "repository"]
    assert patch in sandbox_grid.tracker.patches()
    assert f"patch {number}: metapackage" in caplog.text
    with pytest.raises(PackageError, match=f"patch {number}: metapackage"):
        sandbox_grid.tracker.patch(number)
    assert reading in sandbox_grid.tracker.readings()


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


ITEM = {
    "id": "1",
    "number": "4711",
    "state.name": "In certification",
    "messages": [],
    "title": "x",
    "metapackage": "glite-WN",
    "version": "3.1.23",
    "platforms": "debian12-amd64",
    "repository": "yum http://repository.example.org/yum",
    "packages": "glite-wn 3.1.23-1 noarch",
    "bugs": ["7"],
    "test_cases": [],
}
BUG = {"id": "7", "number": "1", "title": "x", "severity.name": "major", "originator": "a@example.org"}


def listed(*items: dict[str, Any]) -> bytes:
    return json.dumps({"data": {"collection": list(items), "@total_size": len(items)}}).encode()


def good(**changes: object) -> Reply:
    """A Roundup that knows one patch with one bug; changes are the patch's or, as `bug_...`, the bug's."""
    item = ITEM | {k: v for k, v in changes.items() if not k.startswith("bug_")}
    bug = BUG | {k.removeprefix("bug_"): v for k, v in changes.items() if k.startswith("bug_")}

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        if path.endswith("/patch/1"):
            answer(json.dumps({"data": {"attributes": item}}).encode(), ETag='"1"')(handler)
        else:
            answer(listed(bug if path.endswith("/bug") else item))(handler)

    return reply


def roundup(url: str, secret: Secret = Secret(), **limits: Any) -> RoundupTracker:  # noqa: B008 (frozen)
    return RoundupTracker(TrackerFile(kind=TrackerKind.ROUNDUP, url=url), secret, **limits)


@pytest.mark.parametrize(
    ("reply", "error", "why"),
    [
        (answer(b"<html>login"), ServiceError, "not JSON"),
        (answer(b"[1]"), ServiceError, "not one of Roundup's"),
        (answer(b"1"), ServiceError, "neither a JSON object nor a list"),
        (answer(b'{"data": NaN}'), ServiceError, "not JSON"),
        (answer(b"[" * 200_000), ServiceError, "not JSON"),
        (answer(b'{"data": {}}'), ServiceError, "list of patch"),
        (answer(b'{"data": {"collection": [1]}}'), ServiceError, "list of patch"),
        (answer(b'{"data": {"collection": [{"id": "x"}]}}'), ServiceError, "list of patch"),
        (answer(b'{"data": {"collection": [], "@total_size": -1}}'), ServiceError, "there may be more"),
        (good(number="4712"), ServiceError, "asked for patch 4711"),
        (good(**{"state.name": "Lost"}), PackageError, "state"),
        (good(bug_originator="a\nBcc: b@c"), PackageError, "bugs.0.originator"),
        (good(bug_number="-1"), PackageError, "bugs.0.number"),
        (good(platforms="debian12"), PackageError, "platforms.0"),
        (good(title={"a": 1}), PackageError, "title"),
        (good(title="a\u202eb"), PackageError, "title"),
        (good(packages="a"), PackageError, "packages.0"),
    ],
)
def test_a_wrong_answer_is_an_error_that_says_what_is_wrong(
    misbehaving: Any, reply: Reply, error: type[Exception], why: str
):
    url, _ = misbehaving(reply)
    with pytest.raises(error, match=why):
        roundup(url).patch(4711)


def test_an_answer_that_is_too_large_is_cut_off(misbehaving: Any):
    url, _ = misbehaving(answer(b" " * 200_000))
    with pytest.raises(ServiceError, match="larger than 100000 bytes"):
        roundup(url, most_bytes=100_000).patch(4711)


def test_a_compressed_answer_that_nobody_asked_for_is_refused(misbehaving: Any):
    url, _ = misbehaving(answer(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"))
    with pytest.raises(ServiceError, match="compressed"):
        roundup(url).patch(4711)


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
            roundup(url, total_s=1).patch(4711)
    finally:
        ended.set()
    assert time.monotonic() - began < 15


def test_no_redirect_is_followed(misbehaving: Any):
    target, seen = misbehaving(good())
    url, _ = misbehaving(answer(b"", 302, Location=f"{target}/patches/4711"))
    with pytest.raises(ServiceError, match="redirects to"):
        roundup(url, secret=Secret("secret-token")).patch(4711)
    assert seen == []


def test_reads_are_tried_again_and_writes_are_not(misbehaving: Any):
    url, seen = misbehaving(answer(b"{}", 503))
    with pytest.raises(ServiceError, match="503"):
        roundup(url).patch(4711)
    assert len(seen) == 3 and {s.partition("?")[0] for s in seen} == {"GET /rest/data/patch"}
    seen.clear()
    with pytest.raises(ServiceError, match="503"):
        roundup(url)._say("once")
    assert seen == ["POST /rest/data/msg/@poe"]


def test_the_state_that_a_patch_has_is_not_written_again(misbehaving: Any):
    url, seen = misbehaving(good())
    roundup(url).set_state(4711, PatchState.IN_CERTIFICATION, "said before")
    assert {s.partition("?")[0] for s in seen} == {"GET /rest/data/patch", "GET /rest/data/patch/1"}


def test_a_tracker_that_does_not_answer_is_a_service_error(misbehaving: Any):
    def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.connection.close()

    for url in (misbehaving(cut)[0], "http://127.0.0.1:1"):
        with pytest.raises(ServiceError, match="does not answer"):
            roundup(url).patch(4711)


def test_a_patch_without_an_etag_is_not_written_to(misbehaving: Any):
    url, seen = misbehaving(answer(json.dumps({"data": {"collection": [ITEM], "attributes": ITEM}}).encode()))
    with pytest.raises(ServiceError, match="no ETag"):
        roundup(url).set_state(4711, PatchState.CERTIFIED, "")
    assert all(s.startswith("GET") for s in seen)


@pytest.mark.parametrize("said", ["x" * 9000, "a\nb\x1b[31m", "ü" * 600])
def test_the_reason_of_a_refusal_is_one_short_line(misbehaving: Any, said: str):
    url, _ = misbehaving(answer(json.dumps({"error": {"status": 405, "msg": said}}).encode(), 405))
    with pytest.raises(RefusedError) as refusal:
        roundup(url).patch(4711)
    reason = refusal.value.reasons[0]
    assert reason.isprintable() and 0 < len(reason) <= 500


def test_a_change_by_somebody_else_in_between_is_looked_at_again(
    sandbox_grid: RunningGrid, file: TrackerFile, patch: Patch, monkeypatch: pytest.MonkeyPatch
):
    """Between our look and our act the flag changes, so the version does."""
    ours, theirs = RoundupTracker(file, sandbox_grid.tracker_secret), sandbox_grid.tracker
    looked, looks = ours._for_writing, []

    def look_and_be_overtaken(number: int) -> Any:
        seen = looked(number)
        if not looks:
            theirs.set_flag(number, "basic_certification_passed", False)
        looks.append(number)
        return seen

    monkeypatch.setattr(ours, "_for_writing", look_and_be_overtaken)
    ours.set_state(patch.number, PatchState.CERTIFIED, "")
    assert len(looks) == 2
    after = theirs.patch(patch.number)
    assert (after.state, after.basic_certification_passed) == (PatchState.CERTIFIED, False)
    looks.clear()
    theirs.set_flag(patch.number, "basic_certification_passed", True)
    with pytest.raises(ServiceError, match="somebody else changed it meanwhile"):
        ours.edit(patch.number, {"release_notes": "mine"})
    assert theirs.patch(patch.number).release_notes == patch.release_notes


def test_neither_a_proxy_nor_a_netrc_file_of_the_machine_is_used(
    sandbox_grid: RunningGrid, file: TrackerFile, patch: Patch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert RoundupTracker(file, sandbox_grid.tracker_secret).patch(patch.number) == patch
    assert RoundupTracker(file, Secret()).readings(patch.number)[0].title == patch.title
