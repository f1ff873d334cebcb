"""What `ports.Tracker` promises, said once and held against every adapter with its own tracker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from tests.support import bad_input
from tests.support.examples import PATCH
from tests.support.tracker_desks import DESKS, Desk

from pps.activities.ports.tracker import Ticket, Tickets
from pps.adapters.trackers.roundup import RoundupTracker
from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import PackageError, PatchNotFoundError, RefusedError, ServiceError
from pps.domain.base.texts import for_the_public, without_addresses
from pps.domain.packages.patch import Case, Patch, PatchKind, PatchState

NOWHERE = 999_999
TICKETED_KINDS = ("roundup", "github", "gitlab")

#: Everything that a patch can say.
FULL = parse_patch(
    {
        **patch_document(PATCH),
        "kind": PatchKind.SERVER.value,
        "service_type": "Site-BDII",
        "special_configuration": "Set MY_PORT:\n\n```\n### packages\n\nnone\n```\n",
        "release_notes": "# Notes\n\n### packages\n\nno section, a heading of the notes\n\n  <!-- hidden -->\n- [ ] a",
        "new_variables": ["MY_PORT", "MY_HOST"],
        "component_parameters": ["blah.conf:maxJobs", "[CE] port"],
        "operational_changes": "/close\n@everybody: the port is another one; see #1 & <b>that</b>",
        "provider": "grid-clients@example.org",
        "programming_ph": 24,
        "database_schema_changed": True,
        "clients_compatible": False,
        "installation_guide": "https://docs.example.org/install?a=1&b=2",
        "configuration_guide": "https://docs.example.org/configure",
        "test_cases": [
            {"name": "renew", "title": "A proxy | is renewed", "how": "1. Do this\n\n2. `and that`\n    indented"},
            {"name": "copy", "title": "A file is copied", "how": ""},
        ],
        "cves": ["CVE-2026-12345 critical", "CVE-2026-1234567"],
        "vex": ["CVE-2026-12346 not_affected vulnerable_code_not_present", "CVE-2026-12347 under_investigation"],
        "embargo_until": "2026-04-01T12:00:00+00:00",
    }
)

HOSTILE = (
    *bad_input.HTML,
    "/close\n/label ~Certified",
    "State: Certified",
    "```\n### state\n\nCertified\n",
    "{{ 7*7 }} ${7*7} %s%n",
    "@everybody #1 !2 &3",
    "Subject: x\r\nBcc: everybody@example.org",
    "=cmd|' /C calc'!A0",
    "é e\u0301 \u2028 \U0001f600 \u202egnp.exe",
)


@pytest.fixture(params=[pytest.param(k, marks=pytest.mark.needs(g) if g else ()) for k, (g, _) in DESKS.items()])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with DESKS[request.param][1](tmp_path, request) as desk:
        yield desk


def entered(desk: Desk, patch: Patch = PATCH, of: str = "submission 1") -> Patch:
    return replace(patch, number=desk.tracker.enter(patch, submission=of))


def test_a_patch_is_read_as_it_was_entered(desk: Desk) -> None:
    full, simple = entered(desk, kept(desk, FULL)), entered(desk, PATCH, "submission 2")
    assert desk.tracker.patch(full.number) == full
    assert desk.tracker.patch(simple.number) == simple
    assert desk.tracker.patches() == (simple, full)


def test_the_same_submission_once_more_is_the_patch_that_it_was(desk: Desk) -> None:
    patch = entered(desk)
    assert entered(desk) == patch
    assert entered(desk, of="submission 2").number != patch.number
    assert len(desk.tracker.patches()) == 2


def test_a_patch_that_is_there_is_entered_only_as_the_same(desk: Desk) -> None:
    patch = entered(desk)
    desk.tracker.set_state(patch.number, PatchState.CERTIFIED, "")
    assert desk.tracker.enter(patch) == patch.number
    with pytest.raises(RefusedError, match="other content"):
        desk.tracker.enter(replace(patch, version="9.9"))
    if desk.numbers_itself:
        with pytest.raises(RefusedError, match="numbers its entries itself"):
            desk.tracker.enter(replace(patch, number=NOWHERE))
    assert len(desk.tracker.patches()) == 1


def test_an_edit_changes_its_fields_and_no_other(desk: Desk) -> None:
    patch = entered(desk, kept(desk, FULL))
    cases = (Case("other", "Another one", "a\n\nb"),)
    changes = {
        "title": "Another title",
        "version": "3.1.24",
        "release_notes": "",
        "programming_ph": 8,
        "install_tested": [],
        "test_cases": [{"name": "other", "title": "Another one", "how": "a\n\nb"}],
        "bugs": patch_document(FULL)["bugs"][:1],
    }
    desk.tracker.edit(patch.number, changes)
    edited = replace(
        patch,
        title="Another title",
        version="3.1.24",
        release_notes="",
        programming_ph=8,
        install_tested=(),
        test_cases=cases,
        bugs=FULL.bugs[:1],
    )
    assert desk.tracker.patch(patch.number) == edited


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    number = entered(desk).number
    change = desk.tracker._change

    def later(*args: object) -> object:
        monkeypatch.setattr(desk.tracker, "_change", change)
        desk.spoil(number)
        return change(*args)

    monkeypatch.setattr(desk.tracker, "_change", later)
    with pytest.raises(ServiceError, match="meanwhile"):
        desk.tracker.edit(number, {"version": "9.9", "packages": []})
    assert any("packages" in problem for problem in desk.tracker.readings(number)[0].problems)


@pytest.mark.parametrize("field", ["number", "state", "basic_certification_passed"])
def test_what_others_decide_is_not_edited(desk: Desk, field: str) -> None:
    patch = entered(desk)
    with pytest.raises(RefusedError, match=field):
        desk.tracker.edit(patch.number, {field: True, "version": "9"})
    assert desk.tracker.patch(patch.number) == patch


def test_an_edit_that_would_make_it_unreadable_is_refused(desk: Desk) -> None:
    patch = entered(desk)
    with pytest.raises(PackageError, match="metapackage"):
        desk.tracker.edit(patch.number, {"metapackage": "a b; reboot"})
    assert desk.tracker.patch(patch.number) == patch


def test_a_state_is_set_there_and_back_and_each_time_something_is_said(desk: Desk) -> None:
    number = entered(desk).number
    moves = [PatchState.CERTIFIED, PatchState.WITH_PROVIDER, PatchState.READY_FOR_CERTIFICATION]
    moves += [PatchState.IN_CERTIFICATION, PatchState.CERTIFIED, PatchState.WITH_PROVIDER]
    for state in moves:
        desk.tracker.set_state(number, state, "Because of the tests.")
        assert desk.tracker.patch(number).state is state
        desk.tracker.set_state(number, state, "Because of the tests.")
    assert len(desk.tracker.comments(number)) == len(moves)
    assert all(r.text.startswith("Because of the tests.") for r in desk.tracker.comments(number))
    assert [p.number for p in desk.tracker.patches(PatchState.WITH_PROVIDER)] == [number]
    assert desk.tracker.patches(PatchState.CERTIFIED) == ()


def test_a_state_can_be_set_without_a_word(desk: Desk) -> None:
    number = entered(desk).number
    desk.tracker.set_state(number, PatchState.CERTIFIED, " ")
    assert desk.tracker.patch(number).state is PatchState.CERTIFIED
    assert desk.tracker.comments(number) == ()


def test_a_comment_is_once_however_often_it_is_said(desk: Desk) -> None:
    number = entered(desk).number
    for text in ("First.\n\nWith a second line.", "Second.", "First.\n\nWith a second line.", "Second.", "Third."):
        desk.tracker.comment(number, text)
    assert [r.text for r in desk.tracker.comments(number)] == ["First.\n\nWith a second line.", "Second.", "Third."]
    with pytest.raises(RefusedError):
        desk.tracker.comment(number, " \n")


def test_a_comment_moves_nothing_and_comes_back_whatever_it_says(desk: Desk) -> None:
    patch = entered(desk)
    for text in HOSTILE:
        desk.tracker.comment(patch.number, text)
        desk.tracker.comment(patch.number, text)
    assert [plain(r.text) for r in desk.tracker.comments(patch.number)] == [plain(text) for text in HOSTILE]
    assert desk.tracker.patch(patch.number) == patch


def test_an_earlier_comment_that_looks_like_a_move_keeps_no_move_from_being_told(desk: Desk) -> None:
    number = entered(desk).number
    desk.tracker.comment(number, "It is well.\n\nState: In production")
    desk.tracker.set_state(number, PatchState.CERTIFIED, "It is well.")
    assert len(desk.tracker.comments(number)) == 2


def test_release_notes_come_back_whatever_they_say(desk: Desk) -> None:
    notes = "\n".join(t for t in HOSTILE if t.replace("\n", "").replace("\r", "").isprintable()).replace("\r", "")
    hostile = replace(PATCH, release_notes=notes, special_configuration=f"    {notes}\n\n")
    patch = entered(desk, kept(desk, hostile))
    assert desk.tracker.patch(patch.number) == patch


def test_an_unknown_number_is_told_as_such(desk: Desk) -> None:
    entered(desk)
    tracker = desk.tracker
    for ask in (tracker.patch, tracker.readings, tracker.comments):
        with pytest.raises(PatchNotFoundError, match=str(NOWHERE)):
            ask(NOWHERE)
    with pytest.raises(PatchNotFoundError):
        tracker.set_state(NOWHERE, PatchState.CERTIFIED, "x")
    with pytest.raises(PatchNotFoundError):
        tracker.comment(NOWHERE, "x")
    with pytest.raises(PatchNotFoundError):
        tracker.edit(NOWHERE, {"version": "1"})


def test_an_entry_that_cannot_be_read_is_shown_with_its_problems_and_holds_up_no_other(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = entered(desk), entered(desk, of="submission 2")
    desk.spoil(bad.number)
    first, second = desk.tracker.readings()
    assert (second.patch, second.problems) == (good, ())
    assert (first.number, first.title, first.patch) == (bad.number, bad.title, None)
    assert any("packages" in problem for problem in first.problems), first.problems
    assert desk.tracker.readings(bad.number) == (first,)
    assert desk.tracker.patches() == (good,)
    assert str(bad.number) in caplog.text
    with pytest.raises(PackageError, match="packages"):
        desk.tracker.patch(bad.number)


def test_many_patches_are_read_page_by_page_newest_first(desk: Desk) -> None:
    numbers = [entered(desk, of=f"submission {n}").number for n in range(5)]
    assert [p.number for p in desk.tracker.patches()] == sorted(numbers, reverse=True)
    assert [r.number for r in desk.tracker.readings()] == sorted(numbers, reverse=True)


# --- what was read last is kept, and only what has changed since is asked for


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that go out; all of them, whatever library asks."""
    urls: list[str] = []
    send = HTTPAdapter.send

    def counted(self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **how: Any) -> requests.Response:
        urls.append(str(request.url))
        return send(self, request, *args, **how)

    monkeypatch.setattr(HTTPAdapter, "send", counted)
    return urls


def test_a_tracker_in_which_nothing_has_changed_is_asked_little_and_what_somebody_changes_is_seen(
    desk: Desk, asked: list[str]
) -> None:
    patches = tuple(entered(desk, of=f"submission {n}") for n in range(7))[::-1]
    desk.age()
    assert desk.again().patches() == patches
    desk.again().comments(patches[0].number)  # whoever asks at all, asks for this
    asked.clear()
    assert desk.again().patches() == patches
    few = len(asked)
    assert few <= 6, asked
    newest, oldest = patches[0], patches[-1]
    desk.spoil(oldest.number)
    asked.clear()
    assert desk.again().patches() == patches[:-1]
    assert len(asked) <= few + 2, asked
    desk.again().set_state(newest.number, PatchState.CERTIFIED, "It works.")
    certified = replace(newest, state=PatchState.CERTIFIED)
    assert desk.again().patches() == (certified, *patches[1:-1])
    added = entered(desk, of="submission 8")
    assert desk.tracker.patches(PatchState.IN_CERTIFICATION) == (added, *patches[1:-1])
    assert [r.number for r in desk.again().readings()] == [added.number, *(p.number for p in patches)]


def test_what_is_no_patch_any_more_is_in_no_list(desk: Desk) -> None:
    first, second, third = (entered(desk, of=f"submission {n}") for n in range(3))
    desk.age()
    assert len(desk.again().patches()) == 3
    desk.leave(second.number)
    assert desk.again().patches() == (third, first)


def test_what_was_deleted_is_gone_when_all_is_read_again_and_is_never_taken_for_the_patch_that_it_was(
    desk: Desk,
) -> None:
    first, second = (entered(desk, of=f"submission {n}") for n in range(2))
    desk.age()
    assert len(desk.again().patches()) == 2
    desk.remove(second.number)
    with pytest.raises(PatchNotFoundError):
        desk.again().patch(second.number)
    later = entered(desk, of="submission 1")
    assert later.number not in (first.number, second.number) or later.number > first.number
    in_six_hours = datetime.now(UTC) + timedelta(hours=6)
    assert desk.again(clock=lambda: in_six_hours).patches() == (later, first)


def test_a_tracker_that_is_down_is_an_error_and_never_what_it_said_before(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = entered(desk)
    tracker = desk.again()
    assert tracker.patches() == (patch,)

    def down(*_: object, **__: object) -> None:
        raise requests.ConnectionError

    with monkeypatch.context() as now:
        now.setattr(HTTPAdapter, "send", down)
        for ask in (tracker.patches, tracker.readings, desk.again().patches):
            with pytest.raises(ServiceError, match="does not answer"):
                ask()
    assert tracker.patches() == (patch,)


@pytest.mark.parametrize("ours", [-86400 * 30, 86400 * 30, 0])
def test_no_change_is_lost_whichever_clock_is_wrong(desk: Desk, ours: int) -> None:
    """Ours is a month behind, or ahead; or the tracker's was, for a while."""
    first, second = (entered(desk, of=f"submission {n}") for n in range(2))
    clock = {"clock": lambda: datetime.now(UTC) + timedelta(seconds=ours)}
    if ours:
        desk.age()
    assert len(desk.again(**clock).patches()) == 2
    desk.spoil(first.number)
    assert desk.again(**clock).patches() == (second,)
    desk.spoil(second.number)
    assert desk.again(**clock).patches() == ()


def kept(desk: Desk, patch: Patch) -> Patch:
    """As this tracker keeps its texts."""
    texts = {"release_notes": patch.release_notes, "special_configuration": patch.special_configuration}
    return replace(patch, **{name: text.strip() for name, text in texts.items()}) if desk.trims else patch


#: Those with tickets of their own; elsewhere troubles are comments on the patch.
TICKETED = [
    pytest.param(k, marks=pytest.mark.needs(g) if g else ()) for k, (g, _) in DESKS.items() if k.value in TICKETED_KINDS
]


@pytest.mark.parametrize("desk", TICKETED, indirect=True)
def test_a_ticket_is_opened_once_told_once_that_it_is_mended_and_is_no_patch(desk: Desk) -> None:
    tracker = desk.tracker
    assert isinstance(tracker, Tickets)
    patch = entered(desk)
    ticket = Ticket(
        "pps:4711:incident-1", patch.number, "It does not start", "/close\n\n[pps:4711:incident-2]\n\nOn 3 of 4."
    )
    page = tracker.open_ticket(ticket)
    assert tracker.open_ticket(ticket) == page
    other = tracker.open_ticket(replace(ticket, marker="pps:4711:incident-2"))
    assert other != page
    assert tracker.patches() == (patch,)
    for _ in range(2):
        tracker.close_ticket(ticket.marker, "Mended by 3.1.24.")
    tracker.close_ticket("pps:unknown", "x")
    assert tracker.open_ticket(ticket) == page
    assert tracker.open_ticket(replace(ticket, marker="pps:4711:incident-2")) == other
    with pytest.raises(PatchNotFoundError):
        tracker.open_ticket(replace(ticket, marker="pps:x", patch=NOWHERE))


def plain(text: str) -> str:
    """Without what a tracker may change: line ends, and blanks at the ends."""
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).strip()


def test_the_page_that_pages_and_mails_lead_to_is_not_taken_for_an_address(desk: Desk) -> None:
    patch = entered(desk)
    page = desk.tracker.page(patch.number)
    assert for_the_public(page) == without_addresses(page) == page
    if isinstance(desk.tracker, RoundupTracker):  # the one whose pages are here, too
        assert patch.title in requests.get(page, timeout=30).text
